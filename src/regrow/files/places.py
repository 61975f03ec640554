"""Where things lie: data roots, the cache, and names that stored lists give."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from regrow.errors import DataError

#: Bytes of a file's name, on all common systems.
_NAME_BYTES = 255


def data_roots(given: str | Path | None = None) -> list[Path]:
    """The folders where data is looked for, in order.

    Args:
        given: the user's ``--data-root``, if any.

    Returns:
        The given folder, the one named by the environment variable ``REGROW_DATA``, and ``~/.cache/regrow/data``.
    """
    places = [given, os.environ.get("REGROW_DATA"), cache_root() / "data"]
    return list(dict.fromkeys(Path(place).expanduser().absolute() for place in places if place))


def cache_root() -> Path:
    """Where regrow keeps what can be made again: ``$XDG_CACHE_HOME/regrow``, by default ``~/.cache/regrow``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "regrow"


def inside(folder: Path, name: str) -> Path:
    """The place of a file that a stored list names, which must lie in the folder.

    Raises:
        DataError: the name leads elsewhere.

    Example:
        >>> inside(Path("set"), "fog/1.png").as_posix()
        'set/fog/1.png'
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or not _can_be_named(path):
        raise DataError(f"{name[:80]!r}, which {folder} names, is no file in it.", "fetch or make it again.")
    return folder / name


def _can_be_named(path: PurePosixPath) -> bool:
    """Whether a file system takes the name; where not, looking for it raises an error instead of finding nothing."""
    try:
        return "\0" not in str(path) and all(len(os.fsencode(part)) <= _NAME_BYTES for part in path.parts)
    except UnicodeEncodeError:
        return False
