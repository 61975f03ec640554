"""How one trained network stands up to the corruptions, on a folder of a user's own images."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from regrow import corruptions, models
from regrow.data import pictures
from regrow.data.spec import DataSpec
from regrow.errors import DataError, InputError
from regrow.evaluation.evaluate import evaluate_cell, predictor
from regrow.evaluation.live import live
from regrow.study.execute import restore, spec_of
from regrow.training.checkpoint import load_weights
from regrow.training.settings import RunSettings


@dataclass(frozen=True)
class CheckedModel:
    """A network ready for evaluation.

    Attributes:
        model: maps normalised images to logits.
        name: what the user called it.
        source: where its weights come from, in words.
        spec: classes, image size and normalisation.
        resize: side in pixels to which the shorter side of a picture is brought before the centre crop.
    """

    model: nn.Module
    name: str
    source: str
    spec: DataSpec
    resize: int


@dataclass(frozen=True)
class CheckResult:
    """Accuracy of a network on every cell.

    Attributes:
        checked: the network.
        folder: folder of the images.
        n_images: how many there were.
        skipped: names of files that could not be read, and why.
        accuracy: cell -> accuracy; clean is ``("clean", 0)``.
        scale: column of the corruption settings.
        scale_note: what must be said of it; empty when the size is a published one.
        examples: cell -> one image, uint8 (1, H, W, 3).
        mode: arithmetic of the corruptions.
        stored: whether the JPEG round trip of ImageNet-C's files was added.
    """

    checked: CheckedModel
    folder: Path
    n_images: int
    skipped: list[str]
    accuracy: dict[tuple[str, int], float]
    scale: str
    scale_note: str
    examples: dict[tuple[str, int], npt.NDArray[np.uint8]]
    mode: str = "fast"
    stored: bool = False


def open_model(name: str, weights: Path | None = None, n_classes: int | None = None) -> CheckedModel:
    """A network from a run of ours, or from timm or torchvision by name.

    Args:
        name: a run's folder, its ``model.safetensors``, or ``timm:NAME`` / ``torchvision:NAME``.
        weights: safetensors file for a named network; without it the published weights are used.
        n_classes: outputs of a named network with ``weights``; by default those of the published weights.

    Raises:
        InputError: no such network or file, or weights of another shape.
    """
    path = Path(name)
    if path.is_dir() or path.suffix == ".safetensors":
        return _own(path / "model.safetensors" if path.is_dir() else path, name)
    known = models.input_spec(name)
    if known is None:
        raise InputError(
            f"{name} has no published weights, so there is nothing to check.",
            "give the folder of a run, or timm:NAME or torchvision:NAME.",
        )
    model = models.build(
        name, n_classes or known.n_classes, image_size=known.image_size, options={} if weights else {"pretrained": True}
    )
    classes = _class_names(n_classes or known.n_classes)
    spec = DataSpec(
        name=name,
        classes=classes,
        image_size=known.image_size,
        channels=3,
        mean=known.mean,
        std=known.std,
        splits={},
        padding="zero",
        citation="",
        licence="",
        hint="",
    )
    if weights is not None:
        stored = load_weights(weights)
        try:
            model.load_state_dict(stored.tensors)
        except RuntimeError as error:
            first = str(error).splitlines()[-1].strip()
            raise InputError(f"{weights} does not fit {name}: {first}", "give the weights of this network.") from None
    return CheckedModel(model, name, f"weights {weights}" if weights else "published weights", spec, known.resize)


def _class_names(n: int) -> tuple[str, ...]:
    """Folder names of ImageNet's classes (wnids, from timm's list) for 1,000 outputs, else the classes' numbers."""
    if n == 1000:
        try:
            info = importlib.import_module("timm.data").ImageNetInfo()
            return tuple(info.label_names())
        except (ImportError, RuntimeError):  # not installed, or its torchvision does not load
            pass
    return tuple(str(i) for i in range(n))


def _own(path: Path, name: str) -> CheckedModel:
    weights = load_weights(path)
    if "settings" not in weights.meta:
        raise InputError(f"{path} was not written by regrow.", "add the network: --model timm:NAME --weights FILE.")
    settings = RunSettings.model_validate(weights.meta["settings"])
    spec = spec_of(weights, settings)
    source = f"{settings.method.label or settings.method.name} at sparsity {settings.sparsity:g} on {spec.name}"
    return CheckedModel(restore(weights, settings), name, source, spec, spec.image_size)


