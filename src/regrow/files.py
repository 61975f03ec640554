"""Every dangerous file operation, once: atomic writes, digests, locks, archives, restricted unpickling.

Whatever regrow writes appears under its name only when it is whole: a temporary file in the same folder is written,
flushed to the disk and renamed.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import http.client
import io
import json
import math
import os
import pickle
import shutil
import struct
import tarfile
import tempfile
import urllib.request
import weakref
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import filelock

from regrow.errors import BusyError, DataError, RegrowError

if TYPE_CHECKING:  # the command line must answer before numpy is loaded
    import numpy as np
    import numpy.typing as npt


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
        return "\0" not in str(path) and all(len(os.fsencode(part)) <= _LONGEST_NAME for part in path.parts)
    except UnicodeEncodeError:
        return False


#: Most bytes in memory of arrays that are read from a compressed archive.
MOST_ARRAY_BYTES = 2**29


def read_array(path: Path, *, mapped: bool = False) -> npt.NDArray[Any]:
    """An array of a ``.npy`` file; memory is taken for what the file holds, whatever its header claims.

    Args:
        path: the file.
        mapped: leave it in the file, read-only.

    Raises:
        DataError: absent, cut short, damaged, or holding objects.
    """
    import numpy as np

    with _damage_told(path):
        array: npt.NDArray[Any] = np.lib.format.open_memmap(path, "r")
        return array if mapped else np.array(array)


def read_arrays(
    path: Path, *, limit_bytes: int = MOST_ARRAY_BYTES, only: Collection[str] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a ``.npz`` file by name.

    Args:
        path: the file.
        limit_bytes: largest sum of the sizes of all its arrays.
        only: names of those that are read; None = all.

    Raises:
        DataError: absent, cut short, damaged, larger than the limit, or holding objects.
    """
    with _damage_told(path), zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > limit_bytes:
            raise ValueError(f"it would unpack to more than {limit_bytes} bytes")
        named = {entry.filename.removesuffix(".npy"): entry for entry in entries}
        return {name: _array(archive.read(entry)) for name, entry in named.items() if only is None or name in only}


def _array(content: bytes) -> npt.NDArray[Any]:
    """An array of the bytes of a ``.npy`` file; a header that was read before is known."""
    import numpy as np

    end = 10 + int.from_bytes(content[8:10], "little")
    if content[:8] != _NPY_1_0:
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    dtype, shape, order = _npy_header(content[8:end])
    n = math.prod(shape)
    if n * dtype.itemsize > len(content) - end:
        raise ValueError("an array of more than is there")
    return np.frombuffer(content, dtype, n, end).reshape(shape, order=order).copy(order)


#: What a file of numpy's format 1.0 begins with.
_NPY_1_0 = b"\x93NUMPY\x01\x00"


@functools.lru_cache(maxsize=1024)
def _npy_header(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...], Literal["C", "F"]]:
    """Type, shape and order that the header of a ``.npy`` file says, from its length on; parsing it takes longest."""
    import numpy as np

    shape, fortran, dtype = np.lib.format.read_array_header_1_0(io.BytesIO(header))
    if dtype.hasobject or not dtype.itemsize or any(side < 0 for side in shape):
        raise ValueError(f"an array of {dtype}, shape {shape}")
    return dtype, shape, "F" if fortran else "C"


@contextlib.contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Turn whatever the readers of arrays raise into one line."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path} is not there.") from None
    except Exception as error:  # noqa: BLE001 (numpy, zipfile, zlib and the parser of headers raise many kinds)
        said = " ".join(str(error).split())[:100]
        raise DataError(f"{path} cannot be read ({type(error).__name__}: {said}).") from None


