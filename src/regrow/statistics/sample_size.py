"""How many seeds show an effect: power of the paired two-sided t test."""

from __future__ import annotations

import math

from regrow.errors import InputError
from regrow.statistics._roots import root
from regrow.statistics._samples import FEWEST, at_least, finite, positive, probability
from regrow.statistics.distributions import noncentral_t, t_quantile


def power(d_z: float, n: int, *, alpha: float = 0.05) -> float:
    """Probability that ``n`` pairs show a mean difference of ``d_z`` standard deviations of the differences.

    The t of the sample is noncentral with the shift d_z sqrt(n) and n - 1 degrees of freedom; normal differences.

    Args:
        d_z: true mean difference over the standard deviation of the differences between seeds.
        n: number of seeds, >= 3.
        alpha: size of the two-sided test in (0, 1).

    Raises:
        InputError: fewer than three seeds, an effect that is not finite, an alpha outside (0, 1).

    Example:
        >>> round(power(1.0, 5), 4)
        0.4014
    """
    n = at_least(n, FEWEST, "n")
    return _power(abs(finite(d_z, "d_z")), n, probability(alpha, "alpha", 0.05))


def _power(d_z: float, n: int, alpha: float) -> float:
    critical, shift = t_quantile(1 - alpha / 2, n - 1), d_z * math.sqrt(n)
    return sum(1 - noncentral_t(critical, n - 1, side) for side in (shift, -shift))


def seeds_needed(d_z: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """Fewest seeds, at least three, with which the paired t test has the power asked for.

    Args:
        d_z: true mean difference over the standard deviation of the differences, not 0.
        power: probability to see it, in (0, 1).
        alpha: size of the two-sided test in (0, 1).

    Raises:
        InputError: an effect of 0 or not finite, a power or an alpha outside (0, 1).

    Example:
        >>> [seeds_needed(d) for d in (0.5, 0.8, 1.0, 1.5, 2.0)]
        [34, 15, 10, 6, 5]
    """
    effect = positive(abs(d_z), "the size of d_z")
    power, alpha = probability(power, "power", 0.8), probability(alpha, "alpha", 0.05)
    enough = FEWEST
    while _power(effect, enough, alpha) < power:
        enough *= 2
    too_few = max(enough // 2, FEWEST - 1)
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if _power(effect, middle, alpha) < power:
            too_few = middle
        else:
            enough = middle
    return enough


def smallest_effect(n: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The d_z that ``n`` seeds show with the power asked for; smaller effects are likely missed.

    Args:
        n: number of seeds, >= 3.
        power: probability to see it, in (alpha, 1).
        alpha: size of the two-sided test in (0, 1).

    Raises:
        InputError: fewer than three seeds, or a power that even no effect at all would have.

    Example:
        >>> round(smallest_effect(5), 4)
        1.682
    """
    n = at_least(n, FEWEST, "n")
    power, alpha = probability(power, "power", 0.8), probability(alpha, "alpha", 0.05)
    if power <= alpha:
        raise InputError(
            f"power must be greater than alpha, got {power!r} and {alpha!r}.", "no effect at all has power alpha."
        )
    high = 1.0
    while _power(high, n, alpha) < power:
        high *= 2
    return root(lambda d_z: _power(d_z, n, alpha) - power, 0.0, high)


def seeds_to_see(points: float, sd: float, *, r: float = 0.0, power: float = 0.8, alpha: float = 0.05) -> int:
    """Seeds that show a difference of ``points`` between two arms of spread ``sd``.

    The differences then have the standard deviation sd sqrt(2 (1 - r)); runs that share a seed need not correlate.

    Args:
        points: true mean difference, not 0.
        sd: standard deviation over seeds within one arm, in the same unit.
        r: correlation of the arms over seeds, in (-1, 1).
        power: probability to see it, in (0, 1).
        alpha: size of the two-sided test in (0, 1).

    Raises:
        InputError: a difference of 0, a spread that is not positive, a correlation outside (-1, 1).

    Example:
        >>> seeds_to_see(1.0, 0.6)
        8
    """
    if not -1 < r < 1:
        raise InputError(f"r must lie between -1 and 1, got {r!r}.", "give r = 0 where it is not known.")
    d_z = finite(points, "points") / (positive(sd, "sd") * math.sqrt(2 * (1 - r)))
    return seeds_needed(d_z, power=power, alpha=alpha)
