"""Differences between two ways of training, over seeds: paired t, equivalence, and Welch as a companion.

Accuracies are in points and the sample a minus the sample b is what is judged; runs of one seed share initial weights
and data order, so differences are taken within a seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from regrow.errors import InputError
from regrow.statistics._samples import FEWEST, finite, pair, probability, sample, spread
from regrow.statistics.distributions import t_quantile, t_tail


@dataclass(frozen=True)
class PairedDifference:
    """Mean of the differences a - b within seeds.

    With fewer than three pairs, or differences that do not vary at all, there is nothing to judge by: ``low``,
    ``high``, ``p`` and ``t`` are None.

    Attributes:
        n: number of pairs.
        mean: mean difference.
        sd: standard deviation of the differences (n - 1); None for one pair.
        low: lower end of the two-sided confidence interval of the mean difference.
        high: upper end.
        p: two-sided p-value of "the mean difference equals ``margin``".
        t: (mean - margin) / (sd / sqrt(n)).
        df: degrees of freedom, n - 1.
        r: correlation of a and b over the pairs; None where one of them does not vary or n < 3.
        level: confidence level of the interval.
        margin: what the difference is tested against.
    """

    n: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None
    p: float | None
    t: float | None
    df: int
    r: float | None
    level: float
    margin: float

    @property
    def p_greater(self) -> float | None:
        """One-sided p-value: is the mean difference greater than ``margin``?"""
        if self.p is None or self.t is None:
            return None
        return self.p / 2 if self.t > 0 else 1 - self.p / 2


def paired(a: npt.ArrayLike, b: npt.ArrayLike, *, level: float = 0.95, margin: float = 0.0) -> PairedDifference:
    """Paired t test and interval of the mean of a - b.

    Args:
        a: one value per seed, shape (n,).
        b: the same seeds in the same order, shape (n,).
        level: confidence level in (0, 1).
        margin: the difference to test against, in the unit of the values.

    Returns:
        The difference; no interval and no p-value for n < 3 or without any variation.

    Raises:
        InputError: lengths that differ, values that are not finite, a level outside (0, 1).

    Example:
        >>> gain = paired([52.6, 52.4, 52.9, 52.7, 52.3], [51.2, 51.9, 51.4, 51.8, 51.5])
        >>> f"{gain.mean:+.2f} [{gain.low:.2f}, {gain.high:.2f}], p = {gain.p:.4f}"
        '+1.02 [0.50, 1.54], p = 0.0056'
    """
    level, margin = probability(level, "level"), finite(margin, "margin")
    first, second = pair(a, b)
    difference = first - second
    n, mean = difference.size, float(difference.mean())
    sd = spread(difference, first, second)
    low = high = p = t = None
    if n >= FEWEST and sd > 0:
        se = sd / math.sqrt(n)
        t = (mean - margin) / se
        p = 2 * t_tail(abs(t), n - 1)
        half = t_quantile((1 + level) / 2, n - 1) * se
        low, high = mean - half, mean + half
    varies = n >= FEWEST and spread(first) > 0 and spread(second) > 0
    r = float(np.corrcoef(first, second)[0, 1]) if varies else None
    return PairedDifference(n, mean, sd if n > 1 else None, low, high, p, t, n - 1, r, level, margin)


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided paired t tests of "the mean difference lies inside (-margin, margin)".

    Attributes:
        n: number of pairs.
        mean: mean difference a - b.
        margin: half-width of the region of equivalence, > 0.
        t_low: (mean + margin) / se; None where there is nothing to judge by, as all below.
        t_high: (mean - margin) / se.
        p: the greater of the two one-sided p-values: small means equivalent.
        p_not_below: p-value of the lower test alone: small means not worse than b by the margin (non-inferior).
        low: lower end of the (1 - 2 alpha) interval.
        high: upper end; equivalent at alpha exactly if the interval lies inside the region.
        alpha: size of each one-sided test.
    """

    n: int
    mean: float
    margin: float
    t_low: float | None
    t_high: float | None
    p: float | None
    p_not_below: float | None
    low: float | None
    high: float | None
    alpha: float

    @property
    def equivalent(self) -> bool | None:
        """Whether p < alpha; None where there is nothing to judge by."""
        return None if self.p is None else self.p < self.alpha


