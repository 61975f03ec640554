"""Exact companions of the paired t test: all sign flips of the differences, or of their ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from regrow.errors import InputError
from regrow.statistics._samples import ROUNDING, sample
from regrow.statistics.ranks import ranks

#: 2 to the power of this many sums are made at once (16 MB).
MOST = 20


@dataclass(frozen=True)
class SignFlip:
    """p-values of the sign-flip test.

    Attributes:
        n: number of differences.
        one_sided: share of the 2^n sign patterns whose sum is at least the one seen.
        two_sided: share of the patterns whose sum is at least as far from 0.
        smallest: smallest two-sided p-value that n differences can give (2 / 2^n): 0.0625 for five.
    """

    n: int
    one_sided: float
    two_sided: float
    smallest: float


def sign_flip(differences: npt.ArrayLike) -> SignFlip:
    """Exact permutation test of "the differences are symmetric about 0"; every pattern of signs is counted.

    Args:
        differences: a - b for each seed, shape (n,), n <= 20.

    Raises:
        InputError: values that are not finite, or more than 20.

    Example:
        >>> sign_flip([1.4, 0.5, 1.5, 0.9, 0.8])
        SignFlip(n=5, one_sided=0.03125, two_sided=0.0625, smallest=0.0625)
    """
    d = sample(differences, "differences")
    if d.size > MOST:
        raise InputError(
            f"the exact sign-flip test takes at most {MOST} differences, got {d.size}.", "use `paired` for so many."
        )
    sums = np.zeros(1)
    for size in np.abs(d):
        sums = np.concatenate([sums - size, sums + size])
    seen = float(d.sum())
    slack = ROUNDING * float(np.abs(d).sum())
    one_sided = float(np.mean(sums >= seen - slack))
    two_sided = float(np.mean(np.abs(sums) >= abs(seen) - slack))
    return SignFlip(d.size, one_sided, two_sided, min(1.0, 2.0 / 2**d.size))


def wilcoxon(differences: npt.ArrayLike) -> SignFlip:
    """Exact signed-rank test (Wilcoxon 1945): the sign-flip test of the ranks of the sizes, which no outlier sways.

    Differences of 0 are left out, and sizes that are equal but for rounding share their mean rank.

    Args:
        differences: a - b for each seed, shape (n,), n <= 20.

    Raises:
        InputError: values that are not finite, or more than 20.

    Example:
        >>> wilcoxon([1.4, 0.5, 1.5, 0.9, 0.8, -0.1])
        SignFlip(n=6, one_sided=0.03125, two_sided=0.0625, smallest=0.03125)
    """
    d = sample(differences, "differences")
    size = np.abs(d)
    counts = size > ROUNDING * size.max()
    return sign_flip(np.sign(d[counts]) * ranks(size[counts]) if counts.any() else np.zeros_like(d))