def read_folder(
    folder: Path, checked: CheckedModel, limit: int | None = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], list[str]]:
    """Images of a folder with one sub-folder a class, resized (bilinear, shorter side), centre-cropped, RGB.

    A sub-folder is a class by its name, or by its number where all names are numbers. A complete set of ImageNet's
    wnids is the classes in order even where their list is not at hand.

    Args:
        folder: root of the classes' folders.
        checked: gives classes and sizes.
        limit: at most so many images, spread over the classes; None = all.

    Returns:
        uint8 (n, S, S, 3), int64 (n,), and a line for each file that could not be read.

    Raises:
        DataError: no folder, no images, or folders that are no classes of the network.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder.", "give a folder with one sub-folder of images for each class.")
    groups = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not groups:
        raise DataError(f"{folder} has no sub-folders.", "put the images of each class into a sub-folder of its own.")
    classes = _class_numbers([p.name for p in groups], checked.spec.classes)
    found = [
        [(file, label) for file in pictures.files_below(group)] for group, label in zip(groups, classes, strict=True)
    ]
    turns = max(len(group) for group in found)
    chosen = [group[i] for i in range(turns) for group in found if i < len(group)][:limit]
    images, labels, skipped = [], [], []
    for file, label in chosen:
        try:
            images.append(_read_image(file, checked.spec.image_size, checked.resize))
            labels.append(label)
        except DataError as error:
            skipped.append(error.message)
    if not images:
        raise DataError(
            f"no image in {folder} can be read.", f"give files of type {', '.join(sorted(pictures.SUFFIXES))}."
        )
    return np.stack(images), np.array(labels, dtype=np.int64), skipped


def _class_numbers(names: list[str], classes: tuple[str, ...]) -> list[int]:
    by_name = {name: number for number, name in enumerate(classes)}
    if all(name in by_name for name in names):
        return [by_name[name] for name in names]
    if all(re.fullmatch(r"[0-9]+", name) and int(name) < len(classes) for name in names):
        return [int(name) for name in names]
    if len(names) == len(classes) and all(re.fullmatch(r"n[0-9]{8}", name) for name in names):
        return list(range(len(names)))
    strange = next(name for name in names if name not in by_name)
    raise DataError(
        f"folder {strange!r} is no class of the network.",
        f"name the folders after its {len(classes)} classes ({', '.join(classes[:4])}, ...), or by their numbers.",
    )


def _read_image(file: Path, size: int, resize: int) -> npt.NDArray[np.uint8]:
    from PIL import Image

    picture = pictures.open_picture(file)
    shorter = min(picture.size)
    width, height = (max(size, round(side * resize / shorter)) for side in picture.size)
    if (width, height) != picture.size:
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(picture.crop((left, top, left + size, top + size)), dtype=np.uint8)


def check(
    checked: CheckedModel,
    folder: Path,
    *,
    names: list[str] | None = None,
    severities: tuple[int, ...] = (1, 2, 3, 4, 5),
    limit: int | None = None,
    seed: int = 0,
    mode: str = "fast",
    stored: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CheckResult:
    """Corrupt a folder's images as they go and count the right answers.

    Args:
        checked: the network.
        folder: images by class.
        names: corruptions; None = all.
        severities: of 1 to 5.
        limit: at most so many images.
        seed: seed of the corruptions' draws.
        mode: arithmetic of the corruptions: ``"fast"`` or ``"exact"``.
        stored: add the JPEG round trip (quality 85) of ImageNet-C's files.
        progress: called with (cells done, all cells).
    """
    wanted = names or corruptions.names()
    for name in wanted:
        corruptions.get(name)
    images, labels, skipped = read_folder(folder, checked, limit)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    predict = predictor(checked.model.to(device), bf16=False, device=device)
    scale, note = corruptions.choose_scale(checked.spec.image_size)
    cells = [("clean", 0)] + [(name, s) for name in wanted for s in severities]
    accuracy: dict[tuple[str, int], float] = {}
    examples = {}
    for done, (name, severity) in enumerate(cells):
        progress(done, len(cells))
        change = live(name, severity, seed=seed, mode=mode, stored=stored) if severity else None
        record = evaluate_cell(predict, images, labels, checked.spec, batch=64, device=device, change=change)
        accuracy[name, severity] = record.accuracy
        example = images[:1].copy()
        if severity:
            example = corruptions.corrupt_set(example, name, severity, seed=seed, mode=mode, stored=stored)
        examples[name, severity] = example
    progress(len(cells), len(cells))
    return CheckResult(checked, folder, len(labels), skipped, accuracy, scale, note, examples, mode, stored)


def as_json(result: CheckResult) -> dict[str, Any]:
    """A check's numbers for machines."""
    return {
        "model": result.checked.name,
        "source": result.checked.source,
        "n_images": result.n_images,
        "skipped": result.skipped,
        "scale": result.scale,
        "mode": result.mode,
        "stored": result.stored,
        "accuracy": {f"{name}.{severity}": value for (name, severity), value in result.accuracy.items()},
    }