def tost(a: npt.ArrayLike, b: npt.ArrayLike, margin: float, *, alpha: float = 0.05) -> Equivalence:
    """Equivalence test of paired samples (Schuirmann 1987, two one-sided tests).

    Args:
        a: one value per seed, shape (n,).
        b: the same seeds in the same order, shape (n,).
        margin: largest difference that does not matter, > 0.
        alpha: size of each one-sided test, in (0, 1/2).

    Returns:
        Both tests and the (1 - 2 alpha) interval; None in place of figures for n < 3 or without variation.

    Raises:
        InputError: as for `paired`, or a margin that is not positive.

    Example:
        >>> tost([93.02, 93.30, 93.31, 93.28, 93.20], [93.10, 93.35, 93.22, 93.41, 93.18], 0.3).equivalent
        True
    """
    if not finite(margin, "margin") > 0:
        raise InputError(f"margin must be greater than 0, got {margin!r}.", "give the difference that does not matter.")
    if not 0 < alpha < 0.5:
        raise InputError(f"alpha must lie between 0 and 0.5, got {alpha!r}.", "give alpha such as 0.05.")
    lower = paired(a, b, level=1 - 2 * alpha, margin=-margin)
    upper = paired(a, b, level=1 - 2 * alpha, margin=margin)
    p_not_below, p_not_above = lower.p_greater, upper.p_greater
    p = None if p_not_below is None or p_not_above is None else max(p_not_below, 1 - p_not_above)
    return Equivalence(
        lower.n, lower.mean, float(margin), lower.t, upper.t, p, p_not_below, lower.low, lower.high, alpha
    )


@dataclass(frozen=True)
class WelchDifference:
    """Difference of the means of two unpaired samples, variances not assumed equal.

    Attributes:
        n_a: size of the first sample.
        n_b: size of the second.
        mean: mean of a minus mean of b.
        low: lower end of the two-sided interval; None where either has fewer than three values or nothing varies.
        high: upper end.
        p: two-sided p-value of "the means are equal".
        t: mean / se.
        df: Welch-Satterthwaite degrees of freedom.
        level: confidence level.
    """

    n_a: int
    n_b: int
    mean: float
    low: float | None
    high: float | None
    p: float | None
    t: float | None
    df: float | None
    level: float


def welch(a: npt.ArrayLike, b: npt.ArrayLike, *, level: float = 0.95) -> WelchDifference:
    """Welch's t test: a companion of `paired` that does not use the pairing, for samples of any two sizes.

    Args:
        a: one value per run, shape (n_a,).
        b: one value per run, shape (n_b,).
        level: confidence level in (0, 1).

    Raises:
        InputError: values that are not finite, a level outside (0, 1).

    Example:
        >>> round(welch([52.6, 52.4, 52.9], [51.2, 51.9, 51.4, 51.8, 51.5]).df, 4)
        4.8748
    """
    level = probability(level, "level")
    first, second = sample(a, "a"), sample(b, "b")
    mean = float(first.mean() - second.mean())
    n_a, n_b = first.size, second.size
    part_a, part_b = spread(first) ** 2 / n_a, spread(second) ** 2 / n_b
    if min(n_a, n_b) < FEWEST or part_a + part_b == 0:
        return WelchDifference(n_a, n_b, mean, None, None, None, None, None, level)
    se = math.sqrt(part_a + part_b)
    df = (part_a + part_b) ** 2 / (part_a**2 / (n_a - 1) + part_b**2 / (n_b - 1))
    t = mean / se
    half = t_quantile((1 + level) / 2, df) * se
    p = 2 * t_tail(abs(t), df)
    return WelchDifference(n_a, n_b, mean, mean - half, mean + half, p, t, df, level)
