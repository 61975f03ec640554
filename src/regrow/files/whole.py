"""Files that appear under their names only when they are whole, JSON and lists of JSON, and digests."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from regrow.errors import DataError


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on leaving without an error it is synced and renamed to ``path``.

    Args:
        path: the file that is to appear, whole or not at all. Its folder is made when absent.

    Yields:
        Path to write to. After an error it is removed and ``path`` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(_MODE)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def is_temporary(path: Path) -> bool:
    """Whether a file is the unfinished half of an atomic write."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def sweep(folder: Path, *, deep: bool = True) -> None:
    """Remove what killed processes left unfinished in a folder that this process owns.

    Args:
        folder: the folder.
        deep: also in its sub-folders; not where these have owners of their own, or hold a million pictures.
    """
    for path in (folder.rglob if deep else folder.glob)(".*.tmp"):
        path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_MODE = 0o666 & ~_umask()  # once, when no other thread is there yet


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write text as UTF-8 to ``path`` atomically."""
    write_bytes(path, content.encode())


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON (sorted keys, no NaN) to ``path`` atomically."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: the file is absent, cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise DataError(f"{path} is not there.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).", "look at its permissions.") from None
    except (ValueError, RecursionError) as error:  # the latter of brackets without end
        raise DataError(
            f"{path} is not readable as JSON ({error}).", "remove the file and run the same command again."
        ) from None


def append_lines(path: Path, rows: Iterable[object]) -> None:
    """Append rows to a JSON-lines file, in one write."""
    text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    if text:
        with path.open("a") as file:
            file.write(text)


def read_lines(path: Path) -> list[Any]:
    """Rows of a JSON-lines file; an absent file has none, and a last line cut short by a kill is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_bytes().split(b"\n"):
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError):
            break
    return rows


def keep_lines(path: Path, keep: Iterable[object]) -> None:
    """Replace a JSON-lines file by the given rows, atomically."""
    write_text(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in keep))


class Lines:
    """A JSON-lines file that this process goes on with.

    Rows go to the very file that was made here, whatever has its name by now: a process that was cut off from a shared
    folder and comes back late does not write among the rows of the process that took over.

    Args:
        path: the file.
        keep: rows that it begins with, instead of those that it has.
    """

    def __init__(self, path: Path, keep: Iterable[object]) -> None:
        keep_lines(path, keep)
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND)
        weakref.finalize(self, os.close, self._handle)

    def append(self, rows: Iterable[object]) -> None:
        """Append rows."""
        left = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode()
        while left:
            left = left[os.write(self._handle, left) :]


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def value_digest(value: object) -> str:
    """SHA-256 of a JSON-like value, independent of the order of its keys.

    Example:
        >>> value_digest({"a": 1, "b": 2}) == value_digest({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
