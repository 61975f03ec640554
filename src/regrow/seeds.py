"""Named, independent random streams, all derived from one seed.

A stream is raw 64-bit words of a Philox generator whose key comes from numpy's ``SeedSequence``. Only raw words are
used, since numpy guarantees the bits of a bit generator and not those of its distributions: so a stream is
the same on every machine and in every version. Nothing here touches the global state of any library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

Stream = Literal["init", "mask", "growth", "drop", "data", "noise", "cues", "forward", "resampling"]

#: Stream numbers are part of every seeded result: append, never renumber.
STREAMS: dict[str, int] = {
    "init": 0,
    "mask": 1,
    "growth": 2,
    "drop": 3,
    "data": 4,
    "noise": 5,
    "cues": 6,
    "forward": 7,
    "resampling": 8,
}

UINT64 = npt.NDArray[np.uint64]


def name_key(name: str) -> int:
    """A 32-bit key of a name (the first four bytes of its SHA-256), to use in a stream's keys.

    Example:
        >>> name_key("conv1.weight") == name_key("conv1.weight")
        True
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def bits(seed: int, stream: Stream, *keys: int) -> np.random.Philox:
    """The bit generator of one stream.

    Args:
        seed: the user's seed, >= 0.
        stream: which stream.
        keys: further coordinates, e.g. layer and update, or image index; each in [0, 2**32).

    Returns:
        A fresh Philox generator at its start.
    """
    return np.random.Philox(np.random.SeedSequence(entropy=seed, spawn_key=(STREAMS[stream], *keys)))


def philox_keys(seed: int, stream: Stream, *keys: int, last: UINT64) -> UINT64:
    """The Philox keys of many streams at once, which differ in their last coordinate alone.

    Numpy's ``SeedSequence`` (M. E. O'Neill's seed sequence: hash every entropy word into a pool of four, stir, hash
    out) with the words of ``last`` as a vector; ``Philox(key=row)`` is then ``bits(seed, stream, *keys, k)``.

    Args:
        seed: the user's seed, >= 0.
        stream: which stream.
        keys: the coordinates they share, each in [0, 2**32).
        last: uint64 (n,), the last coordinate of each stream, in [0, 2**32).

    Returns:
        uint64 (n, 2).

    Example:
        >>> keys = philox_keys(5, "noise", 7, last=np.array([3], np.uint64))
        >>> one, other = np.random.Philox(key=keys[0]), bits(5, "noise", 7, 3)
        >>> bool(one.random_raw() == other.random_raw())
        True
    """
    if len(last) < _FEW:
        several = [bits_key(seed, stream, *keys, int(k)) for k in last]
        return np.array(several, np.uint64).reshape(-1, 2)
    own = [int(word) for word in _words_of(seed)]
    own += [0] * (4 - len(own))  # numpy pads the seed to the pool before it adds a spawn key
    entropy: list[UINT64] = [np.full(len(last), word, np.uint64) for word in (*own, STREAMS[stream], *keys)]
    entropy.append(last.astype(np.uint64))
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(16)

    def hasher(start: int, factor: int) -> Callable[[UINT64], UINT64]:
        constant = start

        def hashed(value: UINT64) -> UINT64:
            nonlocal constant
            value = value ^ np.uint64(constant)
            constant = constant * factor & 0xFFFFFFFF
            value = value * np.uint64(constant) & mask
            return value ^ (value >> shift)

        return hashed

    def mixed(x: UINT64, y: UINT64) -> UINT64:
        result = (x * np.uint64(0xCA01F9DD) - y * np.uint64(0x4973F715)) & mask
        return result ^ (result >> shift)

    hash_in = hasher(0x43B0D7E5, 0x931E8875)
    pool = [hash_in(word) for word in entropy[:4]]
    for source in range(4):
        for target in range(4):
            if source != target:
                pool[target] = mixed(pool[target], hash_in(pool[source]))
    for word in entropy[4:]:
        for target in range(4):
            pool[target] = mixed(pool[target], hash_in(word))
    hash_out = hasher(0x8B51F9DD, 0x58F38DED)
    out = [hash_out(word) for word in pool]
    return np.stack([out[0] | out[1] << np.uint64(32), out[2] | out[3] << np.uint64(32)], axis=1)


def bits_key(seed: int, stream: Stream, *keys: int) -> UINT64:
    """The Philox key of one stream, uint64 (2,)."""
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(STREAMS[stream], *keys))
    return np.asarray(sequence.generate_state(2, np.uint64), np.uint64)


_FEW = 24  # streams for which numpy's own code is quicker than the vector form


def _words_of(seed: int) -> list[int]:
    """A number in 32-bit words, the lowest first; zero is one word."""
    words = [seed & 0xFFFFFFFF]
    while seed := seed >> 32:
        words.append(seed & 0xFFFFFFFF)
    return words


def raw(seed: int, stream: Stream, *keys: int, n: int) -> UINT64:
    """The first ``n`` 64-bit words of a stream.

    Example:
        >>> hex(int(raw(0, "mask", 0, 0, n=1)[0]))
        '0x4fb57f3af5189fa1'
    """
    return bits(seed, stream, *keys).random_raw(n)


def uniform(words: UINT64) -> npt.NDArray[np.float64]:
    """Uniform numbers in (0, 1) from raw words: ``((w >> 11) + 1/2) / 2**53``, and the largest number below 1."""
    return np.minimum(((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53, 1 - 2.0**-53)


def uniform_of(word: int) -> float:
    """As ``uniform``, of a single word and many times as fast.

    Example:
        >>> uniform_of(2**64 - 1) == uniform(np.array([2**64 - 1], np.uint64))[0]
        np.True_
    """
    return min(((word >> 11) + 0.5) * 2.0**-53, 1 - 2.0**-53)


def permutation(seed: int, stream: Stream, *keys: int, n: int) -> npt.NDArray[np.int64]:
    """A random order of ``range(n)``: the stable sort of ``n`` raw words."""
    return np.argsort(raw(seed, stream, *keys, n=n), kind="stable").astype(np.int64)


def torch_seed(seed: int, stream: Stream, *keys: int) -> int:
    """A seed in [0, 2**63) for a torch generator, from the first word of a stream."""
    return int(raw(seed, stream, *keys, n=1)[0] >> np.uint64(1))