def require_stored(path: Path) -> None:
    """Refuse a zip archive that grows when it is unpacked: those that are written uncompressed do not.

    Raises:
        DataError: it would grow. What is no zip archive, or a damaged one, is left to its own reader.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except Exception:  # noqa: BLE001 (zipfile raises many kinds)
        return
    if unpacked > path.stat().st_size:
        raise DataError(f"{path} would unpack to {unpacked} bytes, more than it has.", "fetch or write it again.")


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


#: What the pickled image files need, and nothing else; each name stands for a harmless stand-in of ours.
_PICKLE_NAMES: dict[tuple[str, str], Callable[..., Any]] = {}

#: Opcodes that only build containers, text, bytes and numbers, plus the calls of the names above.
_PICKLE_OPCODES = """
    PROTO FRAME STOP MARK POP POP_MARK DUP MEMOIZE GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT NONE NEWTRUE
    NEWFALSE INT LONG BININT BININT1 BININT2 LONG1 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE
    BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_LIST LIST APPEND
    APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS GLOBAL STACK_GLOBAL REDUCE BUILD
"""


class _Dtype:
    """Stand-in for ``numpy.dtype``: whole numbers and booleans alone."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        self.code = code.decode("ascii") if isinstance(code, bytes) else code
        if self.code not in ("b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"):
            raise pickle.UnpicklingError(f"an array of {self.code[:20]!r} is not allowed")
        self.order = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        if order not in ("|", "<", ">", "=") or any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("an array of this type is not allowed")
        self.order = order

    def numpy(self) -> np.dtype[Any]:
        import numpy as np

        return np.dtype(self.order + self.code)


