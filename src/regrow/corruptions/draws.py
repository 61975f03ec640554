"""Random numbers of a batch of images: from counter-based streams of ours, or from a legacy stream of numpy.

The counter-based stream of an image is keyed by (seed, corruption, severity, image index), so an image gets the same
noise in any batch, order, process and device. Only raw 64-bit words are taken from numpy's Philox generator, and
every law is made from them here, in the order of the calls:

    uniform   ((w >> 11) + 1/2) / 2**53 of each word w
    normal    the inverse normal distribution function of the uniform (``regrow.corruptions.quantile``)
    integers  low + (h * (high - low) >> 32) of each 32-bit half h of a word, the lower half first
    Poisson   the inverse distribution function, tabled for the 256 rates that bytes can have
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from regrow import seeds
from regrow.corruptions import kernel, quantile
from regrow.corruptions.pixels import UNIT, Floats

Integers = npt.NDArray[Any]  # int64 unless another type was asked for


class Stream(Protocol):
    """Where the random numbers of ``n`` images come from; the first axis of all results is the image."""

    n: int

    def uniform(self, shape: tuple[int, ...] = ()) -> Floats:
        """Uniform numbers in [0, 1), float64 (n, *shape)."""
        ...

    def normal(self, shape: tuple[int, ...] = ()) -> Floats:
        """Standard normal numbers, float64 (n, *shape)."""
        ...

    def integers(self, low: int, high: int | Integers, shape: tuple[int, ...] = (), dtype: str = "int64") -> Integers:
        """Whole numbers of [low, high) as ``dtype`` (n, *shape); ``high`` may differ by image: (n,)."""
        ...

    def permutation(self, k: int) -> Integers:
        """An order of ``range(k)`` for each image, int64 (n, k)."""
        ...


class CounterStream:
    """The streams of some images.

    Args:
        seed: the user's seed.
        name: the corruption.
        severity: 1 to 5.
        index: number of each image in its set, in [0, 2**32).
    """

    def __init__(self, seed: int, name: str, severity: int, index: Sequence[int]) -> None:
        self.n = len(index)
        keys = seeds.philox_keys(seed, "noise", seeds.name_key(name), severity, last=np.asarray(index, np.uint64))
        self._keys = keys
        self._at = 0  # words taken so far, of every image alike

    def words(self, n_words: int) -> npt.NDArray[np.uint64]:
        """The next raw words of each image, uint64 (n, n_words)."""
        out = np.empty((self.n, n_words), np.uint64)
        bits = np.random.Philox(key=0)
        state: Any = dict(bits.state)  # one generator, set anew for each image: cheaper than many
        block, skip = divmod(self._at, 4)
        counter = np.array([block, 0, 0, 0], np.uint64)
        for row, key in zip(out, self._keys, strict=True):
            state["state"] = {"counter": counter, "key": key}
            bits.state = state
            row[:] = bits.random_raw(skip + n_words)[skip:]
        self._at += n_words
        return out

    def uniform(self, shape: tuple[int, ...] = ()) -> Floats:
        """Uniform numbers in (0, 1), never 0 or 1."""
        words = self.words(math.prod(shape))
        lib = kernel.library()
        numbers = seeds.uniform(words) if lib is None else lib.uniform(words)
        return numbers.reshape(self.n, *shape)

    def normal(self, shape: tuple[int, ...] = ()) -> Floats:
        """Standard normal numbers, within about 8.3 of 0."""
        return quantile.normal(self.uniform(shape))

    def integers(self, low: int, high: int | Integers, shape: tuple[int, ...] = (), dtype: str = "int64") -> Integers:
        """Whole numbers; ranges up to 2**32, biased by less than range / 2**32."""
        count = math.prod(shape)
        halves = self.words((count + 1) // 2).astype("<u8").view("<u4")[:, :count].astype(np.uint64)
        halves *= np.asarray(np.asarray(high) - low, np.uint64).reshape(-1, 1)
        halves >>= np.uint64(32)
        found = halves.astype(dtype)
        found += np.asarray(low, dtype)
        return found.reshape(self.n, *shape)

    def permutation(self, k: int) -> Integers:
        """The stable order of ``k`` words."""
        return np.argsort(self.words(k), axis=1, kind="stable").astype(np.int64)


class LegacyStream:
    """A ``RandomState`` as the stream of one image: the published generators' numbers."""

    n = 1

    def __init__(self, rng: np.random.RandomState) -> None:
        self._rng = rng

    def uniform(self, shape: tuple[int, ...] = ()) -> Floats:
        """The next numbers of ``random_sample``."""
        return self._rng.random_sample((1, *shape))

    def normal(self, shape: tuple[int, ...] = ()) -> Floats:
        """The next numbers of ``standard_normal``."""
        return np.asarray(self._rng.standard_normal((1, *shape)))

    def integers(self, low: int, high: int | Integers, shape: tuple[int, ...] = (), dtype: str = "int64") -> Integers:
        """The next numbers of ``randint``."""
        found = self._rng.randint(low, int(np.asarray(high).item()), (1, *shape), dtype=np.int64)
        return np.asarray(found, dtype)

    def permutation(self, k: int) -> Integers:
        """The next ``permutation``."""
        return np.asarray(self._rng.permutation(k), np.int64)[None]


