"""``.rgz``, the compact file of a sparse network: mask bits and active values; bit for bit the same when loaded.

Layout, little-endian throughout::

    8 bytes   b"regrowZ1"
    8 bytes   length of the header, unsigned
    header    JSON: format, version, meta, total_active, tensors [{name, shape, dtype, coding, n_active}, ...]
    payload   the tensors one after the other, as their coding says, values in C order
    32 bytes  SHA-256 of everything before

Codings: ``dense`` all values; ``full`` the same, with a mask that is True everywhere; ``bits`` the mask as
``np.packbits(mask, bitorder="little")``, then the values under it (all others are +0); ``dense+bits`` the mask and all
values, for a tensor with something else than +0 outside its mask. A masked layer takes n * b + N / 8 bytes for n active
of N weights of b bytes. Nothing is lossy, and loading runs no code from the file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from regrow import files
from regrow.errors import DataError, InputError

__all__ = ["CompactSize", "information_limit", "load_compact", "save_compact"]

MAGIC = b"regrowZ1"
FORMAT, VERSION = "regrow-compact", 1
DIGEST_BYTES = 32
CODINGS = ("dense", "full", "bits", "dense+bits")
_TYPES = (
    "float64 float32 float16 bfloat16 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz int64 int32 int16 int8 "
    "uint64 uint32 uint16 uint8 bool complex64 complex128"
)
DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in _TYPES.split() if hasattr(torch, name)}
NAMES = {dtype: name for name, dtype in DTYPES.items()}

Bytes = npt.NDArray[np.uint8]


class CompactSize(NamedTuple):
    """Bytes of a written file: all, values of masked layers, mask bits, dense rest, and header with digest."""

    total: int
    values: int
    masks: int
    dense: int
    header: int


def information_limit(n: int, k: int) -> float:
    """Bits that any code needs to tell which ``k`` of ``n`` weights are active: log2 of n choose k.

    A mask of ``n`` bits is at the limit (to a few bits) at density 0.5; at 0.1 it takes twice what it needs.

    Raises:
        InputError: not 0 <= k <= n.

    Example:
        >>> information_limit(4, 2) == math.log2(6)
        True
        >>> round(information_limit(10**6, 500_000) / 10**6, 4), round(information_limit(10**6, 100_000) / 10**6, 4)
        (1.0, 0.469)
    """
    if not 0 <= k <= n:
        raise InputError(f"k must be in 0 to n = {n}, got {k}.")
    if n <= 1000:
        return math.log2(math.comb(n, k))
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)


def save_compact(
    path: Path, state_dict: Mapping[str, Tensor], masks: Mapping[str, Tensor], meta: Mapping[str, Any] | None = None
) -> CompactSize:
    """Write a network's state and masks as one compact file, atomically.

    Args:
        path: file to write, by custom ``NAME.rgz``.
        state_dict: name -> tensor on any device, of any plain type (bfloat16 included).
        masks: name in ``state_dict`` -> bool tensor of the same shape, True = active.
        meta: JSON values to keep with it: method, settings, step.

    Returns:
        Bytes by part.

    Raises:
        InputError: a mask without a tensor or of another shape, a value that is no plain tensor, or meta that is not
            JSON.
    """
    _check(state_dict, masks)
    entries: list[dict[str, Any]] = []
    sizes = {"values": 0, "masks": 0, "dense": 0}
    for name, tensor in state_dict.items():
        coding, n_active = _coding(tensor, masks.get(name))
        entry: dict[str, Any] = {
            "name": name,
            "shape": list(tensor.shape),
            "dtype": NAMES[tensor.dtype],
            "coding": coding,
        }
        entries.append(entry if n_active is None else {**entry, "n_active": n_active})
    total = sum(int(entry.get("n_active", 0)) for entry in entries)
    top = {"format": FORMAT, "version": VERSION, "meta": dict(meta or {}), "total_active": total, "tensors": entries}
    try:
        header = json.dumps(top, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InputError(
            f"meta is not JSON ({error}).", "give texts, finite numbers, lists and dictionaries."
        ) from None
    digest = hashlib.sha256()
    with files.atomic_path(path) as temporary, temporary.open("wb") as file:
        for piece in (MAGIC, len(header).to_bytes(8, "little"), header):
            digest.update(piece)
            file.write(piece)
        for entry, (name, tensor) in zip(entries, state_dict.items(), strict=True):
            for part, content in _encode(entry["coding"], tensor, masks.get(name)):
                digest.update(content.data)
                file.write(content.data)
                sizes[part] += content.size
        file.write(digest.digest())
    size = 16 + len(header) + DIGEST_BYTES
    return CompactSize(size + sum(sizes.values()), sizes["values"], sizes["masks"], sizes["dense"], size)


def load_compact(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """Read a compact file.

    Returns:
        (state dict, masks, meta) as they were given to `save_compact`, on the CPU, contiguous.

    Raises:
        DataError: the file is absent, cut short, altered, or of another format.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is not there.", "name a file that `regrow export` wrote.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).", "name a .rgz file.") from None
    body = memoryview(content)[:-DIGEST_BYTES]
    if content[: len(MAGIC)] != MAGIC:
        raise DataError(f"{path} is not a regrow compact file.", "name a .rgz file.")
    if len(content) < 16 + DIGEST_BYTES or hashlib.sha256(body).digest() != content[-DIGEST_BYTES:]:
        raise DataError(f"{path} is cut short or altered (its SHA-256 differs).", "copy or export it again.")
    try:
        return _decode(body)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, RuntimeError) as error:
        said = " ".join(str(error).split())[:120]
        raise DataError(f"{path} has a header that cannot be ({type(error).__name__}: {said}).") from None


