"""Sections that look inside: training curves, topology, mask maps, frequencies, cues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from regrow.report import charts, tables
from regrow.report.blocks import (
    Block,
    Figure,
    Grid,
    Key,
    MapCell,
    MapRow,
    Maps,
    Prose,
    Section,
    TableBlock,
    listed,
    nothing,
    plural,
)
from regrow.report.parts import curve, in_depth, looks, seeds_sentence, wide
from regrow.report.pictures import MAP_SIDE, map_picture, scale_colours, sorted_map
from regrow.report.table import Table
from regrow.study.view import RunView, StudyView
from regrow.verdict.arms import Arm

GROUP = "Inside the networks"
#: A logged curve is drawn through so many of its points, and a chart has so many in all.
MAX_POINTS = 80
MAX_MARKS = 800
MAX_LAYERS = 4
MAX_MAP_ARMS = 6
MAX_CHURN = 9
CHURN = ("dropped", "returned", "fresh")
CUES = ("low cue", "high cue", "neither")


def training(view: StudyView, arms: Sequence[Arm]) -> Section:
    """Loss, accuracy and density over the steps."""
    intro = (
        "What the training loop logged, on the augmented batches it saw. The accuracy of the final weights "
        "is in the summary."
    )
    figures = []
    for key, title, unit, factor in (
        ("loss", "Training loss", "loss", 1.0),
        ("accuracy", "Accuracy on training batches", "accuracy, %", 100.0),
        ("density", "Density", "density", 1.0),
    ):
        figure = curve(
            f"fig-training-{key}",
            title,
            {a.name: {r.seed: _curve(r, key, len(arms)) for r in a.done} for a in arms},
            arms,
            x_title="step",
            y_title=unit,
            factor=factor,
            kind="percent" if factor == 100.0 else "share",
            height=210,
            domain=(0.0, 1.05) if key == "density" else (0.0, 102.0) if key == "accuracy" else None,
        )
        figures += [figure] if figure else []
    if not figures:
        return Section("training", "Training", GROUP, intro, nothing("No finished run has logged any step yet."))
    return Section("training", "Training", GROUP, intro, (Grid(tuple(figures), 3),), legend=True)


def _curve(run: RunView, key: str, n_arms: int) -> list[tuple[float, float]]:
    points = [
        (float(row["step"]), float(row[key]))
        for row in run.metrics
        if row.get(key) is not None and np.isfinite(row[key])
    ]
    most = max(12, min(MAX_POINTS, MAX_MARKS // max(1, n_arms)))
    if len(points) <= most:
        return points
    chosen = np.unique(np.linspace(0, len(points) - 1, most).round().astype(int))
    return [points[i] for i in chosen]


def topology(view: StudyView, arms: Sequence[Arm]) -> Section:
    """What the masks did: updates, returned and fresh links, exploration, layers that stay dense."""
    intro = (
        "A topology update drops the active weights of smallest size and grows as many elsewhere. "
        "Returned links were dropped and "
        "grown in the same update, so nothing changed there; fresh links are newly active. The ITOP rate "
        "is the share of weights "
        "that were ever active."
    )
    sparse = [a for a in arms if not a.is_dense]
    if not sparse:
        return Section("topology", "Topology", GROUP, intro, nothing("Every arm is dense: there is no mask to update."))
    blocks: list[Block] = [TableBlock(tables.topology(view, arms))]
    changes = tables.updates(view, arms)
    if changes.rows:
        blocks += _update_figures(changes, sparse)
    else:
        blocks.append(Prose("No finished run has made a topology update: static masks keep their links.", "empty"))
    layers = tables.layers(view, arms)
    if layers.rows:
        kept = [str(row[0]) for row in layers.rows if row[-1]]
        rest = [str(row[0]) for row in layers.rows if not row[-1]]
        which = listed(kept) if len(kept) <= len(rest) or not rest else f"all but {listed(rest)}"
        blocks.append(
            Prose(
                f"The allocation keeps {len(kept)} of {plural(len(layers.rows), 'layer')} dense in at "
                f"least one arm: {which}."
                if kept
                else "The allocation keeps no layer dense.",
                "",
            )
        )
        blocks.append(TableBlock(layers, folded=len(layers.rows) > 12))
    else:
        blocks.append(Prose("No plan of layers was stored, so densities by layer are not known.", "empty"))
    return Section("topology", "Topology", GROUP, intro, tuple(blocks), legend=bool(changes.rows))


def _update_figures(changes: Table, sparse: Sequence[Arm]) -> list[Block]:
    by_arm: dict[str, list[tuple[Any, ...]]] = {}
    for row in changes.rows:
        by_arm.setdefault(str(row[0]), []).append(row)
    shares = [float(v) * 100 for row in changes.rows for v in row[3:6] if isinstance(v, (int, float))]
    high = 1.08 * max(shares, default=1.0) or 1.0
    figures = []
    for arm in [a for a in sparse if a.name in by_arm][:MAX_CHURN]:
        rows = [
            {"kind": kind, "x": row[1], "value": 100 * float(row[3 + i])}
            for row in by_arm[arm.name]
            for i, kind in enumerate(CHURN)
            if row[3 + i] is not None
        ]
        figures.append(
            Figure(
                f"fig-updates-{arm.index}",
                f"{arm.name}: links per update",
                "Share of the active weights, all layers together; mean over "
                f"{plural(int(by_arm[arm.name][0][-1]), 'seed')}. No error bars.",
                charts.churn(rows, CHURN, high),
                f"Dropped, returned and fresh links at each topology update of {arm.name}.",
                Table(f"Updates of {arm.name}", changes.columns, tuple(by_arm[arm.name]), changes.note),
                keys=tuple(Key(kind, f"churn-{i}") for i, kind in enumerate(CHURN)),
                arm=arm.name,
            )
        )
    itop: list[dict[str, Any]] = [
        {"arm": row[0], "x": row[1], "value": row[6]}
        for row in changes.rows
        if isinstance(row[6], float) and np.isfinite(row[6])
    ]
    if itop:
        moving = [a for a in sparse if a.name in by_arm]
        low = min(r["value"] for r in itop)
        figures.append(
            Figure(
                "fig-itop",
                "ITOP rate",
                "Share of weights ever active, all layers together; mean over seeds. No error bars.",
                charts.lines(
                    itop,
                    [],
                    looks(moving),
                    x_title="update",
                    y_title="ITOP rate",
                    height=170,
                    labels=len(moving) > 1,
                    domain=(max(0.0, low - 0.08), 1.03),
                ),
                "ITOP rate against the number of topology updates for each arm.",
                wide("ITOP rate by update", "update", itop, moving, 1.0, "share"),
            )
        )
    return [Grid(tuple(figures), 2)] if figures else []


def masks(view: StudyView, arms: Sequence[Arm]) -> Section:
    """Maps of non-zero weights per kernel."""
    intro = (
        "Each pixel is one kernel: output channels from top to bottom, input channels from left to "
        "right. Its colour is the number of "
        "non-zero weights in it. Left, channels in their own order; right, rows and columns sorted by "
        "their sums, where uneven use of "
        "channels shows as a slope."
    )
    title = "Mask maps"
    have = [a for a in arms if not a.is_dense and any(r.kernels for r in a.done)]
    if not have:
        why = (
            "No finished sparse run has stored its kernel counts."
            if any(not a.is_dense for a in arms)
            else "Every arm is dense: there is no mask to draw."
        )
        return Section("masks", title, GROUP, intro, nothing(why))
    counts: dict[int, int] = {}
    for a in have:
        for r in a.done:
            counts[r.seed] = counts.get(r.seed, 0) + bool(r.kernels)
    seed = min(counts, key=lambda s: (-counts[s], s))
    runs = [(a, r) for a in have for r in a.done if r.seed == seed and r.kernels][:MAX_MAP_ARMS]
    layers = _sparse_layers(runs)
    if not layers:
        return Section(
            "masks", title, GROUP, intro, nothing("Every layer of every sparse run is dense, so all kernels are full.")
        )
    chosen = [
        layers[i] for i in np.unique(np.linspace(0, len(layers) - 1, min(len(layers), MAX_LAYERS)).round().astype(int))
    ]
    rows = tuple(_map_row(layer, runs, seed) for layer in chosen)
    large = any(max(r.kernels[layer].shape) > MAP_SIDE for _, r in runs for layer in chosen if layer in r.kernels)
    caption = (
        f"One run per arm, seed {seed}; {len(chosen)} of the {plural(len(layers), 'layer')} of density "
        "below 1, evenly spaced in depth. "
        "The colour scale is fixed from empty to full kernels."
    )
    if large:
        caption += f" Larger maps show {MAP_SIDE} evenly spaced channels a side."
    if len(have) > len(runs):
        caption += f" {len(runs)} of {len(have)} arms are drawn."
    return Section("masks", title, GROUP, intro, (Maps(rows, caption),))


def _sparse_layers(runs: Sequence[tuple[Arm, RunView]]) -> list[str]:
    """Layers with density below 1 in at least one run, in the order of the network."""
    found: dict[str, None] = {}
    for _, run in runs:
        density = {str(x["name"]): float(x["density"]) for x in run.plan.get("layers", ())}
        for name, kernel in run.kernels.items():
            full = run.kernel_sizes.get(name, int(kernel.max(initial=1)))
            here = density.get(name, float(kernel.mean()) / max(1, full))
            if here < 1 and kernel.ndim == 2 and kernel.size:
                found.setdefault(name)
    return in_depth(found, [arm for arm, _ in runs])


def _map_row(layer: str, runs: Sequence[tuple[Arm, RunView]], seed: int) -> MapRow:
    cells, shape, k = [], "", 1
    for arm, run in runs:
        kernel = run.kernels.get(layer)
        if kernel is None or kernel.ndim != 2 or not kernel.size:
            continue
        k = int(run.kernel_sizes.get(layer, int(kernel.max(initial=1))))
        shape = f"{kernel.shape[0]} outputs × {kernel.shape[1]} inputs"  # noqa: RUF001
        words = (
            f"{arm.name}, seed {seed}, layer {layer}: {shape}, {kernel.mean():.2f} of {plural(k, 'weight')} "
            "per kernel on average"
        )
        cells.append(
            MapCell(
                arm.name,
                f"{100 * float(kernel.sum()) / (kernel.size * max(1, k)):.1f} % of weights, "
                f"{100 * float((kernel == 0).mean()):.1f} % of kernels empty",
                map_picture(kernel, k, f"Mask map of {words}."),
                map_picture(sorted_map(kernel), k, f"Sorted mask map of {words}."),
            )
        )
    colours = (
        tuple((i, "rgb({}, {}, {})".format(*rgb)) for i, rgb in enumerate(scale_colours(min(k, 255))))
        if k <= 27
        else ()
    )
    return MapRow(layer, shape, k, colours, tuple(cells))


def cues(view: StudyView, arms: Sequence[Arm]) -> Section:
    """Reliance on low and high frequencies, for the data set made for it."""
    intro = (
        "Every class of this data set has a low-frequency cue (shape, layout) and a high-frequency cue "
        "(texture), and each is enough to "
        "classify. Where the two point to different classes, the answer tells which one the network follows."
    )
    title = "Cue reliance"
    made = tables.reliance(view, arms)
    if not made.rows:
        why = (
            "Reliance on cues is measured on the data set cues alone."
            if view.data.get("name") != "cues"
            else "No finished run has its reliance measured yet."
        )
        return Section("cues", title, GROUP, intro, nothing(why))
    rows = []
    for row in made.rows:
        start = 0.0
        for part, value in zip(CUES, row[1:4], strict=True):
            if value is None:
                continue
            end = start + 100 * float(value)
            rows.append(
                {
                    "arm": row[0],
                    "part": part,
                    "start": start,
                    "end": end,
                    "middle": (start + end) / 2,
                    "value": end - start,
                }
            )
            start = end
    order = [str(row[0]) for row in made.rows]
    figure = Figure(
        "fig-cues",
        "Which cue the answers follow where the cues conflict",
        f"Shares of {made.rows[0][6]} images, mean over seeds ({seeds_sentence(arms)}). No error bars.",
        charts.shares(rows, order, CUES),
        "For each arm, the share of answers that follow the low cue, the high cue, or neither.",
        made,
        keys=tuple(Key(label, f"cue-{token}") for label, token in zip(CUES, ("low", "high", "other"), strict=True)),
    )
    return Section("cues", title, GROUP, intro, (figure, TableBlock(made)))
