"""Random numbers of one image: from a counter-based stream of ours, or from a legacy stream of numpy.

The counter-based stream of an image is keyed by (seed, corruption, severity, image index), so an image gets the same
noise in any batch, order and process. Only raw bits are taken from numpy, and every law is made from them here:

    uniform   ((w >> 11) + 1/2) / 2**53 of each 64-bit word w
    normal    the inverse normal distribution function (``scipy.special.ndtri``) of the uniform
    Poisson   the inverse distribution function, tabled for the 256 rates that bytes can have
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from regrow import seeds
from regrow.corruptions.pixels import UNIT, Floats


class Stream(Protocol):
    """Where the random numbers of one image come from."""

    def uniform(self, shape: tuple[int, ...]) -> Floats:
        """Uniform numbers in [0, 1)."""
        ...

    def normal(self, shape: tuple[int, ...]) -> Floats:
        """Standard normal numbers."""
        ...


class CounterStream:
    """The stream of one image.

    Args:
        seed: the user's seed.
        name: the corruption.
        severity: 1 to 5.
        index: number of the image in its set, in [0, 2**32).
    """

    def __init__(self, seed: int, name: str, severity: int, index: int) -> None:
        self._bits = seeds.bits(seed, "noise", seeds.name_key(name), severity, index)

    def uniform(self, shape: tuple[int, ...]) -> Floats:
        """Uniform numbers in (0, 1), never 0 or 1."""
        return seeds.uniform(self._bits.random_raw(math.prod(shape))).reshape(shape)

    def normal(self, shape: tuple[int, ...]) -> Floats:
        """Standard normal numbers, within about 8.2 of 0."""
        from scipy.special import ndtri

        uniform = self.uniform(shape)
        ndtri(uniform, out=uniform)
        return uniform


class LegacyStream:
    """A ``RandomState`` as a stream: the published generators' numbers, drawn one image after the other."""

    def __init__(self, rng: np.random.RandomState) -> None:
        self._rng = rng

    def uniform(self, shape: tuple[int, ...]) -> Floats:
        """The next numbers of ``random_sample``."""
        return self._rng.random_sample(shape)

    def normal(self, shape: tuple[int, ...]) -> Floats:
        """The next numbers of ``standard_normal``."""
        return np.asarray(self._rng.standard_normal(shape))


class _PoissonLaw(NamedTuple):
    """Distribution functions of 256 Poisson laws, with a guide that finds most answers in one look.

    ``first[level * _BINS + bin]`` is the smallest count possible for a uniform number in that bin, ``last`` the
    largest; where they are equal the count is known without a search.
    """

    cdf: Floats  # (256 * n_counts,), row by row
    first: npt.NDArray[np.int16]
    last: npt.NDArray[np.int16]
    n_counts: int


_BINS = 1024


@functools.lru_cache(maxsize=32)
def _poisson_law(photons: float) -> _PoissonLaw:
    rates = UNIT * photons
    n_counts = int(photons + 10 * math.sqrt(photons) + 40)
    mass = np.empty((n_counts, 256))
    mass[0] = [math.exp(-rate) for rate in rates.tolist()]
    for count in range(1, n_counts):
        mass[count] = mass[count - 1] * rates / count
    cdf = np.ascontiguousarray(np.add.accumulate(mass, axis=0).T)
    cdf /= cdf[:, -1:]
    edges = np.arange(_BINS + 1) / _BINS
    first = np.stack([np.searchsorted(row, edges[:-1], side="right") for row in cdf])
    last = np.stack([np.searchsorted(row, edges[1:], side="left") for row in cdf])
    return _PoissonLaw(cdf.ravel(), first.astype(np.int16).ravel(), last.astype(np.int16).ravel(), n_counts)


def poisson(uniform: Floats, levels: npt.NDArray[np.uint8], photons: float) -> npt.NDArray[np.int16]:
    """Poisson counts by inversion: the smallest count whose distribution function exceeds the uniform number.

    Args:
        uniform: numbers in [0, 1), any shape.
        levels: bytes of the same shape; the rate of each number is ``level / 255 * photons``.
        photons: rate at level 255, up to some thousands.

    Returns:
        Counts, same shape.

    Example:
        >>> poisson(np.array([0.3, 0.4, 0.9]), np.array([255, 255, 0], np.uint8), 1.0).tolist()
        [0, 1, 0]
    """
    law = _poisson_law(float(photons))
    level = levels.ravel().astype(np.int32)
    number = uniform.ravel()
    cell = level * _BINS
    cell += (number * _BINS).astype(np.int32)
    counts = law.first.take(cell)
    open_at = np.flatnonzero(counts != law.last.take(cell))
    counts[open_at] = _bisect(law, cell[open_at], level[open_at] * law.n_counts, number[open_at])
    return counts.reshape(uniform.shape)


def _bisect(
    law: _PoissonLaw, cell: npt.NDArray[np.int32], row: npt.NDArray[np.int32], number: Floats
) -> npt.NDArray[Any]:
    low, high = law.first.take(cell).astype(np.int32), law.last.take(cell).astype(np.int32)
    while np.any(low < high):
        middle = (low + high) // 2
        above = law.cdf.take(row + middle) > number
        high = np.where(above, middle, high)
        low = np.where(above, low, np.minimum(middle + 1, high))
    return low
