"""Weights that others have saved: read without running any code of their file, and put into a network.

tensors = read_state_dict(Path("mine.pt"))       safetensors, or what torch.save wrote
outputs_of(tensors, model, n_classes)            how many classes they are for
fit(model, tensors, "mine.pt", "my_net:build")   load them, or say in one line what does not fit
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regrow import files
from regrow.errors import DataError, InputError
from regrow.training.checkpoint import load_weights

#: Keys under which training codes keep a state dict in what they save, the first that is there.
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
#: What training codes put before all names: ``DataParallel``, ``torch.compile``, Lightning and their like.
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")

_GLOBAL = re.compile(r"(?:GLOBAL|[Gg]lobal:?)\s+([A-Za-z_][\w.]*\.\w+)")
_AS_TENSORS = "save its state dict: torch.save(model.state_dict(), FILE), or as safetensors."


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU.

    Args:
        path: ``.safetensors``, or a file of ``torch.save``: a state dict, or a mapping that holds one (``WRAPPERS``).

    Raises:
        DataError: it is absent, damaged, holds no tensors, or is more than tensors: code is never unpickled.
    """
    if path.suffix == ".safetensors":
        return load_weights(path).tensors
    found = _loaded(path)
    for _ in range(2):  # a wrapper in a wrapper, as some trainers leave it
        inner = found if isinstance(found, Mapping) else {}
        found = next((inner[key] for key in WRAPPERS if isinstance(inner.get(key), Mapping)), found)
    items = [(str(k), v) for k, v in found.items() if isinstance(k, str | int)] if _is_dict(found) else []
    tensors = {name: value.detach() for name, value in items if isinstance(value, Tensor)}
    if not tensors:
        keys = f"a mapping of {', '.join(name for name, _ in items[:5])}" if _is_dict(found) else type(found).__name__
        raise DataError(f"{path} holds no state dict ({keys or 'nothing'}).", _AS_TENSORS)
    return tensors


def _is_dict(value: object) -> bool:
    return isinstance(value, Mapping)


def _loaded(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they recommend to unpickle the file
            files.require_stored(path)
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"{path} is not there.", "correct the path.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder.", "give a .safetensors, .pt or .pth file.") from None
    except DataError:
        raise
    except pickle.UnpicklingError as error:
        code = _GLOBAL.search(str(error))
        what = f"asks for the code of {code.group(1)} to be run" if code else "is more than tensors"
        raise DataError(f"{path} {what}, which is never done: only tensors are read.", _AS_TENSORS) from None
    except Exception as error:  # noqa: BLE001 (torch raises many kinds for damaged files)
        if "TorchScript" in str(error):
            raise DataError(f"{path} is a TorchScript archive, which holds code: only tensors are read.", _AS_TENSORS) \
                from None  # fmt: skip
        raise DataError(
            f"{path} is empty, cut short or no file of torch.save ({type(error).__name__}).", "write or copy it again."
        ) from None


def aligned(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The tensors without what stands before all their names and before none of the network's."""
    found, names = dict(tensors), list(model.state_dict())
    while prefix := next(
        (p for p in PREFIXES if all(n.startswith(p) for n in found) and not all(n.startswith(p) for n in names)), None
    ):
        found = {name.removeprefix(prefix): value for name, value in found.items()}
    return found


def outputs_of(tensors: Mapping[str, Tensor], model: nn.Module, n_classes: int) -> int | None:
    """How many classes the tensors are for, where they fit the network but for that; ``None`` where they do not.

    Args:
        tensors: see :func:`read_state_dict`.
        model: the network, built for ``n_classes``.
        n_classes: its outputs.
    """
    given = aligned(tensors, model)
    numbers = {n_classes}
    for name, own in model.state_dict().items():
        theirs = given.get(name)
        if theirs is None or theirs.shape == own.shape:
            continue
        if not own.ndim or theirs.ndim != own.ndim or theirs.shape[1:] != own.shape[1:] or own.shape[0] != n_classes:
            return None
        numbers.add(theirs.shape[0])
    others = numbers - {n_classes}
    return n_classes if not others else others.pop() if len(others) == 1 else None


def fit(model: nn.Module, tensors: Mapping[str, Tensor], file: str, name: str) -> None:
    """Load tensors into a network, all of them and nothing else.

    Args:
        model: the network.
        tensors: see :func:`read_state_dict`; what stands before all names is left out, see :func:`aligned`.
        file: what messages call the tensors.
        name: what messages call the network.

    Raises:
        InputError: some are missing, unexpected or of another shape; it counts each and names the first.
    """
    given, own = aligned(tensors, model), model.state_dict()
    missing = [n for n in own if n not in given and not n.endswith("num_batches_tracked")]  # old files have none
    unexpected = [n for n in given if n not in own]
    other = [n for n in own if n in given and own[n].shape != given[n].shape]
    said = []
    if missing:
        said.append(f"{_count(missing)} missing (first: {missing[0]}, {_shape(own[missing[0]])})")
    if unexpected:
        said.append(f"{_count(unexpected)} unexpected (first: {unexpected[0]}, {_shape(given[unexpected[0]])})")
    if other:
        first = other[0]
        shapes = f"{_shape(given[first])} in the file, {_shape(own[first])} in the network"
        said.append(f"{_count(other)} of another shape (first: {first}, {shapes})")
    if said:
        raise InputError(
            f"{file} does not fit {name}: {', '.join(said)}.",
            "give the weights of this network, or name the one that they are of, with its options.",
        )
    model.load_state_dict(given, strict=False)


def _count(names: list[str]) -> str:
    return "1 tensor is" if len(names) == 1 else f"{len(names)} tensors are"


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a single number"
