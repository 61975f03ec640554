"""Initial masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from regrow.sparsity.update import Layer, smallest


class Initial(Protocol):
    """A rule for the first mask of a layer."""

    def __call__(self, layer: Layer, n_active: int) -> Tensor:
        """Bool mask (N,) with exactly ``n_active`` True entries."""
        ...


@dataclass(frozen=True)
class RandomMask:
    """Exactly ``n_active`` entries, uniformly at random: those with the smallest random keys.

    Example:
        >>> import torch
        >>> layer = Layer("w", torch.zeros(8), torch.ones(8, dtype=torch.bool))
        >>> RandomMask()(layer, 5).nonzero().flatten().tolist()
        [0, 1, 3, 5, 7]
    """

    def __call__(self, layer: Layer, n_active: int) -> Tensor:
        """See `Initial`."""
        return smallest(layer.draw("mask", layer.mask.numel()), n_active)
