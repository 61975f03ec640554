"""What a page is made of: sections that hold figures, tables, pictures and sentences, as plain records."""

from __future__ import annotations

import re
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
        arm: the one arm that it is about, or empty; with it the page hides the whole chart.
        family: the one family that it is about, likewise.
        cells: whether its marks are cells of the evaluation, whose images the page can show.
    """

    id: str
    title: str
    caption: str
    spec: dict[str, Any]
    alt: str
    table: Table | None = None
    keys: tuple[Key, ...] = ()
    arm: str = ""
    family: str = ""
    cells: bool = False
    kind: ClassVar[str] = "figure"

    @property
    def height(self) -> int:
        """Pixels that it takes on the page, before it is drawn."""
        return int((self.spec.get("usermeta") or {}).get("room", 200))


@dataclass(frozen=True)
class Grid:
    """Figures side by side where there is room, ``columns`` at most."""

    figures: tuple[Figure, ...]
    columns: int = 2
    kind: ClassVar[str] = "grid"


@dataclass(frozen=True)
class TableBlock:
    """A table; folded behind its title if ``folded``."""

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
    """Mask maps: one row per layer, one cell per arm; behind the words of ``folded``, if there are any."""

    rows: tuple[MapRow, ...]
    caption: str
    folded: str = ""
    kind: ClassVar[str] = "maps"


@dataclass(frozen=True)
class StripRow:
    """One line of the strip: a list of (column label, picture or None); ``name`` is its corruption's, if it is one."""

    label: str
    family: str
    cells: tuple[tuple[str, Picture | None], ...]
    name: str = ""


@dataclass(frozen=True)
class Strip:
    """Pictures in rows: one panel per original example, one row per corruption or other label.

    ``pixels`` shows them enlarged without smoothing; ``example`` is what the pictures are of, in the singular.
    """

    panels: tuple[tuple[Picture | None, tuple[StripRow, ...]], ...]
    columns: tuple[str, ...]
    caption: str
    pixels: bool = True
    example: str = "image"
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


@dataclass(frozen=True)
class Result:
    """What a claim says of one arm."""

    arm: str
    value: str
    sentence: str
    reason: str = ""


@dataclass(frozen=True)
class Claim:
    """A claim and its verdict.

    Attributes:
        name: its id, e.g. ``C1``.
        title: a few words.
        value: word of the verdict.
        headline: ``2 of 3 methods supported``.
        labels: short warnings and scopes.
        statement: the claim in one sentence.
        source: who claims it.
        paper: what the study says of the paper's own claim.
        why_not: why it is not testable, or empty.
        metric: what was measured, in words.
        figures: a forest chart for each metric.
        tables: its numbers.
        results: a sentence for each arm.
        facts: what a reader must know beside the numbers (controls, what would settle it), as label and text.
        evidence: findings beside the test, as label and text.
        folded: tables behind a fold.
        rivals: other explanations.
        breaks: what would refute it.
    """

    name: str
    title: str
    value: str
    headline: str
    labels: tuple[str, ...]
    statement: str
    source: str
    paper: str
    why_not: str
    metric: str
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]
    results: tuple[Result, ...]
    facts: tuple[tuple[str, str], ...]
    evidence: tuple[tuple[str, str], ...]
    folded: tuple[Table, ...]
    rivals: tuple[str, ...]
    breaks: str
    kind: ClassVar[str] = "claim"

    @property
    def anchor(self) -> str:
        """Where it stands on the page."""
        return f"claim-{slug(self.name)}"


Block = Figure | Grid | Claim | TableBlock | Prose | Maps | Strip | Pairs | Listing | Command


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
        """Its charts, those of grids and claims included."""
        found: list[Figure] = []
        for block in self.blocks:
            found += block.figures if isinstance(block, Grid | Claim) else [block] if isinstance(block, Figure) else []
        return tuple(found)

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The claims on it."""
        return tuple(block for block in self.blocks if isinstance(block, Claim))

    @property
    def tables(self) -> tuple[tuple[str, Table], ...]:
        """Its tables, each with a name that is unique on the page where titles are."""
        found = [(figure.id, figure.table) for figure in self.figures if figure.table]
        for block in self.blocks:
            if isinstance(block, Claim):
                found += [(f"{block.anchor}-{slug(t.title)}", t) for t in (*block.tables, *block.folded)]
            elif isinstance(block, TableBlock):
                found.append((f"table-{self.id}-{slug(block.table.title)}", block.table))
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


def slug(name: str) -> str:
    """A name of lower-case letters, digits and dashes.

    Example:
        >>> slug("RigL 0.5 minus dense")
        'rigl-0-5-minus-dense'
    """
    return "-".join(re.findall(r"[a-z0-9]+", name.lower())) or "x"


def begun(words: str) -> str:
    """Words that begin a title; a name such as ``acc15`` stays as it is."""
    first = words.partition(" ")[0]
    return words[:1].upper() + words[1:] if first.isalpha() else words


def human(name: str) -> str:
    """A code name as words: ``gaussian_noise`` becomes ``gaussian noise``."""
    return name.replace("_", " ")
