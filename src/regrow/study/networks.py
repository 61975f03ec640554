"""A trained network from anywhere, ready for evaluation: a run of ours, a published one, or a user's own checkpoint."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import nn

from regrow import models
from regrow.data.on_disk import MEAN, STD
from regrow.data.spec import DataSpec
from regrow.errors import DataError, InputError
from regrow.models import InputSpec
from regrow.study.execute import restore, spec_of
from regrow.training.checkpoint import Weights, load_weights
from regrow.training.settings import DataSettings, RunSettings
from regrow.training.state_dict import fit, outputs_of, read_state_dict

#: File types of weights that do not say which network they are of.
_ALONE = (".pt", ".pth", ".ckpt", ".bin")
#: Side in pixels of the images of networks that do not tell theirs.
_SIDE = 224
_N_IMAGENET = 1000


@dataclass(frozen=True)
class CheckedModel:
    """A network ready for evaluation.

    Attributes:
        model: maps normalised images or clips to logits.
        name: what the user called it.
        source: where its weights come from, in words.
        spec: classes, image size, normalisation; ``frames`` where it takes clips.
        resize: side in pixels to which the shorter side of a picture is brought before the centre crop; ``None`` = as
            test pictures of a study are (:func:`regrow.data.pictures.prepare`).
        named: whether the classes have names; else these are their numbers.
        trained_on: of a run of ours: its data.
        notes: what must be said wherever its numbers appear.
    """

    model: nn.Module
    name: str
    source: str
    spec: DataSpec
    resize: int | None
    named: bool = True
    trained_on: DataSettings | None = None
    notes: tuple[str, ...] = ()


def open_model(
    name: str,
    weights: Path | None = None,
    n_classes: int | None = None,
    *,
    size: int | None = None,
    options: Mapping[str, Any] | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    like: DataSpec | None = None,
) -> CheckedModel:
    """A network from a run of ours, or by name with its published or with given weights.

    Args:
        name: a run's folder, its ``model.safetensors``, or a name of ``regrow list models``; all that follows is for
            names.
        weights: safetensors file or state dict of ``torch.save``; without it the published weights are used.
        n_classes: outputs, where neither weights nor network tell them.
        size: side in pixels of its images; by default the network's own, else that of ``like``, else 224.
        options: arguments of the network; ``width`` of networks of regrow's own.
        mean: normalisation, per channel of images in [0, 1]; by default the network's, else that of ``like``, else
            ImageNet's.
        std: standard deviation likewise.
        like: facts of the data set that it is for.

    Raises:
        InputError: no such network or file, or weights of another network.
    """
    path = Path(name)
    given = {"--weights": weights, "--size": size, "--model-option": options, "--mean": mean, "--std": std}
    if path.is_dir() or path.suffix == ".safetensors":
        said = next((key for key, value in given.items() if value), None)
        if said is not None:
            raise InputError(
                f"{said} is for networks by name, {name} is a run and says it itself.", f"leave {said} out."
            )
        return _own(path, name)
    if path.suffix in _ALONE or "/" in name:
        what = "holds weights alone" if path.is_file() else "is not there"
        raise InputError(
            f"{name} {what}.", "name a run's folder, or the network and its weights: --model timm:NAME --weights FILE."
        )
    if models.modality(name) in ("text", "audio"):
        raise InputError(f"{name} takes no images, and what it was trained on only a run says.", "give a run's folder.")
    if models.takes_clips(name):
        raise InputError(f"{name} takes clips, and how they are cut only a run says.", "give the folder of a run.")
    known = models.input_spec(name)
    spec = _spec(name, known, size, mean, std, like)
    if weights is None:
        return _published(name, known, spec, size, options)
    first = known.n_classes if known else n_classes or (like.n_classes if like else _N_IMAGENET)
    tensors = read_state_dict(weights)
    network = _build(name, first, spec, options)
    outputs = outputs_of(tensors, network, first)
    if outputs not in (first, None):
        assert outputs is not None
        first, network = outputs, _build(name, outputs, spec, options)
    fit(network, tensors, str(weights), name)
    classes, named = _class_names(first)
    notes = (f"images are normalised with mean {_numbers(spec.mean)} and std {_numbers(spec.std)}",)
    resize = _resize(known, spec.image_size)
    return CheckedModel(network, name, f"weights {weights}", replace(spec, classes=classes), resize, named, notes=notes)


def _spec(
    name: str,
    known: InputSpec | None,
    size: int | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    like: DataSpec | None,
) -> DataSpec:
    """What a network by name takes, without its classes."""
    facts = known or like
    return DataSpec(
        name=name,
        classes=(),
        image_size=size or (facts.image_size if facts else _SIDE),
        channels=3,
        mean=mean or (facts.mean if facts else MEAN),
        std=std or (facts.std if facts else STD),
        splits={},
        padding="zero",
        citation="",
        licence="",
        hint="",
    )


def _published(
    name: str, known: InputSpec | None, spec: DataSpec, size: int | None, options: Mapping[str, Any] | None
) -> CheckedModel:
    if known is None:
        raise InputError(
            f"{name} has no published weights, so there is nothing to check.",
            "add --weights FILE (safetensors, or a state dict of torch.save), or name a run's folder.",
        )
    model = models.build(
        name, known.n_classes, image_size=spec.image_size, options={**(options or {}), "pretrained": True}
    )
    classes, named = _class_names(known.n_classes)
    return CheckedModel(
        model, name, "published weights", replace(spec, classes=classes), _resize(known, spec.image_size), named
    )


def _build(name: str, n_classes: int, spec: DataSpec, options: Mapping[str, Any] | None) -> nn.Module:
    given = dict(options or {})
    width = None if ":" in name else given.pop("width", None)
    return models.build(name, n_classes, image_size=spec.image_size, width=width, options=given)


def _resize(known: InputSpec | None, side: int) -> int | None:
    return None if known is None else round(side * known.resize / known.image_size)


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _class_names(n: int) -> tuple[tuple[str, ...], bool]:
    """Folder names of ImageNet's classes (wnids, from timm's list) for 1,000 outputs, else the classes' numbers."""
    if n == _N_IMAGENET:
        try:
            info = importlib.import_module("timm.data").ImageNetInfo()
            return tuple(info.label_names()), True
        except (ImportError, RuntimeError):  # not installed, or its torchvision does not load
            pass
    return tuple(str(i) for i in range(n)), False


