"""How much of the gap between dense and sparse training a control closes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from regrow.statistics._resampling import samples
from regrow.statistics._samples import FEWEST, ROUNDING, at_least, pair, probability
from regrow.statistics.distributions import t_quantile

#: A gap of at most so many standard errors is none: its ratio would mean nothing.
_OPEN = 2.0


@dataclass(frozen=True)
class GapClosure:
    """Share of the gain of sparse training that a control reaches.

    Attributes:
        n: number of seeds.
        gap: mean of sparse minus dense.
        gap_se: its standard error over seeds; None for one seed.
        q: mean of control minus dense, over ``gap``: 0 closes nothing, 1 all; None where there is no gap to close.
        low: lower end of Fieller's interval; None where ``q`` is, or where the interval is not bounded.
        high: upper end.
        bootstrap: percentile interval over resampled seeds; None where ``q`` is. Too narrow for few seeds: shown
            beside Fieller's, not instead.
        reason: why a figure is missing; empty where none is.
        level: confidence level of both intervals.
    """

    n: int
    gap: float
    gap_se: float | None
    q: float | None
    low: float | None
    high: float | None
    bootstrap: tuple[float, float] | None
    reason: str
    level: float


def gap_closure(
    dst: npt.ArrayLike,
    dense: npt.ArrayLike,
    control: npt.ArrayLike,
    *,
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> GapClosure:
    """Gap closure q = (control - dense) / (dst - dense) of means over the same seeds.

    Fieller's interval (1954) holds each q for which the paired t test does not reject "the mean of
    (control - dense) - q (dst - dense) is 0". It has two ends only where the gap itself differs from 0 at that level.

    Args:
        dst: accuracy with sparse training, one value per seed, shape (n,).
        dense: accuracy with dense training, the same seeds in the same order.
        control: accuracy with the control, likewise.
        level: confidence level in (0, 1).
        draws: number of resampled sets of seeds, >= 1.
        seed: of the resampling, >= 0.

    Returns:
        The closure; no figure for n < 3 or a gap within two standard errors of 0, and the reason.

    Raises:
        InputError: lengths that differ, values that are not finite, a level outside (0, 1).

    Example:
        >>> found = gap_closure([2.0, 2.2, 1.8], [1.0, 1.1, 1.0], [1.5, 1.6, 1.4])
        >>> f"{found.q:.2f} [{found.low:.2f}, {found.high:.2f}]"
        '0.48 [0.43, 0.58]'
    """
    level, draws = probability(level, "level"), at_least(draws, 1, "draws")
    sparse, base = pair(dst, dense, ("dst", "dense"))
    other, _ = pair(control, dense, ("control", "dense"))
    gap, closed = sparse - base, other - base
    n, mean = gap.size, float(gap.mean())
    se = float(gap.std(ddof=1)) / math.sqrt(n) if n > 1 else None
    if n < FEWEST or se is None:
        return GapClosure(n, mean, se, None, None, None, None, "fewer than three seeds", level)
    if abs(mean) <= max(_OPEN * se, ROUNDING * float(np.abs(sparse).max())):
        return GapClosure(n, mean, se, None, None, None, None, "no gap to close", level)
    q = float(closed.mean()) / mean
    ends = _fieller(closed, gap, level)
    low, high = ends or (None, None)
    reason = "" if ends else "the gap does not differ from 0 at this level: its closure is not bounded"
    drawn = samples(draws, n, seed)
    above, below = closed[drawn].mean(axis=1), gap[drawn].mean(axis=1)
    ratios = np.divide(above, below, out=np.full(draws, np.inf), where=below != 0)  # without a gap: not bounded
    tails = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return GapClosure(n, mean, se, q, low, high, (float(tails[0]), float(tails[1])), reason, level)


def _fieller(
    above: npt.NDArray[np.float64], below: npt.NDArray[np.float64], level: float
) -> tuple[float, float] | None:
    """The q with |mean(above - q below)| <= t se: between the roots of a q^2 - 2 b q + c where a > 0."""
    n = above.size
    (v_above, cov), (_, v_below) = np.cov(above, below) * (t_quantile((1 + level) / 2, n - 1) ** 2 / n)
    a, b, c = below.mean() ** 2 - v_below, above.mean() * below.mean() - cov, above.mean() ** 2 - v_above
    if a <= 0:
        return None
    half = math.sqrt(max(b * b - a * c, 0.0)) / a
    return float(b / a - half), float(b / a + half)
