"""N of M: in every group of M consecutive inputs exactly N weights are active, and growth keeps it so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from regrow.errors import InputError
from regrow.sparsity.select import count, lowest
from regrow.sparsity.structures._rows import ascending, descending, full_scores
from regrow.sparsity.update import Layer, Rewired, Rule, Step, drop_count


@dataclass(frozen=True)
class NOfM(Step):
    """Drop and grow within groups of ``m`` consecutive columns of the (outputs, inputs times kernel) matrix.

    A group drops ``floor(drop_fraction * n)`` weights; a group that holds one of the layer's ``floor(drop_fraction *
    active)`` lowest scores drops at least that one. It grows as many. The columns left over (inputs modulo m) form a
    group of their own, with ``ceil(n / m * columns)`` active.

    Attributes:
        n: active weights of a group.
        m: columns of a group.
    """

    n: int = 2
    m: int = 4

    fixed_density: ClassVar[bool] = True
    ranks_all: ClassVar[bool] = True
    exact_layers: ClassVar[bool] = True

    def holds(self, mask: Tensor, shape: tuple[int, ...]) -> bool:
        """See `Step`: every group has its number."""
        matrix = (shape[0], mask.numel() // shape[0])
        due = torch.tensor(self.group_counts(matrix[1]), device=mask.device)
        return bool((self.grouped(mask, matrix, False).sum(-1) == due).all())

    def __post_init__(self) -> None:
        """Check the values."""
        if not 1 <= self.n <= self.m:
            raise InputError(f"N of M needs 1 <= N <= M, got {self.n} of {self.m}.")

    def group_counts(self, columns: int) -> list[int]:
        """Active weights of each group of a row."""
        left = columns % self.m
        return [self.n] * (columns // self.m) + ([math.ceil(self.n * left / self.m)] if left else [])

    def grouped(self, values: Tensor, matrix: tuple[int, int], fill: float | int | bool) -> Tensor:
        """Flat values as (rows, groups, m), with ``fill`` where the last group has no column."""
        rows, columns = matrix
        padded = F.pad(values.view(rows, columns), (0, -columns % self.m), value=fill)
        return padded.view(rows, -1, self.m)

    def flat(self, groups: Tensor, matrix: tuple[int, int]) -> Tensor:
        """Inverse of `grouped`."""
        rows, columns = matrix
        return groups.reshape(rows, -1)[:, :columns].reshape(-1)

    def __call__(self, layers: Sequence[Layer], rule: Rule) -> list[Rewired]:
        """See `Step`."""
        return [self._one(layer, rule) for layer in layers]

    def _one(self, layer: Layer, rule: Rule) -> Rewired:
        mask, matrix = layer.mask, layer.matrix
        k = 0 if layer.frozen else drop_count(layer.drop_fraction, count(mask))
        if k == 0:
            nothing = torch.zeros_like(mask)
            return Rewired(mask.clone(), nothing, nothing.clone())
        scores = full_scores(layer, rule.drop, mask)
        holds_low = self.grouped(lowest(scores, mask, k), matrix, False).any(-1, keepdim=True)
        n_drop = holds_low.long().clamp(min=drop_count(layer.drop_fraction, self.n))
        active = self.grouped(mask, matrix, False)
        exists = self.grouped(torch.ones_like(mask), matrix, False)
        if not rule.regrow_dropped:
            n_drop = torch.minimum(n_drop, (exists & ~active).sum(-1, keepdim=True))
        n_drop = torch.minimum(n_drop, active.sum(-1, keepdim=True))
        gone = (ascending(self.grouped(scores, matrix, 0), active) < n_drop) & active
        free = exists & ~(active & ~gone) if rule.regrow_dropped else exists & ~active
        candidates = self.flat(free, matrix)
        grow_scores = full_scores(layer, rule.grow, candidates)
        least = -torch.inf if grow_scores.is_floating_point() else torch.iinfo(grow_scores.dtype).min
        ranked = self.grouped(grow_scores, matrix, least).masked_fill(~free, least)
        come = (descending(ranked) < n_drop) & free
        # an absent column may outrank a free one of the lowest possible score; there is none below -inf but NaN
        dropped, grown = self.flat(gone, matrix), self.flat(come, matrix)
        return Rewired((mask & ~dropped) | grown, dropped, grown)

    def fit(self, shapes: Sequence[tuple[int, ...]], counts: Sequence[int], names: Sequence[str] = ()) -> list[int]:
        """See `Step`: N of M decides, whatever the allocation."""
        return [shape[0] * sum(self.group_counts(math.prod(shape[1:]))) for shape in shapes]


@dataclass(frozen=True)
class RandomNOfM:
    """Initial mask: N random ones of every group of M; see `regrow.sparsity.initial.Initial`.

    Attributes:
        step: the structure.
    """

    step: NOfM

    def __call__(self, layer: Layer, n_active: int) -> Tensor:
        """See `regrow.sparsity.initial.Initial`."""
        columns = layer.matrix[1]
        least = torch.iinfo(torch.int64).min
        keys = self.step.grouped(~layer.draw("mask", layer.mask.numel()), layer.matrix, least)
        exists = self.step.grouped(torch.ones_like(layer.mask), layer.matrix, False)
        counts = torch.tensor(self.step.group_counts(columns), device=keys.device).view(1, -1, 1)
        return self.step.flat((descending(keys) < counts) & exists, layer.matrix)
