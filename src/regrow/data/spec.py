"""What a data set is: its facts (``DataSpec``), its images in memory (``ImageSet``), and how to come by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from regrow.errors import InputError

if TYPE_CHECKING:
    from regrow.data.fileset import FileSet

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]
Options = Mapping[str, Any]
Modality = Literal["image", "text", "audio"]
#: What examples of a modality are called.
NOUNS: Mapping[Modality, str] = {"image": "images", "text": "texts", "audio": "sounds"}
#: What the size of an example is counted in.
UNITS: Mapping[Modality, str] = {"image": "px", "text": "bytes", "audio": "samples"}


@dataclass(frozen=True)
class DataSpec:
    """The facts of a data set that models, corruptions and analyses ask for.

    Args:
        name: its name, which is also its file's name.
        classes: the class names, in the order of the labels.
        image_size: height and width in pixels; of texts and sounds their length, in bytes or samples.
        channels: colour channels.
        mean: mean of the training images by channel, in units of the 0..1 range.
        std: standard deviation likewise.
        splits: number of images by split.
        padding: what the published recipes pad with before a random crop.
        citation: whom to cite.
        licence: under which terms the images may be used.
        hint: the ways to get it, as one sentence that can follow "Next:".
        options: its settings and their defaults; a setting is of the type of its default.
        caveat: what must be said beside numbers on it, if anything.
        frames: frames of a clip as networks see it; None where the set holds images.
        views: clips that are cut from a video at test, whose answers are averaged; 1 for images.
        modality: what an example is: an image (or clip), a text or a sound.
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
    frames: int | None = None
    views: int = 1
    modality: Modality = "image"

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def noun(self) -> str:
        """What its examples are called, in the plural."""
        return "clips" if self.frames is not None else NOUNS[self.modality]

    @property
    def unit(self) -> str:
        """What ``image_size`` is counted in."""
        return UNITS[self.modality]

    @property
    def is_images(self) -> bool:
        """Whether its examples are still images: they have rows and columns, and spatial frequencies."""
        return self.modality == "image" and self.frames is None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input of a network: (channels, side, side), (channels, frames, side, side), or (length,)."""
        if self.modality != "image":
            return (self.image_size,)
        return (self.channels, *([] if self.frames is None else [self.frames]), self.image_size, self.image_size)

    def as_json(self) -> dict[str, Any]:
        """The facts as JSON values: what a study and a network's weights keep of the data they were made from."""
        values = {**asdict(self), "splits": dict(self.splits), "options": dict(self.options)}
        if self.modality == "image":  # files of before there were others stay as they are
            del values["modality"]
        return values

    @staticmethod
    def of_json(values: Mapping[str, Any]) -> DataSpec:
        """The facts that ``as_json`` gave."""
        tuples = {key: tuple(values[key]) for key in ("classes", "mean", "std")}
        return DataSpec(**{**values, **tuples})


@dataclass(frozen=True)
class ImageSet:
    """Images of one split, or the first ``n`` of them, in memory.

    Args:
        images: uint8, shape (N, H, W, 3); texts are bytes (N, L), sounds int16 (N, L), zeros after a text's end.
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
        describe: the facts under given options, where they depend on them or on the files; None = ``spec`` always.
        downloads: whether ``fetch`` gets it from the network; of others it says what the user must do.
        find: the place of a local copy of a split (None: of all splits) among folders, or None; for a generated set
            where it is cached.
        fetch: makes a local copy under the first folder and returns its place; None for a generated set.
    """

    spec: DataSpec
    read: Callable[[Request], ImageSet | FileSet]
    find: Callable[[Sequence[Path], str | None], Path | None]
    fetch: Callable[[Sequence[Path], Progress | None], Path] | None = None
    describe: Callable[[Options, Sequence[Path]], DataSpec] | None = None
    downloads: bool = False


def check_options(spec: DataSpec, given: Options | None) -> dict[str, Any]:
    """All settings of a set: the given ones over its defaults.

    Raises:
        InputError: an unknown setting, or one of another type than its default; numbers must be finite and >= 0, and
            whole where the default is.
    """
    settings = dict(spec.options)
    for key, value in (given or {}).items():
        if key not in settings:
            known = ", ".join(settings) or "none"
            raise InputError(f"data set {spec.name!r} has no option {key!r}. Known: {known}.")
        wanted = _kind(settings[key])
        if wanted == "a list" and _kind(value) == "a number >= 0":
            value = [value]
        if wanted != _kind(value) or (wanted == "a number >= 0" and not 0 <= value < 2**32):
            raise InputError(f"option {key!r} of data set {spec.name!r} must be {wanted}, got {value!r}.")
        if type(settings[key]) is int:
            if value != int(value):
                raise InputError(f"option {key!r} of data set {spec.name!r} must be a whole number, got {value!r}.")
            value = int(value)
        settings[key] = list(value) if isinstance(value, tuple) else value
    return settings


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number >= 0"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list | tuple) else type(value).__name__


def of_classes(spec: DataSpec, chosen: Sequence[str | int]) -> DataSpec:
    """The facts of a set cut down to some of its classes, in the set's own order.

    Args:
        spec: of the whole set.
        chosen: names of classes; or one number k, for the first k; empty = all.

    Raises:
        InputError: a class that is not there, or a number that cannot be.
    """
    if not chosen:
        return spec
    if len(chosen) == 1 and isinstance(chosen[0], int) and not isinstance(chosen[0], bool):
        if not 2 <= chosen[0] <= spec.n_classes:
            raise InputError(f"{spec.name} has {spec.n_classes} classes; asked for are the first {chosen[0]}.")
        return replace(spec, classes=spec.classes[: chosen[0]])
    strange = [name for name in chosen if name not in spec.classes]
    if strange:
        raise InputError(
            f"{spec.name} has no class {strange[0]!r}.", f"its classes are {', '.join(spec.classes[:4])}, ..."
        )
    return replace(spec, classes=tuple(name for name in spec.classes if name in chosen))
