"""Tar archives, within bounds and within their folder."""

from __future__ import annotations

import contextlib
import errno
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from regrow.errors import DataError, RegrowError

#: Longest name, link or set of attributes that an entry of an archive may have.
_LONGEST_NAME = 2**16


class TarEntry(tarfile.TarInfo):
    """An entry of an archive whose names can be read into memory."""

    @classmethod
    def frombuf(cls, *arguments: Any, **options: Any) -> Self:
        """As of any entry.

        Raises:
            tarfile.StreamError: a name that is too long.
        """
        entry = super().frombuf(*arguments, **options)
        if entry.type in _TAR_NAMES and not 0 <= entry.size <= _LONGEST_NAME:
            raise tarfile.StreamError(f"an entry of {entry.size} bytes")
        return entry


_TAR_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
              tarfile.SOLARIS_XHDTYPE)  # fmt: skip


@contextlib.contextmanager
def archive_damage_told(archive: Path, next_step: str) -> Iterator[None]:
    """Turn whatever the readers of tar, gzip, bzip2 and xz raise on damage into one line.

    Raises:
        DataError: in its place. Errors of the disk stay what they are.
    """
    try:
        yield
    except RegrowError:
        raise
    except Exception as error:  # of many kinds
        if isinstance(error, OSError) and error.errno is not None:
            raise
        said = " ".join(str(error).split())[:100]
        raise DataError(f"{archive} is damaged ({said}).", next_step) from None


def tar_entries(tar: tarfile.TarFile, most: int | None = None) -> Iterator[tarfile.TarInfo]:
    """The entries of an archive, none of which may lead back to earlier ones.

    Raises:
        tarfile.StreamError: one is of negative size, or they are more than ``most``.
    """
    for number, entry in enumerate(tar, 1):
        if entry.size < 0 or (most is not None and number > most):
            raise tarfile.StreamError(f"entry {number} is of {entry.size} bytes")
        yield entry


def extract_tar(archive: Path, folder: Path, *, limit_bytes: int, limit_files: int = 1000) -> None:
    """Unpack a tar archive of plain files, possibly compressed, into a folder.

    Args:
        archive: the archive.
        folder: where to; made when absent. Nothing is written outside it and nothing in it is replaced.
        limit_bytes: largest sum of the sizes of the files.
        limit_files: largest number of entries.

    Raises:
        DataError: absolute names, ``..``, links, devices, doubled names, more than the limits, or a damaged archive.
    """
    total = 0
    with (
        archive_damage_told(archive, "remove it and fetch it again."),
        tarfile.open(archive, "r:*", tarinfo=TarEntry) as tar,
    ):
        for number, member in enumerate(tar_entries(tar), 1):
            parts = Path(member.name).parts
            if not (member.isreg() or member.isdir()) or ".." in parts or Path(member.name).is_absolute():
                raise DataError(f"{archive} holds {member.name[:80]!r}; links, devices, outer paths are refused.")
            total += member.size
            if total > limit_bytes or number > limit_files:
                raise DataError(f"{archive} holds more than {limit_files} entries or {limit_bytes} bytes.")
            try:
                _extract(tar, member, folder.joinpath(*parts))
            except OSError as error:
                if error.errno not in _IMPOSSIBLE:
                    raise
                what = f"{member.name[:80]!r}, which cannot be written ({error.strerror})"
                raise DataError(f"{archive} holds {what}.", "remove it and fetch it again.") from None


#: What the system says of names that clash or cannot be.
_IMPOSSIBLE = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Write a file or folder of an archive where there is nothing yet."""
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    assert source is not None
    with source, target.open("xb") as file:
        shutil.copyfileobj(source, file, 2**20)
