"""A trained network as a folder to share, in the form that Hugging Face keeps networks in, and back again.

    saved = save_pretrained(weights, Path("my-network"))     model.safetensors and config.json
    model = from_pretrained("my-network")                    the same network, to the bit, in evaluation mode

``model.safetensors`` holds the weights, a sparse one as its mask and its active values, and what they are;
``config.json`` tells that to people and to other tools, and knows the digest of the file beside it. The folder holds no
code, and none runs because of what it says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import torch
from torch import nn

import regrow
from regrow import files
from regrow.data.spec import DataSpec
from regrow.errors import DataError, InputError, RegrowError
from regrow.models.user import is_users, named, source_digest, source_file
from regrow.study.execute import restore, spec_of, trained
from regrow.study.networks import settings_of
from regrow.training.checkpoint import Weights, load_weights, save_compact_weights
from regrow.training.settings import RunSettings

__all__ = ["CARD", "CONFIG", "WEIGHTS", "Saved", "from_pretrained", "save_pretrained"]

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
MODEL_TYPE = "regrow"


@dataclass(frozen=True)
class Saved:
    """A network in its folder.

    Attributes:
        config: what ``config.json`` holds.
        settings: everything that made it.
        spec: facts of the data that it was trained on.
        bytes: of ``model.safetensors``.
        dense_bytes: of all its tensors, zeros stored.
        density: active share of the weights that have masks; 1 where none has.
    """

    config: Mapping[str, Any]
    settings: RunSettings
    spec: DataSpec
    bytes: int
    dense_bytes: int
    density: float


def save_pretrained(weights: Weights, folder: Path, *, file: Path) -> Saved:
    """Write ``model.safetensors`` and ``config.json``, and see that they give the same network.

    Folders of this machine are left out of what is written: of a path, its last part stays.

    Args:
        weights: of a run.
        folder: where to; made if absent, files of these names are replaced.
        file: where the weights were read, for messages.

    Raises:
        InputError: the weights are not of regrow, or the network cannot be built here.
        RegrowError: what was written gives other outputs.
    """
    weights = replace(weights, meta=_without_places(weights.meta))
    settings = trained(settings_of(weights, file))
    spec = _spec(weights, settings, file)
    model = restore(weights, settings)
    save_compact_weights(folder / WEIGHTS, weights)
    n_masked = sum(mask.numel() for mask in weights.masks.values())
    density = sum(int(mask.sum()) for mask in weights.masks.values()) / n_masked if n_masked else 1.0
    dense = sum(value.numel() * value.element_size() for value in weights.tensors.values())
    name = settings.model.name
    config: dict[str, Any] = {
        "model_type": MODEL_TYPE,
        "architecture": name,
        "num_labels": spec.n_classes,
        "id2label": {str(number): label for number, label in enumerate(spec.classes)},
        "input": {"shape": list(spec.input_shape), "mean": list(spec.mean), "std": list(spec.std)},
        "network_file": _network_file(name),
        "weights": {
            "file": WEIGHTS,
            "sha256": files.file_digest(folder / WEIGHTS),
            "bytes": (folder / WEIGHTS).stat().st_size,
            "dense_bytes": dense,
            "density": density,
        },
        "regrow": {"version": regrow.__version__, "run": weights.meta},
    }
    files.write_json(folder / CONFIG, config)
    _require_same(model, folder, spec, name if is_users(name) else None)
    return Saved(config, settings, spec, config["weights"]["bytes"], dense, density)


def from_pretrained(folder: str | Path, *, network: str | None = None) -> nn.Module:
    """The network of a folder that ``regrow export --hub`` wrote: the same logits as the run's own, to the bit.

    Args:
        folder: on this machine; nothing is fetched.
        network: ``module:function`` of your own that makes the network; needed where the folder names one, since what
            the folder says is never imported.

    Returns:
        The network in evaluation mode, on the processor; it maps normalised images (or clips) to logits, see ``input``
        of ``config.json`` and the card.

    Raises:
        InputError: no such folder, or a network of its author's that ``network`` does not name.
        DataError: files that are missing, damaged, or do not belong together.
    """
    place = Path(folder)
    if not place.is_dir():
        raise InputError(
            f"{place} is no folder.", "fetch it first, e.g. `hf download OWNER/NAME --local-dir DIR`, and give DIR."
        )
    config, weights = files.read_json(place / CONFIG), load_weights(place / WEIGHTS)
    _check(config, weights, place)
    settings = trained(settings_of(weights, place / WEIGHTS))
    _spec(weights, settings, place / WEIGHTS)
    _check_network(settings.model.name, network, config, place)
    with named(network):
        return restore(weights, settings).eval()


def _check(config: Any, weights: Weights, place: Path) -> None:
    """Refuse files that were not written together."""
    if not isinstance(config, dict) or config.get("model_type") != MODEL_TYPE:
        raise DataError(f"{place / CONFIG} was not written by regrow.", "give a folder of `regrow export --hub`.")
    told, said = config.get("weights"), config.get("regrow")
    digest = told.get("sha256") if isinstance(told, dict) else None
    if digest != files.file_digest(place / WEIGHTS) or not isinstance(said, dict) or said.get("run") != weights.meta:
        raise DataError(f"{CONFIG} and {WEIGHTS} of {place} do not belong together.", "fetch both again.")


def _check_network(name: str, given: str | None, config: Mapping[str, Any], place: Path) -> None:
    """Let a network of its author's be imported only where the caller named it, and is it the same file."""
    if given is not None and given != name:
        raise InputError(f"the network of {place} is {name}, not {given}.", f"give network={name!r}, or leave it out.")
    if not is_users(name):
        return
    said = config.get("network_file")
    source = said if isinstance(said, dict) else {}
    what = f"{source.get('name') or 'its file'}, SHA-256 {source.get('sha256') or 'unknown'}"
    if given is None:
        raise InputError(
            f"the network of {place} is its author's own, {name} ({what}).",
            f"get that file, put it where Python finds it, and give network={name!r}.",
        )
    if source_digest(name) != source.get("sha256"):
        raise InputError(f"{name} is not the network that the weights of {place} are of ({what}).", "get that file.")


def _network_file(name: str) -> dict[str, Any] | None:
    """Which file a network of the user's is in: its name and digest, never its folder."""
    if not is_users(name):
        return None
    source = source_file(name)
    return {"name": None if source is None else source.name, "sha256": source_digest(name)}


def _spec(weights: Weights, settings: RunSettings, file: Path) -> DataSpec:
    try:
        return spec_of(weights, settings)
    except RegrowError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file} does not say what data it is for ({type(error).__name__}: {error}).") from None


def _without_places(value: Any) -> Any:
    """Nested JSON values, of absolute paths only the last part."""
    if isinstance(value, Mapping):
        return {key: _without_places(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_places(inner) for inner in value]
    if isinstance(value, str):
        kind = next((k for k in (PurePosixPath, PureWindowsPath) if k(value).is_absolute()), None)
        return value if kind is None else kind(value).name
    return value


def _require_same(model: nn.Module, folder: Path, spec: DataSpec, network: str | None) -> None:
    """Read the folder back, and refuse it when a bit of its logits is another."""
    again, n = from_pretrained(folder, network=network), 2 * math.prod(spec.input_shape)
    example = torch.linspace(-2, 2, n).reshape(2, *spec.input_shape)
    with torch.no_grad():
        expected, got = model.eval()(example), again(example)
    if not torch.equal(expected.view(torch.uint8), got.view(torch.uint8)):
        raise RegrowError(f"the network of {folder} gives other outputs than the run's.", "please report the network.")
