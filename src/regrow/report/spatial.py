"""Sections on where weights are: concentration, dead filters, overlap, masks over training; and on sharpness."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

from regrow.analysis import kernel_frames
from regrow.report.animation import FRAME_SIDE, frames_png
from regrow.report.blocks import Block, Grid, MapCell, MapRow, Maps, Prose, Section, TableBlock, plural
from regrow.report.parts import by_arm, curve, curves_of, empty, in_depth, of_runs, seeds_sentence
from regrow.report.pictures import Picture, map_picture, scale_colours, sorted_map, thinned
from regrow.report.spectral import why_not
from regrow.report.table import Column, Table, Value, table
from regrow.study.view import StudyView
from regrow.verdict.arms import Arm, mean

GROUP = "Inside the networks"
#: Arms and layers of each whose masks are shown moving.
MAX_FILMS, MAX_FILM_LAYERS = 4, 2
GROUPINGS = {"output": "filters", "input": "input channels", "kernel": "kernels"}


def placement(view: StudyView, arms: Sequence[Arm]) -> Section:
    """How unevenly weights lie, beside what chance gives for that density."""
    intro = (
        "Are weights concentrated on few filters? Any mask is somewhat uneven, so the spread of counts over filters, "
        "channels and kernels is divided by what uniformly random places of as many weights have: log D is 0 there, "
        "above 0 where weights are concentrated. z is the distance from 200 random masks in their standard deviations."
    )
    id, title = "placement", "Where the weights are"
    rows = {
        arm: {s: {(r["of"], r["by"]): r for r in found} for s, found in by.items()}
        for arm, by in of_runs(arms, "spatial.network").items()
    }
    there = [a for a in arms if rows.get(a.name)]
    if not there:
        sparse = any(not a.is_dense for a in arms)
        why = (
            "No finished sparse run has been analysed." if sparse else "Every arm is dense: its weights are everywhere."
        )
        return empty(id, title, GROUP, intro, why)
    figures = [
        by_arm(
            f"fig-placement-{by}",
            f"Concentration over {words}",
            {
                arm: {s: v for s, found in seeds.items() if (v := _value(found, by)) is not None}
                for arm, seeds in rows.items()
            },
            there,
            unit="log D",
            words="Weighted mean over sparse layers; 0: as random masks.",
            kind="number",
        )
        for by, words in GROUPINGS.items()
    ]
    blocks: list[Block] = [
        Grid(tuple(f for f in figures if f), 3),
        TableBlock(_placement_table(there, rows)),
        TableBlock(_layers_table(there), folded=True),
        TableBlock(_empty_table(there)),
    ]
    overlap = _overlap_table(view, arms)
    if overlap.rows:
        blocks.append(TableBlock(overlap))
    else:
        blocks.append(Prose("What masks of different seeds share takes two finished sparse runs of one arm.", "empty"))
    return Section(id, title, GROUP, intro, tuple(blocks), legend=True)


def _value(found: Mapping[tuple[str, str], Mapping[str, Any]], by: str) -> float | None:
    value = found.get(("count", by), {}).get("value")
    return None if value is None or not math.isfinite(value) else float(value)


def _placement_table(
    arms: Sequence[Arm], rows: Mapping[str, Mapping[int, Mapping[tuple[str, str], Mapping[str, Any]]]]
) -> Table:
    columns = (
        Column("arm", "Arm"),
        Column("of", "Measured"),
        Column("by", "Over"),
        Column("value", "log D", "signed"),
        Column("null_mean", "Random masks", "signed"),
        Column("z", "z", "signed"),
        Column("above", "Runs with p < 0.05", "integer"),
        Column("seeds", "Seeds", "integer"),
    )
    lines: list[tuple[Value, ...]] = []
    for arm in arms:
        for of, what in (("count", "number of weights"), ("mass", "sum of |w|")):
            for by, words in GROUPINGS.items():
                found = [run[of, by] for run in rows[arm.name].values() if (of, by) in run]
                found = [row for row in found if row.get("value") is not None]
                if found:
                    values = [mean(row.get(key) for row in found) for key in ("value", "null_mean", "z")]
                    above = sum(row.get("p") is not None and row["p"] < 0.05 for row in found)
                    lines.append((arm.name, what, words, *values, above, len(found)))
    note = (
        "Means over seeds. Any choice of weights by size concentrates them, so the comparison that counts is with "
        "static masks and with dense networks that are pruned after training."
    )
    return table("Concentration of weights against random masks of equal density", columns, lines, note)


def _layers_table(arms: Sequence[Arm]) -> Table:
    columns = (
        Column("arm", "Arm"),
        Column("layer", "Layer"),
        Column("over", "Over"),
        Column("groups", "Groups", "integer"),
        Column("density", "Density", "share"),
        Column("dispersion", "D", "number"),
        Column("gini", "Gini", "share"),
        Column("effective_number", "Effective number", "number"),
        Column("z", "z of Gini", "signed"),
    )
    found: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    layers = of_runs(arms, "spatial.layers")
    for arm in arms:
        runs = list(layers.get(arm.name, {}).values())
        for layer in in_depth((str(row["layer"]) for rows in runs for row in rows), arms):
            spread = [one for rows in runs for row in rows if row["layer"] == layer for one in row.get("spread", ())]
            for one in spread:
                if one["of"] == "count":
                    found.setdefault((arm.name, layer, GROUPINGS[one["by"]]), []).append(one)
    keys = ("density", "dispersion", "gini", "effective_number", "z_gini")
    rows = [
        (*name, int(same[0]["groups"]), *(mean(one.get(key) for one in same) for key in keys))
        for name, same in found.items()
    ]
    note = (
        "Numbers of active weights, means over seeds. D: their variance over that of random places. Gini: 0 where all "
        "groups hold equally many. Effective number: exp of the entropy, as many groups as would hold all evenly."
    )
    return table("Evenness by layer", columns, rows, note)


def _empty_table(arms: Sequence[Arm]) -> Table:
    columns = (
        Column("arm", "Arm"),
        Column("filters", "Filters", "integer"),
        Column("dead", "Dead filters", "number"),
        Column("no_inputs", "Without inputs", "number"),
        Column("empty_kernels", "Empty kernels", "number"),
        Column("expected", "Expected by chance", "number"),
    )
    layers = of_runs(arms, "spatial.layers")
    lines: list[tuple[Value, ...]] = []
    for arm in arms:
        found = list(layers.get(arm.name, {}).values())
        if found:
            keys = ("filters_dead", "filters_without_inputs", "empty_kernels", "empty_kernels_expected")
            sums = [mean(_total(rows, key) for rows in found) for key in keys]
            lines.append((arm.name, int(_total(found[0], "filters") or 0), *sums))
    note = (
        "Sums over layers, means over seeds. Dead: no path of active weights connects the filter with the input and an "
        "output; not looked for where the network cannot be traced."
    )
    return table("Dead filters and empty kernels", columns, lines, note)


def _total(rows: Sequence[Mapping[str, Any]], key: str) -> float | None:
    values = [row.get(key) for row in rows]
    return None if any(v is None for v in values) else math.fsum(float(v) for v in values if v is not None)


def _overlap_table(view: StudyView, arms: Sequence[Arm]) -> Table:
    columns = (
        Column("arm", "Arm"),
        Column("runs", "Runs", "integer"),
        Column("jaccard", "Jaccard index", "share"),
        Column("jaccard_expected", "Expected by chance", "share"),
    )
    found = (view.analyses.get("mask_overlap") or {}).get("arms", {})
    lines: list[tuple[Value, ...]] = []
    for arm in arms:
        names = {run.name.rpartition("-seed")[0] for run in arm.runs}
        one: Mapping[str, Any] = next((found[name] for name in names if name in found), {})
        if one.get("total"):
            total = one["total"]
            lines.append((arm.name, int(one["runs"]), total["jaccard"], total["jaccard_expected"]))
    note = (
        "Active weights in common over those active in either, mean over pairs of seeds. Filters of differently seeded "
        "networks are not in the same order, so chance is what is expected even of equal solutions."
    )
    return table("What the final masks of different seeds share", columns, lines, note)


def film(view: StudyView, arms: Sequence[Arm]) -> Section:
    """Masks of a layer while they move."""
    intro = (
        "The masks of one or two layers over training, one pixel a kernel, each frame after a topology update. Left "
        "the moving mask, right the last one with rows and columns sorted by their sums. They play when opened."
    )
    id, title = "film", "Masks over training"
    there = [(a, r) for a in arms for r in a.done if r.name in view.films][:MAX_FILMS]
    if not there:
        moving = any(r.plan.get("updates") for a in arms for r in a.done)
        why = (
            "No film at hand: masks are filmed while a run trains, and are no part of published summaries."
            if moving
            else "No finished run has made a topology update."
        )
        return empty(id, title, GROUP, intro, why)
    layers = list(dict.fromkeys(layer for _, r in there for layer in view.films[r.name].shapes))[:MAX_FILM_LAYERS]
    rows = []
    for layer in layers:
        cells = []
        for arm, run in there:
            shown = view.films[run.name]
            if layer in shown.shapes:
                cells.append(_film_cell(arm.name, run.seed, shown, layer))
        first = next(view.films[r.name] for _, r in there if layer in view.films[r.name].shapes)
        k = math.prod(first.shapes[layer][2:])
        colours = tuple((i, "rgb({}, {}, {})".format(*rgb)) for i, rgb in enumerate(scale_colours(min(k, 27))))
        out, inputs = first.shapes[layer][:2]
        shape = f"{out} outputs × {inputs} inputs"  # noqa: RUF001
        rows.append(MapRow(layer, shape, k, colours if k <= 27 else (), tuple(cells)))
    caption = f"One run per arm, {len(there)} of the arms that rewire. Larger layers show evenly spaced channels."
    return Section(id, title, GROUP, intro, (Maps(tuple(rows), caption, folded="Play the masks"),))


def _film_cell(arm: str, seed: int, shown: Any, layer: str) -> MapCell:
    counts = kernel_frames(shown, layer)
    k = math.prod(shown.shapes[layer][2:])
    small = thinned(counts[-1])
    moving = "data:image/png;base64," + base64.b64encode(frames_png(shown, layer)).decode()
    words = f"{arm}, seed {seed}, layer {layer}"
    n = plural(len(counts), "frame")
    height, width = thinned(counts[-1], FRAME_SIDE).shape
    return MapCell(
        arm,
        f"{n}, update {int(shown.updates[0])} to {int(shown.updates[-1])}, seed {seed}",
        Picture(moving, f"Mask of {words} over training, {n}.", width, height),
        map_picture(sorted_map(small), k, f"Last mask of {words}, sorted."),
    )


def sharpness(view: StudyView, arms: Sequence[Arm]) -> Section:
    """How sharp the loss is about the final weights."""
    intro = (
        "Flat minima are a rival explanation of robustness. The largest Hessian eigenvalue, the rise of the loss in "
        "random directions scaled to the filters, and its rise up the gradient, all over active weights alone."
    )
    id, title = "sharpness", "Sharpness of the loss"
    found = of_runs(arms, "sharpness.n")
    if not any(found.values()):
        return empty(id, title, GROUP, intro, why_not(view, "sharpness"))
    n = plural(int(next(iter(next(by for by in found.values() if by).values()))), "clean test image")
    figures = (
        by_arm(
            "fig-sharpness-eigenvalue",
            "Largest Hessian eigenvalue",
            of_runs(arms, "sharpness.hessian.eigenvalue"),
            arms,
            unit="eigenvalue",
            words=f"By power iteration; {n}.",
            kind="number",
        ),
        by_arm(
            "fig-sharpness-worst",
            "Rise of the loss up the gradient",
            of_runs(arms, "sharpness.worst_case.rise"),
            arms,
            unit="rise of the loss",
            words=f"One step, relative to each weight's size (adaptive); {n}.",
            kind="number",
        ),
        curve(
            "fig-sharpness-random",
            "Rise of the loss in random directions",
            curves_of(arms, "sharpness.random.rows", "scale", "rise"),
            arms,
            x_title="step, share of filter norm",
            y_title="rise of the loss",
            words=f"Both ways along each direction; {n}.",
            kind="number",
            points=True,
        ),
    )
    note = Prose(f"Seeds: {seeds_sentence([a for a in arms if found.get(a.name)])}. Few images: an indication.")
    return Section(id, title, GROUP, intro, (Grid(tuple(f for f in figures if f), 3), note), legend=True)
