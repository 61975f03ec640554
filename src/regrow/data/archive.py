"""Files inside tar archives, read where they lie: an index is made once, then each file is one read by offset.

    members = index(Path("ILSVRC2012_img_val.tar"))      # made once, then found in the cache
    content = Archive.of(members).read(3)

An archive of archives (``nested``) has the files of the inner ones, named ``INNER/FILE``.
"""

from __future__ import annotations

import contextlib
import os
import tarfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from regrow import files
from regrow.data.listing import Names
from regrow.errors import BusyError, DataError

_AGAIN = "unpack or fetch the official archive again."
_VERSION = 1
#: Entries of an archive of a few files, possibly compressed.
_MOST_FILES = 10_000


@dataclass(frozen=True)
class Members:
    """What a tar archive of plain files holds.

    Attributes:
        archive: the archive.
        size: its bytes.
        mtime_ns: its time of change.
        names: of the files; of nested archives ``INNER/FILE``, without the inner archive's suffix.
        offsets: int64, where the content of each begins.
        sizes: int64, bytes of each.
    """

    archive: Path
    size: int
    mtime_ns: int
    names: Names = field(repr=False)
    offsets: npt.NDArray[np.int64] = field(repr=False)
    sizes: npt.NDArray[np.int64] = field(repr=False)

    def select(self, which: npt.NDArray[np.int64]) -> Members:
        """Some of the files, in the given order."""
        names = Names.of(self.names[i] for i in which.tolist())
        return Members(self.archive, self.size, self.mtime_ns, names, self.offsets[which], self.sizes[which])


def index(archive: Path, *, nested: bool = False, cache: Path | None = None, wait_s: float = 86_400) -> Members:
    """The members of an uncompressed tar archive, from the cache where they are there for this very file.

    Only heads are read, a block for each member. The index is kept under the archive's path, size and time, so that an
    archive that changes is looked through again. Processes that ask at once wait for the one that makes it.

    Args:
        archive: the archive.
        nested: its members are archives, whose files are wanted.
        cache: folder of the cache, by default regrow's own; one that cannot be written is done without.
        wait_s: seconds to wait for another process that is making the same index.

    Raises:
        DataError: no such file, not an uncompressed tar archive, cut short, or holding something else than files.
    """
    try:
        stat = archive.stat()
    except OSError as error:
        raise DataError(f"{archive} cannot be read ({error.strerror}).", _AGAIN) from None
    facts = (str(archive.resolve()), stat.st_size, stat.st_mtime_ns, nested, _VERSION)
    folder = (cache or files.cache_root() / "archives") / files.value_digest(facts)[:24]
    head = (archive, stat.st_size, stat.st_mtime_ns)
    stored = _load(folder)
    if stored is not None:
        return Members(*head, *stored)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, BusyError):
            stack.enter_context(files.owned(folder, "index", wait_s=wait_s))
        stored = _load(folder) or _columns(_look_through(archive, stat.st_size, nested))
        with contextlib.suppress(OSError):
            _store(folder, stored)
    return Members(*head, *stored)


_Columns = tuple[Names, npt.NDArray[np.int64], npt.NDArray[np.int64]]


def _look_through(archive: Path, size: int, nested: bool) -> Iterator[tuple[str, int, int]]:
    """Names, offsets and sizes of the files."""
    with archive.open("rb") as file:
        for name, offset, length in _tar(file, archive, 0, size):
            if not nested:
                yield name, offset, length
                continue
            inner = name.removesuffix(".tar")
            if inner in (name, "", ".", "..") or "/" in inner:
                raise DataError(f"{archive} holds {name[:80]!r}, not archives NAME.tar alone.", _AGAIN)
            for part in _tar(file, archive / name, offset, offset + length):
                yield f"{inner}/{part[0]}", *part[1:]


