"""Corrupted sets as they are published, read only: CIFAR-10-C and its kin as arrays, ImageNet-C and its kin as trees.

    opened = open_published(Path("CIFAR-10-C"))        # or Tiny-ImageNet-C, ImageNet-C, ImageNet-C-Bar, ImageNet-3DCC
    opened.corruptions, opened.severities("fog")
    cell = opened.cell("fog", 3)                       # .images (memory map or read one by one), .labels, .names

Arrays: ``NAME.npy`` uint8 (5 * n, H, W, 3), severity after severity, and ``labels.npy``. Trees:
``NAME/SEVERITY/CLASS/FILE``, severities 1 to 5 or the real numbers of ImageNet-C-bar, which are ranked. An archive that
groups the types (``noise/gaussian_noise/...``) is read as it lies. No picture is ever resized.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from regrow import files
from regrow.data.pictures import SUFFIXES, open_picture
from regrow.data.spec import Images, Labels
from regrow.errors import DataError, UnknownNameError

N_SEVERITIES = 5
_GROUPS = {"noise", "blur", "weather", "digital", "extra"}


@dataclass(frozen=True)
class Cell:
    """One corruption at one severity.

    Attributes:
        images: uint8 (n, H, W, 3): a part of a memory map, or pictures that are read when they are asked for.
        labels: int64 (n,); of a tree, the place of the class folder among all, sorted.
        names: file names without folders, for a tree; empty for arrays.
    """

    images: Images | LazyPictures
    labels: Labels
    names: tuple[str, ...]

    def only(self, stems: Sequence[str]) -> Cell:
        """The pictures of these names, in that order.

        Args:
            stems: file names without folder and type.

        Raises:
            DataError: it is no tree, or one of them is not there.
        """
        if not isinstance(self.images, LazyPictures):
            raise DataError("the images of .npy files have no names.", "choose images of a tree only.")
        place = {file.stem: i for i, file in enumerate(self.images.files)}
        missing = [stem for stem in stems if stem not in place]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(stems)} named images are not in {self.images.files[0].parents[1]}, the first: "
                f"{missing[0]}.",
                "unpack the whole published set, or give another list.",
            )
        at = [place[stem] for stem in stems]
        files = tuple(self.images.files[i] for i in at)
        return Cell(LazyPictures(files), self.labels[at], tuple(file.name for file in files))

    def batches(self, size: int) -> Iterator[Images]:
        """All images in order, ``size`` at a time."""
        for start in range(0, len(self.labels), size):
            yield np.asarray(self.images[start : start + size])


@dataclass(frozen=True)
class LazyPictures:
    """Picture files that look like an array along its first axis."""

    files: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, part: slice) -> Images:
        """Read some pictures.

        Raises:
            DataError: one cannot be read, or they differ in size.
        """
        pictures = [np.asarray(open_picture(file), np.uint8) for file in self.files[part]]
        if not pictures:
            return np.empty((0, 0, 0, 3), np.uint8)
        for file, picture in zip(self.files[part], pictures, strict=True):
            if picture.shape != pictures[0].shape:
                raise DataError(
                    f"{file} has {picture.shape[1]} x {picture.shape[0]} pixels, others of its cell "
                    f"{pictures[0].shape[1]} x {pictures[0].shape[0]}.",
                    "unpack the published archive again: its pictures are of one size and are not resized.",
                )
        return np.stack(pictures)


class PublishedSet(Protocol):
    """A corrupted set on the disk."""

    @property
    def corruptions(self) -> Sequence[str]:
        """Names of its types, sorted."""
        ...

    def severities(self, corruption: str) -> Sequence[int]:
        """Which severities of a type are there, 1 to 5."""
        ...

    def cell(self, corruption: str, severity: int) -> Cell:
        """One cell."""
        ...


def open_published(folder: Path) -> PublishedSet:
    """Open a published set of images by its layout; for clips see :mod:`regrow.data.published_clips`.

    Raises:
        DataError: no set, or one that is incomplete or inconsistent; what is wrong is named.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder.", "give the unpacked folder of a published set.")
    if any(folder.glob("*.npy")):
        return ArraySet(folder)
    tree = _types(folder)
    if not tree:
        raise DataError(
            f"{folder} holds neither NAME.npy files nor folders NAME/SEVERITY/CLASS.",
            "give the unpacked folder of a published set.",
        )
    return TreeSet(folder, tree)


