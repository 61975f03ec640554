"""Intervals of one mean and of one share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy.typing as npt

from regrow.errors import InputError
from regrow.statistics._samples import FEWEST, at_least, probability, sample, spread
from regrow.statistics.distributions import t_quantile


@dataclass(frozen=True)
class MeanInterval:
    """A mean over runs with its t interval.

    Attributes:
        n: number of values.
        mean: their mean.
        sd: their standard deviation (n - 1); None for one value.
        low: lower end of the two-sided interval; None for n < 3 or values that do not vary.
        high: upper end.
        level: confidence level.
    """

    n: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None
    level: float


def mean_interval(values: npt.ArrayLike, *, level: float = 0.95) -> MeanInterval:
    """Mean of the values with the interval mean +- t sd / sqrt(n), n - 1 degrees of freedom.

    Args:
        values: one per run, shape (n,).
        level: confidence level in (0, 1).

    Raises:
        InputError: values that are not finite, a level outside (0, 1).

    Example:
        >>> mean_interval([70.0, 72.0])
        MeanInterval(n=2, mean=71.0, sd=1.4142135623730951, low=None, high=None, level=0.95)
    """
    level, x = probability(level, "level"), sample(values, "values")
    n, mean, sd = x.size, float(x.mean()), spread(x)
    low = high = None
    if n >= FEWEST and sd > 0:
        half = t_quantile((1 + level) / 2, n - 1) * sd / math.sqrt(n)
        low, high = mean - half, mean + half
    return MeanInterval(n, mean, sd if n > 1 else None, low, high, level)


def wilson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share, e.g. of the accuracy of one network on n images.

    Args:
        k: number of successes, 0 <= k <= n.
        n: number of trials, >= 1.
        level: confidence level in (0, 1).

    Returns:
        Lower and upper end, both in [0, 1]. They speak of these images, not of other training runs.

    Raises:
        InputError: counts or a level that cannot be.

    Example:
        >>> [round(end, 4) for end in wilson(7, 10)]
        [0.3968, 0.8922]
    """
    level = probability(level, "level")
    if n < 1 or not 0 <= k <= n:
        raise InputError(f"need 0 <= k <= n and n >= 1, got k = {k!r}, n = {n!r}.", "give successes and trials.")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, weight = k / n, z * z / n
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    return (0.0 if k == 0 else centre - half), (1.0 if k == n else centre + half)


def binomial_se(share: float, n: int) -> float:
    """Standard error of an accuracy on n images, in points: 100 sqrt(share (1 - share) / n).

    It is the error of one cell. Cells that share images err together, so a mean over 75 cells has nearly the same;
    differences on the same images have less.

    Args:
        share: accuracy in [0, 1].
        n: number of images, >= 1.

    Raises:
        InputError: a share outside [0, 1], or no images.

    Example:
        >>> round(binomial_se(0.7, 10_000), 3)
        0.458
    """
    if not 0 <= share <= 1:
        raise InputError(f"share must lie between 0 and 1, got {share!r}.", "give points over 100.")
    return 100 * math.sqrt(share * (1 - share) / at_least(n, 1, "n"))