def settings_of(weights: Weights, file: Path) -> RunSettings:
    """Everything that made a run's weights.

    Args:
        weights: the run's.
        file: where they were read.

    Raises:
        InputError: they are not of regrow.
        DataError: this version does not know their settings.
    """
    if "settings" not in weights.meta:
        raise InputError(
            f"{file} was not written by regrow.",
            "give the folder of a run; or add the network: --model timm:NAME --weights FILE.",
        )
    try:
        return RunSettings.model_validate(weights.meta["settings"])
    except ValidationError as error:
        raise DataError(f"{file} has settings that this version does not know ({error.errors()[0]['msg']}).") from None


def _own(path: Path, name: str) -> CheckedModel:
    runs = sorted(p.name for p in (path / "runs").iterdir() if p.is_dir()) if (path / "runs").is_dir() else []
    if runs:
        raise InputError(
            f"{path} is a study of {len(runs)} runs.", f"give one of them, e.g. {path / 'runs' / runs[0]}."
        )
    file = path / "model.safetensors" if path.is_dir() else path
    weights = load_weights(file)
    settings = settings_of(weights, file)
    spec = spec_of(weights, settings)
    source = f"{settings.method.label or settings.method.name} at sparsity {settings.sparsity:g} on {spec.name}"
    resize = None if "size" in spec.options else spec.image_size  # pictures in files are prepared as for its tests
    return CheckedModel(restore(weights, settings), name, source, spec, resize, trained_on=settings.data)
