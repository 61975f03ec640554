"""What a data set is: its facts (``DataSpec``), its images in memory (``ImageSet``), and how to come by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from regrow.errors import InputError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]
Options = Mapping[str, float]


@dataclass(frozen=True)
class DataSpec:
    """The facts of a data set that models, corruptions and analyses ask for.

    Args:
        name: its name, which is also its file's name.
        classes: the class names, in the order of the labels.
        image_size: height and width in pixels.
        channels: colour channels.
        mean: mean of the training images by channel, in units of the 0..1 range.
        std: standard deviation likewise.
        splits: number of images by split.
        padding: what the published recipes pad with before a random crop.
        citation: whom to cite.
        licence: under which terms the images may be used.
        hint: the ways to get it, as one sentence that can follow "Next:".
        options: settings of a generated set and their defaults.
        caveat: what must be said beside numbers on it, if anything.
    """

    name: str
    classes: tuple[str, ...]
    image_size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    splits: Mapping[str, int]
    padding: Literal["reflect", "zero"]
    citation: str
    licence: str
    hint: str
    options: Options = field(default_factory=dict)
    caveat: str = ""

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)


@dataclass(frozen=True)
class ImageSet:
    """Images of one split, or the first ``n`` of them, in memory.

    Args:
        images: uint8, shape (N, H, W, 3).
        labels: int64, shape (N,).
        spec: the data set's facts.
        split: which split.
        index: int64, shape (N,): each image's place in the official order of the split.
        coarse_labels: int64, shape (N,): superclasses, where the set has them (CIFAR-100).
        low_labels: int64, shape (N,): class of the low-frequency cue (``cues``), None where that cue is absent.
        high_labels: int64, shape (N,): class of the high-frequency cue likewise.
    """

    images: Images
    labels: Labels
    spec: DataSpec
    split: str
    index: Labels
    coarse_labels: Labels | None = None
    low_labels: Labels | None = None
    high_labels: Labels | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, which: Labels | slice) -> ImageSet:
        """The images at the given places, as a set of their own."""
        rows = (self.coarse_labels, self.low_labels, self.high_labels)
        coarse, low, high = (None if part is None else part[which] for part in rows)
        return ImageSet(
            self.images[which], self.labels[which], self.spec, self.split, self.index[which], coarse, low, high
        )


@dataclass(frozen=True)
class Request:
    """What is wanted of a data set: a split, how many of its images, and where files may be.

    Args:
        split: a split of the spec.
        n: how many images, None for all.
        roots: folders to search, the first being where new files go.
        download: may missing files be fetched?
        options: all settings of a generated set.
        progress: called with (bytes so far, bytes in all) during a download.
    """

    split: str
    n: int | None
    roots: Sequence[Path]
    download: bool
    options: Options
    progress: Progress | None = None


@dataclass(frozen=True)
class DataSet:
    """A data set as its file defines it.

    Args:
        spec: its facts.
        read: gives the images of a request.
        find: the place of a local copy of a split (None: of all splits) among folders, or None; for a generated set
            where it is cached.
        fetch: makes a local copy under the first folder and returns its place; None for a generated set.
    """

    spec: DataSpec
    read: Callable[[Request], ImageSet]
    find: Callable[[Sequence[Path], str | None], Path | None]
    fetch: Callable[[Sequence[Path], Progress | None], Path] | None = None


def check_options(spec: DataSpec, given: Options | None) -> dict[str, float]:
    """All settings of a set: the given ones over its defaults.

    Raises:
        InputError: an unknown setting, or one that is no finite number >= 0.
    """
    settings = dict(spec.options)
    for key, value in (given or {}).items():
        if key not in settings:
            known = ", ".join(settings) or "none"
            raise InputError(f"data set {spec.name!r} has no option {key!r}. Known: {known}.")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**32:
            raise InputError(f"option {key!r} of data set {spec.name!r} must be a number >= 0, got {value!r}.")
        settings[key] = value
    return settings
