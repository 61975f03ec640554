"""The test images of a study, clean and corrupted: made once, stored, mapped by all its runs."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from regrow import corruptions, data, files
from regrow.corruptions.frost import folder_under
from regrow.errors import DataError
from regrow.evaluation.live import Change, live
from regrow.study.recipe import Recipe

SCHEMA = 2


@dataclass(frozen=True)
class CellSet:
    """Names and digests of a study's stored cells.

    Attributes:
        folder: where they lie.
        dataset: name of the data set.
        digests: ``(corruption, severity)`` -> SHA-256 of the cell's file; clean is ``("clean", 0)``.
        notes: what a reader must know of them.
        live: settings of :func:`regrow.evaluation.live.live` for cells that are made as they are evaluated; ``None``
            where all are stored.
    """

    folder: Path
    dataset: str
    digests: dict[tuple[str, int], str]
    notes: list[str]
    live: dict[str, Any] | None = None

    def path(self, corruption: str, severity: int) -> Path:
        """File of one cell."""
        return self.folder / f"{self.dataset}.{corruption}.{severity}.npy"

    def is_there(self, corruption: str, severity: int) -> bool:
        """Whether the images of a cell can be had now."""
        made_now = severity and self.live is not None
        return self.path("clean", 0).exists() if made_now else self.path(corruption, severity).exists()

    def images(self, corruption: str, severity: int, first: int | None = None) -> npt.NDArray[np.uint8]:
        """Images of one cell or the first of them, uint8 (n, H, W, 3): mapped from the file, or made now.

        Raises:
            DataError: the file is gone or is not the one that was made.
        """
        if severity and self.live is not None:
            return corruptions.corrupt_set(self.images("clean", 0, first), corruption, severity, **self.live)
        return self._stored(corruption, severity)[:first]

    def source(self, corruption: str, severity: int) -> tuple[npt.NDArray[np.uint8], Change | None]:
        """Images of a cell as they are stored, and what is still to be done to them as they are evaluated."""
        if severity and self.live is not None:
            return self._stored("clean", 0), live(corruption, severity, **self.live)
        return self._stored(corruption, severity), None

    def _stored(self, corruption: str, severity: int) -> npt.NDArray[np.uint8]:
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
    """Make the cells of a study that are not there yet, and check those that are.

    Args:
        recipe: names the data set, the number of images, corruptions, severities and the seed.
        folder: ``STUDY/cells``.
        data_root: where data sets lie, or None for the usual places.
        progress: called with (cells done, all cells).
    """
    names = wanted_corruptions(recipe)
    chosen = recipe.evaluation
    options: dict[str, Any] = {"seed": chosen.seed, "mode": chosen.mode, "stored": chosen.stored}
    spec = data.spec(recipe.data.name)
    frost = folder_under(data_root)
    notes = cell_notes(names, spec.image_size, chosen.mode, stored=chosen.stored, frost=frost)
    notes += [spec.caveat] if spec.caveat else []
    source = {
        "data": recipe.data.model_dump(mode="json", exclude={"train_images"}),
        **options,
        "on_the_fly": chosen.on_the_fly,
        "notes": notes,  # they say which photographs were used
        "corruptions": names,
        "severities": chosen.severities,
    }
    index = folder / "index.json"
    stored: dict[str, Any] = files.read_json(index) if index.exists() else {}
    if stored.get("schema") == SCHEMA and stored.get("source") == source and _whole(folder, stored["digests"]):
        return _cell_set(folder, recipe.data.name, stored)
    test = data.load(recipe.data.name, "test", root=data_root, options=recipe.data.options, n=recipe.data.test_images)
    digests = {"labels.npy": _save(folder / "labels.npy", test.labels)}
    clean = f"{recipe.data.name}.clean.0.npy"
    digests[clean] = _save(folder / clean, np.ascontiguousarray(test.images))
    virtual: dict[str, str] = {}
    jobs = [(name, s) for name in names for s in chosen.severities]
    for done, (name, severity) in enumerate(jobs):
        progress(done, len(jobs))
        file = f"{recipe.data.name}.{name}.{severity}.npy"
        if chosen.on_the_fly:
            made_from = {"clean": digests[clean], "cell": [name, severity], "schema": SCHEMA, "notes": notes, **options}
            virtual[file] = files.value_digest(made_from)
        else:
            digests[file] = _save(
                folder / file, corruptions.corrupt_set(test.images, name, severity, frost=frost, **options)
            )
    progress(len(jobs), len(jobs))
    stored = {"schema": SCHEMA, "source": source, "digests": digests, "virtual": virtual, "notes": notes}
    options["frost"] = str(frost) if frost else None
    stored |= {"options": options, "scale": corruptions.choose_scale(spec.image_size).name}
    files.write_json(index, stored)
    return _cell_set(folder, recipe.data.name, stored)


def cell_notes(
    names: Sequence[str], side: int, mode: str = "exact", *, stored: bool = False, frost: Path | None = None
) -> list[str]:
    """What must be said wherever numbers from these corruptions appear, each once; arguments as of ``corrupt``."""
    notes: dict[str, None] = {}
    for name in names:
        for kind, text in corruptions.provenance(name, side, mode=mode, frost=frost).items():
            notes[text if kind == "scale" else f"{name}: {text}"] = None
    if stored:
        notes["every corrupted image went through the JPEG round trip (quality 85) of ImageNet-C's files"] = None
    return list(notes)


def open_cells(folder: Path, dataset: str) -> CellSet:
    """The cells that :func:`make_cells` left.

    Raises:
        DataError: they are not there.
    """
    return _cell_set(folder, dataset, files.read_json(folder / "index.json"))


def _cell_set(folder: Path, dataset: str, stored: dict[str, Any]) -> CellSet:
    digests = {}
    virtual = stored.get("virtual", {})  # schema 1 had none
    for file, digest in {**stored["digests"], **virtual}.items():
        if file != "labels.npy":
            corruption, severity = file.removeprefix(f"{dataset}.").removesuffix(".npy").rsplit(".", 1)
            digests[corruption, int(severity)] = digest
    return CellSet(folder, dataset, digests, list(stored["notes"]), stored["options"] if virtual else None)


def _save(path: Path, array: npt.NDArray[Any]) -> str:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    files.write_bytes(path, buffer.getvalue())
    return files.file_digest(path)


def _whole(folder: Path, digests: dict[str, str]) -> bool:
    return all((folder / f).exists() and files.file_digest(folder / f) == digest for f, digest in digests.items())
