"""Files of a folder with their classes: what folders of pictures and of clips have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from PIL import Image


class Pictures(Protocol):
    """A list of pictures with their classes, opened one by one; cheap to pickle."""

    @property
    def name(self) -> str:
        """What they are."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        ...

    def __len__(self) -> int:
        """How many."""
        ...

    def path(self, i: int, /) -> str:
        """Class folder and file name."""
        ...

    def label(self, i: int, /) -> int:
        """Class number."""
        ...

    def open(self, i: int, /, at_least: int = 0) -> Image.Image:
        """A picture in RGB, decoded at the smallest reduced size whose shorter side is still ``at_least`` pixels."""
        ...


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
    files: tuple[str, ...] = field(repr=False)
    labels: tuple[int, ...] = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    side: int
    places: tuple[str, ...] = field(repr=False, default=())

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
