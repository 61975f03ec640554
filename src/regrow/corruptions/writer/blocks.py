"""The unit of work: some neighbouring images under one corruption, at all severities."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from regrow import files
from regrow.corruptions.writer import pool
from regrow.errors import DataError, InputError

#: Pixels of a block at one severity: a second or so of work.
BLOCK_PIXELS = 1 << 19

#: Corrupted pixels below which starting processes takes longer than it saves.
SMALL_SET = 1 << 25


class Block(NamedTuple):
    """Images ``start`` to ``stop`` of a set under a corruption; ``expected`` is its earlier result, if any."""

    name: str
    start: int
    stop: int
    expected: Any = None
    images: Any = None


class Journal:
    """Results of the finished blocks of one corruption, kept in a file until it is whole.

    Args:
        path: the file.
        key: says what the blocks are of; a journal of another key is of no use.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self._key = key
        rows = files.read_lines(path)
        whole = all(isinstance(row, dict) and {"at", "result"} <= set(row) for row in rows[1:])
        self.is_valid = bool(rows) and rows[0] == {"key": key} and whole
        self.results: dict[int, Any] = {row["at"]: row["result"] for row in rows[1:]} if self.is_valid else {}

    def begin(self) -> None:
        """Start anew, without results; or go on, without the half line that a kill may have left."""
        rows = [{"at": start, "result": result} for start, result in self.results.items()]
        files.keep_lines(self.path, [{"key": self._key}, *rows])

    def add(self, start: int, result: Any) -> None:
        """Note the result of a block."""
        if self.results.get(start) != result:
            self.results[start] = result
            files.append_lines(self.path, [{"at": start, "result": result}])


def journal_of(folder: Path, name: str) -> Path:
    """The journal of a corruption of a set, while it is not whole."""
    return folder / f".{name}.journal"


def block_size(side: int) -> int:
    """Images in a block."""
    return max(1, BLOCK_PIXELS // side**2)


def check_jobs(jobs: int | None) -> int | None:
    """A number of processes, or ``None`` for the default.

    Raises:
        InputError: no such number.
    """
    if jobs is None or (isinstance(jobs, int) and not isinstance(jobs, bool) and jobs >= 1):
        return jobs
    raise InputError(f"jobs must be a whole number from 1, got {jobs!r}.", "leave it out for one a core.")


def default_jobs(n_corrupted: int, side: int) -> int:
    """Processes for so many corrupted images: one a core, and none but this one for a small set."""
    return 1 if n_corrupted * side**2 < SMALL_SET else pool.usable_cpus()


def produce(
    work: Callable[[Block], Any],
    journals: Mapping[str, Journal],
    n: int,
    step: int,
    *,
    jobs: int,
    fill: Callable[[Block], Block],
    report: Callable[[int, str], None],
) -> Generator[tuple[str, list[Any]]]:
    """Make all blocks of some corruptions; those that the journals name are only looked at.

    Args:
        work: makes a block and returns a value for JSON that proves it.
        journals: one for each corruption, begun.
        n: images in the set.
        step: images in a block.
        jobs: processes.
        fill: as in ``pool.run``.
        report: called with (images of a block that ended, corruption).

    Yields:
        Corruptions whose blocks are all there, and the results in the order of the images.
    """
    starts = range(0, n, step)
    left = {name: len(starts) for name in journals}
    blocks = (
        Block(name, start, min(start + step, n), journal.results.get(start))
        for name, journal in journals.items()
        for start in starts
    )
    with contextlib.closing(pool.run(work, blocks, jobs, fill)) as ended:
        for block, result in ended:
            journals[block.name].add(block.start, result)
            report(block.stop - block.start, block.name)
            left[block.name] -= 1
            if not left[block.name]:
                yield block.name, [journals[block.name].results[start] for start in starts]


def check_space(folder: Path, n_bytes: int) -> None:
    """See that so many more bytes have room.

    Raises:
        DataError: they have not.
    """
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise DataError(
            f"the set needs about {n_bytes / 1e9:.2g} GB more, and {folder} has {free / 1e9:.2g} GB free.",
            "make room, choose another --out, or fewer corruptions or severities.",
        )


def counter(progress: Callable[[int, int, str], None] | None, total: int, times: int) -> Callable[[int, str], None]:
    """A ``report`` that calls ``progress`` with (images done, images in all, corruption), each counted ``times``."""
    done = 0

    def report(n: int, name: str) -> None:
        nonlocal done
        done += n * times
        if progress is not None:
            progress(done, total, name)

    return report
