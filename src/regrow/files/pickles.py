"""The pickles in which image sets are published, without running code of theirs."""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from regrow.errors import DataError

if TYPE_CHECKING:  # the command line must answer before numpy is loaded
    import numpy as np
    import numpy.typing as npt


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
