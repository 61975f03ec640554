"""Where networks look: how far their maps of an image and of its corrupted twin agree, and some of them to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from regrow.report.blocks import Block, Grid, Prose, Section, Strip, StripRow, TableBlock, human, plural
from regrow.report.overlays import overlay_picture
from regrow.report.parts import by_arm, empty, of_images_alone, of_runs
from regrow.report.pictures import IMAGE_SIDE, Picture, image_picture
from regrow.report.table import Column, Table, Value, table
from regrow.study.analyses.attribution import unpacked
from regrow.study.view import RunView, StudyView, at
from regrow.verdict.arms import Arm, mean

GROUP = "Inside the networks"
METHODS = {"grad_cam": "Grad-CAM", "integrated_gradients": "Integrated gradients"}
#: Arms whose maps are drawn.
MAX_DRAWN = 6


def attribution(view: StudyView, arms: Sequence[Arm]) -> Section:
    """Maps of the true class on clean images and on their twins."""
    intro = (
        "Which places of an image speak for its true class (Grad-CAM, Selvaraju et al. 2017), on the clean image and "
        "on its corrupted twin. A network that is not led astray looks at the same places of both. Maps explain little "
        "by themselves: they are here to be compared, dense beside sparse."
    )
    id, title = "attribution", "Where the networks look"
    found = of_runs(arms, "attribution")
    known = [one for by in found.values() for one in by.values()]
    if not known:
        why = "Not measured: no finished run, or a study of clips, or images: 0."
        return empty(id, title, GROUP, intro, why if view.modality == "image" else of_images_alone(view))
    methods = list(dict.fromkeys(name for one in known for name in one["methods"]))
    if not methods:
        return empty(id, title, GROUP, intro, f"Not measured: {known[0]['why']}")
    blocks: list[Block] = []
    for method in methods:
        blocks += _method(view, arms, method, int(known[0]["n"]))
    return Section(id, title, GROUP, intro, tuple(blocks), legend=True)


def _method(view: StudyView, arms: Sequence[Arm], method: str, n: int) -> list[Block]:
    cells = of_runs(arms, f"attribution.methods.{method}.cells")
    words = f"{METHODS[method]}; {plural(n, 'image')}."
    means = {
        arm: {s: v for s, rows in by.items() if (v := mean(row.get("rank_correlation") for row in rows)) is not None}
        for arm, by in cells.items()
    }
    shares = {arm: {s: rows[0]["high_share"] for s, rows in by.items()} for arm, by in cells.items()}
    shares = {arm: {s: v for s, v in by.items() if v is not None} for arm, by in shares.items()}
    figures = (
        by_arm(
            f"fig-attribution-{method.replace('_', '-')}",
            "Agreement of maps on clean and corrupted images",
            means,
            arms,
            unit="rank correlation",
            words=f"{words} Mean over one type of each family and over images.",
        ),
        by_arm(
            f"fig-attribution-share-{method.replace('_', '-')}",
            "Fine detail of the maps on clean images",
            shares,
            arms,
            unit="share above a quarter of the side, %",
            words=f"{words} Compare networks of equal feature maps alone.",
            factor=100.0,
            kind="percent",
        ),
    )
    made = [f for f in figures if f]
    strip = _strip(view, arms, method)
    return [
        *([Grid(tuple(made), 2)] if made else []),
        TableBlock(_table(arms, cells, method), folded=True),
        strip or Prose("No image of these cells was kept, so no map can be drawn.", "empty"),
    ]


def _table(arms: Sequence[Arm], cells: Mapping[str, Mapping[int, Any]], method: str) -> Table:
    there = [a for a in arms if cells.get(a.name)]
    names = [(row["corruption"], row["severity"]) for row in next(iter(cells[there[0].name].values()))[1:]]
    columns = (
        Column("corruption", "Corruption"),
        Column("severity", "Severity", "integer"),
        *(Column(a.name, a.name, "share") for a in there),
    )
    rows: list[tuple[Value, ...]] = []
    for name, severity in names:
        values = [mean(_correlation(rows_, name, severity) for rows_ in cells[a.name].values()) for a in there]
        rows.append((human(name), severity, *values))
    note = "Spearman's correlation over the places of a map and of its twin, mean over images and seeds."
    return table(f"{METHODS[method]}: agreement by corruption", columns, rows, note)


def _correlation(rows: Sequence[Mapping[str, Any]], name: str, severity: int) -> float | None:
    return next((r.get("rank_correlation") for r in rows if (r["corruption"], r["severity"]) == (name, severity)), None)


def _strip(view: StudyView, arms: Sequence[Arm], method: str) -> Strip | None:
    """A panel per image, a row per arm, a column per cell: the maps of the first seed that most arms have."""
    runs = _shown(arms, method)
    if not runs:
        return None
    first = at(runs[0][1].analyses, f"attribution.methods.{method}")
    cells = [(str(row["corruption"]), int(row["severity"])) for row in first["cells"]]
    cells = [cell for cell in cells if len(view.examples.get(cell, ()))]
    if not cells:
        return None
    labels = tuple(human(name) if not severity else f"{human(name)} {severity}" for name, severity in cells)
    n = min(len(first["maps"]["clean.0"]), *(len(view.examples[cell]) for cell in cells))
    panels = []
    for i in range(n):
        examples = [
            image_picture(view.examples[c][i], f"Image {i + 1}, {w}.") for w, c in zip(labels, cells, strict=True)
        ]
        rows = [StripRow("image", "", tuple(zip(labels, examples, strict=True)))]
        for arm, run in runs:
            maps = at(run.analyses, f"attribution.methods.{method}.maps")
            pictures = [
                _overlay(view.examples[c][i], maps, c, i, f"{METHODS[method]} of {arm.name}, image {i + 1}, {w}.")
                for w, c in zip(labels, cells, strict=True)
            ]
            rows.append(StripRow(arm.name, f"seed {run.seed}", tuple(zip(labels, pictures, strict=True))))
        panels.append((None, tuple(rows)))
    sides = max(view.examples[cells[0]].shape[1:3])
    caption = (
        f"{METHODS[method]} of the true class over the image in grey: orange for it, violet against it; each map over "
        f"its own largest value. One run per arm, {len(runs)} of {len(arms)} arms."
    )
    return Strip(tuple(panels), labels, caption, pixels=sides <= IMAGE_SIDE)


def _shown(arms: Sequence[Arm], method: str) -> list[tuple[Arm, RunView]]:
    have = [(a, r) for a in arms for r in a.done if at(r.analyses, f"attribution.methods.{method}.maps")]
    counts: dict[int, int] = {}
    for _, run in have:
        counts[run.seed] = counts.get(run.seed, 0) + 1
    seed = min(counts, key=lambda s: (-counts[s], s), default=0)
    return [(a, r) for a, r in have if r.seed == seed][:MAX_DRAWN]


def _overlay(
    pixels: npt.NDArray[np.uint8], maps: Mapping[str, Any], cell: tuple[str, int], i: int, alt: str
) -> Picture | None:
    kept = maps.get(f"{cell[0]}.{cell[1]}")
    if kept is None or i >= len(kept):
        return None
    small = unpacked(kept[i], maps["side"])
    factor = pixels.shape[0] // small.shape[0]
    whole = np.kron(small, np.ones((factor, factor)))
    return overlay_picture(pixels[: whole.shape[0], : whole.shape[1]], whole, alt)
