"""Counts for and against: the sign test, and McNemar's test of two networks on the same images."""

from __future__ import annotations

import math
from dataclasses import dataclass

from regrow.errors import InputError
from regrow.statistics._samples import at_least
from regrow.statistics.distributions import binomial


@dataclass(frozen=True)
class SignTest:
    """p-values of the exact sign test.

    Attributes:
        n: wins and losses together.
        one_sided: probability of so many wins or more where each side is as likely.
        two_sided: twice the smaller tail, at most 1.
    """

    n: int
    one_sided: float
    two_sided: float


def sign_test(wins: int, losses: int) -> SignTest:
    """Exact binomial test of "a win is as likely as a loss"; ties are left out.

    Each count must be of independent cases: data sets that were judged with the same trained models are one.

    Args:
        wins: number of cases for, >= 0.
        losses: number of cases against, >= 0.

    Raises:
        InputError: counts that are not whole numbers from 0 up.

    Example:
        >>> sign_test(7, 0)
        SignTest(n=7, one_sided=0.0078125, two_sided=0.015625)
    """
    wins, losses = at_least(wins, 0, "wins"), at_least(losses, 0, "losses")
    n = wins + losses
    least = min(wins, losses)
    return SignTest(n, binomial(losses, n, 0.5), min(1.0, 2 * binomial(least, n, 0.5)))


@dataclass(frozen=True)
class McNemar:
    """Two trained networks on the same images.

    Attributes:
        b: images that the first alone gets right.
        c: images that the second alone gets right.
        p: exact two-sided p-value of "both are right equally often".
        points: difference of their accuracies, first minus second; None without the number of images.
        se: standard error of ``points`` over images.
    """

    b: int
    c: int
    p: float
    points: float | None
    se: float | None


def mcnemar(b: int, c: int, n: int | None = None) -> McNemar:
    """Exact test of two networks by the images on which one alone is right (McNemar 1947).

    It speaks of these two networks: nothing follows from it about ways of training, of which there is one run each.

    Args:
        b: images that the first network alone gets right, >= 0.
        c: images that the second network alone gets right, >= 0.
        n: number of all images, b + c or more; needed for the difference in points.

    Returns:
        p by the binomial distribution; points = 100 (b - c) / n with se = 100 sqrt(b + c - (b - c)^2 / n) / n.

    Raises:
        InputError: counts that cannot be.

    Example:
        >>> found = mcnemar(420, 360, 10_000)
        >>> f"{found.points:+.2f} points, se {found.se:.3f}, p = {found.p:.6f}"
        '+0.60 points, se 0.279, p = 0.034573'
    """
    p = sign_test(at_least(b, 0, "b"), at_least(c, 0, "c")).two_sided
    if n is None:
        return McNemar(b, c, p, None, None)
    if at_least(n, 1, "n") < b + c:
        raise InputError(f"n must be b + c = {b + c} or more, got {n}.", "give the number of all images.")
    return McNemar(b, c, p, 100 * (b - c) / n, 100 * math.sqrt(b + c - (b - c) ** 2 / n) / n)
