"""The test images of a study, clean and corrupted: made once, stored, mapped by all its runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from regrow import corruptions, data, files
from regrow.data.batches import Rows
from regrow.data.published import Cell, LazyPictures, open_published
from regrow.data.spec import DataSpec
from regrow.errors import DataError
from regrow.evaluation.live import Change, live
from regrow.study.cell_index import listed
from regrow.study.kinds import CorruptedClips, clip_change

SCHEMA = 2


@dataclass(frozen=True)
class CellSet:
    """Names and digests of a study's stored cells.

    Attributes:
        folder: where they lie.
        dataset: name of the data set.
        digests: ``(corruption, severity)`` -> SHA-256 of the cell's file, or of what it is made from; clean is
            ``("clean", 0)``.
        notes: what a reader must know of them.
        spec: facts of the data set.
        live: settings of the corruptions for cells that are made as they are evaluated; ``None`` where all are stored.
        published: corruption -> folder of the set that its cells are read from.
        test: gives the test clips, where cells are cut from their files as they are evaluated.
    """

    folder: Path
    dataset: str
    digests: dict[tuple[str, int], str]
    notes: list[str]
    spec: DataSpec
    live: dict[str, Any] | None = None
    published: Mapping[str, Path] = field(default_factory=dict)
    test: Callable[[], data.ImageSet | data.FileSet] | None = None

    def path(self, corruption: str, severity: int) -> Path:
        """File of one cell."""
        return self.folder / f"{self.dataset}.{corruption}.{severity}.npy"

    def is_there(self, corruption: str, severity: int) -> bool:
        """Whether the images of a cell can be had now."""
        if corruption in self.published:
            return self.published[corruption].is_dir()
        if self.live is not None and self.spec.frames is not None:
            return False
        made_now = severity and self.live is not None
        return self.path("clean", 0).exists() if made_now else self.path(corruption, severity).exists()

    def images(self, corruption: str, severity: int, first: int | None = None) -> npt.NDArray[np.uint8]:
        """Images of one cell or the first of them, uint8 (n, H, W, 3): mapped from the file, or made now.

        Raises:
            DataError: the file is gone or is not the one that was made.
        """
        rows, change = self.source(corruption, severity)
        n = len(rows) if first is None else min(first, len(rows))
        if change is not None and self.live is not None:
            return corruptions.corrupt_set(self._stored("clean", 0)[:n], corruption, severity, **self.live)
        return rows[:n]

    def source(self, corruption: str, severity: int) -> tuple[Rows, Change | None]:
        """Images of a cell as they are stored, and what is still to be done to them as they are evaluated."""
        if corruption in self.published:
            return self._of_published(corruption, severity).images, None
        if self.live is None:
            return self._stored(corruption, severity), None
        if self.spec.frames is not None:
            assert self.test is not None
            examples = self.test()
            assert isinstance(examples, data.FileSet)
            return CorruptedClips(examples, clip_change(corruption, severity, self.live)), None
        if severity:
            return self._stored("clean", 0), live(corruption, severity, **self.live)
        return self._stored(corruption, severity), None

    def _of_published(self, corruption: str, severity: int) -> Cell:
        return open_published(self.published[corruption]).cell(corruption, severity)

    def _stored(self, corruption: str, severity: int) -> npt.NDArray[np.uint8]:
        path = self.path(corruption, severity)
        if not path.exists():
            raise DataError(f"cell {path} is not there.", "run the study's command again: it is made anew.")
        images: npt.NDArray[np.uint8] = load_array(path, "r")
        return images

    def labels(self, corruption: str = "clean", severity: int = 0) -> npt.NDArray[np.int64]:
        """Labels of the images of a cell, int64 (n,); those of a published set may be others than the study's own."""
        if corruption in self.published:
            return _published_labels(self._of_published(corruption, severity), self.spec)
        labels: npt.NDArray[np.int64] = load_array(self.folder / "labels.npy")
        return labels


def _published_labels(cell: Cell, spec: DataSpec) -> npt.NDArray[np.int64]:
    """Class numbers of the study: by the class folders' names, where these are its classes."""
    if not isinstance(cell.images, LazyPictures):
        return cell.labels
    number = {name: k for k, name in enumerate(spec.classes)}
    groups = [file.parent.name for file in cell.images.files]
    strange = next((group for group in groups if group not in number), None)
    if strange is not None:
        raise DataError(
            f"{cell.images.files[0].parents[1]} has the class {strange}, which {spec.name} has not.",
            "give a set of the same classes.",
        )
    return np.array([number[group] for group in groups], np.int64)


def load_array(path: Path, mode: Literal["r"] | None = None) -> npt.NDArray[Any]:
    """An array of a cell's file, in memory or mapped.

    Raises:
        DataError: it is not there, or damaged.
    """
    try:
        return files.read_array(path, mapped=mode is not None)
    except DataError as error:
        raise DataError(error.message, "run the study's command again: it is made anew.") from None


def open_cells(folder: Path, dataset: str, test: Callable[[], data.ImageSet | data.FileSet] | None = None) -> CellSet:
    """The cells that :func:`make_cells` left.

    Args:
        folder: ``STUDY/cells``.
        dataset: name of the data set.
        test: gives the test clips, see ``CellSet``.

    Raises:
        DataError: they are not there.
    """
    index = folder / "index.json"
    stored = files.read_json(index)
    try:
        return set_of(folder, dataset, stored, test)
    except DataError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{index} is damaged ({type(error).__name__}).", "remove it and run the study's command again."
        ) from None


def set_of(
    folder: Path,
    dataset: str,
    stored: dict[str, Any],
    test: Callable[[], data.ImageSet | data.FileSet] | None,
) -> CellSet:
    """The cells that an index describes."""
    for file in (*stored["digests"], *stored.get("virtual", {})):
        files.inside(folder, file)
    published = stored.get("published", {})
    spec = DataSpec.of_json(stored["spec"]) if "spec" in stored else data.spec(dataset)
    return CellSet(
        folder,
        dataset,
        listed(stored, dataset),
        list(stored["notes"]),
        spec,
        stored["options"] if stored.get("virtual") else None,
        {name: Path(rows["folder"]) for name, rows in published.items()},
        test,
    )