class _Array:
    """Stand-in for ``numpy.ndarray``: what the pickle says of it, turned into an array after the loading."""

    value: npt.NDArray[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, content = state
        import numpy as np

        self.value = np.frombuffer(content, dtype.numpy()).reshape(shape, order="F" if fortran else "C")


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _frombuffer(content: bytes, dtype: _Dtype, shape: object, order: str, *_: object) -> _Array:
    array = _Array()
    array.__setstate__((0, shape, dtype, order == "F", content))
    return array


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not allowed")
    return text.encode("latin-1")


for _core in ("numpy.core", "numpy._core"):
    _PICKLE_NAMES[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    _PICKLE_NAMES[f"{_core}.numeric", "_frombuffer"] = _frombuffer
_PICKLE_NAMES["numpy", "ndarray"] = _Array
_PICKLE_NAMES["numpy", "dtype"] = _Dtype
_PICKLE_NAMES["_codecs", "encode"] = _encode


class _Named(dict[Any, Any]):
    """A dictionary whose keys are text or numbers: tuples within tuples could take for ever to be hashed."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, str | bytes | int):
            raise pickle.UnpicklingError(f"a {type(key).__name__} as a key is not allowed")
        super().__setitem__(key, value)


class _Unpickler(pickle._Unpickler):
    """The unpickler written in Python: its opcodes can be restricted, and a wild memo index costs no memory."""

    dispatch: ClassVar[dict[int, Any]] = {
        getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]]
        for name in _PICKLE_OPCODES.split()
    }

    def load_empty_dictionary(self) -> None:
        self.append(_Named())  # type: ignore[attr-defined]

    def load_dict(self) -> None:
        items, named = self.pop_mark(), _Named()  # type: ignore[attr-defined]
        for key, value in zip(items[::2], items[1::2], strict=True):
            named[key] = value
        self.append(named)  # type: ignore[attr-defined]

    def load_bytearray8(self) -> None:
        (length,) = struct.unpack("<Q", self.read(8))  # type: ignore[attr-defined]
        self.append(bytearray(self.read(length)))  # type: ignore[attr-defined]  # the original takes the memory first

    dispatch[pickle.EMPTY_DICT[0]] = load_empty_dictionary
    dispatch[pickle.DICT[0]] = load_dict
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        if (module, name) not in _PICKLE_NAMES:
            raise pickle.UnpicklingError(f"it asks for {module[:60]}.{name[:60]}, which is not allowed")
        return _PICKLE_NAMES[module, name]


def read_pickle(path: Path, *, limit_bytes: int = 2**29) -> dict[str, Any]:
    """Read a pickled dictionary of arrays, lists, text and numbers, without running any code from it.

    Both forms of the published image sets are read: Python 2 opcodes (``numpy.core.multiarray``, byte strings) and
    pickles made again by Python 3 (``numpy._core``, ``_codecs.encode``), protocols 0 to 5.

    Args:
        path: the file.
        limit_bytes: largest size that is read.

    Returns:
        The dictionary with its keys as text; text of Python 2 stays bytes; arrays hold whole numbers or booleans and
        are read-only.

    Raises:
        DataError: absent, too large, cut short, altered, not a dictionary, or asking for anything that could run code.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit_bytes + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from None
    if len(content) > limit_bytes:
        raise DataError(f"{path} is larger than the {limit_bytes} bytes that are read at most.")
    try:
        loaded = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except (pickle.UnpicklingError, EOFError, ValueError, LookupError, AttributeError, TypeError, ArithmeticError,
            MemoryError, RecursionError, AssertionError, ImportError, struct.error) as error:  # fmt: skip
        said = f"{type(error).__name__}: {error}"[:160]
        raise DataError(f"{path} is cut short, altered, or not the expected pickle ({said}).") from None
    if not isinstance(loaded, _Named):
        raise DataError(f"{path} holds a {type(loaded).__name__}, not a dictionary.")
    plain = {}
    for key, value in loaded.items():
        name = key.decode("latin-1") if isinstance(key, bytes) else str(key)
        plain[name] = value.value if isinstance(value, _Array) else value
    return plain


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


#: Bytes of a file's name, on all common systems.
_LONGEST_NAME = 255
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


def download(
    urls: Sequence[str],
    path: Path,
    *,
    size: int,
    sha256: str,
    progress: Callable[[int, int], None] | None = None,
    timeout_s: float = 30.0,
) -> None:
    """Fetch a file whose size and digest are known; it appears under its name only after both were checked.

    What has arrived is kept beside it as ``NAME.part`` and a later call goes on from there.

    Args:
        urls: addresses of the same file, tried in turn; ``https``, of this machine itself also ``http``.
        path: the file to make; nothing is fetched when it is there with the right size and digest.
        size: its number of bytes.
        sha256: its SHA-256, hexadecimal.
        progress: called with (bytes so far, bytes in all).
        timeout_s: seconds of silence after which an address is given up.

    Raises:
        DataError: no address answered, or what came has another size or digest (it is removed then).
    """
    if path.exists() and path.stat().st_size == size and file_digest(path) == sha256:
        return
    part = path.with_name(path.name + ".part")
    failures = []
    for url in urls:
        try:
            _fetch(url, part, size, progress, timeout_s)
        except (OSError, http.client.HTTPException, ValueError) as error:
            failures.append(f"{url}: {getattr(error, 'reason', None) or error or type(error).__name__}")
            continue
        if part.stat().st_size == size and file_digest(part) == sha256:
            part.replace(path)
            return
        failures.append(f"{url}: what came is not the official file (size or sha256 differs), so it was removed")
        part.unlink()
    raise DataError(f"could not fetch {path.name} ({'; '.join(failures)}).", "check the network and try again.")


#: What is fetched: nothing that others on the way could read or change; digests are checked all the same.
_FETCHED = ("https://", "http://127.0.0.1:", "http://localhost:")


def _fetch(url: str, part: Path, size: int, progress: Callable[[int, int], None] | None, timeout_s: float) -> None:
    """Append to ``part`` what is missing of ``url``; raises OSError or HTTPException when it breaks off."""
    if not url.startswith(_FETCHED):
        raise ValueError("only https addresses are fetched")
    done = part.stat().st_size if part.exists() else 0
    if done >= size:
        if done == size:
            return
        part.unlink()
        done = 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})  # noqa: S310 (checked above)
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
        if done and not (answer.status == 206 and str(answer.headers["Content-Range"]).startswith(f"bytes {done}-")):
            done = 0  # the server sends all of it again
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab" if done else "wb") as file:
            while piece := answer.read(2**18):
                done += len(piece)
                if done > size:
                    break  # the caller sees the wrong size
                file.write(piece)
                if progress is not None:
                    progress(done, size)
            if done > size:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
    if done < size:
        raise OSError(f"the connection ended after {done} of {size} bytes")
