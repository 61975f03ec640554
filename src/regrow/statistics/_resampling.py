"""Draws for permutation tests and bootstraps, from raw bits: the same in every version of numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from regrow import seeds


def permutations(draws: int, n: int, seed: int) -> npt.NDArray[np.int64]:
    """``draws`` random orders of n things, int64 (draws, n)."""
    return seeds.raw(seed, "resampling", 0, n=draws * n).reshape(draws, n).argsort(axis=1, kind="stable")


def samples(draws: int, n: int, seed: int) -> npt.NDArray[np.int64]:
    """``draws`` samples of n indices out of n with replacement, int64 (draws, n)."""
    words = seeds.raw(seed, "resampling", 1, n=draws * n).reshape(draws, n)
    return (words % np.uint64(n)).astype(np.int64)