def _check(state_dict: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
    for name, tensor in state_dict.items():
        if not isinstance(tensor, Tensor) or tensor.layout is not torch.strided or tensor.dtype not in NAMES:
            what = f"{tensor.dtype}, {tensor.layout}" if isinstance(tensor, Tensor) else type(tensor).__name__
            raise InputError(f"{name} is not a plain tensor ({what}).", f"types are {_TYPES.replace(' ', ', ')}.")
    for name, mask in masks.items():
        if name not in state_dict:
            raise InputError(f"there is a mask for {name!r}, which the state does not hold.", "give both of one model.")
        if mask.dtype != torch.bool or mask.shape != state_dict[name].shape:
            shapes = f"{tuple(mask.shape)} {mask.dtype} for {tuple(state_dict[name].shape)}"
            raise InputError(f"the mask of {name} does not fit: {shapes}.", "give a bool mask of the weight's shape.")


def _rows(tensor: Tensor) -> Bytes:
    """The bytes of a tensor, one row an element, C order."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    rows: Bytes = flat.view(torch.uint8).numpy().reshape(flat.numel(), tensor.element_size())
    return rows


def _flat(mask: Tensor) -> npt.NDArray[np.bool_]:
    flat: npt.NDArray[np.bool_] = mask.detach().cpu().contiguous().reshape(-1).numpy()
    return flat


def _coding(tensor: Tensor, mask: Tensor | None) -> tuple[str, int | None]:
    """The smallest coding that loses nothing, and the number of active weights."""
    if mask is None:
        return "dense", None
    active, rows = _flat(mask), _rows(tensor)
    n_active = int(active.sum())
    if n_active == active.size:
        return "full", n_active
    return ("dense+bits" if rows[~active].any() else "bits"), n_active


def _encode(coding: str, tensor: Tensor, mask: Tensor | None) -> Iterator[tuple[str, Bytes]]:
    rows = _rows(tensor)
    if mask is None or coding == "full":
        yield ("dense" if mask is None else "values"), np.ascontiguousarray(rows).reshape(-1)
        return
    active = _flat(mask)
    yield "masks", np.packbits(active, bitorder="little")
    yield "values", np.ascontiguousarray(rows[active] if coding == "bits" else rows).reshape(-1)


def _decode(body: memoryview) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    length = int.from_bytes(body[8:16], "little")
    if length > len(body) - 16:
        raise ValueError("longer than the file")
    header = json.loads(bytes(body[16 : 16 + length]))
    if (header["format"], header["version"]) != (FORMAT, VERSION):
        raise ValueError(f"format {header['format']!r} version {header['version']!r} is not {FORMAT!r} {VERSION}")
    place = 16 + length
    state: dict[str, Tensor] = {}
    masks: dict[str, Tensor] = {}
    for entry in header["tensors"]:
        place, name = _read(body, place, entry, state, masks), entry["name"]
        if name in masks and int(masks[name].sum()) != entry["n_active"]:
            raise ValueError(f"{name} has another number of active weights")
    if place != len(body) or len(state) != len(header["tensors"]):
        raise ValueError("the tensors do not fill the file")
    if sum(int(mask.sum()) for mask in masks.values()) != header["total_active"]:
        raise ValueError("another number of active weights in all")
    return state, masks, dict(header["meta"])


def _read(
    body: memoryview, place: int, entry: dict[str, Any], state: dict[str, Tensor], masks: dict[str, Tensor]
) -> int:
    """Read one tensor into ``state`` and ``masks``; the place after it. What the file cannot hold raises ValueError."""
    name, shape, coding, dtype = entry["name"], entry["shape"], entry["coding"], DTYPES[entry["dtype"]]
    whole = all(type(side) is int and side >= 0 for side in shape)
    if type(name) is not str or not whole or coding not in CODINGS:
        raise ValueError(f"entry {str(name)[:40]!r}")
    numel, width = math.prod(shape), dtype.itemsize
    n_bits = (numel + 7) // 8 if coding in ("bits", "dense+bits") else 0
    if n_bits > len(body) - place:
        raise ValueError(f"{name} is longer than the file")
    bits = np.frombuffer(body[place : place + n_bits], np.uint8)
    active = np.unpackbits(bits, count=numel, bitorder="little").astype(bool) if n_bits else None
    place += n_bits
    n_values = int(active.sum()) if active is not None and coding == "bits" else numel
    values = np.frombuffer(body[place : place + n_values * width], np.uint8).reshape(n_values, width)
    rows = values.copy()
    if active is not None and coding == "bits":
        rows = np.zeros((numel, width), np.uint8)
        rows[active] = values
    state[name] = torch.from_numpy(rows.reshape(-1)).view(dtype).reshape(shape)
    if coding != "dense":
        masks[name] = torch.from_numpy(np.ones(numel, bool) if active is None else active).reshape(shape)
    return place + n_values * width
