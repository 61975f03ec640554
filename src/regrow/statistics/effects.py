"""Standardised sizes of a paired difference. Give points first, these beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy.typing as npt

from regrow.statistics._samples import FEWEST, pair, spread


@dataclass(frozen=True)
class EffectSizes:
    """Mean of a - b in units of a standard deviation.

    Attributes:
        d_z: in units of the standard deviation of the differences.
        g_z: ``d_z`` times Hedges' exact small-sample factor.
        d_av: in units of the root of the mean of the two variances; None where neither sample varies.
    """

    d_z: float
    g_z: float
    d_av: float | None


def hedges_factor(df: int) -> float:
    """Gamma(df / 2) / (sqrt(df / 2) Gamma((df - 1) / 2)), df >= 2; Hedges 1981.

    Example:
        >>> round(hedges_factor(4), 6)
        0.797885
    """
    return math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2)) / math.sqrt(df / 2)


def effect_sizes(a: npt.ArrayLike, b: npt.ArrayLike) -> EffectSizes | None:
    """Effect sizes of the paired difference a - b; None for n < 3 or differences that do not vary.

    Args:
        a: one value per seed, shape (n,).
        b: the same seeds in the same order, shape (n,).

    Raises:
        InputError: lengths that differ, values that are not finite.

    Example:
        >>> round(effect_sizes([3.0, 4.0, 6.0], [1.0, 2.0, 3.0]).d_z, 4)
        4.0415
    """
    first, second = pair(a, b)
    difference = first - second
    sd = spread(difference, first, second)
    if difference.size < FEWEST or sd == 0:
        return None
    mean = float(difference.mean())
    pooled = math.sqrt((spread(first) ** 2 + spread(second) ** 2) / 2)
    return EffectSizes(mean / sd, mean / sd * hedges_factor(difference.size - 1), mean / pooled if pooled > 0 else None)
