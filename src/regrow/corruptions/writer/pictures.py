"""Where the clean pictures of a set come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from regrow.corruptions.inputs import check_images
from regrow.corruptions.registry import Images
from regrow.errors import DataError, InputError

#: Bytes of clean images that are held in memory for the layout of CIFAR-10-C.
_MOST_BYTES = 2 << 30


class Pictures(Protocol):
    """Pictures that are read one by one; with several processes it is pickled.

    Attributes:
        name: what they are, e.g. ``"imagenet"``.
    """

    @property
    def name(self) -> str:
        """What they are."""
        ...

    def __len__(self) -> int:
        """How many."""
        ...

    def path(self, i: int, /) -> str:
        """Relative path with forward slashes, e.g. ``"n01440764/ILSVRC2012_val_00000293.JPEG"``."""
        ...

    def read(self, i: int, /) -> Images:
        """The picture, uint8 (S, S, 3), all of one side; DataError when it cannot be read."""
        ...


@dataclass(frozen=True)
class ArrayPictures:
    """Images of an array as pictures, named by class and number: ``"cat/00017.JPEG"``.

    Attributes:
        name: what they are.
        images: uint8 (N, S, S, 3).
        labels: class of each, (N,).
        classes: names of the classes.
    """

    name: str
    images: Images = field(repr=False)
    labels: npt.NDArray[Any] = field(repr=False)
    classes: Sequence[str]

    def __len__(self) -> int:
        """How many."""
        return len(self.images)

    def path(self, i: int, /) -> str:
        """Class and number."""
        return f"{self.classes[int(self.labels[i])]}/{i:05d}.JPEG"

    def label(self, i: int, /) -> int:
        """Class number."""
        return int(self.labels[i])

    def read(self, i: int, /) -> Images:
        """The image."""
        image: Images = self.images[i]
        return image


class Labelled(Pictures, Protocol):
    """Pictures with class numbers."""

    def label(self, i: int, /) -> int:
        """Class number."""
        ...


class Loaded(NamedTuple):
    """Pictures as arrays, and those that were left out, with the reasons."""

    images: Images
    labels: npt.NDArray[np.int64]
    skipped: dict[str, str]


def load(pictures: Labelled, on_bad: str = "stop", progress: Callable[[int, int], None] | None = None) -> Loaded:
    """All pictures in memory, for ``write_cifar_style``.

    Args:
        pictures: what to read.
        on_bad: ``"stop"`` at a picture that cannot be read, or ``"skip"`` it.
        progress: called with (pictures read, pictures in all).

    Raises:
        InputError: they would take more than 2 GB.
        DataError: a picture that cannot be read.
    """
    side = common_side(pictures, on_bad)
    if len(pictures) * side**2 * 3 > _MOST_BYTES:
        raise InputError(
            f"{len(pictures)} pictures of {side} px are too many for .npy files, which are read whole.",
            "write a tree of JPEG files: --format tree.",
        )
    images = np.empty((len(pictures), side, side, 3), np.uint8)
    good: list[int] = []
    skipped = {}
    for i in range(len(pictures)):
        try:
            images[len(good)] = read_picture(pictures, i, side)
            good.append(i)
        except DataError as error:
            if on_bad == "stop":
                raise
            skipped[pictures.path(i)] = error.message
        if progress is not None:
            progress(i + 1, len(pictures))
    return Loaded(images[: len(good)], np.array([pictures.label(i) for i in good], np.int64), skipped)


def target_paths(pictures: Pictures) -> list[str]:
    """Where the corrupted copy of each picture goes, relative: as its own path, but always a JPEG file.

    Raises:
        InputError: no pictures, or paths that lead outside or would be the same.
    """
    if len(pictures) == 0:
        raise InputError(f"{pictures.name} holds no pictures.", "give a folder with at least one.")
    paths: dict[str, str] = {}
    for i in range(len(pictures)):
        path = inside(pictures.path(i))
        target = str(path if path.suffix.lower() in (".jpeg", ".jpg") else path.with_suffix(".JPEG"))
        if target in paths:
            raise InputError(f"{paths[target]} and {path} would both be written as {target}.", "rename one of them.")
        paths[target] = str(path)
    return list(paths)


def inside(text: str) -> PurePosixPath:
    """The relative path of a picture or clip.

    Raises:
        InputError: it leads outside.
    """
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"the path {path} of a source leads out of its folder.", "give relative paths.")
    return path


def common_side(pictures: Pictures, on_bad: str) -> int:
    """Side in pixels of the first picture that can be read.

    Raises:
        InputError: it cannot be corrupted, e.g. is not square.
        DataError: it cannot be read (and is not to be skipped), or none can.
    """
    for i in range(len(pictures)):
        try:
            return check_images(pictures.read(i)[None])
        except DataError:
            if on_bad == "stop":
                raise
    raise DataError(f"none of the {len(pictures)} pictures of {pictures.name} could be read.")


def read_picture(pictures: Pictures, i: int, side: int) -> Images:
    """A picture of the side that all have.

    Raises:
        DataError: it cannot be read or has another size.
    """
    image = pictures.read(i)
    if image.shape != (side, side, 3) or image.dtype != np.uint8:
        raise DataError(
            f"{pictures.path(i)} is {image.dtype} of shape {image.shape}, others are {side} x {side} pixels.",
            "bring all to one size.",
        )
    return image
