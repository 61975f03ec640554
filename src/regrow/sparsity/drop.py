"""Drop criteria: of the active weights, those with the lowest score go."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor

from regrow.sparsity.update import Layer, smallest


@dataclass(frozen=True)
class Magnitude:
    """The absolute weight."""

    needs_gradient: ClassVar[bool] = False

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        """See `regrow.sparsity.update.Criterion`."""
        return layer.weight[where].abs()


@dataclass(frozen=True)
class Signs:
    """SET's own rule: the same share of the smallest positive and of the negative weights closest to zero.

    Zeros go first. With no zeros, the quotas are the floors of ``drop_fraction`` times the number of positive and of
    negative weights, brought to the total by largest remainder, ties to the positive; with zeros, what is left is
    split in proportion to their numbers (Mocanu et al. 2018, arXiv:1707.04780; the split to exact totals is ours).
    """

    needs_gradient: ClassVar[bool] = False

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        """0 for the chosen, 1 for the others; see `regrow.sparsity.update.Criterion`."""
        weight = layer.weight[where]
        positive, negative, zero = weight > 0, weight < 0, weight == 0
        n_positive, n_negative, n_zero = (int(flags.count_nonzero()) for flags in (positive, negative, zero))
        chosen = torch.zeros_like(zero)
        chosen[zero.nonzero().flatten()[:k]] = True
        left = k - min(k, n_zero)
        from_positive = self._quota(left, n_positive, n_negative, None if n_zero else layer.drop_fraction)
        for side, quota in ((positive, from_positive), (negative, left - from_positive)):
            chosen |= torch.zeros_like(side).masked_scatter_(side, smallest(weight[side].abs(), quota))
        scores = (~chosen).to(torch.float32)
        return scores.masked_fill_(weight.isnan(), torch.nan)

    @staticmethod
    def _quota(left: int, n_positive: int, n_negative: int, drop_fraction: float | None) -> int:
        """How many of ``left`` drops are positive weights."""
        if left == 0 or n_positive + n_negative == 0:
            return 0
        share = Fraction(left, n_positive + n_negative) if drop_fraction is None else Fraction(str(drop_fraction))
        wanted = share * n_positive, share * n_negative
        quota = [math.floor(x) for x in wanted]
        first = 0 if wanted[0] - quota[0] >= wanted[1] - quota[1] else 1
        if sum(quota) < left:
            quota[first] += 1
        return min(n_positive, max(quota[0], left - n_negative))
