"""Lists of pictures and of clips: what readers of files, archives, tables and caches have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, overload

import numpy as np
import numpy.typing as npt

from regrow.errors import DataError, InputError

if TYPE_CHECKING:
    from PIL import Image


class Pictures(Protocol):
    """Pictures of classes, opened one by one in any order, from threads and from processes that got it pickled."""

    @property
    def name(self) -> str:
        """What they are, e.g. ``"imagenet/val"``."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""
        ...

    @property
    def labels(self) -> tuple[int, ...]:
        """Class number of each."""
        ...

    def __len__(self) -> int:
        """How many."""
        ...

    def path(self, i: int, /) -> str:
        """``CLASS/FILE`` with forward slashes: its name in messages and lists."""
        ...

    def label(self, i: int, /) -> int:
        """Class number."""
        ...

    def open(self, i: int, /, at_least: int = 0) -> Image.Image:
        """The picture as RGB.

        Args:
            i: which.
            at_least: shorter side in pixels that suffices. A JPEG is decoded at the smallest of its reduced sizes (1/8,
                1/4, 1/2, 1) that has it; 0 for full size.

        Raises:
            DataError: it cannot be read; it is named as :meth:`path` has it.
        """
        ...


class Source(Pictures, Protocol):
    """Pictures that can tell whether they are the same as at another time."""

    def fingerprint(self) -> str:
        """Digest that changes when a picture, its name or its class changes."""
        ...


class Names(Sequence[str]):
    """Many short texts in two arrays instead of as many objects.

    A million file names take a tenth of the memory and of the time to send to another process, and pages that forked
    processes share stay shared, since reading one touches no reference counts.

    Args:
        text: uint8, their UTF-8 bytes one after another.
        ends: int64, where each ends.

    Example:
        >>> names = Names.of(["cat/1.png", "dog/2.png"])
        >>> names[1], len(names)
        ('dog/2.png', 2)
    """

    __slots__ = ("ends", "text")

    def __init__(self, text: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64]) -> None:
        self.text, self.ends = text, ends

    @classmethod
    def of(cls, names: Iterable[str]) -> Names:
        """Pack texts; odd bytes of file names are kept."""
        parts = [name.encode("utf-8", "surrogateescape") for name in names]
        ends = np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)), dtype=np.int64)
        return cls(np.frombuffer(b"".join(parts), np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, i: int, /) -> str: ...
    @overload
    def __getitem__(self, i: slice, /) -> tuple[str, ...]: ...
    def __getitem__(self, i: int | slice, /) -> str | tuple[str, ...]:
        if isinstance(i, slice):
            return tuple(self[k] for k in range(*i.indices(len(self))))
        if not -len(self) <= i < len(self):
            raise IndexError(f"name {i} of {len(self)}")
        i %= len(self)
        start = int(self.ends[i - 1]) if i else 0
        return self.text[start : self.ends[i]].tobytes().decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        content, start = self.text.tobytes(), 0
        for end in self.ends.tolist():
            yield content[start:end].decode("utf-8", "surrogateescape")
            start = end

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Names):
            return NotImplemented
        return np.array_equal(self.ends, other.ends) and np.array_equal(self.text, other.text)

    def __hash__(self) -> int:
        return hash((len(self), self.text[:4096].tobytes()))


@dataclass(frozen=True)
class Listing:
    """Files, named by class and file name.

    Attributes:
        name: what they are.
        root: the folder.
        files: their paths below it, with forward slashes, class folder first.
        labels: class number of each.
        classes: names of the classes.
        side: height and width in pixels that they are brought to.
        places: where each lies below ``root``, if not as ``files`` says.
    """

    name: str
    root: Path
    files: Sequence[str] = field(repr=False)
    labels: tuple[int, ...] = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    side: int
    places: Sequence[str] = field(repr=False, default=())

    def __len__(self) -> int:
        """How many."""
        return len(self.files)

    def path(self, i: int, /) -> str:
        """Class folder and file name."""
        return self.files[i]

    def label(self, i: int, /) -> int:
        """Class number."""
        return self.labels[i]

    def place(self, i: int, /) -> Path:
        """Where the file lies."""
        return self.root / (self.places[i] if self.places else self.files[i])


@dataclass(frozen=True)
class Chosen:
    """Some pictures of a list, in a given order; the classes stay all of them.

    Attributes:
        pictures: the list.
        index: int64, place of each in it.

    Raises:
        InputError: a place that is not in the list.
    """

    pictures: Source
    index: npt.NDArray[np.int64] = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.index) and not 0 <= self.index.min() <= self.index.max() < len(self.pictures):
            raise InputError(f"pictures are chosen by numbers from 0 to {len(self.pictures) - 1}.")

    @property
    def name(self) -> str:
        """The list's."""
        return self.pictures.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The list's."""
        return self.pictures.classes

    @property
    def labels(self) -> tuple[int, ...]:
        """Class number of each."""
        labels = self.pictures.labels
        return tuple(labels[k] for k in self.index.tolist())

    def __len__(self) -> int:
        """How many."""
        return len(self.index)

    def path(self, i: int, /) -> str:
        """Its name in the list."""
        return self.pictures.path(int(self.index[i]))

    def label(self, i: int, /) -> int:
        """Class number."""
        return self.pictures.label(int(self.index[i]))

    def open(self, i: int, /, at_least: int = 0) -> Image.Image:
        """The picture as RGB, see :meth:`Pictures.open`."""
        return self.pictures.open(int(self.index[i]), at_least)

    def fingerprint(self) -> str:
        """Digest of the list's and of the choice."""
        from regrow.files import value_digest

        return value_digest([self.pictures.fingerprint(), self.index.tolist()])


def check_classes(train: Pictures, test: Pictures) -> None:
    """See that a test part numbers its classes as the training part does.

    Raises:
        DataError: the class names differ; the first that are missing or too many are named.
    """
    compare_classes(train.classes, test.classes, f"{test.name} and {train.name}")


def compare_classes(train: Sequence[str], test: Sequence[str], what: str) -> None:
    """See :func:`check_classes`; ``what`` names both parts in the message."""
    if tuple(train) == tuple(test):
        return
    missing, extra = (sorted(set(a) - set(b)) for a, b in ((train, test), (test, train)))
    said = [f"{word}: {_first(names)}" for word, names in (("missing", missing), ("extra", extra)) if names]
    raise DataError(
        f"the test classes of {what} are not the training classes ({'; '.join(said) or 'another order'}).",
        "bring both to the same class folders, or choose the classes that both have.",
    )


def _first(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
