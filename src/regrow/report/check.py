"""The page of ``regrow check``: how one network stands up to corrupted images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from regrow.report import charts, page
from regrow.report.blocks import (
    Block,
    Figure,
    Key,
    Listing,
    Pairs,
    Prose,
    Section,
    TableBlock,
    human,
    listed,
    nothing,
    plural,
)
from regrow.report.finding import Finding
from regrow.report.record import strip
from regrow.report.table import Column, Table, shown, table
from regrow.report.tables import flat
from regrow.study.view import Cell, CellScore
from regrow.verdict.arms import by_family, complete


@dataclass(frozen=True)
class CheckView:
    """What ``regrow check`` measured, as plain values.

    Attributes:
        model: name of the model as it was asked for.
        source: where it comes from (our checkpoint, timm, torchvision).
        n_parameters: number of its parameters.
        folder: the folder of images, as the user gave it.
        n_images: number of images.
        n_classes: number of classes.
        image_size: side of the images the network saw, in pixels.
        scale: name of the table of severities that was taken.
        scale_note: why, e.g. that it is the nearest one; or empty.
        clean: score on the images as they are.
        scores: score of every corrupted cell.
        families: corruption -> noise, blur, weather or digital.
        common: corruptions of the fifteen common types, in order; the others are extras.
        examples: cell -> a few images, uint8 (n, H, W, 3).
        notes: sentences that a reader must know.
        environment: versions, processor, device.
        reference: another network's scores to compare with: ``name``, ``clean`` (accuracy) and ``scores``
            (cell -> accuracy), all in [0, 1]; or None.
    """

    model: str
    source: str
    n_parameters: int
    folder: str
    n_images: int
    n_classes: int
    image_size: int
    scale: str
    scale_note: str
    clean: CellScore
    scores: Mapping[Cell, CellScore]
    families: Mapping[str, str]
    common: Sequence[str]
    examples: Mapping[Cell, npt.NDArray[np.uint8]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    reference: Mapping[str, Any] | None = None

    @property
    def corruptions(self) -> tuple[str, ...]:
        """Evaluated corruptions, common types before extras, by family."""
        there = list(dict.fromkeys(c for c, s in self.scores if s > 0))
        groups = (
            *by_family([c for c in there if c in self.common], self.families).values(),
            *by_family([c for c in there if c not in self.common], self.families).values(),
        )
        return tuple(c for group in groups for c in group)

    @property
    def severities(self) -> tuple[int, ...]:
        """Evaluated severities."""
        return tuple(sorted({s for _, s in self.scores if s > 0}))


def check_tables(check: CheckView) -> dict[str, Table]:
    """The numbers of a check as tables: ``summary`` and ``cells`` (accuracy by corruption and severity)."""
    mine, other = _accuracies(check), _reference(check)
    rows: list[tuple[str, float | None, float | None]] = [
        ("clean", check.clean.accuracy, (check.reference or {}).get("clean"))
    ]
    for label, group in _groups(check):
        rows.append((label, _mean(check, mine, group), _mean(check, other, group)))
    columns = [Column("measure", "Measure"), Column("accuracy", check.model, "percent")]
    if check.reference:
        columns.append(Column("reference", str(check.reference.get("name", "reference")), "percent"))
    summary = table(
        "Summary", columns, [r[: len(columns)] for r in rows], "Means over types of the means over severities."
    )
    cells = table(
        "Accuracy by corruption and severity",
        (
            Column("corruption", "Corruption"),
            Column("family", "Family"),
            *(Column(f"severity_{s}", f"Severity {s}", "percent") for s in check.severities),
            Column("mean", "Mean", "percent"),
        ),
        [
            (
                c,
                str(check.families.get(c, "other")),
                *(mine.get((c, s)) for s in check.severities),
                _mean(check, mine, [c]),
            )
            for c in check.corruptions
        ],
    )
    return {"summary": summary, "cells": cells}


def render_check(check: CheckView) -> str:
    """The page of a check as one HTML document: no outside request; the same view gives the same text."""
    sections = (_summary(check), _corruptions(check), _severity(check), _examples(check), _record(check))
    title = f"{check.model} under image corruptions"
    facts = (
        page.Fact(f"{check.n_images:,}", f"images in {plural(check.n_classes, 'class', 'classes')}"),
        page.Fact(shown(check.clean.accuracy, "percent"), "clean accuracy"),
        *(
            (page.Fact(shown(_mean(check, _accuracies(check), _common(check)), "percent"), _name(check)),)
            if _common(check)
            else ()
        ),
        page.Fact(f"{check.image_size} px", f"severities of the {check.scale} table"),
        page.Fact(_compact(check.n_parameters), "parameters"),
    )
    legend = tuple(page.LegendEntry(n, f"arm-{i}", page.MARKS[charts.shape(i)]) for n, i in _looks(check))
    return page.compose(page.Page(title, "regrow check", _finding(check), facts, sections, legend))


def _compact(n: int) -> str:
    return f"{n / 1e6:.1f} M" if n >= 1e6 else f"{n:,}"


def _common(check: CheckView) -> tuple[str, ...]:
    return tuple(c for c in check.corruptions if c in check.common)


def _name(check: CheckView) -> str:
    return f"mean{len(_common(check))}"


def _groups(check: CheckView) -> list[tuple[str, tuple[str, ...]]]:
    common, more = _common(check), tuple(c for c in check.corruptions if c not in check.common)
    groups = [(_name(check), common)] if common else []
    groups += [(f, g) for f, g in by_family(common, check.families).items()]
    return groups + ([(f"extras ({len(more)})", more)] if more else [])


def _accuracies(check: CheckView) -> dict[Cell, float]:
    return {cell: s.accuracy for cell, s in check.scores.items() if math.isfinite(s.accuracy)}


def _reference(check: CheckView) -> dict[Cell, float]:
    return {cell: float(v) for cell, v in ((check.reference or {}).get("scores") or {}).items()}


def _mean(
    check: CheckView, scores: Mapping[Cell, float], group: Sequence[str], severities: Sequence[int] = ()
) -> float | None:
    levels = tuple(severities) or check.severities
    return complete([complete([scores.get((c, s)) for s in levels]) for c in group])


def _looks(check: CheckView) -> list[tuple[str, int]]:
    names = [(check.model, 1)]
    if check.reference:
        name = str(check.reference.get("name", "reference"))
        names.append((name if name != check.model else f"{name} (reference)", 0))
    return names


def _finding(check: CheckView) -> Finding:
    mine = _accuracies(check)
    common = _common(check)
    whole = _mean(check, mine, common)
    by_type = sorted((m, c) for c in check.corruptions if (m := _mean(check, mine, [c])) is not None)
    parts = [f"{check.model} answers {shown(check.clean.accuracy, 'percent')} of the clean images correctly"]
    parts[0] += (
        f" and {shown(whole, 'percent')} on average over {plural(len(common), 'common corruption type')}."
        if whole is not None
        else "."
    )
    if len(by_type) > 1:
        (least, worst), (most, best) = by_type[0], by_type[-1]
        parts.append(
            f"It suffers most from {human(worst)} ({shown(least, 'percent')}) and least from "
            f"{human(best)} ({shown(most, 'percent')})."
        )
    parts.append("This is one network on these images: it says nothing about a way of training.")
    return Finding(" ".join(parts), "one network, one set of images", (), "")


def _images(check: CheckView) -> str:
    return f"one network, {plural(check.clean.n, 'image')} a cell; no error bars"


def _summary(check: CheckView) -> Section:
    intro = f"Top-1 accuracy on the images in {check.folder}."
    blocks: list[Block] = [Prose(check.scale_note, "note")] if check.scale_note else []
    if not check.scores:
        blocks.append(Prose("No corruption was evaluated, so there is nothing but the clean accuracy.", "empty"))
    made = check_tables(check)["summary"]
    looks = _looks(check)
    rows = [
        {"arm": looks[i][0], "label": str(row[0]), "value": 100 * float(v), "runs": 1}
        for row in made.rows
        for i, v in enumerate(row[1:])
        if isinstance(v, float)
    ]
    if rows and check.scores:
        order = list(dict.fromkeys(str(r["label"]) for r in rows))
        blocks.append(
            Figure(
                "fig-summary",
                "Accuracy by group of corruptions",
                f"Means over types and severities; {_images(check)}.",
                charts.by_corruption(rows, [{"label": label} for label in order], looks, "accuracy, %"),
                "Accuracy on clean images and by group of corruptions.",
                made,
                keys=_keys(check),
            )
        )
    return Section("summary", "Summary", "Results", intro, (*blocks, TableBlock(made)))


def _keys(check: CheckView) -> tuple[Key, ...]:
    return tuple(Key(n, f"arm-{i}") for n, i in _looks(check)) if check.reference else ()


def _corruptions(check: CheckView) -> Section:
    intro = "Accuracy for every corruption and severity."
    made = check_tables(check)["cells"]
    columns = [str(s) for s in check.severities]
    rows = [
        {"label": human(str(row[0])), "corruption": row[0], "family": row[1], "severity": s, "value": 100 * v}
        for row in made.rows
        for s, v in zip(columns, row[2:-1], strict=True)
        if isinstance(v, float)
    ]
    if not rows:
        return Section("corruptions", "By corruption", "Results", intro, nothing("No corruption was evaluated."))
    figure = Figure(
        "fig-cells",
        "Accuracy in every cell, %",
        f"The stronger the colour the better, from 0 to 100 %; {_images(check)}.",
        charts.grid_of_accuracy(rows, [human(c) for c in check.corruptions], columns),
        "Accuracy for each corruption and severity.",
        made,
        cells=True,
    )
    return Section("corruptions", "By corruption", "Results", intro, (figure,))


def _severity(check: CheckView) -> Section:
    intro = "How accuracy falls as a corruption gets stronger."
    looks = _looks(check)
    names = [n for n, _ in looks]
    rows: list[dict[str, Any]] = []
    sources: list[tuple[dict[Cell, float], float | None]] = [(_accuracies(check), check.clean.accuracy)]
    if check.reference:
        sources.append((_reference(check), (check.reference or {}).get("clean")))
    for name, (scores, clean) in zip(names, sources, strict=True):
        if clean is not None:
            rows.append({"arm": name, "x": "clean", "value": 100 * float(clean)})
        for s in check.severities:
            value = _mean(check, scores, _common(check), (s,))
            if value is not None:
                rows.append({"arm": name, "x": str(s), "value": 100 * value})
    if not any(r["x"] != "clean" for r in rows):
        return Section(
            "severity",
            "By severity",
            "Results",
            intro,
            nothing("No common corruption type was evaluated at every severity."),
        )
    levels = [str(s) for s in check.severities]
    cells = {(r["arm"], r["x"]): r["value"] / 100 for r in rows}
    made = table(
        "Accuracy by severity",
        (Column("severity", "Severity"), *(Column(n, n, "percent") for n in names)),
        [(x, *(cells.get((n, x)) for n in names)) for x in ("clean", *levels)],
    )
    figure = Figure(
        "fig-severity",
        f"{_name(check)} by severity",
        f"Mean over {plural(len(_common(check)), 'common type')}; {_images(check)}.",
        charts.lines(
            rows,
            [],
            looks,
            x_title="severity",
            y_title="accuracy, %",
            ordinal=["clean", *levels],
            points=True,
            detached="clean",
            labels=len(looks) > 1,
        ),
        "Accuracy against severity.",
        made,
        keys=_keys(check),
    )
    return Section("severity", "By severity", "Results", intro, (figure,))


def _examples(check: CheckView) -> Section:
    intro = "What the network was shown: the same image, clean and corrupted."
    made = strip(check.examples, check.corruptions, check.severities, check.families)
    return Section(
        "examples", "Example images", "Results", intro, (made,) if made else nothing("No image was kept for this page.")
    )


def _record(check: CheckView) -> Section:
    intro = "What was checked, on what, and how."
    what = (
        ("model", check.model),
        ("source", check.source),
        ("parameters", f"{check.n_parameters:,}"),
        ("images", check.folder),
        ("number of images", f"{check.n_images:,}"),
        ("classes", str(check.n_classes)),
        ("image size", f"{check.image_size} px"),
        ("table of severities", check.scale),
        ("severities", listed(check.severities)),
    )
    groups: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (("check", what),)
    if check.environment:
        groups += (("environment", tuple(flat(check.environment))),)
    blocks: tuple[Block, ...] = (Pairs(groups),)
    if check.notes:
        blocks = (Listing(tuple(check.notes)), *blocks)
    return Section("record", "Settings and notes", "Record", intro, blocks)
