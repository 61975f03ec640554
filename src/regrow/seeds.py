"""Named, independent random streams, all derived from one seed.

A stream is raw 64-bit words of a Philox generator whose key comes from numpy's ``SeedSequence``. Only raw words are
used, since numpy guarantees the bits of a bit generator and not those of its distributions: so a stream is
the same on every machine and in every version. Nothing here touches the global state of any library.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
import numpy.typing as npt

Stream = Literal["init", "mask", "growth", "drop", "data", "noise", "cues"]

#: Stream numbers are part of every seeded result: append, never renumber.
STREAMS: dict[str, int] = {"init": 0, "mask": 1, "growth": 2, "drop": 3, "data": 4, "noise": 5, "cues": 6}

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


def permutation(seed: int, stream: Stream, *keys: int, n: int) -> npt.NDArray[np.int64]:
    """A random order of ``range(n)``: the stable sort of ``n`` raw words."""
    return np.argsort(raw(seed, stream, *keys, n=n), kind="stable").astype(np.int64)


def torch_seed(seed: int, stream: Stream, *keys: int) -> int:
    """A seed in [0, 2**63) for a torch generator, from the first word of a stream."""
    return int(raw(seed, stream, *keys, n=1)[0] >> np.uint64(1))