class ArraySet:
    """CIFAR-10-C, CIFAR-100-C or CIFAR-10-C-bar.

    Args:
        folder: with ``NAME.npy`` and ``labels.npy``.

    Raises:
        DataError: the labels are missing or a file is cut short or of another shape.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        labels = _mapped(folder / "labels.npy")
        if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) % N_SEVERITIES:
            raise DataError(f"{folder / 'labels.npy'} has shape {labels.shape}, not five times a set.", _again())
        self._labels = np.asarray(labels, np.int64)
        self.n_images = len(labels) // N_SEVERITIES
        if (self._labels.reshape(N_SEVERITIES, -1) != self._labels[: self.n_images]).any():
            raise DataError(f"{folder / 'labels.npy'} does not repeat one order five times.", _again())
        self.corruptions = sorted(path.stem for path in folder.glob("*.npy") if path.stem != "labels")

    def severities(self, corruption: str) -> list[int]:
        """All five."""
        self._file(corruption)
        return list(range(1, N_SEVERITIES + 1))

    def cell(self, corruption: str, severity: int) -> Cell:
        """A part of the type's memory map."""
        stored = self._file(corruption)
        part = slice((severity - 1) * self.n_images, severity * self.n_images)
        if not 1 <= severity <= N_SEVERITIES:
            raise DataError(f"severity must be 1 to 5, got {severity}.", "the clean images are the data set's.")
        return Cell(stored[part], self._labels[part], ())

    def _file(self, corruption: str) -> Images:
        if corruption not in self.corruptions:
            raise UnknownNameError("type", corruption, self.corruptions, f"they are the files of {self.folder}.")
        path = self.folder / f"{corruption}.npy"
        stored = _mapped(path)
        if stored.dtype != np.uint8 or stored.ndim != 4 or stored.shape[3] != 3 or len(stored) != len(self._labels):
            raise DataError(
                f"{path} holds {stored.dtype} of shape {stored.shape}, not {len(self._labels)} RGB images.", _again()
            )
        return stored


def _mapped(path: Path) -> npt.NDArray[np.uint8]:
    if not path.exists():
        raise DataError(f"{path} is missing.", _again())
    try:
        return files.read_array(path, mapped=True)
    except DataError as error:
        raise DataError(error.message, _again()) from None


def _again() -> str:
    return "unpack the published archive again."


class TreeSet:
    """ImageNet-C, Tiny-ImageNet-C, ImageNet-C-bar, ImageNet-3DCC, or what ``regrow corrupt`` writes of a folder.

    Args:
        folder: the root.
        types: the folder of each type.

    Raises:
        DataError: a type lacks severities that others have.
    """

    def __init__(self, folder: Path, types: dict[str, Path]) -> None:
        self.folder, self.corruptions, self._types = folder, sorted(types), types
        self._levels = {name: _severities(path) for name, path in types.items()}
        most = max(len(levels) for levels in self._levels.values())
        for name, levels in sorted(self._levels.items()):
            if len(levels) < most:
                raise DataError(
                    f"{types[name]} holds {len(levels)} severities, other types of the set {most}.",
                    "unpack its archive again, or move the unfinished folder away.",
                )

    def severities(self, corruption: str) -> list[int]:
        """Those that are there; real numbers are ranked: 1, 2, ..."""
        return list(self._of(corruption))

    def cell(self, corruption: str, severity: int) -> Cell:
        """Pictures that are read when they are asked for.

        Raises:
            DataError: no such severity, or no picture in it.
        """
        levels = self._of(corruption)
        if severity not in levels:
            there = ", ".join(map(str, levels))
            raise DataError(f"{corruption} has severities {there}, got {severity}.", "give one of these.")
        root = levels[severity]
        groups = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
        files, labels = [], []
        for number, group in enumerate(groups):
            found = sorted(f for f in group.iterdir() if f.suffix.lower() in SUFFIXES)
            files += found
            labels += [number] * len(found)
        if not files:
            raise DataError(f"{root} holds no picture.", _again())
        names = tuple(file.name for file in files)
        return Cell(LazyPictures(tuple(files)), np.array(labels, np.int64), names)

    def classes(self, corruption: str, severity: int) -> list[str]:
        """Names of the class folders of a cell, in the order of the labels."""
        root = self._of(corruption)[severity]
        return sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))

    def _of(self, corruption: str) -> dict[int, Path]:
        if corruption not in self._types:
            raise UnknownNameError("type", corruption, self.corruptions, f"they are the folders of {self.folder}.")
        return self._levels[corruption]


def _types(folder: Path) -> dict[str, Path]:
    """Folder of each type; the groups of the published archives are looked into."""
    found = {}
    for path in sorted(folder.iterdir()):
        if not path.is_dir() or path.name.startswith(".") or path.name == "clean":
            continue
        if severity_folders(path):
            found[path.name] = path
        elif path.name in _GROUPS:
            found |= {p.name: p for p in path.iterdir() if p.is_dir() and severity_folders(p)}
    return found


def _severities(path: Path) -> dict[int, Path]:
    """Severity -> its folder: by the folders' names where these are 1 to 5, though some are not there; else ranked."""
    levels = severity_folders(path)
    if all(level.name in map(str, range(1, N_SEVERITIES + 1)) for level in levels):
        return {int(level.name): level for level in levels}
    return dict(enumerate(levels, 1))


def severity_folders(path: Path) -> list[Path]:
    """Severity folders of a type in the order of their numbers, which may be real."""
    numbered = []
    for level in path.iterdir():
        try:
            number = float(level.name)
        except ValueError:
            continue
        if level.is_dir():
            numbered.append((number, level))
    return [level for _, level in sorted(numbered)]
