"""Exact-resume checkpoints and final weights; nothing here unpickles code."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
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
    for name, mask in masks.items():
        packed = np.packbits(mask.cpu().contiguous().numpy().reshape(-1))
        tensors[f"{_MASK}{name}"] = torch.from_numpy(packed)
    header = {"regrow": json.dumps({"schema": SCHEMA, **meta}, sort_keys=True)}
    files.write_bytes(path, save_tensors(tensors, metadata=header))


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
    masks = {name.removeprefix(_MASK): value for name, value in stored.items() if name.startswith(_MASK)}
    tensors = {name: value for name, value in stored.items() if not name.startswith(_MASK)}
    if not isinstance(meta, dict):
        raise DataError(f"{path} says of itself what regrow has not written.", "train the run again.")
    return Weights(tensors, {name: _unpacked(path, name, packed, tensors) for name, packed in masks.items()}, meta)


def _unpacked(path: Path, name: str, packed: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
    weight = tensors.get(name)
    if weight is None or packed.dtype != torch.uint8 or packed.shape != ((weight.numel() + 7) // 8,):
        raise DataError(f"{path} has a mask that does not fit a tensor {name!r}.", "train the run again.")
    flat = np.unpackbits(packed.numpy(), count=weight.numel()).astype(bool)
    return torch.from_numpy(flat).reshape(weight.shape)
