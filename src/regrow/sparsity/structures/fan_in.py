"""Constant fan-in with neuron ablation: SRigL (Lasby et al. 2023, arXiv:2305.02299)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from regrow.errors import InputError
from regrow.sparsity.select import count, highest, lowest
from regrow.sparsity.structures._rows import ascending, descending, full_scores
from regrow.sparsity.update import Layer, Rewired, Rule, Step, drop_count


@dataclass(frozen=True)
class FanIn(Step):
    """Every neuron (row) that lives has the same number of active weights; those with few salient ones are ablated.

    A weight is salient when it survives the layer-wide drop, or is among as many best candidates for growth. A row with
    fewer salient weights than ``min_salient`` times the fan-in loses all its weights, and the others share them:
    ``floor(n / rows left)`` each. The last layer's rows are never ablated.

    Attributes:
        min_salient: gamma_sal, in [0, 1]: 0.3 for convolutional networks, 0.95 for transformers; 0 ablates only rows
            without any.
        revive: whether ablated rows may come back.
    """

    min_salient: float = 0.3
    revive: bool = False

    needs_regrow_dropped: ClassVar[bool] = True
    loses_by_rounding: ClassVar[bool] = True
    ranks_all: ClassVar[bool] = True
    exact_layers: ClassVar[bool] = True

    def holds(self, mask: Tensor, shape: tuple[int, ...]) -> bool:
        """See `Step`: all rows that have weights have as many."""
        rows = mask.view(shape[0], -1).sum(1)
        return bool((rows[rows > 0] == rows.max()).all())

    def __post_init__(self) -> None:
        """Check the values."""
        if not 0 <= self.min_salient <= 1:
            raise InputError(f"min_salient must be in [0, 1], got {self.min_salient}.")

    def __call__(self, layers: Sequence[Layer], rule: Rule) -> list[Rewired]:
        """See `Step`."""
        return [self._one(layer, planned, rule) for layer, planned in zip(layers, rule.planned, strict=True)]

    def _one(self, layer: Layer, planned: int, rule: Rule) -> Rewired:
        rows, columns = layer.matrix
        mask = layer.mask
        n = count(mask)
        k = 0 if layer.frozen else drop_count(layer.drop_fraction, n)
        if k == 0 and planned >= n:
            nothing = torch.zeros_like(mask)
            return Rewired(mask.clone(), nothing, nothing.clone())
        drop_scores = full_scores(layer, rule.drop, mask)
        kept = mask & ~lowest(drop_scores, mask, k)
        alive = mask.view(rows, columns).any(1)
        candidates = ~kept if k else torch.zeros_like(mask)
        if not self.revive:
            candidates = candidates & alive.repeat_interleave(columns)
        k = min(k, count(candidates))
        grow_scores = full_scores(layer, rule.grow, candidates) if k else torch.zeros_like(drop_scores)
        salient = kept | highest(grow_scores, candidates, k)
        alive = self._survivors(salient.view(rows, columns).sum(1), alive, planned, columns, last=layer.last)
        fan_in = min(columns, planned // count(alive))
        chosen = _fill(drop_scores, kept, grow_scores, candidates, (rows, columns), fan_in) & alive.unsqueeze(1)
        new = chosen.view(-1)
        staying = _cut(drop_scores, kept, (rows, columns), fan_in) & new
        return Rewired(new, mask & ~staying, new & ~staying)

    def _survivors(self, salient: Tensor, alive: Tensor, planned: int, columns: int, *, last: bool) -> Tensor:
        """Rows that keep weights."""
        if last:
            return alive
        fan_in = planned // count(alive)
        eligible = torch.ones_like(alive) if self.revive else alive
        stay = eligible & (salient >= max(1.0, self.min_salient * fan_in))
        least = math.ceil(planned / columns)
        if count(stay) < least:
            stay = highest(salient.to(torch.int64), eligible, least)
        return stay

    def fit(self, shapes: Sequence[tuple[int, ...]], counts: Sequence[int], names: Sequence[str] = ()) -> list[int]:
        """See `Step`: the nearest multiple of the number of rows, at least one weight a row."""
        return [
            shape[0] * min(math.prod(shape[1:]), max(1, math.floor(n / shape[0] + 0.5)))
            for shape, n in zip(shapes, counts, strict=True)
        ]


def _cut(drop_scores: Tensor, kept: Tensor, matrix: tuple[int, int], fan_in: int) -> Tensor:
    """Of the kept entries, the ``fan_in`` with the highest scores of each row; flat."""
    flags = kept.view(matrix)
    surplus = (flags.sum(1, keepdim=True) - fan_in).clamp(min=0)
    return (flags & (ascending(drop_scores.view(matrix), flags) >= surplus)).view(-1)


def _fill(
    drop_scores: Tensor, kept: Tensor, grow_scores: Tensor, candidates: Tensor, matrix: tuple[int, int], fan_in: int
) -> Tensor:
    """Kept entries of a row by drop score, cut to the fan-in, then candidates by growth score; (rows, columns)."""
    staying = _cut(drop_scores, kept, matrix, fan_in)
    free = (candidates & ~staying).view(matrix)
    room = fan_in - staying.view(matrix).sum(1, keepdim=True)
    ranked = grow_scores.view(matrix).masked_fill(~free, _least(grow_scores))
    return staying.view(matrix) | ((descending(ranked) < room) & free)


def _least(values: Tensor) -> float | int:
    return -torch.inf if values.is_floating_point() else torch.iinfo(values.dtype).min


@dataclass(frozen=True)
class RandomFanIn:
    """Initial mask: the same number of random inputs for every row; see `regrow.sparsity.initial.Initial`."""

    def __call__(self, layer: Layer, n_active: int) -> Tensor:
        """See `regrow.sparsity.initial.Initial`."""
        rows, columns = layer.matrix
        keys = ~layer.draw("mask", layer.mask.numel()).view(rows, columns)
        return (descending(keys) < n_active // rows).reshape(-1)
