"""Random numbers of one image: everything follows from its word, and nothing else draws from the same stream."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

from regrow.seeds import UINT64

#: Keys of the streams under ("data", ...), beside those of ``regrow.data.batches``.
WORDS, ERASING, MIXING = 3, 4, 5

Kind = Literal["randaugment", "augmix", "prime", "noise"]

#: Numbers of the kinds are part of every augmented image: append, never renumber.
KINDS: dict[Kind, int] = {"randaugment": 0, "augmix": 1, "prime": 2, "noise": 3}


def stream(word: np.uint64, kind: Kind, view: int, *place: int) -> np.random.Philox:
    """The bit generator of one image for one kind of augmentation: Philox, keyed by the word and by what it is for.

    Args:
        word: the image's own random word.
        kind: for which augmentation.
        view: for which view of the image, in [0, 256).
        place: up to two further coordinates, each in [0, 256), e.g. chain and operation.
    """
    key = KINDS[kind]
    for part in (view, *place, *[0] * (2 - len(place))):
        key = key << 8 | part
    return np.random.Philox(key=np.array([word, key], np.uint64))


def draw(word: np.uint64, kind: Kind, view: int, *place: int, n: int) -> UINT64:
    """The first ``n`` raw words of such a stream."""
    return stream(word, kind, view, *place).random_raw(n)


_LOCK = threading.Lock()


@contextlib.contextmanager
def global_generators() -> Iterator[Callable[[int], None]]:
    """Lend the global generators of ``random`` and ``numpy.random`` to a library that draws from no others.

    Gives a function that seeds both with a number in [0, 2**64). Afterwards both are as they were. One thread at a
    time: others that come here wait.
    """
    with _LOCK:
        kept = random.getstate(), np.random.get_state()  # noqa: NPY002 (timm draws from these)
        try:
            yield _seed_both
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])  # noqa: NPY002


def _seed_both(number: int) -> None:
    random.seed(number)
    np.random.seed([number & 0xFFFFFFFF, number >> 32])  # noqa: NPY002
