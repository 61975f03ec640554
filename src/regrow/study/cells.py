"""The test images of a study, clean and corrupted: made once, stored, mapped by all its runs."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from regrow import corruptions, data, files
from regrow.errors import DataError
from regrow.study.recipe import Recipe

SCHEMA = 1


@dataclass(frozen=True)
class CellSet:
    """Names and digests of a study's stored cells.

    Attributes:
        folder: where they lie.
        dataset: name of the data set.
        digests: ``(corruption, severity)`` -> SHA-256 of the cell's file; clean is ``("clean", 0)``.
        notes: what a reader must know of them.
    """

    folder: Path
    dataset: str
    digests: dict[tuple[str, int], str]
    notes: list[str]

    def path(self, corruption: str, severity: int) -> Path:
        """File of one cell."""
        return self.folder / f"{self.dataset}.{corruption}.{severity}.npy"

    def images(self, corruption: str, severity: int) -> npt.NDArray[np.uint8]:
        """Images of one cell, uint8 (n, H, W, 3), mapped from the file.

        Raises:
            DataError: the file is gone or is not the one that was made.
        """
        path = self.path(corruption, severity)
        if not path.exists():
            raise DataError(f"cell {path} is not there.", "run the study's command again: it is made anew.")
        images: npt.NDArray[np.uint8] = _load(path, "r")
        return images

    def labels(self) -> npt.NDArray[np.int64]:
        """Labels of the images, int64 (n,)."""
        labels: npt.NDArray[np.int64] = _load(self.folder / "labels.npy")
        return labels


def _load(path: Path, mode: Literal["r"] | None = None) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode=mode, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path} cannot be read ({type(error).__name__}).", "run the study's command again: it is made anew."
        ) from None
    return array


def wanted_corruptions(recipe: Recipe) -> list[str]:
    """The recipe's corruptions, or all that are registered; unknown names are refused."""
    names = recipe.evaluation.corruptions or corruptions.names()
    for name in names:
        corruptions.get(name)
    return list(names)


def make_cells(
    recipe: Recipe, folder: Path, data_root: Path | None, progress: Callable[[int, int], None] = lambda done, all_: None
) -> CellSet:
    """Make the cells of a study that are not there yet, in exact mode, and check those that are.

    Args:
        recipe: names the data set, the number of images, corruptions, severities and the seed.
        folder: ``STUDY/cells``.
        data_root: where data sets lie, or None for the usual places.
        progress: called with (cells done, all cells).
    """
    names = wanted_corruptions(recipe)
    source = {
        "data": recipe.data.model_dump(mode="json", exclude={"train_images"}),
        "seed": recipe.evaluation.seed,
        "corruptions": names,
        "severities": recipe.evaluation.severities,
    }
    index = folder / "index.json"
    stored: dict[str, Any] = files.read_json(index) if index.exists() else {}
    if stored.get("schema") == SCHEMA and stored.get("source") == source and _whole(folder, stored["digests"]):
        return _cell_set(folder, recipe.data.name, stored)
    test = data.load(recipe.data.name, "test", root=data_root, options=recipe.data.options, n=recipe.data.test_images)
    digests = {"labels.npy": _save(folder / "labels.npy", test.labels)}
    jobs = [("clean", 0)] + [(name, s) for name in names for s in recipe.evaluation.severities]
    for done, (name, severity) in enumerate(jobs):
        progress(done, len(jobs))
        images = test.images
        if severity:
            images = corruptions.corrupt_set(images, name, severity, seed=recipe.evaluation.seed)
        file = f"{recipe.data.name}.{name}.{severity}.npy"
        digests[file] = _save(folder / file, np.ascontiguousarray(images))
    progress(len(jobs), len(jobs))
    scale, note = corruptions.choose_scale(test.spec.image_size)
    notes = [note] if note else []
    notes += [text for name in names if (text := codec_note(name))]
    stored = {"schema": SCHEMA, "source": source, "digests": digests, "scale": scale, "notes": notes, "mode": "exact"}
    files.write_json(index, stored)
    return _cell_set(folder, recipe.data.name, stored)


def codec_note(name: str) -> str:
    """What must be said wherever a corruption's numbers appear that a codec made; empty where none is involved."""
    codec = corruptions.get(name).codec
    if codec is None:
        return ""
    return f"{name}: codec={codec}; the published sets were coded by libjpeg 9, whose pixels differ slightly"


def open_cells(folder: Path, dataset: str) -> CellSet:
    """The cells that :func:`make_cells` left.

    Raises:
        DataError: they are not there.
    """
    return _cell_set(folder, dataset, files.read_json(folder / "index.json"))


def _cell_set(folder: Path, dataset: str, stored: dict[str, Any]) -> CellSet:
    digests = {}
    for file, digest in stored["digests"].items():
        if file != "labels.npy":
            corruption, severity = file.removeprefix(f"{dataset}.").removesuffix(".npy").rsplit(".", 1)
            digests[corruption, int(severity)] = digest
    return CellSet(folder, dataset, digests, list(stored["notes"]))


def _save(path: Path, array: npt.NDArray[Any]) -> str:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    files.write_bytes(path, buffer.getvalue())
    return files.file_digest(path)


def _whole(folder: Path, digests: dict[str, str]) -> bool:
    return all((folder / f).exists() and files.file_digest(folder / f) == digest for f, digest in digests.items())
