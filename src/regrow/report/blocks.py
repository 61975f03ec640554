"""What a page is made of: sections that hold figures, tables, pictures and sentences, as plain records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from regrow.report.pictures import Picture
from regrow.report.table import Table


@dataclass(frozen=True)
class Key:
    """One entry of a chart's own legend.

    Attributes:
        label: what it stands for.
        token: name of the CSS colour without dashes in front, e.g. ``cue-low``.
    """

    label: str
    token: str


@dataclass(frozen=True)
class Figure:
    """A chart with its words and its numbers.

    Attributes:
        id: stable anchor, unique on the page.
        title: what is seen.
        caption: n, seeds and what bars or lines mean.
        spec: Vega-Lite.
        alt: the chart in one sentence, for readers who do not see it.
        table: the numbers behind it.
        keys: legend of colours that are not arms.
    """

    id: str
    title: str
    caption: str
    spec: dict[str, Any]
    alt: str
    table: Table | None = None
    keys: tuple[Key, ...] = ()
    kind: ClassVar[str] = "figure"


@dataclass(frozen=True)
class Grid:
    """Figures side by side where there is room, ``columns`` at most."""

    figures: tuple[Figure, ...]
    columns: int = 2
    kind: ClassVar[str] = "grid"


@dataclass(frozen=True)
class TableBlock:
    """A table; folded behind its title if ``folded``. ``code`` names columns set in a monospaced face."""

    table: Table
    folded: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Prose:
    """A paragraph. ``tone`` is empty, ``note`` or ``empty`` (why there is nothing to see)."""

    text: str
    tone: str = ""
    kind: ClassVar[str] = "prose"


@dataclass(frozen=True)
class MapCell:
    """One mask map: raw and sorted."""

    label: str
    detail: str
    raw: Picture
    ordered: Picture


@dataclass(frozen=True)
class MapRow:
    """The maps of one layer over arms."""

    layer: str
    shape: str
    k: int
    legend: tuple[tuple[int, str], ...]
    cells: tuple[MapCell, ...]


@dataclass(frozen=True)
class Maps:
    """Mask maps: one row per layer, one cell per arm."""

    rows: tuple[MapRow, ...]
    caption: str
    kind: ClassVar[str] = "maps"


@dataclass(frozen=True)
class StripRow:
    """One corruption of the strip: a list of (column label, picture or None)."""

    label: str
    family: str
    cells: tuple[tuple[str, Picture | None], ...]


@dataclass(frozen=True)
class Strip:
    """Example images: one panel per original image, one row per corruption."""

    panels: tuple[tuple[Picture | None, tuple[StripRow, ...]], ...]
    columns: tuple[str, ...]
    caption: str
    kind: ClassVar[str] = "strip"


@dataclass(frozen=True)
class Pairs:
    """Keys and values, in named groups."""

    groups: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    kind: ClassVar[str] = "pairs"


@dataclass(frozen=True)
class Listing:
    """A list of sentences."""

    items: tuple[str, ...]
    kind: ClassVar[str] = "listing"


@dataclass(frozen=True)
class Command:
    """Something to type."""

    text: str
    kind: ClassVar[str] = "command"


Block = Figure | Grid | TableBlock | Prose | Maps | Strip | Pairs | Listing | Command


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes:
        id: its anchor.
        title: its heading.
        group: heading in the contents.
        intro: what it shows, in plain words.
        blocks: what is in it.
        legend: whether the arms' legend stands at its top.
    """

    id: str
    title: str
    group: str
    intro: str
    blocks: tuple[Block, ...]
    legend: bool = False

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Its charts, those of grids included."""
        found: list[Figure] = []
        for block in self.blocks:
            found += block.figures if isinstance(block, Grid) else [block] if isinstance(block, Figure) else []
        return tuple(found)


def nothing(reason: str) -> tuple[Block, ...]:
    """The content of a section that has no numbers: why."""
    return (Prose(reason, "empty"),)


def plural(n: int, noun: str, many: str = "") -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{n} {noun}" if n == 1 else f"{n} {many or noun + 's'}"


def listed(items: Sequence[object]) -> str:
    """``a, b and c``."""
    words = [str(i) for i in items]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else "none"


def human(name: str) -> str:
    """A code name as words: ``gaussian_noise`` becomes ``gaussian noise``."""
    return name.replace("_", " ")
