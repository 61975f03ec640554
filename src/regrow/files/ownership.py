"""Folders that one process works on at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock

from regrow.errors import BusyError


@contextlib.contextmanager
def owned(folder: Path, what: str, *, wait_s: float = 0.0) -> Iterator[None]:
    """Own a folder through a lock that dies with this process.

    Args:
        folder: the folder; made when absent.
        what: what the folder is, for the message (``"study"``, ``"run"``).
        wait_s: how long to wait for an owner that may be about to end.

    Raises:
        BusyError: another living process owns it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=wait_s)
    except filelock.Timeout:
        raise BusyError(
            f"{what} {folder} is being worked on by another process.",
            "wait until that process has ended, or choose another --out.",
        ) from None
    try:
        yield
    finally:
        lock.release()