def stack(parts: Sequence[Any]) -> Any:
    """Draws of single images as those of a batch."""
    if isinstance(parts[0], tuple):
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))
    return np.concatenate(parts)


class PoissonLaw(NamedTuple):
    """Distribution functions of 256 Poisson laws, with a guide that finds most answers in one look.

    ``first[level * BINS + bin]`` is the smallest count possible for a uniform number in that bin, ``last`` the
    largest; where they are equal the count is known without a search.
    """

    cdf: Floats  # (256 * n_counts,), row by row
    first: npt.NDArray[np.int16]
    last: npt.NDArray[np.int16]
    n_counts: int


#: Bins of the guide.
BINS = 1024


@functools.lru_cache(maxsize=32)
def poisson_law(photons: float) -> PoissonLaw:
    """The tables for ``photons`` at level 255."""
    rates = UNIT * photons
    n_counts = int(photons + 10 * math.sqrt(photons) + 40)
    mass = np.empty((n_counts, 256))
    mass[0] = [math.exp(-rate) for rate in rates.tolist()]
    for count in range(1, n_counts):
        mass[count] = mass[count - 1] * rates / count
    cdf = np.ascontiguousarray(np.add.accumulate(mass, axis=0).T)
    cdf /= cdf[:, -1:]
    edges = np.arange(BINS + 1) / BINS
    first = np.stack([np.searchsorted(row, edges[:-1], side="right") for row in cdf])
    last = np.stack([np.searchsorted(row, edges[1:], side="left") for row in cdf])
    return PoissonLaw(cdf.ravel(), first.astype(np.int16).ravel(), last.astype(np.int16).ravel(), n_counts)


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
    law = poisson_law(float(photons))
    if (lib := kernel.library()) is not None:
        return lib.poisson(np.ascontiguousarray(uniform), np.ascontiguousarray(levels), law, BINS)
    level = levels.ravel().astype(np.int32)
    number = uniform.ravel()
    cell = level * BINS
    cell += (number * BINS).astype(np.int32)
    counts = law.first.take(cell)
    open_at = np.flatnonzero(counts != law.last.take(cell))
    counts[open_at] = _bisect(law, cell[open_at], level[open_at] * law.n_counts, number[open_at])
    return counts.reshape(uniform.shape)


def _bisect(
    law: PoissonLaw, cell: npt.NDArray[np.int32], row: npt.NDArray[np.int32], number: Floats
) -> npt.NDArray[Any]:
    low, high = law.first.take(cell).astype(np.int32), law.last.take(cell).astype(np.int32)
    while np.any(low < high):
        middle = (low + high) // 2
        above = law.cdf.take(row + middle) > number
        high = np.where(above, middle, high)
        low = np.where(above, low, np.minimum(middle + 1, high))
    return low