def _tar(file: IO[bytes], what: Path, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """Plain files of an archive that lies between two places of a file."""
    file.seek(start)
    with (
        files.archive_damage_told(what, _AGAIN),
        _opened(file, what) as tar,
    ):
        for member in files.tar_entries(tar):
            if member.isdir():
                continue
            if not member.isreg() or member.issparse() or _leads_out(member.name):
                raise DataError(f"{what} holds {member.name[:80]!r}; links and the like are not read.", _AGAIN)
            if member.offset_data + member.size > end:
                raise DataError(f"{what} is cut short: {member.name[:80]!r} goes beyond its end.", _AGAIN)
            yield member.name.removeprefix("./"), member.offset_data, member.size
        # tarfile takes any block that is no head for the end: only one of zeros is
        file.seek(tar.offset)
        if tar.offset + tarfile.BLOCKSIZE > end or any(file.read(tarfile.BLOCKSIZE)):
            raise DataError(f"{what} is cut short: it has no end mark.", _AGAIN)


def _opened(file: IO[bytes], what: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=file, mode="r:", tarinfo=files.TarEntry)
    except tarfile.TarError as error:
        raise DataError(f"{what} is cut short or no uncompressed tar archive ({error}).", _AGAIN) from None


def _leads_out(name: str) -> bool:
    return name.startswith("/") or ".." in name.split("/")


def _columns(rows: Iterator[tuple[str, int, int]]) -> _Columns:
    names, offsets, sizes = [], [], []
    for name, offset, size in rows:
        names.append(name)
        offsets.append(offset)
        sizes.append(size)
    return Names.of(names), np.array(offsets, np.int64), np.array(sizes, np.int64)


def _load(folder: Path) -> _Columns | None:
    try:
        stored = files.read_arrays(folder / "index.npz")
        return Names(stored["text"], stored["ends"]), stored["offsets"], stored["sizes"]
    except (DataError, KeyError):
        return None  # absent or damaged: it is made again


def _store(folder: Path, columns: _Columns) -> None:
    names, offsets, sizes = columns
    with files.atomic_path(folder / "index.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, text=names.text, ends=names.ends, offsets=offsets, sizes=sizes)


class Archive:
    """Reads members by offset; it can be pickled, forked, and used from many threads at once.

    Args:
        members: the index.
    """

    def __init__(self, members: Members) -> None:
        self.members = members
        self._handle: int | None = None

    def __getstate__(self) -> Members:
        return self.members

    def __setstate__(self, members: Members) -> None:
        self.__init__(members)  # type: ignore[misc]

    def read(self, i: int) -> bytes:
        """Content of a member.

        Raises:
            DataError: the archive is gone, or is not the one that was indexed.
        """
        members = self.members
        size = int(members.sizes[i])
        try:
            # a read at a place, not from where the last one ended: the handle is shared by threads and forks
            content = os.pread(self._opened(), size, int(members.offsets[i]))
        except OSError as error:
            raise DataError(f"{members.archive} cannot be read ({error.strerror}).", _AGAIN) from None
        if len(content) != size:
            raise DataError(f"{members.archive} has become shorter since it was opened.", _AGAIN)
        return content

    def _opened(self) -> int:
        if self._handle is None:
            handle = os.open(self.members.archive, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            weakref.finalize(self, os.close, handle)
            stat = os.fstat(handle)
            if (stat.st_size, stat.st_mtime_ns) != (self.members.size, self.members.mtime_ns):
                raise DataError(
                    f"{self.members.archive} has changed since its members were listed.", "start the command again."
                )
            self._handle = handle
        return self._handle


def contents(archive: Path, endings: tuple[str, ...], *, limit_bytes: int) -> dict[str, bytes]:
    """The content of a few files of an archive, possibly compressed, by the ending of their names.

    Args:
        archive: the archive.
        endings: of the wanted names, such as ``data/meta.mat``.
        limit_bytes: largest size of a wanted file.

    Returns:
        Ending -> content, of those that are there.

    Raises:
        DataError: it is damaged, or a wanted file is too large.
    """
    found: dict[str, bytes] = {}
    with files.archive_damage_told(archive, _AGAIN), tarfile.open(archive, "r:*", tarinfo=files.TarEntry) as tar:
        for member in files.tar_entries(tar, most=_MOST_FILES):
            ending = next((end for end in endings if f"/{member.name}".endswith(f"/{end}")), None)
            if ending is None or not member.isreg():
                continue
            if member.size > limit_bytes:
                raise DataError(f"{archive}: {member.name[:80]} has more than {limit_bytes} bytes.", _AGAIN)
            file: Any = tar.extractfile(member)
            found[ending] = file.read()
    return found
