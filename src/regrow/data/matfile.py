"""Tables of MATLAB's files (version 5), read within the bounds of the file.

scipy's reader takes memory for what a header claims before it looks for the content, and a damaged byte may claim all
of the machine's. Here every value is taken from bytes that are there, so the file bounds the memory.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

#: Most bytes that the compressed variables of a file may unpack to.
MOST_BYTES = 2**27

#: Length of the header, which says the version and the order of bytes in its last four.
_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
#: Data types of numbers, by struct's letters.
_NUMBERS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}
#: Data types of text: coded ones, and characters as numbers.
_CODED = {16: "utf-8", 17: "utf-16", 18: "utf-32"}
#: Classes of arrays.
_CELL, _STRUCT, _CHAR, _NUMERIC = 1, 2, 4, range(6, 16)
#: Arrays within arrays that are followed.
_DEEPEST = 8


def variables(content: bytes, *, limit_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """The variables of a file: numbers as lists, text as text, cells as lists, structures as lists of dictionaries.

    Shapes are left out: an array is the list of its values in MATLAB's order.

    Args:
        content: of the file.
        limit_bytes: largest size that a compressed variable may have.

    Raises:
        ValueError: it is no such file, or damaged.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[_HEADER - 2 : _HEADER])
    if order is None:
        raise ValueError("no MATLAB 5 file")
    found = {}
    for kind, part in _elements(content[_HEADER:], order):
        if kind == _COMPRESSED:
            part = _unpacked(part, limit_bytes)
            kind, part = next(_elements(part, order), (0, b""))
        if kind == _MATRIX:
            name, value = _matrix(part, order, 0)
            found[name] = value
    return found


def _unpacked(part: bytes, limit_bytes: int) -> bytes:
    try:
        content = zlib.decompressobj().decompress(part, limit_bytes + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(content) > limit_bytes:
        raise ValueError(f"a variable of more than {limit_bytes} bytes")
    return content


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Data type and bytes of each element; those of up to four bytes lie within their tag."""
    at = 0
    while at + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        if kind >> 16:
            kind, size, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        else:
            start = at + 8
            end = start + size + (-size % 8 if kind != _COMPRESSED else 0)
        if start + size > min(end, len(content)):
            raise ValueError("an element is cut short")
        yield kind, content[start : start + size]
        at = end


def _matrix(content: bytes, order: str, depth: int) -> tuple[str, Any]:
    """Name and value of an array."""
    if not content:
        return "", []
    if depth > _DEEPEST:
        raise ValueError("arrays within arrays without end")
    parts = _elements(content, order)
    flags, shape = _numbers(parts, order), _numbers(parts, order)
    name, kind = _text(*_next(parts), order), int(flags[0]) & 0xFF
    if any(side < 0 for side in shape):
        raise ValueError("an array of negative size")
    n = math.prod(map(int, shape))
    if kind == _STRUCT:
        return name, _structures(parts, n, order, depth)
    if kind == _CELL:
        return name, _arrays(parts, n, order, depth)
    if kind == _CHAR:
        return name, _text(*_next(parts), order) if n else ""
    if kind not in _NUMERIC:
        raise ValueError(f"an array of class {kind}")
    values = _numbers(parts, order) if n else []
    if len(values) != n:
        raise ValueError(f"{len(values)} numbers of {n}")
    return name, values


def _structures(parts: Iterator[tuple[int, bytes]], n: int, order: str, depth: int) -> list[dict[str, Any]]:
    width, (_, names) = int(_numbers(parts, order)[0]), _next(parts)
    if width < 1 or not names:
        raise ValueError("a structure without fields")
    fields = [names[i : i + width].split(b"\0")[0].decode("ascii") for i in range(0, len(names), width)]
    values = iter(_arrays(parts, n * len(fields), order, depth))
    return [{field: next(values) for field in fields} for _ in range(n)]


def _arrays(parts: Iterator[tuple[int, bytes]], n: int, order: str, depth: int) -> list[Any]:
    """The next so many arrays: a list grows with what is there, whatever number was claimed."""
    found: list[Any] = []
    while len(found) < n:
        kind, part = _next(parts)
        if kind != _MATRIX:
            raise ValueError(f"data of type {kind} in place of an array")
        found.append(_matrix(part, order, depth + 1)[1])
    return found


def _next(parts: Iterator[tuple[int, bytes]]) -> tuple[int, bytes]:
    try:
        return next(parts)
    except StopIteration:
        raise ValueError("less data than it claims") from None


def _numbers(parts: Iterator[tuple[int, bytes]], order: str) -> list[int | float]:
    kind, part = _next(parts)
    if kind not in _NUMBERS or len(part) % struct.calcsize(f"={_NUMBERS[kind]}"):
        raise ValueError(f"data of type {kind} in place of numbers")
    n = len(part) // struct.calcsize(f"={_NUMBERS[kind]}")
    return list(struct.unpack(f"{order}{n}{_NUMBERS[kind]}", part))


def _text(kind: int, part: bytes, order: str) -> str:
    if kind in _CODED:
        return part.decode(_CODED[kind] if kind == 16 else f"{_CODED[kind]}-{'le' if order == '<' else 'be'}")
    return "".join(map(chr, _numbers(iter([(kind, part)]), order)))  # type: ignore[arg-type]
