"""How an update changes the masks: drop and grow at a density that may fall, and MEST's soft bound.

Structures (constant fan-in, N of M, whole filters) and chains are steps too: see `regrow.sparsity.structures` and
`regrow.sparsity.hebb`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar, Literal

from torch import Tensor

from regrow.errors import InputError
from regrow.sparsity.select import count, lowest
from regrow.sparsity.update import Layer, Rewired, Rule, Step, drop_count, exchange, prune, rewire, scores


@dataclass(frozen=True)
class DropGrow(Step):
    """Prune to the density that is due, then drop and grow in every layer.

    With a density that stays, only the second half happens (SET, RigL). With a falling one this is GraNet's pair of
    pruning and regeneration (Liu et al. 2021, arXiv:2106.10404, algorithm 1); with no drop fraction, gradual magnitude
    pruning (Zhu and Gupta 2017, arXiv:1710.01878).

    Attributes:
        pruning: ``"global"`` ranks all layers together, ``"layer"`` takes each to its share of the allocation.
        early_stop: a layer is left alone for good once more than this share of what it grew was what it had dropped;
            None never stops (Cannistraci-Hebb training stops at 0.9).
    """

    pruning: Literal["global", "layer"] = "global"
    early_stop: float | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        if self.pruning not in ("global", "layer"):
            raise InputError(f"pruning must be 'global' or 'layer', got {self.pruning!r}.")

    @property
    def global_counts(self) -> bool:  # type: ignore[override]
        """Whether layers compete for weights while the density falls."""
        return self.pruning == "global"

    counts_shift: ClassVar[bool] = True

    def __call__(self, layers: Sequence[Layer], rule: Rule) -> list[Rewired]:
        """See `Step`."""
        pruned = self.pruned(layers, rule)
        if pruned is None:
            return [rewire(one, rule.drop, rule.grow, regrow_dropped=rule.regrow_dropped) for one in layers]
        changed = []
        for layer, gone in zip(layers, pruned, strict=True):
            left = replace(layer, mask=layer.mask & ~gone, weight=layer.weight * ~gone)
            second = rewire(left, rule.drop, rule.grow, regrow_dropped=rule.regrow_dropped)
            changed.append(Rewired(second.mask, second.dropped | gone, second.grown, gone))
        return changed

    def pruned(self, layers: Sequence[Layer], rule: Rule) -> list[Tensor] | None:
        """Flags of what goes because the density falls; None where it does not fall."""
        if not rule.falling:
            return None
        ranking = getattr(rule.drop, "hard", rule.drop)  # pruning is no lottery
        if self.pruning == "global":
            return prune(layers, ranking, rule.total)
        now = [count(one.mask) for one in layers]
        return [prune([one], ranking, n)[0] for one, n in zip(layers, _reachable(now, rule), strict=True)]


def _reachable(now: Sequence[int], rule: Rule) -> list[int]:
    """The planned numbers, where pruning can reach them: rounding to a smaller total may raise one layer's by a weight.

    Such a layer stays as it is, and others keep one weight more, so that the total is exact.
    """
    wanted = [min(n, planned) for n, planned in zip(now, rule.planned, strict=True)]
    missing = sum(rule.planned) - sum(wanted)
    while missing > 0 and any(n > w for n, w in zip(now, wanted, strict=True)):
        for i, n in enumerate(now):
            if missing and n > wanted[i]:
                wanted[i] += 1
                missing -= 1
    return wanted


@dataclass(frozen=True)
class SoftBound(Step):
    """MEST: mutation, with or without a soft bound on the number of weights (Yuan et al. 2021, arXiv:2110.14032).

    The drop fraction is the paper's mutation ratio m. Elastic mutation (EM, ``soft=False``) drops ``m N`` weights of a
    layer of N and grows as many. With the soft bound (EM&S) a layer holds ``(d + m) N`` between updates: an update
    drops to its ``d N`` and grows to ``(d + m') N``, where ``m'`` is the ratio from then on; the last one grows none.

    Attributes:
        soft: whether the margin is held between updates.
        of: whether m is a share of all the layer's weights, as in the paper, or of its active ones.
    """

    soft: bool = True
    of: Literal["all", "active"] = "active"

    exact_layers: ClassVar[bool] = True

    def __call__(self, layers: Sequence[Layer], rule: Rule) -> list[Rewired]:
        """See `Step`."""
        return [self._one(layer, planned, rule) for layer, planned in zip(layers, rule.planned, strict=True)]

    def _one(self, layer: Layer, planned: int, rule: Rule) -> Rewired:
        size, now = layer.mask.numel(), count(layer.mask)
        margin = self._margin(planned, size, layer.drop_fraction)
        if self.soft:
            after = planned + (margin if rule.progress < 1 else 0)
            n_drop = max(0, now - (after if layer.frozen else planned))
        else:
            after = planned
            n_drop = 0 if layer.frozen else min(margin, now - 1)
        n_grow = after - (now - n_drop)
        if not rule.regrow_dropped and n_grow > size - now:  # no room: fewer go, so that as many as due are left
            n_drop -= n_grow - (size - now)
            n_grow = size - now
        return exchange(layer, rule.drop, rule.grow, n_drop, n_grow, regrow_dropped=rule.regrow_dropped)

    def held(self, planned: Sequence[int], sizes: Sequence[int], drop_fraction: float) -> list[int]:
        """See `Step`."""
        if not self.soft:
            return list(planned)
        return [n + self._margin(n, size, drop_fraction) for n, size in zip(planned, sizes, strict=True)]

    def _margin(self, planned: int, size: int, ratio: float) -> int:
        share = math.floor(Fraction(str(ratio)) * (size if self.of == "all" else planned))
        return min(share, size - planned) if self.soft else share


@dataclass(frozen=True)
class Pulse(Step):
    """Zero what a sparse method would drop, and take nothing away: all weights stay active.

    A layer that would hold ``n`` active weights loses the values of its ``floor(drop_fraction * n)`` lowest-scored ones
    at an update, as many as `DropGrow` drops there; the next step trains them on from zero. Layers that would stay
    dense are left alone.
    """

    rewires: ClassVar[bool] = False

    def __call__(self, layers: Sequence[Layer], rule: Rule) -> list[Rewired]:
        """See `Step`."""
        return [self._one(layer, planned, rule) for layer, planned in zip(layers, rule.planned, strict=True)]

    def _one(self, layer: Layer, planned: int, rule: Rule) -> Rewired:
        k = 0 if layer.frozen else drop_count(layer.drop_fraction, planned)
        zeroed = lowest(scores(layer, rule.drop, layer.mask, k), layer.mask, k) if k else layer.mask & ~layer.mask
        return Rewired(layer.mask, zeroed, zeroed, pruned=zeroed)

    def held(self, planned: Sequence[int], sizes: Sequence[int], drop_fraction: float) -> list[int]:
        """See `Step`."""
        return list(sizes)
