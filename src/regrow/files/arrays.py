"""Arrays of numpy's files, within bounds."""

from __future__ import annotations

import contextlib
import functools
import io
import math
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from regrow.errors import DataError

if TYPE_CHECKING:  # the command line must answer before numpy is loaded
    import numpy as np
    import numpy.typing as npt


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
