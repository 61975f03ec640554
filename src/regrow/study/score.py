"""One network on a data set corrupted as it goes, or on a published corrupted set: records and their scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from regrow import corruptions, data, files
from regrow.corruptions.frost import folder_under
from regrow.data.batches import Rows
from regrow.data.pictures import open_picture
from regrow.data.published import ArraySet, LazyPictures, open_published
from regrow.data.published import Cell as StoredCell
from regrow.data.published_clips import holds_clips
from regrow.data.spec import DataSpec
from regrow.errors import InputError
from regrow.evaluation import imagenet_c, robustbench
from regrow.evaluation.clip_scores import clip_scores
from regrow.evaluation.evaluate import evaluate_cell, predictor
from regrow.evaluation.live import live
from regrow.evaluation.metrics import Cell
from regrow.evaluation.records import Record, record_path, save_record
from regrow.evaluation.scores import EVERY, Score, scores
from regrow.study.networks import CheckedModel
from regrow.study.scored import Scored, changed_since, class_numbers, unreadable

#: Bytes of decoded test images that are held in memory.
_HELD = 2 << 30

Progress = Callable[[int, int], None]


def data_options(
    checked: CheckedModel | None, name: str, given: Mapping[str, Any], on_error: str = "raise"
) -> dict[str, Any]:
    """Options of a data set: those that a run was trained with, where it is the same set, and over them the given."""
    own = checked.trained_on if checked is not None else None
    options = dict(own.options) if own is not None and own.name == name else {}
    skip = {"on_error": "skip"} if on_error == "skip" and "on_error" in data.default_options(name) else {}
    return {**options, **skip, **given}


def facts_of(source: str, options: Mapping[str, Any] | None = None, data_root: Path | None = None) -> DataSpec | None:
    """What a network by name must be told of a data set or a published set of images; ``None`` where it is of clips.

    Published sets do not tell their normalisation: that of CIFAR is taken for arrays, of ImageNet for trees.
    """
    if not Path(source).is_dir():
        return data.spec(source, options, data_root)
    if holds_clips(Path(source)):
        return None
    opened = open_published(Path(source))
    cell = opened.cell(opened.corruptions[0], opened.severities(opened.corruptions[0])[0])
    n = int(cell.labels.max()) + 1
    like = (
        data.spec("cifar100" if n > 10 else "cifar10")
        if isinstance(opened, ArraySet)
        else data.nominal_spec("imagenet")
    )
    return replace(like, classes=tuple(map(str, range(n))), image_size=int(cell.images[:1].shape[1]))


def on_data_set(
    checked: CheckedModel,
    name: str,
    names: Sequence[str],
    severities: Sequence[int],
    *,
    limit: int | None = None,
    options: Mapping[str, Any] | None = None,
    data_root: Path | None = None,
    seed: int = 0,
    mode: str = "exact",
    stored: bool = False,
    progress: Progress = lambda done, total: None,
) -> Scored:
    """Records of the clean test images of a data set and of their corrupted copies, made on the network's device.

    Raises:
        InputError: the network's classes or image size are not the data set's, or one of both is of clips.
    """
    test = data.load(name, "test", root=data_root, options=options, n=limit)
    if test.spec.modality != "image":
        raise InputError(
            f"{name} holds {test.spec.noun}, which studies alone test networks on.", "regrow study RECIPE."
        )
    if test.spec.frames is not None:
        raise InputError(
            f"{name} holds clips, which are not corrupted as they are evaluated.",
            "write them first: regrow corrupt FOLDER --clean --out SET; then regrow evaluate SET.",
        )
    _require_images(checked, name)
    _check(checked, len(test.spec.classes), test.spec.image_size, name)
    if checked.named and test.spec.classes != checked.spec.classes:
        raise InputError(
            f"the classes of {name} are not those of {checked.name}.",
            "give a network that was trained on these classes.",
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    predict = predictor(checked.model.to(device), bf16=False, device=device)
    cells: list[Cell] = [("clean", 0), *((n, s) for n in names for s in severities)]
    scored = Scored(notes=[*checked.notes, *([test.spec.caveat] if test.spec.caveat else [])])
    own = checked.trained_on
    if own is not None and own.name == name and {**own.options, "on_error": 0} == {**(options or {}), "on_error": 0}:
        scored.notes.extend(changed_since(checked, test))
    scored.skipped.extend(f"{path}: {reason}" for path, reason in getattr(test, "skipped", ()))
    images: Rows = test.images
    if isinstance(test, data.FileSet) and len(test) * 3 * test.spec.image_size**2 <= _HELD:
        images = images[:]  # decoded once, not for each cell
    for done, (corruption, severity) in enumerate(cells):
        progress(done, len(cells))
        change = None
        if severity:
            change = live(corruption, severity, seed=seed, mode=mode, stored=stored, frost=folder_under(data_root))
        scored.records[corruption, severity] = evaluate_cell(
            predict, images, test.labels, checked.spec, batch=250, device=device, change=change
        )
    progress(len(cells), len(cells))
    return scored


def on_published_set(
    checked: CheckedModel,
    folder: Path,
    names: Sequence[str],
    severities: Sequence[int],
    *,
    ids: Sequence[str] | None = None,
    on_error: str = "raise",
    progress: Progress = lambda done, total: None,
) -> Scored:
    """Records of the cells of a published set; it holds no clean images.

    Args:
        checked: the network; its classes are those that the class folders name, else the class folders in sorted
            order, or the labels' numbers.
        folder: see :func:`regrow.data.published.open_published`.
        names: types; empty = all of the set.
        severities: of 1 to 5.
        ids: only these images, by file name without folder and type.
        on_error: ``"raise"`` at a picture that cannot be read, or ``"skip"`` it.
        progress: called with (cells done, all cells).

    Raises:
        InputError: the network's classes or image size are not the set's, or an image of ``ids`` is not there.
    """
    opened = open_published(folder)
    _require_images(checked, str(folder))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    predict = predictor(checked.model.to(device), bf16=False, device=device)
    cells = [(n, s) for n in names or opened.corruptions for s in severities if s in opened.severities(n)]
    scored = Scored(notes=list(checked.notes))
    for done, (corruption, severity) in enumerate(cells):
        progress(done, len(cells))
        cell = opened.cell(corruption, severity)
        groups = [file.parent.name for file in cell.images.files] if isinstance(cell.images, LazyPictures) else []
        cell = replace(cell, labels=class_numbers(groups, cell.labels, checked, folder))
        cell = cell if ids is None else cell.only(ids)
        if on_error == "skip":
            cell = _readable(cell, f"{corruption} {severity}", scored.skipped)
        _check(checked, len(checked.spec.classes), int(cell.images[:1].shape[1]), str(folder))
        scored.records[corruption, severity] = evaluate_cell(
            predict, cell.images, cell.labels, checked.spec, batch=100, device=device
        )
    progress(len(cells), len(cells))
    return scored


def _readable(cell: StoredCell, where: str, skipped: list[str]) -> StoredCell:
    """The pictures that can be read; the others are added to a list."""
    if not isinstance(cell.images, LazyPictures):
        return cell
    files = cell.images.files
    bad = unreadable(
        len(files), lambda i: open_picture(files[i], name=f"{files[i].parent.name}/{files[i].name}"), where
    )
    skipped += [f"{where}: {reason}" for reason in bad.values()]
    keep = [i for i in range(len(files)) if i not in bad]
    names = tuple(cell.names[i] for i in keep)
    return StoredCell(LazyPictures(tuple(files[i] for i in keep)), cell.labels[keep], names)


def _require_images(checked: CheckedModel, where: str) -> None:
    if not checked.spec.is_images:
        noun = checked.spec.noun
        raise InputError(
            f"{where} holds images, {checked.name} takes {noun}.", f"give a network for images, or a set of {noun}."
        )


def _check(checked: CheckedModel, n_classes: int, side: int, where: str) -> None:
    if len(checked.spec.classes) != n_classes:
        raise InputError(
            f"{checked.name} has {len(checked.spec.classes)} classes, {where} has {n_classes}.",
            "give a network that was trained on these classes.",
        )
    if checked.spec.image_size != side:
        raise InputError(
            f"{checked.name} takes images of {checked.spec.image_size} px, {where} has {side} px.",
            "published images are not resized: give a network of their size.",
        )


def all_scores(records: dict[Cell, Record], *, is_imagenet: bool, is_clips: bool = False) -> list[Score]:
    """The scores of the records; against AlexNet too where the images are ImageNet's and all cells are there."""
    if is_clips:
        return clip_scores(records)
    found = scores(records)
    accuracy = {cell: record.accuracy for cell, record in records.items()}
    wanted = [(name, s) for name in corruptions.common_names() for s in range(1, 6)]
    if is_imagenet and all(cell in accuracy for cell in wanted):
        found += imagenet_c.scores(accuracy, len(records[wanted[0]].correct))
    return found


