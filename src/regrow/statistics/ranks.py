"""Ranks, and the rank correlation with its permutation test and interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from regrow.statistics._resampling import permutations
from regrow.statistics._samples import FEWEST, ROUNDING, Sample, at_least, pair, probability


def ranks(values: Sample) -> Sample:
    """Ranks from 1 up; values that are equal but for rounding share their mean rank.

    Example:
        >>> ranks(np.array([0.1 + 0.2, 5.0, 0.3])).tolist()
        [1.5, 3.0, 1.5]
    """
    order = np.argsort(values, kind="stable")
    group = np.cumsum(np.diff(values[order], prepend=-np.inf) > ROUNDING * np.abs(values).max()) - 1
    size = np.bincount(group)
    mean_rank = np.cumsum(size) - (size - 1) / 2
    found = np.empty_like(values)
    found[order] = mean_rank[group]
    return found


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation.

    With fewer than three pairs, or a side that does not vary, there is none: ``rho``, ``p`` and ``p_greater`` are None.

    Attributes:
        n: number of pairs.
        rho: correlation of the ranks, in [-1, 1].
        p: two-sided permutation p-value of "x and y are not related".
        p_greater: one-sided: are they related positively?
        low: lower end of the two-sided interval; None for n < 4 or |rho| = 1, of which it knows nothing.
        high: upper end.
        draws: number of random orders.
        level: confidence level.
    """

    n: int
    rho: float | None
    p: float | None
    p_greater: float | None
    low: float | None
    high: float | None
    draws: int
    level: float


def spearman(
    x: npt.ArrayLike, y: npt.ArrayLike, *, draws: int = 10_000, seed: int = 0, level: float = 0.95
) -> RankCorrelation:
    """Rank correlation (Spearman 1904) with a permutation p-value and the interval of Bonett and Wright 2000.

    p counts the sample itself as one of the orders, (1 + number as extreme) / (1 + draws) (Phipson and Smyth 2010).
    The interval is tanh(artanh(rho) +- z sqrt((1 + rho^2 / 2) / (n - 3))).

    Both take the pairs as independent. Types of corruption are not (those of one family go together): over types the
    figures describe and do not judge.

    Args:
        x: one value per pair, shape (n,).
        y: likewise, e.g. the gain on each type of corruption.
        draws: number of random orders, >= 1.
        seed: of the random orders, >= 0.
        level: confidence level in (0, 1).

    Raises:
        InputError: lengths that differ, values that are not finite, a level outside (0, 1).

    Example:
        >>> round(spearman([1, 2, 3, 4, 5], [1, 3, 2, 5, 4]).rho, 9)
        0.8
    """
    level, (first, second) = probability(level, "level"), pair(x, y, ("x", "y"))
    draws, n = at_least(draws, 1, "draws"), first.size
    centre = (n + 1) / 2
    a, b = ranks(first) - centre, ranks(second) - centre
    norm = math.sqrt(float(a @ a) * float(b @ b))
    if n < FEWEST or norm == 0:
        return RankCorrelation(n, None, None, None, None, None, draws, level)
    rho = float(a @ b) / norm
    drawn = b[permutations(draws, n, seed)] @ a / norm
    p = (1 + int(np.sum(np.abs(drawn) >= abs(rho) - ROUNDING))) / (1 + draws)
    p_greater = (1 + int(np.sum(drawn >= rho - ROUNDING))) / (1 + draws)
    low = high = None
    if n > 3 and abs(rho) < 1 - ROUNDING:
        z = NormalDist().inv_cdf((1 + level) / 2)
        half = z * math.sqrt((1 + rho**2 / 2) / (n - 3))
        low, high = math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)
    return RankCorrelation(n, rho, p, p_greater, low, high, draws, level)
