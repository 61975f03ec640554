"""Growth criteria: of the candidates, those with the highest score come. Cannistraci-Hebb growth is in `hebb`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from regrow.errors import InputError
from regrow.sparsity.select import count
from regrow.sparsity.update import Layer


@dataclass(frozen=True)
class RandomGrowth:
    """Uniformly random: one random key per candidate in flat order; the smallest keys grow."""

    needs_gradient: ClassVar[bool] = False

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        """See `regrow.sparsity.update.Criterion`."""
        return ~layer.draw("growth", count(where))


@dataclass(frozen=True)
class GradientGrowth:
    """The absolute dense gradient of the loss at the masked weights."""

    needs_gradient: ClassVar[bool] = True

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        """See `regrow.sparsity.update.Criterion`."""
        return _gradient(layer).abs()


@dataclass(frozen=True)
class MomentumGrowth:
    """The absolute running mean of the dense gradient (sparse momentum, Dettmers 2019, arXiv:1907.04840).

    Costs a lasting buffer of a float for every weight, and dense gradients at every step.

    Attributes:
        decay: factor of the running mean, in [0, 1).
    """

    decay: float = 0.9

    needs_gradient: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the values."""
        if not 0 <= self.decay < 1:
            raise InputError(f"decay must be in [0, 1), got {self.decay}.")

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        """See `regrow.sparsity.update.Criterion`."""
        return _gradient(layer).abs()


@dataclass(frozen=True)
class NeverActiveFirst:
    """Uniformly random, those that were never active before all others (Liu et al. 2021, arXiv:2102.02887)."""

    needs_gradient: ClassVar[bool] = False
    needs_history: ClassVar[bool] = True

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        """See `regrow.sparsity.update.Criterion`."""
        keys = ~layer.draw("growth", count(where))
        if layer.ever is None:
            raise InputError(f"growth in layer {layer.name} needs to know which weights were ever active.")
        # halve the keys: the freed top bit says "never active", and the order within either class stays, up to ties
        return torch.where(layer.ever[where], (keys >> 1) - (1 << 62), (keys >> 1) + (1 << 62))


def _gradient(layer: Layer) -> Tensor:
    if layer.grad is None:
        raise InputError(f"growth by gradient in layer {layer.name} needs its dense gradient, and has none.")
    return layer.grad
