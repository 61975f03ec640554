"""Exact-resume checkpoints and final weights; nothing here unpickles code.

In a compact file of weights a sparse one lies as ``active:NAME``: its active values alone, in C order. ``mask:NAME``,
and the shapes that the header keeps under ``compact``, tell where they belong; everything else is +0.
"""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from regrow import files
from regrow.errors import DataError

SCHEMA = 1
#: What stands before the name of a mask.
_MASK = "mask:"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a resume state atomically.

    Args:
        path: ``checkpoint.pt`` of the run.
        state: tensors and plain containers only (must load with ``weights_only=True``).
    """
    buffer = io.BytesIO()
    torch.save({"schema": SCHEMA, **state}, buffer)
    files.write_bytes(path, buffer.getvalue())


def load_checkpoint(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """Read a resume state; None when there is none.

    Raises:
        DataError: the file is damaged or belongs to a run with other settings.
    """
    if not path.exists():
        return None
    try:
        files.require_stored(path)
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 (torch raises several kinds for one damaged file)
        raise DataError(
            f"checkpoint {path} is damaged ({type(error).__name__}).", f"remove it to train this run anew: rm {path}"
        ) from None
    if not isinstance(state, dict) or (state.get("schema"), state.get("fingerprint")) != (SCHEMA, fingerprint):
        raise DataError(
            f"checkpoint {path} belongs to a run with other settings.",
            f"choose another --out, or remove it to train this run anew: rm {path}",
        )
    return state


@dataclass(frozen=True)
class Weights:
    """Final weights of a run.

    Attributes:
        tensors: state dict of the network.
        masks: name -> bool mask of its weight, C order; only of sparse layers.
        meta: what the network is (data, model, method ...), as JSON values.
    """

    tensors: dict[str, Tensor]
    masks: dict[str, Tensor]
    meta: dict[str, Any]


def save_weights(path: Path, model: nn.Module, masks: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write ``model.safetensors``: weights, masks as packed bits (``mask:NAME``, C order, big-endian bits), settings.

    The bytes depend on the weights, masks and ``meta`` alone.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    header = {"regrow": json.dumps({"schema": SCHEMA, **meta}, sort_keys=True)}
    files.write_bytes(path, save_tensors({**tensors, **_packed(masks)}, metadata=header))


def save_compact_weights(path: Path, weights: Weights) -> None:
    """Write weights in a safetensors file that holds of a sparse weight its active values and its mask alone.

    ``load_weights`` gives every bit back: a weight with something else than +0 outside its mask is stored whole.

    Args:
        path: the file.
        weights: tensors contiguous, on the CPU, as ``load_weights`` gives them.
    """
    stored, shapes = {}, {}
    for name, value in weights.tensors.items():
        mask = weights.masks.get(name)
        if mask is not None and not bool(mask.all()) and _same_bits(_spread(value[mask], mask), value):
            stored[f"active:{name}"], shapes[name] = value[mask], list(value.shape)
        else:
            stored[name] = value
    # one key alone: the library does not keep an order of several
    header = {"regrow": json.dumps({**weights.meta, "compact": shapes}, sort_keys=True)}
    files.write_bytes(path, save_tensors({**stored, **_packed(weights.masks)}, metadata=header))


def load_weights(path: Path) -> Weights:
    """Read ``model.safetensors`` (or anyone's safetensors file: then ``meta`` and ``masks`` are empty).

    Raises:
        DataError: the file is absent or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {}).get("regrow", "{}"))
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator of its own)
    except FileNotFoundError:
        raise DataError(f"{path} is not there.", "train the run first, or name another file.") from None
    except (SafetensorError, ValueError, OSError, RecursionError, RuntimeError, LookupError) as error:
        raise DataError(f"{path} is not a readable safetensors file ({error}).") from None
    if not isinstance(meta, dict):
        raise DataError(f"{path} says of itself what regrow has not written.", "train the run again.")
    shapes = meta.pop("compact", {})
    packed = {name.removeprefix(_MASK): value for name, value in stored.items() if name.startswith(_MASK)}
    try:
        of_sparse = {f"active:{name}" for name in shapes}
        tensors = {name: v for name, v in stored.items() if name not in of_sparse and not name.startswith(_MASK)}
        known = {name: list(value.shape) for name, value in tensors.items()} | shapes
        masks = {name: _unpacked(bits, known[name]) for name, bits in packed.items()}
        tensors |= {name: _spread(stored[f"active:{name}"], masks[name]) for name in shapes}
    except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"{path} holds weights and masks that do not fit each other ({said}).", "train the run again."
        ) from None
    return Weights(tensors, masks, meta)


def _packed(masks: dict[str, Tensor]) -> dict[str, Tensor]:
    bits = {name: np.packbits(mask.cpu().contiguous().numpy().reshape(-1)) for name, mask in masks.items()}
    return {f"{_MASK}{name}": torch.from_numpy(one) for name, one in bits.items()}


def _unpacked(bits: Tensor, shape: list[int]) -> Tensor:
    n = math.prod(shape)
    if bits.dtype != torch.uint8 or len(bits) != (n + 7) // 8:
        raise ValueError(f"{len(bits)} bytes of a mask of shape {shape}")
    return torch.from_numpy(np.unpackbits(bits.numpy(), count=n).astype(bool)).reshape(shape)


def _spread(active: Tensor, mask: Tensor) -> Tensor:
    """A weight from its active values in C order, +0 elsewhere."""
    if active.shape != (int(mask.sum()),):
        raise ValueError(f"{tuple(active.shape)} active values, {int(mask.sum())} in the mask")
    weight = torch.zeros(mask.shape, dtype=active.dtype)
    weight[mask] = active
    return weight


def _same_bits(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))
