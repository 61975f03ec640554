"""Find the pictures of a list that cannot be read, before a training run does."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from regrow.data.listing import Pictures
from regrow.data.spec import Labels, Progress
from regrow.errors import DataError

T = TypeVar("T")

#: What is done at a file that cannot be read.
ON_ERROR = ("raise", "skip")


class Scan(NamedTuple):
    """What is there to use.

    Attributes:
        kept: int64, places of the pictures that can be read.
        skipped: name and reason of each other one, in the order of the list.
    """

    kept: Labels
    skipped: list[tuple[str, str]]


def scan(
    pictures: Pictures,
    on_error: Literal["raise", "skip"] = "raise",
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Scan:
    """Decode every picture whole.

    Args:
        pictures: the list.
        on_error: stop at the first that cannot be read, or leave such pictures out.
        threads: how many; by default one for each processor.
        progress: called with (pictures so far, pictures in all).

    Returns:
        ``(kept, skipped)``.

    Raises:
        DataError: a picture cannot be read (``raise``), or none can.
    """
    skipped: list[tuple[str, str]] = []
    bad: list[int] = []

    def check(part: range) -> list[tuple[int, DataError]]:
        failures = []
        for i in part:
            try:
                pictures.open(i)
            except DataError as error:
                failures.append((i, error))
        return failures

    for done, failures in in_parts(check, len(pictures), threads=threads):
        for i, error in failures:
            if on_error == "raise":
                raise error
            name = pictures.path(i)
            bad.append(i)
            skipped.append((name, error.message.removeprefix(f"{name}: ")))
        if progress is not None:
            progress(done, len(pictures))
    if len(bad) == len(pictures):
        raise DataError(f"none of the {len(pictures)} pictures of {pictures.name} can be read.", "look at the folder.")
    return Scan(np.delete(np.arange(len(pictures), dtype=np.int64), bad), skipped)


def in_parts(
    work: Callable[[range], T], n: int, *, threads: int | None = None, size: int = 64
) -> Iterator[tuple[int, T]]:
    """Do work on ``range(n)`` part by part in threads, a few parts ahead of the reader.

    Args:
        work: from numbers to a result.
        n: how many numbers.
        threads: how many; by default one for each processor.
        size: numbers in a part.

    Yields:
        How many numbers are done, and the result, in order. After an error parts that have not begun are left.
    """
    threads = threads or os.cpu_count() or 1
    waiting: deque[tuple[int, Future[T]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for start in range(0, n, size):
                part = range(start, min(start + size, n))
                waiting.append((part.stop, pool.submit(work, part)))
                if len(waiting) > 2 * threads:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
