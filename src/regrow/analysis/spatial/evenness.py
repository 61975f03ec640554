"""Measures of how unevenly counts or sums are spread over groups, and the exact chance law of one of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from regrow.analysis.spatial.kernels import Floats
from regrow.errors import InputError
from regrow.statistics.distributions import chi2_tail

#: Variances of D below this are rounding: the smallest real one is about 2 / groups.
_NO_VARIANCE = 1e-10


class Evenness(NamedTuple):
    """Measures of several vectors at once, each of shape (vectors,).

    Attributes:
        square: mean squared deviation from the vector's mean.
        gini: Gini coefficient.
        effective_number: exp(entropy).
    """

    square: Floats
    gini: Floats
    effective_number: Floats


def evenness(values: npt.NDArray[Any], times: npt.NDArray[Any] | None = None) -> Evenness:
    """Measures of vectors of non-negative numbers whose sum is above 0.

    Args:
        values: ascending along the last axis, (..., J).
        times: how often each value occurs in its vector, (..., J); None for once. A histogram of counts is enough.
    """
    x = values.astype(np.float64)
    t = np.ones_like(x) if times is None else times.astype(np.float64)
    before, n = np.cumsum(t, axis=-1) - t, t.sum(axis=-1)
    total = (t * x).sum(axis=-1)
    mean = total / n
    square = (t * (x - mean[..., None]) ** 2).sum(axis=-1) / n
    gini = (t * x * (2 * before + t - n[..., None])).sum(axis=-1) / (n * total)
    logs = np.log(x, out=np.zeros_like(x), where=x > 0)
    return Evenness(square, gini, np.exp(np.log(total) - (t * x * logs).sum(axis=-1) / total))


def checked_counts(counts: npt.ArrayLike) -> Floats:
    """Counts or sums as a flat vector.

    Raises:
        InputError: none, negative or not finite.
    """
    array = np.asarray(counts, dtype=np.float64).reshape(-1)
    if array.size == 0 or not np.isfinite(array).all() or array.min() < 0:
        raise InputError("counts must be a non-empty list of numbers >= 0.", "give one count for each group.")
    return array


def gini(counts: npt.ArrayLike) -> float | None:
    """Gini coefficient of counts or sums: 0 if all are equal, (O - 1) / O if one group has everything.

    sum_j (2j - O - 1) x_(j) / (O sum x) over the values x sorted ascending, j = 1 .. O. None if all are 0.

    Example:
        >>> gini([0, 0, 2, 6])
        0.625
    """
    x = np.sort(checked_counts(counts))
    return float(evenness(x).gini) if x[-1] > 0 else None


def effective_number(counts: npt.ArrayLike) -> float | None:
    """exp(entropy) of the values' shares: how many equally filled groups would be as even. None if all are 0.

    Example:
        >>> round(effective_number([0, 0, 2, 6]), 6)
        1.754765
    """
    x = np.sort(checked_counts(counts))
    return float(evenness(x).effective_number) if x[-1] > 0 else None


@dataclass(frozen=True)
class Dispersion:
    """Spread of the counts of O groups of K weights against random places.

    Attributes:
        ratio: D, mean squared deviation from K d over its expectation under random places; above 1 = concentrated.
        chi2: X2, the sum of squared deviations in units that make it chi-squared with O - 1 degrees of freedom.
        df: O - 1.
        p: P(chi-squared >= X2), the one-sided p-value of "no more concentrated than random places".
    """

    ratio: float
    chi2: float
    df: int
    p: float


class Places(NamedTuple):
    """The values that lie in a layer's places, as far as a group's sum depends on them.

    Attributes:
        total: number N of places, active or not.
        square: sum of squared deviations of the N values from their mean.
        fourth: sum of the fourth powers of these deviations.
    """

    total: int
    square: float
    fourth: float

    @classmethod
    def of_counts(cls, total: int, n_active: float) -> Places:
        """``n_active`` ones among zeros."""
        d = n_active / total
        square = total * d * (1 - d)
        return cls(total, square, square * ((1 - d) ** 3 + d**3))

    @classmethod
    def of_powers(cls, total: int, powers: tuple[float, float, float, float]) -> Places:
        """Values whose sums of powers 1 .. 4 are known; the rest of the ``total`` are zeros."""
        first, second, third, fourth = powers
        mean = first / total
        square = second - first * mean
        return cls(total, square, fourth - 4 * mean * third + 6 * mean**2 * second - 3 * total * mean**4)

    def variance(self, size: int) -> float:
        """Variance of the sum of ``size`` places: drawn without replacement, so (N - K) / (N - 1) of the usual one."""
        n = self.total
        return size * (n - size) / (n * (n - 1)) * self.square if n > 1 else 0.0


def dispersion(counts: npt.ArrayLike, size: int) -> Dispersion | None:
    """Dispersion of active weights over groups of equal size.

    With N = O K weights of density d, the count of a group has variance K d (1 - d) (N - K) / (N - 1) if places are
    drawn without replacement; D is the mean squared deviation over that, X2 = D O (N - K) / N.

    Args:
        counts: active weights of each group, shape (O,).
        size: weights of a group, K >= 1.

    Returns:
        The figures; None where nothing can vary (one group, density 0 or 1).

    Raises:
        InputError: counts outside 0 .. K.

    Example:
        >>> found = dispersion([2, 9, 9, 16], 18)
        >>> f"{found.ratio:.5f} {found.chi2:.5f} {found.p:.3e}"
        '7.15844 21.47531 8.386e-05'
    """
    x = checked_counts(counts)
    if size < 1 or x.max() > size:
        raise InputError(f"a group of {size} weights cannot hold {x.max():g} active ones.", "correct the group size.")
    total = x.size * size
    ratio = ratio_of(x, size, Places.of_counts(total, float(x.sum())))
    if ratio is None:
        return None
    chi2 = ratio * x.size * (total - size) / total
    return Dispersion(ratio, chi2, x.size - 1, chi2_tail(chi2, x.size - 1))


def ratio_of(sums: Floats, size: int, places: Places) -> float | None:
    """D of the groups' counts or sums; None where nothing can vary."""
    variance = places.variance(size)
    return float(np.mean((sums - sums.mean()) ** 2)) / variance if variance > 0 else None


