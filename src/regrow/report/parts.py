"""What a section of an analysis is built from: curves with their spread, grids, values by arm, pictures in rows.

Each function takes plain numbers and gives a block with its caption, its words for readers who do not see it, and the
table behind it; a section is then little more than reading ``run.analyses[NAME]`` and naming things.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from regrow.report import charts
from regrow.report.blocks import Figure, Prose, Section, Strip, StripRow, begun, plural
from regrow.report.pictures import IMAGE_SIDE, image_picture
from regrow.report.table import Column, Kind, Table, table
from regrow.study.view import StudyView, at
from regrow.verdict.arms import Arm, mean, spread

#: More single lines than these are drawn as a band: one standard deviation over the seeds.
MAX_SEED_LINES = 60
#: A grid with more lines or columns is averaged over neighbours before it is drawn; its table has every value.
MAX_GRID_SIDE = 64
#: Up to so many cells each has its figure in it.
MAX_FIGURES = 120

#: Numbers of one arm: seed -> list of (x, value).
Curves = Mapping[str, Mapping[int, Sequence[tuple[float, float]]]]


def empty(id: str, title: str, group: str, intro: str, why: str) -> Section:
    """A section without numbers: it says why."""
    return Section(id, title, group, intro, (Prose(why, "empty"),))


def of_images_alone(view: StudyView) -> str:
    """Why a study of texts or sounds lacks an analysis."""
    return f"Not measured: it is of images, and this study is of {view.noun}."


def looks(arms: Sequence[Arm]) -> list[tuple[str, int]]:
    """Name and look of each arm."""
    return [(a.name, a.look) for a in arms]


def of_runs(arms: Sequence[Arm], path: str) -> dict[str, dict[int, Any]]:
    """What analyses of finished runs found at a dotted path: arm name -> seed -> value, where there is one."""
    found = {a.name: {r.seed: at(r.analyses, path) for r in a.done} for a in arms}
    return {arm: {seed: v for seed, v in by.items() if v is not None} for arm, by in found.items()}


def in_depth(names: Iterable[str], arms: Sequence[Arm]) -> list[str]:
    """Layers in the order of the network, as plans tell it; files hold them by name. Unknown ones come last."""
    plan = [str(layer["name"]) for a in arms for run in a.runs for layer in run.plan.get("layers", ())]
    place = {name: i for i, name in enumerate(dict.fromkeys(plan))}
    return sorted(dict.fromkeys(names), key=lambda name: place.get(name, len(place)))


def curves_of(
    arms: Sequence[Arm], path: str, x: str, y: str, change: Callable[[Sequence[Any]], Sequence[Any]] | None = None
) -> Curves:
    """Rows at a dotted path as curves of ``y`` over ``x``; ``change`` is applied to the rows of a run before."""
    return {
        arm: {
            seed: [(float(row[x]), float(row[y])) for row in (change(rows) if change else rows) if row[y] is not None]
            for seed, rows in by.items()
        }
        for arm, by in of_runs(arms, path).items()
    }


def seeds_sentence(arms: Sequence[Arm]) -> str:
    """How many finished runs stand behind each arm."""
    counts = {len(a.done) for a in arms if a.done}
    if not counts:
        return "no finished run"
    if len(counts) == 1:
        return f"{plural(counts.pop(), 'seed')} per arm"
    if len(arms) > 6:
        return f"{min(counts)} to {max(counts)} seeds per arm"
    return "; ".join(f"{a.name}: {plural(len(a.done), 'seed')}" for a in arms)


def drawn_seeds(
    rows: Sequence[dict[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str]:
    """Single lines while there are few, else bands; and the sentence that says which.

    Args:
        rows: arm, seed, x, value.

    Returns:
        Rows to draw as thin lines, rows of bands (arm, x, low, high), and the sentence.
    """
    n = len({(row["arm"], row["seed"]) for row in rows})
    if n <= MAX_SEED_LINES:
        return list(rows), [], "Thin lines: seeds."
    found: dict[tuple[str, Any], list[float]] = {}
    for row in rows:
        found.setdefault((row["arm"], row["x"]), []).append(row["value"])
    bands = []
    for (arm, x), values in found.items():
        centre, sd = mean(values), spread(values)
        if centre is not None and sd is not None:
            bands.append({"arm": arm, "x": x, "low": centre - sd, "high": centre + sd})
    return [], bands, f"Bands: one standard deviation over seeds; the {n} single lines are left out."


def averaged(rows: Sequence[dict[str, Any]], arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """Mean over seeds at each x that every seed of the arm has."""
    found: dict[tuple[str, Any], list[float]] = {}
    seeds: dict[str, set[int]] = {}
    for row in rows:
        found.setdefault((row["arm"], row["x"]), []).append(row["value"])
        seeds.setdefault(row["arm"], set()).add(row["seed"])
    order = {a.name: i for i, a in enumerate(arms)}
    shared = [(arm, x, v) for (arm, x), v in found.items() if len(v) == len(seeds[arm])]
    return [{"arm": arm, "x": x, "value": mean(v)} for arm, x, v in sorted(shared, key=lambda t: (order[t[0]], t[1]))]


def curve(
    id: str,
    title: str,
    curves: Curves,
    arms: Sequence[Arm],
    *,
    x_title: str,
    y_title: str,
    words: str = "",
    factor: float = 1.0,
    kind: Kind = "share",
    height: int = 220,
    domain: tuple[float, float] | None = None,
    points: bool = False,
    labels: bool = False,
) -> Figure | None:
    """A line per arm: the mean over seeds, with the seeds or their spread behind it.

    Args:
        id: anchor, e.g. ``fig-frequencies-low``.
        title: of the figure.
        curves: arm name -> seed -> list of (x, value).
        arms: the arms of the study.
        x_title: of the x axis.
        y_title: of the y axis, with the unit after ``factor``.
        words: first sentences of the caption: what was measured, on how many images.
        factor: what values are multiplied by in the chart, 100 for per cent.
        kind: how the table prints the values before that.
        height: of the plot in pixels.
        domain: of the y axis; from the values if None.
        points: whether the mean line has points.
        labels: whether arms are named at the ends of their lines.

    Returns:
        The figure, or None where there is no number.
    """
    known = {
        a.name: {seed: kept for seed, line in curves.get(a.name, {}).items() if (kept := _finite(line))} for a in arms
    }
    there = [a for a in arms if known[a.name]]
    if not there:
        return None
    rows = [
        {"arm": a.name, "seed": seed, "x": x, "value": factor * y}
        for a in there
        for seed, line in known[a.name].items()
        for x, y in line
    ]
    means = averaged(rows, arms)
    thin, bands, which = drawn_seeds(rows)
    counts = sorted({len(known[a.name]) for a in there})
    seeds = plural(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
    caption = f"Strong line: mean over seeds ({seeds} per arm). {which} No error bars."
    spec = charts.lines(
        means,
        thin,
        looks(arms),
        x_title=x_title,
        y_title=y_title,
        height=height,
        labels=labels,
        domain=domain,
        points=points,
        bands=bands,
    )
    made = wide(title, x_title, means, there, factor, kind)
    return Figure(id, title, f"{words} {caption}".strip(), spec, f"{title} against {x_title} for each arm.", made)


def _finite(line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in line if math.isfinite(y)]


def wide(
    title: str, x_title: str, means: Sequence[dict[str, Any]], arms: Sequence[Arm], factor: float, kind: Kind
) -> Table:
    """Rows arm, x, value as a table with a column for each arm."""
    cells = {(r["arm"], r["x"]): r["value"] / factor for r in means}
    columns = (Column("x", begun(x_title), "number"), *(Column(a.name, a.name, kind) for a in arms))
    return table(
        title, columns, [(x, *(cells.get((a.name, x)) for a in arms)) for x in sorted({r["x"] for r in means})]
    )


def by_arm(
    id: str,
    title: str,
    values: Mapping[str, Mapping[int, float]],
    arms: Sequence[Arm],
    *,
    unit: str,
    words: str = "",
    factor: float = 1.0,
    kind: Kind = "share",
) -> Figure | None:
    """One line per arm: a dot for each seed, a tick at their mean.

    Args:
        id: anchor.
        title: of the figure.
        values: arm name -> seed -> value.
        arms: the arms of the study.
        unit: title of the axis, after ``factor``.
        words: first sentences of the caption.
        factor: what values are multiplied by in the chart.
        kind: how the table prints the values before that.

    Returns:
        The figure, or None where there is no number.
    """
    there = [a for a in arms if any(math.isfinite(v) for v in values.get(a.name, {}).values())]
    if not there:
        return None
    found = [(a.name, seed, v) for a in there for seed, v in sorted(values[a.name].items()) if math.isfinite(v)]
    rows = [{"arm": arm, "seed": seed, "value": factor * v} for arm, seed, v in found]
    centres = {a.name: mean(v for arm, _, v in found if arm == a.name) or 0.0 for a in there}
    means = [{"arm": arm, "value": factor * v} for arm, v in centres.items()]
    columns = (Column("arm", "Arm"), Column("seed", "Seed", "integer"), Column("value", begun(unit), kind))
    return Figure(
        id,
        title,
        f"{words} Dots: seeds. Tick: their mean. No error bars.".strip(),
        charts.strip(rows, means, looks(there), unit),
        f"{title}, mean of each arm: {', '.join(f'{arm} {factor * v:.3g}' for arm, v in centres.items())}.",
        table(title, columns, found),
    )


def grid(
    id: str,
    title: str,
    values: npt.ArrayLike,
    columns: Sequence[object],
    lines: Sequence[object],
    *,
    limits: tuple[float, float],
    unit: str,
    x_title: str = "",
    y_title: str = "",
    words: str = "",
    arm: str = "",
) -> Figure:
    """A grid of numbers as a heat map in a fixed scale, safe for colour-blind readers.

    Args:
        id: anchor.
        title: of the figure.
        values: of shape (lines, columns); NaN where there is none.
        columns: labels from the left.
        lines: labels from the top.
        limits: ends of the scale, the same for all grids that are to be compared; diverging with zero between them.
        unit: of the values.
        x_title: of the x axis.
        y_title: of the y axis.
        words: first sentences of the caption.
        arm: the arm it is about, or empty.

    Returns:
        The figure. Above ``MAX_GRID_SIDE`` a side its cells are means of neighbours, and the caption says so.
    """
    whole = np.asarray(values, dtype=float)
    drawn, across, down = whole, [str(c) for c in columns], [str(r) for r in lines]
    note = f"Scale from {limits[0]:g} to {limits[1]:g}{' ' + unit if unit else ''}."
    step = -(-max(whole.shape) // MAX_GRID_SIDE)
    if step > 1:
        drawn, across, down = _blocks(whole, step), across[::step], down[::step]
        note += f" Each cell is the mean of up to {step} by {step} values; the table has all of them."
    rows = [
        {"x": x, "y": y, "value": float(drawn[i, j])}
        for i, y in enumerate(down)
        for j, x in enumerate(across)
        if math.isfinite(drawn[i, j])
    ]
    spec = charts.grid(
        rows, across, down, limits, x_title=x_title, y_title=y_title, unit=unit, figures=drawn.size <= MAX_FIGURES
    )
    found = [
        (str(y), *(float(v) if math.isfinite(v) else None for v in line)) for y, line in zip(lines, whole, strict=True)
    ]
    made = table(
        title,
        (Column("line", y_title or "Line"), *(Column(str(c), str(c), "number") for c in columns)),
        found,
        f"{x_title} across the columns." if x_title else "",
    )
    low, high = (float(f(whole)) for f in (np.nanmin, np.nanmax)) if np.isfinite(whole).any() else (math.nan, math.nan)
    alt = f"{title}: a grid of {len(lines)} by {len(columns)} values from {low:.3g} to {high:.3g} {unit}.".strip()
    return Figure(id, title, f"{words} {note}".strip(), spec, alt, made, arm=arm)


def _blocks(values: npt.NDArray[np.float64], step: int) -> npt.NDArray[np.float64]:
    """Means over blocks of ``step`` by ``step``; those at the far edges are smaller."""
    height, width = (-(-n // step) for n in values.shape)
    padded = np.full((height * step, width * step), np.nan)
    padded[: values.shape[0], : values.shape[1]] = values
    cells = padded.reshape(height, step, width, step).transpose(0, 2, 1, 3).reshape(height, width, -1)
    there = np.isfinite(cells)
    sums, counts = np.where(there, cells, 0.0).sum(-1), there.sum(-1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def pictures(
    rows: Sequence[tuple[str, str, Sequence[npt.NDArray[np.uint8] | None]]], columns: Sequence[str], caption: str
) -> Strip:
    """Images in rows under common headings.

    Args:
        rows: label, smaller words beside it, and an image of shape (H, W, 3), or None, for each column.
        columns: headings.
        caption: what they are.

    Returns:
        The block; images above ``IMAGE_SIDE`` pixels a side are reduced.
    """
    made = tuple(
        StripRow(
            label,
            detail,
            tuple(
                (column, None if image is None else image_picture(image, f"{label}, {column}."))
                for column, image in zip(columns, images, strict=True)
            ),
        )
        for label, detail, images in rows
    )
    sides = [max(i.shape[:2]) for _, _, images in rows for i in images if i is not None]
    return Strip(((None, made),), tuple(columns), caption, pixels=max(sides, default=0) <= IMAGE_SIDE)
