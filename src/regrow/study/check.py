"""How one trained network stands up to the corruptions, on a folder of a user's own images."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from regrow import corruptions, data
from regrow.data import pictures
from regrow.data.on_disk import place
from regrow.data.scan import ON_ERROR
from regrow.errors import OR_SKIP, DataError, InputError, UnknownNameError
from regrow.evaluation.evaluate import evaluate_cell, predictor
from regrow.evaluation.live import live
from regrow.markup import html_lines, html_table
from regrow.study.networks import CheckedModel, open_model
from regrow.study.scored import changed_since

__all__ = ["CheckResult", "CheckedModel", "as_json", "check", "open_model", "read_folder"]


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
        notes: what must be said of network and images.
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
    notes: list[str] = field(default_factory=list)

    def _repr_html_(self) -> str:
        """Accuracy by corruption and severity, for a notebook."""
        names = list(dict.fromkeys(name for name, severity in self.accuracy if severity))
        levels = sorted({severity for _, severity in self.accuracy if severity})
        rows = [(name, *(_percent(self.accuracy.get((name, level))) for level in levels)) for name in names]
        clean = f"{self.n_images:,} images, clean accuracy {_percent(self.accuracy.get(('clean', 0)))}."
        said = [self.scale_note, *self.notes, f"{len(self.skipped):,} files were skipped" if self.skipped else ""]
        headings = ("Accuracy", *(f"severity {level}" for level in levels))
        title = f"{self.checked.name} ({self.checked.source}) on {self.folder}"
        table = html_table(title, headings, rows, (False, *(True for _ in levels)))
        return html_lines([clean]) + table + html_lines([text for text in said if text])


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def count_classes(folder: Path) -> int | None:
    """How many class folders there are; ``None`` where there is no folder of them."""
    return len(pictures.class_folders(folder)) or None if folder.is_dir() else None


def read_folder(
    folder: Path, checked: CheckedModel, limit: int | None = None, on_error: str = "raise"
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], list[str]]:
    """Images of a folder with one sub-folder a class, brought to the network's size, RGB.

    A sub-folder is a class by its name, or by its number where all names are numbers. A complete set of ImageNet's
    wnids is the classes in order even where their list is not at hand, and so are as many folders as a network has
    classes whose names nobody knows.

    Args:
        folder: root of the classes' folders.
        checked: gives classes and sizes.
        limit: at most so many images, spread over the classes; None = all.
        on_error: ``"raise"`` at a file that cannot be read or a class without pictures, or ``"skip"`` it.

    Returns:
        uint8 (n, S, S, 3), int64 (n,), and a line for all that was skipped.

    Raises:
        DataError: no folder, no images, or folders that are no classes of the network; or what ``on_error`` says.
    """
    if on_error not in ON_ERROR:
        raise UnknownNameError("on_error", on_error, ON_ERROR, "give one of these.")
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder.", "give a folder with one sub-folder of images for each class.")
    groups = pictures.class_folders(folder)
    if not groups:
        raise DataError(f"{folder} has no sub-folders.", "put the images of each class into a sub-folder of its own.")
    classes = _class_numbers(groups, checked)
    found = [
        [(f"{group}/{name}", label) for name in pictures.names_below(folder / group)]
        for group, label in zip(groups, classes, strict=True)
    ]
    skipped = [f"{group}: holds no picture" for group, rows in zip(groups, found, strict=True) if not rows]
    skipped += [f"{name}: lies outside class folders" for name in pictures.names_below(folder, deep=False)]
    if skipped and on_error == "raise":
        raise DataError(f"{folder}/{skipped[0]}.", OR_SKIP)
    turns = max(len(rows) for rows in found)
    images, labels = [], []
    for name, label in [rows[i] for i in range(turns) for rows in found if i < len(rows)][:limit]:
        try:
            images.append(_read_image(folder / name, name, checked))
            labels.append(label)
        except DataError as error:
            if on_error == "raise":
                raise
            skipped.append(error.message)
    if not images:
        raise DataError(
            f"no image in {folder} can be read.", f"give files of type {', '.join(sorted(pictures.SUFFIXES))}."
        )
    return np.stack(images), np.array(labels, dtype=np.int64), skipped


def _class_numbers(names: list[str], checked: CheckedModel) -> list[int]:
    classes = checked.spec.classes
    by_name = {name: number for number, name in enumerate(classes)}
    if all(name in by_name for name in names):
        return [by_name[name] for name in names]
    if all(re.fullmatch(r"[0-9]+", name) and int(name) < len(classes) for name in names):
        return [int(name) for name in names]
    wnids = all(re.fullmatch(r"n[0-9]{8}", name) for name in names)
    if len(names) == len(classes) and (wnids or not checked.named):
        return list(range(len(names)))
    if not checked.named:
        raise DataError(
            f"{checked.name} has {len(classes)} classes, there are {len(names)} class folders ({', '.join(names[:4])}"
            f"{', ...' if len(names) > 4 else ''}).",
            "give a folder of all its classes, or name the folders by the classes' numbers, from 0 on.",
        )
    strange = next(name for name in names if name not in by_name)
    part = next((name for name in ("test", "val") if name in names), None)
    raise DataError(
        f"folder {strange!r} is no class of the network.",
        f"give the folder of one part, e.g. its {part}."
        if part
        else f"name the folders after its {len(classes)} classes ({', '.join(classes[:4])}, ...), or by their numbers.",
    )


def _read_image(file: Path, name: str, checked: CheckedModel) -> npt.NDArray[np.uint8]:
    from PIL import Image

    size, resize = checked.spec.image_size, checked.resize
    picture = pictures.open_picture(file, name=name)
    if resize is None:
        return np.asarray(pictures.prepare(picture, size), dtype=np.uint8)
    shorter = min(picture.size)
    width, height = (max(size, round(side * resize / shorter)) for side in picture.size)
    if (width, height) != picture.size:
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(picture.crop((left, top, left + size, top + size)), dtype=np.uint8)


def read_own_test_part(
    folder: Path, checked: CheckedModel, limit: int | None, on_error: str
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], list[str], list[str]] | None:
    """As ``read_folder``, of the folder that a run was trained on: its test part; ``None`` for all other folders.

    Returns:
        Images, labels, lines for what was skipped, and what must be said.
    """
    chosen = checked.trained_on
    if chosen is None or "path" not in chosen.options:
        return None
    try:
        if not place(str(chosen.options["path"]), data.find_root(), chosen.name).samefile(folder):
            return None
    except (DataError, OSError):
        return None
    options = {**chosen.options, "on_error": on_error}
    test = data.load(chosen.name, "test", options=options, n=chosen.test_images)
    if test.spec.classes != checked.spec.classes:  # the folder has changed since
        return None
    turn = np.zeros(len(test), np.int64)
    for label in range(test.spec.n_classes):
        turn[test.labels == label] = np.arange((test.labels == label).sum())
    part = test.select(np.lexsort((test.labels, turn))[:limit])
    skipped = [f"{name}: {reason}" for name, reason in getattr(test, "skipped", ())]
    notes = [
        f"{folder} is what the network was trained on: its test part alone is taken",
        *changed_since(checked, test),
    ]
    return np.asarray(part.images[:]), part.labels, skipped, notes


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
    on_error: str = "raise",
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
        on_error: see ``read_folder``.
        progress: called with (cells done, all cells).

    Raises:
        InputError: names, images or classes that cannot be used, or a network for clips.
    """
    wanted = names or corruptions.names()
    for name in wanted:
        corruptions.get(name)
    if checked.spec.modality != "image":
        raise InputError(
            f"{checked.name} takes {checked.spec.noun}, which are not checked.",
            "see its study's page: `regrow report`.",
        )
    if checked.spec.frames is not None:
        raise InputError(
            f"{checked.name} takes clips, which are not checked.",
            "corrupt clips and score it: `regrow corrupt`, `regrow evaluate`.",
        )
    notes = list(checked.notes)
    own = read_own_test_part(folder, checked, limit, on_error)
    if own is None:
        images, labels, skipped = read_folder(folder, checked, limit, on_error)
        if not checked.named:
            notes.append("class folders are the classes of the network by number, else by the order of their names")
    else:
        images, labels, skipped, more = own
        notes += more
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
    return CheckResult(checked, folder, len(labels), skipped, accuracy, scale, note, examples, mode, stored, notes)


def as_json(result: CheckResult) -> dict[str, Any]:
    """A check's numbers for machines."""
    return {
        "model": result.checked.name,
        "source": result.checked.source,
        "n_images": result.n_images,
        "skipped": result.skipped,
        "notes": result.notes,
        "scale": result.scale,
        "mode": result.mode,
        "stored": result.stored,
        "accuracy": {f"{name}.{severity}": value for (name, severity), value in result.accuracy.items()},
    }