def dispersion_sd(n_groups: int, size: int, places: Places) -> float:
    """Exact standard deviation of D under random places; its mean is exactly 1.

    D is the sum of squared sums of O disjoint groups of K of the N = O K places, in units of its mean. The mean of its
    square follows from the mean products of four values in different places (symmetric functions of a finite
    population, as in Tukey's polykays). Counts are the case of values 0 and 1.

    Args:
        n_groups: O.
        size: K.
        places: the values.

    Returns:
        The standard deviation; 0 where D cannot vary.

    Example:
        Two groups of two places, two of them active: D is 3 if both are in one group (1 of 3 times), 0 otherwise.

        >>> round(dispersion_sd(2, 2, Places.of_counts(4, 2)) ** 2, 12)
        2.0
    """
    n, k, p2, p4 = places.total, size, places.square, places.fourth
    mean = n_groups * places.variance(k)
    if mean <= 0:
        return 0.0

    def over(value: float, picked: int) -> float:
        """A sum over ordered choices of different places, as a mean; 0 where there are fewer places."""
        ways = math.perm(n, picked)
        return value / ways if ways else 0.0

    # mean products of four deviations, which add up to 0, at different places; named by how often each place occurs
    four, three_one, two_two = over(p4, 1), over(-p4, 2), over(p2 * p2 - p4, 2)
    two_one_one, ones = over(2 * p4 - p2 * p2, 3), over(3 * p2 * p2 - 6 * p4, 4)
    pairs = k * (k - 1)
    one_group = k * four + pairs * (4 * three_one + 3 * two_two)
    one_group += 6 * math.perm(k, 3) * two_one_one + math.perm(k, 4) * ones
    two_groups = k * k * two_two + 2 * k * pairs * two_one_one + pairs * pairs * ones
    variance = n_groups * (one_group + (n_groups - 1) * two_groups) / mean**2 - 1
    return math.sqrt(variance) if variance > _NO_VARIANCE else 0.0
