"""One mask update of one layer, as a pure function: drop the lowest scores, grow the highest, exactly.

Everything is flat and in row-major (C-order) logical order, whatever the memory format of the weight; ties go to the
lower flat index. Selection is by threshold (one partition), not by sorting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from regrow import seeds
from regrow.errors import RegrowError


@dataclass(frozen=True)
class Layer:
    """What a criterion may look at: one layer at one update. All tensors are flat, of N entries, and not to be changed.

    Attributes:
        name: qualified parameter name.
        weight: values after the optimiser's step, zero where inactive.
        mask: bool, True where active.
        grad: dense gradient of the step just taken (up to a positive factor), or None where not needed.
        shape: the weight's own shape ``(out, in / groups, kernel...)``.
        drop_fraction: share of the active weights to drop, in [0, 1].
        key: the layer's coordinate in random streams.
        update: number of this update, from 1; 0 for the initial mask.
        seed: seed of the stream that is drawn from.
    """

    name: str
    weight: Tensor
    mask: Tensor
    grad: Tensor | None = None
    shape: tuple[int, ...] = ()
    drop_fraction: float = 0.0
    key: int = 0
    update: int = 0
    seed: int = 0

    def draw(self, stream: seeds.Stream, n: int) -> Tensor:
        """``n`` random int64 keys whose order is that of the stream's unsigned 64-bit words."""
        words = seeds.raw(self.seed, stream, self.key, self.update, n=n)
        return torch.from_numpy((words ^ np.uint64(1 << 63)).view(np.int64)).to(self.mask.device)


class Criterion(Protocol):
    """A score: of the weights that compete, the lowest are dropped (drop) or the highest are grown (growth)."""

    @property
    def needs_gradient(self) -> bool:
        """Whether the score needs ``layer.grad``."""
        ...

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        """Scores of ``layer``'s entries in ``where``, in flat order.

        Args:
            layer: the layer; see `Layer`.
            where: bool (N,), the entries that compete.
            k: how many of them will be chosen, in [1, count of ``where``].

        Returns:
            Tensor of as many values as ``where`` has True entries; float or int64, without NaN.
        """
        ...


@dataclass(frozen=True)
class Rewired:
    """Result of an update.

    Attributes:
        mask: the new mask, bool (N,), as many active entries as before.
        dropped: the entries that were dropped, bool (N,).
        grown: the entries that were grown, bool (N,). Those dropped and grown are *returned*; the other
            grown ones were inactive before and are *fresh*.
    """

    mask: Tensor
    dropped: Tensor
    grown: Tensor


def rewire(layer: Layer, drop: Criterion, grow: Criterion, *, regrow_dropped: bool = True) -> Rewired:
    """The layer's next mask: ``floor(drop_fraction * active)`` lowest-scored weights go, as many come.

    As in Evci et al. 2020, arXiv:1911.11134, algorithm 1, with exact counts and ties to the lower flat index.

    Args:
        layer: weight, mask and gradient; left as they are.
        drop: score of active weights; the lowest go.
        grow: score of candidates; the highest come.
        regrow_dropped: whether weights dropped in this call are candidates. If not, no more are dropped than there are
            inactive weights to grow.

    Raises:
        RegrowError: a score is NaN.

    Example:
        >>> from regrow.sparsity.drop import Magnitude
        >>> from regrow.sparsity.growth import GradientGrowth
        >>> w = torch.tensor([3.0, 0.1, 0.0, 0.0])
        >>> layer = Layer("w", w, w != 0, grad=torch.tensor([0.0, 0.0, 1.0, 9.0]), drop_fraction=0.5)
        >>> rewire(layer, Magnitude(), GradientGrowth()).mask.tolist()
        [True, False, False, True]
    """
    mask = layer.mask
    k = drop_count(layer.drop_fraction, int(mask.count_nonzero()))
    if not regrow_dropped:
        k = min(k, int(mask.numel() - mask.count_nonzero()))
    if k == 0:
        nothing = torch.zeros_like(mask)
        return Rewired(mask.clone(), nothing, nothing.clone())
    dropped = _spread(smallest(_scores(layer, drop, mask, k), k), mask)
    candidates = ~mask | dropped if regrow_dropped else ~mask
    grown = _spread(largest(_scores(layer, grow, candidates, k), k), candidates)
    return Rewired((mask & ~dropped) | grown, dropped, grown)


def drop_count(drop_fraction: float, active: int) -> int:
    """``floor(drop_fraction * active)``, forgiving the rounding of the float: 0.29 of 100 is 29.

    Example:
        >>> drop_count(0.29, 100)
        29
    """
    return min(active, math.floor(drop_fraction * active + 1e-9))


def _scores(layer: Layer, criterion: Criterion, where: Tensor, k: int) -> Tensor:
    scores = criterion(layer, where, k)
    if scores.is_floating_point() and bool(scores.isnan().any()):
        raise RegrowError(
            f"{type(criterion).__name__} gives NaN in layer {layer.name}: its weights or gradients are not numbers.",
            "look for a diverged loss (a lower learning rate, gradient clipping); masks and weights are as before.",
        )
    return scores


def _spread(chosen: Tensor, where: Tensor) -> Tensor:
    """Put flags of the competing entries back to their places among all N."""
    return torch.zeros_like(where).masked_scatter_(where, chosen)


def smallest(values: Tensor, k: int) -> Tensor:
    """Flags of the ``k`` smallest of a 1-d tensor, ties to the lower index.

    Example:
        >>> smallest(torch.tensor([2.0, 1.0, 2.0, 2.0]), 2).tolist()
        [True, True, False, False]
    """
    if k <= 0:
        return torch.zeros_like(values, dtype=torch.bool)
    if k >= values.numel():
        return torch.ones_like(values, dtype=torch.bool)
    threshold = _kth_smallest(values, k)
    chosen = values < threshold
    ties = (values == threshold).nonzero().flatten()
    chosen[ties[: k - int(chosen.count_nonzero())]] = True
    return chosen


def largest(values: Tensor, k: int) -> Tensor:
    """Flags of the ``k`` largest of a 1-d tensor, ties to the lower index."""
    return smallest(-values if values.is_floating_point() else ~values, k)


def _kth_smallest(values: Tensor, k: int) -> Tensor:
    if values.device.type != "cpu":
        return values.kthvalue(k).values
    exact = values.float() if values.dtype in (torch.bfloat16, torch.float16) else values
    return torch.from_numpy(np.partition(exact.detach().numpy(), k - 1)[k - 1 : k])[0].to(values.dtype)
