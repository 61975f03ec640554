"""One network on a data set corrupted as it goes, or on a published corrupted set: records and their scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from regrow import corruptions, data
from regrow.corruptions.frost import folder_under
from regrow.data.published import ArraySet, open_published
from regrow.errors import InputError
from regrow.evaluation import imagenet_c, robustbench
from regrow.evaluation.evaluate import evaluate_cell, predictor
from regrow.evaluation.live import live
from regrow.evaluation.metrics import Cell
from regrow.evaluation.records import Record, record_path, save_record
from regrow.evaluation.scores import EVERY, Score, scores
from regrow.study.check import CheckedModel

Progress = Callable[[int, int], None]


def on_data_set(
    checked: CheckedModel,
    name: str,
    names: Sequence[str],
    severities: Sequence[int],
    *,
    limit: int | None = None,
    data_root: Path | None = None,
    seed: int = 0,
    mode: str = "exact",
    stored: bool = False,
    progress: Progress = lambda done, total: None,
) -> dict[Cell, Record]:
    """Records of the clean test images of a data set and of their corrupted copies, made on the network's device.

    Raises:
        InputError: the network's classes or image size are not the data set's.
    """
    test = data.load(name, "test", root=data_root, n=limit)
    _check(checked, len(test.spec.classes), test.spec.image_size, name)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    predict = predictor(checked.model.to(device), bf16=False, device=device)
    cells: list[Cell] = [("clean", 0), *((n, s) for n in names for s in severities)]
    found = {}
    for done, (corruption, severity) in enumerate(cells):
        progress(done, len(cells))
        change = None
        if severity:
            change = live(corruption, severity, seed=seed, mode=mode, stored=stored, frost=folder_under(data_root))
        found[corruption, severity] = evaluate_cell(
            predict, test.images, test.labels, checked.spec, batch=250, device=device, change=change
        )
    progress(len(cells), len(cells))
    return found


def on_published_set(
    checked: CheckedModel,
    folder: Path,
    names: Sequence[str],
    severities: Sequence[int],
    *,
    ids: Sequence[str] | None = None,
    progress: Progress = lambda done, total: None,
) -> dict[Cell, Record]:
    """Records of the cells of a published set; it holds no clean images.

    Args:
        checked: the network; its classes are the class folders in sorted order, or the labels' numbers.
        folder: see :func:`regrow.data.published.open_published`.
        names: types; empty = all of the set.
        severities: of 1 to 5.
        ids: only these images, by file name without folder and type.
        progress: called with (cells done, all cells).

    Raises:
        InputError: the network's classes or image size are not the set's, or an image of ``ids`` is not there.
    """
    opened = open_published(folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    predict = predictor(checked.model.to(device), bf16=False, device=device)
    cells = [(n, s) for n in names or opened.corruptions for s in severities if s in opened.severities(n)]
    found = {}
    for done, (corruption, severity) in enumerate(cells):
        progress(done, len(cells))
        cell = opened.cell(corruption, severity)
        _check(checked, int(cell.labels.max()) + 1, int(cell.images[:1].shape[1]), str(folder))
        cell = cell if ids is None else cell.only(ids)
        found[corruption, severity] = evaluate_cell(
            predict, cell.images, cell.labels, checked.spec, batch=100, device=device
        )
    progress(len(cells), len(cells))
    return found


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


def all_scores(records: dict[Cell, Record], *, is_imagenet: bool) -> list[Score]:
    """The scores of the records; against AlexNet too where the images are ImageNet's and all cells are there."""
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
    records = on_published_set(checked, folder, names, EVERY, ids=chosen, progress=progress)
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
    for (corruption, severity), record in records.items():
        save_record(record_path(folder, name, corruption, severity), record, inputs)
