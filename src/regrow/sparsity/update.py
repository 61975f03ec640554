"""One mask update, as pure functions: what a criterion may see, what an update returns, and dropping and growing.

Everything is flat and in row-major (C-order) logical order, whatever the memory format of the weight; ties go to the
lower flat index.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from regrow import seeds
from regrow.errors import RegrowError
from regrow.sparsity.select import count, has_nan, highest, largest, lowest, lowest_of_all, smallest

__all__ = [
    "Criterion",
    "Layer",
    "Rewired",
    "Rule",
    "Step",
    "drop_count",
    "largest",
    "prune",
    "rewire",
    "smallest",
]


@dataclass(frozen=True)
class Layer:
    """What a criterion may look at: one layer at one update. All tensors are flat, of N entries, and not to be changed.

    Attributes:
        name: qualified parameter name.
        weight: values after the optimiser's step, zero where inactive.
        mask: bool, True where active; while growth is scored, what is left after the drop.
        grad: dense gradient that growth looks at (of the step just taken, or a mean over several; up to a positive
            factor), or None where not needed.
        shape: the weight's own shape ``(out, in / groups, kernel...)``.
        drop_fraction: share of the active weights to drop, in [0, 1].
        key: the layer's coordinate in random streams.
        update: number of this update, from 1; 0 for the initial mask.
        seed: seed of the stream that is drawn from.
        progress: share of the time until the last update, in [0, 1].
        step_grad: the gradient that the optimiser's step used, zero where inactive; None without one.
        ever: bool, True where active at any time so far; None where not needed.
        frozen: whether the layer sits the update out (it had no gradient, or stopped early); pruning still reaches it.
        last: whether it is the last of the chosen layers in registration order: the network's outputs, as a rule.
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
    progress: float = 0.0
    step_grad: Tensor | None = None
    ever: Tensor | None = None
    frozen: bool = False
    last: bool = False

    def draw(self, stream: seeds.Stream, n: int) -> Tensor:
        """``n`` random int64 keys whose order is that of the stream's unsigned 64-bit words."""
        words = self.words(stream, n)
        return torch.from_numpy((words ^ np.uint64(1 << 63)).view(np.int64)).to(self.mask.device)

    def words(self, stream: seeds.Stream, n: int) -> seeds.UINT64:
        """``n`` raw 64-bit words of the layer's stream at this update."""
        return seeds.raw(self.seed, stream, self.key, self.update, n=n)

    @property
    def matrix(self) -> tuple[int, int]:
        """The weight's shape as rows (outputs) and columns (inputs times kernel)."""
        rows = self.shape[0] if self.shape else 1
        return rows, self.mask.numel() // rows


class Criterion(Protocol):
    """A score: of the weights that compete, the lowest are dropped (drop) or the highest are grown (growth).

    Two further attributes are looked up and may be left out: ``needs_step_gradient`` (the score reads
    ``layer.step_grad``), and ``decay`` (``layer.grad`` is to be a running mean of dense gradients with this factor).
    """

    @property
    def needs_gradient(self) -> bool:
        """Whether the score needs ``layer.grad``."""
        ...

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        """Scores of ``layer``.

        Args:
            layer: the layer; see `Layer`.
            where: bool (N,), the entries that compete.
            k: how many of them will be chosen, in [1, count of ``where``].

        Returns:
            Scores of all N entries (those outside ``where`` are ignored), or of the True entries of ``where`` alone, in
            flat order; float or int64, without NaN.
        """
        ...


@dataclass(frozen=True)
class Rewired:
    """Result of an update of one layer.

    Attributes:
        mask: the new mask, bool (N,).
        dropped: the entries that were dropped, bool (N,).
        grown: the entries that were grown, bool (N,). Those dropped and grown are *returned*, but for the pruned ones;
            the other grown ones are *fresh*: they start from nothing.
        pruned: of the dropped, those whose value is lost even if they are grown at once: they went because the density
            falls, or a pulse was to zero them. None where there are none.
    """

    mask: Tensor
    dropped: Tensor
    grown: Tensor
    pruned: Tensor | None = None

    @property
    def returned(self) -> Tensor:
        """Entries dropped and grown at once, whose value was never lost; bool (N,)."""
        both = self.dropped & self.grown
        return both if self.pruned is None else both & ~self.pruned


@dataclass(frozen=True)
class Rule:
    """What a step is to do at one update.

    Attributes:
        drop: score of active weights; the lowest go.
        grow: score of candidates; the highest come.
        regrow_dropped: whether weights dropped in this update are candidates.
        planned: active weights of each layer by the allocation at the density that is due now.
        total: their sum, exactly.
        progress: share of the time until the last update, in [0, 1]; 1 at the last one, exactly.
        falling: whether the density may differ from that of the update before.
    """

    drop: Criterion
    grow: Criterion
    regrow_dropped: bool
    planned: Sequence[int]
    total: int
    progress: float
    falling: bool = False