def by_robustbench(
    checked: CheckedModel, folder: Path, ids: Path | None, *, progress: Progress = lambda done, total: None
) -> tuple[dict[Cell, Record], list[Score]]:
    """Records and scores of RobustBench's protocol on a published set; see :mod:`regrow.evaluation.robustbench`.

    Args:
        checked: the network.
        folder: CIFAR-10-C, CIFAR-100-C, ImageNet-C or ImageNet-3DCC.
        ids: RobustBench's list of images, for the last two.
        progress: called with (cells done, all cells).

    Raises:
        InputError: another set, or one that is not whole; the list is missing, or not asked for.
    """
    opened = open_published(folder)
    is_imagenet = not isinstance(opened, ArraySet)
    names = robustbench.wanted(opened.corruptions, is_imagenet=is_imagenet)
    if is_imagenet and ids is None:
        raise InputError(
            f"RobustBench's metric on ImageNet is taken over {robustbench.N_IMAGENET} listed images: without its list "
            "there is no such number.",
            "give the list with --ids FILE, or leave --robustbench out for the scores over all images.",
        )
    if ids is not None and not is_imagenet:
        raise InputError("--ids is for sets of ImageNet: of CIFAR all images are taken.", "leave --ids out.")
    if isinstance(opened, ArraySet):
        robustbench.check_images(opened.n_images, is_imagenet=False)
    elif any(len(opened.severities(name)) != len(EVERY) for name in names):
        raise InputError("RobustBench's protocol needs severities 1 to 5 of each type.", "unpack the whole set.")
    chosen = None if ids is None else robustbench.read_ids(ids)
    records = on_published_set(checked, folder, names, EVERY, ids=chosen, progress=progress).records
    n_images = len(next(iter(records.values())).correct)
    accuracy = {cell: record.accuracy for cell, record in records.items()}
    return records, robustbench.scores(accuracy, n_images, is_imagenet=is_imagenet)


def save(records: dict[Cell, Record], folder: Path, name: str, inputs: Mapping[str, str]) -> None:
    """Write every record with what it was made from, see :mod:`regrow.evaluation.records`.

    Args:
        records: what :func:`on_data_set` or :func:`on_published_set` gave.
        folder: where to.
        name: of the images, the first part of the files' names.
        inputs: what they were made from: network, source, seed, mode.
    """
    with files.owned(folder, "the folder of records"):
        files.sweep(folder, deep=False)
        for (corruption, severity), record in records.items():
            save_record(record_path(folder, name, corruption, severity), record, inputs)