class Step:
    """How one update changes the masks of all layers; the base of `regrow.sparsity.steps` and of the structures.

    A step is a frozen dataclass. Only ``__call__`` must be given.
    """

    #: Whether the step itself reads dense gradients, whatever the growth criterion says.
    needs_gradient: ClassVar[bool] = False
    #: Whether links that are dropped make room for others.
    rewires: ClassVar[bool] = True
    #: Whether layers compete for weights, so that any of them may become sparse.
    global_counts: ClassVar[bool] = False
    #: Whether layers may hold other numbers than planned while the density falls; the total is exact.
    counts_shift: ClassVar[bool] = False
    #: Whether the density must stay as it is at the start.
    fixed_density: ClassVar[bool] = False
    #: Whether all weights of a layer are ranked at once, by scores that do not depend on how many go.
    ranks_all: ClassVar[bool] = False
    #: Whether the first mask must have the planned number in every layer.
    exact_layers: ClassVar[bool] = False

    def __call__(self, layers: Sequence[Layer], rule: Rule) -> list[Rewired]:
        """New masks of all layers; pure.

        Args:
            layers: all layers that may be sparse, in registration order.
            rule: what to do.
        """
        raise NotImplementedError

    def fit(self, shapes: Sequence[tuple[int, ...]], counts: Sequence[int], names: Sequence[str] = ()) -> list[int]:
        """The nearest numbers of active weights that the structure can hold, layer by layer."""
        return list(counts)

    def holds(self, mask: Tensor, shape: tuple[int, ...]) -> bool:
        """Whether a first mask, bool (N,), has the structure."""
        return True

    def held(self, planned: Sequence[int], sizes: Sequence[int], drop_fraction: float) -> list[int]:
        """Active weights of each layer from an update with ``drop_fraction`` to the next, from the planned ones."""
        return list(planned)


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
    active = count(layer.mask)
    k = 0 if layer.frozen else drop_count(layer.drop_fraction, active)
    if not regrow_dropped:
        k = min(k, layer.mask.numel() - active)
    return exchange(layer, drop, grow, k, k, regrow_dropped=regrow_dropped)


def exchange(
    layer: Layer, drop: Criterion, grow: Criterion, n_drop: int, n_grow: int, *, regrow_dropped: bool = True
) -> Rewired:
    """Drop ``n_drop`` weights of a layer and grow ``n_grow``."""
    dropped = lowest(scores(layer, drop, layer.mask, n_drop), layer.mask, n_drop) if n_drop else _none(layer)
    return regrow(layer, grow, dropped, n_grow, regrow_dropped=regrow_dropped)


def regrow(layer: Layer, grow: Criterion, dropped: Tensor, n_grow: int, *, regrow_dropped: bool = True) -> Rewired:
    """Grow ``n_grow`` weights of a layer after ``dropped`` ones have gone."""
    left = layer.mask & ~dropped
    if n_grow == 0:
        return Rewired(left, dropped, _none(layer))
    candidates = ~left if regrow_dropped else ~layer.mask
    n_grow = min(n_grow, count(candidates))
    grown = highest(scores(replace(layer, mask=left), grow, candidates, n_grow), candidates, n_grow)
    return Rewired(left | grown, dropped, grown)


def prune(layers: Sequence[Layer], drop: Criterion, n_keep: int) -> list[Tensor]:
    """Flags of the lowest-scored active weights over all layers together, so many that ``n_keep`` are left.

    Every layer keeps at least one weight.
    """
    masks = [layer.mask for layer in layers]
    surplus = sum(count(m) for m in masks) - n_keep
    if surplus <= 0:
        return [_none(layer) for layer in layers]
    where = list(masks)
    ranked = [scores(layer, drop, layer.mask, min(surplus, count(layer.mask))) for layer in layers]
    gone = lowest_of_all(ranked, where, surplus)
    if not any(bool((mask == flags).all()) for mask, flags in zip(masks, gone, strict=True)):
        return gone
    for i in range(len(masks)):  # the best weight of a layer does not compete
        where[i] = where[i] & ~_best(ranked[i], masks[i])
    return lowest_of_all([_at(s, m, w) for s, m, w in zip(ranked, masks, where, strict=True)], where, surplus)


def _best(ranked: Tensor, mask: Tensor) -> Tensor:
    return mask & ~lowest(ranked, mask, count(mask) - 1)


def _at(ranked: Tensor, mask: Tensor, where: Tensor) -> Tensor:
    """Scores of a smaller set of competing entries."""
    return ranked if ranked.numel() == mask.numel() else ranked[where[mask]]


def _none(layer: Layer) -> Tensor:
    return torch.zeros_like(layer.mask)


def drop_count(drop_fraction: float, active: int) -> int:
    """``floor(drop_fraction * active)``, forgiving the rounding of the float: 0.29 of 100 is 29.

    Example:
        >>> drop_count(0.29, 100)
        29
    """
    return min(active, math.floor(drop_fraction * active + 1e-9))


def scores(layer: Layer, criterion: Criterion, where: Tensor, k: int) -> Tensor:
    """The criterion's scores, checked.

    Raises:
        RegrowError: a competing score is NaN.
    """
    found = criterion(layer, where, k)
    if found.is_floating_point() and has_nan(found):
        among = found.isnan() if found.numel() != where.numel() else found.isnan() & where
        if bool(among.any()):
            raise RegrowError(
                f"{type(criterion).__name__} gives NaN in layer {layer.name}: weights or gradients are not numbers.",
                "look for a diverged loss (a lower learning rate, gradient clipping); masks and weights are as before.",
            )
        found = found.nan_to_num(nan=0.0, posinf=None, neginf=None)
    return found
