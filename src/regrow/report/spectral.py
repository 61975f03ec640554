"""Sections on frequencies: of corruptions, of single waves, of the loss, of kernels, and what strides fold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from regrow.analysis import distinct_frequencies
from regrow.report import charts
from regrow.report.blocks import Block, Figure, Grid, Prose, Section, TableBlock, human, plural, slug
from regrow.report.parts import (
    by_arm,
    curve,
    curves_of,
    empty,
    grid,
    in_depth,
    looks,
    of_images_alone,
    of_runs,
    seeds_sentence,
)
from regrow.report.table import Column, Table, Value, table
from regrow.study.analyses import SMALL_SIDE
from regrow.study.view import RunView, StudyView, at
from regrow.verdict.arms import Arm, gain, mean, over, pairs
from regrow.verdict.evidence import power_ratios

GROUP = "Frequencies"
#: Arms whose map is drawn; the curve beside has all.
MAX_MAPS = 6
Floats = npt.NDArray[np.float64]


def corruption_spectra(view: StudyView, arms: Sequence[Arm]) -> Section:
    """What corruptions add and take, and whether gains go along with it."""
    intro = (
        "Where in the spectrum a corruption changes images, and which way. The share says how much of the change lies "
        "above the radius; the power ratio compares high frequencies of corrupted and clean images: above 1 a "
        "corruption adds them, as noise does, below 1 it takes them away, as blur does. Only the ratio tells the two "
        "apart."
    )
    id, title = "corruption-spectra", "Spectra of the corruptions"
    found = view.analyses.get("corruption_spectra") or {}
    ratios = power_ratios(found)
    rows = found.get("rows", ())
    if not rows:
        why = (
            "Not measured: nothing says which clean images those of a published set were made from."
            if view.modality == "image"
            else f"Not measured: spectra are those of images, and this study is of {view.noun}."
        )
        return empty(id, title, GROUP, intro, why)
    blocks: list[Block] = []
    figure = _gain_against_power(view, arms, ratios)
    if figure is None:
        blocks.append(
            Prose("No arm has a dense partner of the same seed, so there is no gain to set against it.", "empty")
        )
    else:
        blocks.append(figure)
    blocks.append(TableBlock(_spectra_table(view, found, ratios)))
    n = plural(int(found["n"]), "image")
    words = f"Measured on {n} of each cell; high: above {found['radius']:g} cycles per image."
    return Section(id, title, GROUP, intro, (*blocks, Prose(words)), legend=figure is not None)


def _gain_against_power(view: StudyView, arms: Sequence[Arm], ratios: Mapping[str, float]) -> Figure | None:
    rows: list[dict[str, Any]] = []
    for arm in arms:
        for name, ratio in ratios.items():
            value = None if arm.is_dense else gain(arm, arms, over(view, [name]))
            if value is not None:
                family = view.families.get(name, "other")
                rows.append(
                    {
                        "arm": arm.name,
                        "corruption": name,
                        "label": human(name),
                        "family": family,
                        "x": ratio,
                        "value": 100 * value,
                    }
                )
    if not rows:
        return None
    there = [a for a in arms if any(r["arm"] == a.name for r in rows)]
    counts = sorted({pairs(a, arms) for a in there})
    seeds = plural(counts[0], "paired seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} paired seeds"
    columns = (
        Column("arm", "Arm"),
        Column("corruption", "Corruption"),
        Column("family", "Family"),
        Column("ratio", "Power ratio", "number"),
        Column("gain", "Gain, points", "signed"),
    )
    title = "Gain over dense against the high frequencies that a corruption adds or takes"
    return Figure(
        "fig-gain-power",
        title,
        f"A point per corruption and arm: mean over severities and seeds ({seeds}). Dashed line: a corruption that "
        "leaves high frequencies as they are. Types of one family go together, so the points are not independent; no "
        "line is fitted.",
        charts.scatter(
            rows, looks(there), x_title="high-frequency power, corrupted / clean", y_title="gain, points", cut=1.0
        ),
        "Gain of each arm over dense under each corruption, against the ratio of high-frequency power; see the table.",
        table(title, columns, [tuple(r[k] for k in ("arm", "corruption", "family", "x", "value")) for r in rows]),
        cells=True,
    )


def _spectra_table(view: StudyView, found: Mapping[str, Any], ratios: Mapping[str, float]) -> Table:
    columns = (
        Column("corruption", "Corruption"),
        Column("family", "Family"),
        Column("share", "Share of change above radius", "percent"),
        Column("share_whitened", "Share, whitened", "percent"),
        Column("power_ratio", "Power ratio", "number"),
    )
    rows = [
        (
            str(row["corruption"]),
            str(view.families.get(row["corruption"], "other")),
            row["share"],
            row["share_whitened"],
            ratios.get(row["corruption"]),
        )
        for row in found["rows"]
    ]
    return table(
        "Corruptions by high-frequency share",
        columns,
        rows,
        "Means over severities (of the ratio the geometric one). Whitened: the change over the clean spectrum, so that "
        "each frequency counts by what images have there.",
    )


def frequencies(view: StudyView, arms: Sequence[Arm]) -> Section:
    """Accuracy when low or high spatial frequencies are removed."""
    intro = (
        "Every test image is filtered in the Fourier plane before the network sees it. A curve that stays high when "
        "only low frequencies are kept belongs to a network that needs little of the fine detail."
    )
    id, title = "frequencies", "Frequencies removed"
    ways = _ways(arms)
    if not ways:
        why = "No finished run has attenuation curves."
        return empty(id, title, GROUP, intro, why if view.modality == "image" else why_not(view, "attenuation"))
    figures = [
        _radius_figure(arms, way, keep)
        for way in ways
        for keep in ("low", "high")
        if any(_kept(run, way, keep) for a in arms for run in a.done)
    ]
    words = " ".join(dict.fromkeys(_CONVENTIONS[way.convention] for way in ways if way.convention in _CONVENTIONS))
    return Section(id, title, GROUP, intro, (Grid(tuple(f for f in figures if f), 2), Prose(words)), legend=True)


class _Way(NamedTuple):
    """How frequencies were removed."""

    convention: str
    edge: str
    clip: bool

    @property
    def words(self) -> str:
        parts = [self.convention.replace("_", " ")]
        parts += [] if self.edge == "hard" else [f"{self.edge} edge"]
        return ", ".join([*parts, *(["clipped"] if self.clip else [])])


_PAPERS = _Way("follow", "hard", False)
_CONVENTIONS = {
    "follow": "Convention “follow”: the zero frequency follows the mask.",
    "keep_dc": "Convention “keep dc”: the zero frequency is always kept.",
}


def _curves(run: RunView) -> dict[_Way, Mapping[str, Any]]:
    found = {_Way(c["convention"], c["edge"], c["clip"]): c for c in at(run.analyses, "radius_curves.curves") or ()}
    if run.attenuation and _PAPERS not in found:  # of studies of before there were two conventions
        found[_PAPERS._replace(convention=str(run.attenuation.get("convention", "follow")))] = run.attenuation
    return found


def _ways(arms: Sequence[Arm]) -> list[_Way]:
    every = {way for a in arms for run in a.done for way in _curves(run)}
    return sorted(every, key=lambda way: (way != _PAPERS, way.clip, way.edge, way.convention))


def _kept(run: RunView, way: _Way, keep: str) -> list[tuple[float, float]]:
    rows = _curves(run).get(way, {}).get(keep, ())
    return [(float(p["radius"]), float(p["accuracy"])) for p in rows]


def _radius_figure(arms: Sequence[Arm], way: _Way, keep: str) -> Figure | None:
    rule = "below the radius" if keep == "low" else "from the radius on"
    n = next((found.get("n", "?") for a in arms for r in a.done if (found := _images(r))), "?")
    name = f"fig-frequencies-{keep}"
    return curve(
        name if way == _PAPERS else f"{name}-{slug(way.words)}",
        f"{keep.capitalize()} frequencies kept ({way.words})",
        {a.name: {r.seed: _kept(r, way, keep) for r in a.done} for a in arms},
        arms,
        x_title="radius, cycles per image",
        y_title="accuracy, %",
        words=f"Frequencies {rule} are kept; {n} images.",
        factor=100.0,
        kind="percent",
        height=230,
        points=True,
    )


def _images(run: RunView) -> Mapping[str, Any]:
    return at(run.analyses, "radius_curves") or run.attenuation or {}


def single_frequencies(view: StudyView, arms: Sequence[Arm]) -> Section:
    """Fourier heat maps (Yin et al. 2019)."""
    intro = (
        "A wave of one frequency and of fixed strength is added to every image, for each frequency in turn (Fourier "
        "heat map, Yin et al. 2019). Zero frequency is in the middle of a map. A network that goes by fine detail errs "
        "at the rim; one that goes by coarse shape errs in the middle."
    )
    id, title = "single-frequencies", "Single frequencies"
    maps = of_runs(arms, "heat_map.error")
    there = [a for a in arms if maps.get(a.name)]
    if not there:
        return empty(id, title, GROUP, intro, why_not(view, "heat_map"))
    first = next(r.analyses["heat_map"] for a in there for r in a.done if "heat_map" in r.analyses)
    passes = int(first["n"]) * len(distinct_frequencies(*first["shape"])[0])
    words = f"Error under each frequency, {plural(int(first['n']), 'image')} each, L2 norm {first['eps']:g} a channel."
    ring = curve(
        "fig-heat-rings",
        "Error by frequency",
        curves_of(there, "heat_map.summary.error.radial", "radius", "mean"),
        there,
        x_title="radius, cycles per image",
        y_title="error, %",
        words=f"{words} Means over rings.",
        factor=100.0,
        kind="percent",
        height=240,
        points=True,
    )
    figures = _maps(there, maps, first)
    cost = Prose(f"Cost: {passes:,} passes of the network a run; images {first['image'][0]} pixels high.")
    drawn = len({f.arm for f in figures})
    more = [Prose(f"{drawn} of {len(there)} arms are drawn as maps.")] if drawn < len(there) else []
    return Section(
        id, title, GROUP, intro, (*([ring] if ring else []), Grid(tuple(figures), 2), *more, cost), legend=True
    )


def _maps(there: Sequence[Arm], maps: Mapping[str, Mapping[int, Any]], first: Mapping[str, Any]) -> list[Figure]:
    """The map of dense training, then each other arm minus it, by common seeds."""
    rows, columns = first["shape"]
    down, across = ([k - n // 2 for k in range(n)] for n in (rows, columns))
    dense = next((a for a in there if a.is_dense), None)
    found: list[Figure] = []
    shown: list[tuple[Arm, Floats, bool, int]] = []
    for arm in there[:MAX_MAPS]:
        mine = {s: 100 * np.array(m, dtype=float) for s, m in maps[arm.name].items()}
        theirs = {s: 100 * np.array(m, dtype=float) for s, m in maps[dense.name].items()} if dense else {}
        common = sorted(mine.keys() & theirs.keys())
        if dense is None or arm is dense or not common:
            shown.append((arm, np.mean(list(mine.values()), axis=0), False, len(mine)))
        else:
            shown.append((arm, np.mean([mine[s] - theirs[s] for s in common], axis=0), True, len(common)))
    differences = [float(np.nanmax(np.abs(v))) for _, v, minus, _ in shown if minus]
    widest = _ceil(max([*differences, 1e-9]))
    errors = [v for _, v, minus, _ in shown if not minus]
    low, high = 10 * math.floor(min(map(np.nanmin, errors)) / 10), 10 * math.ceil(max(map(np.nanmax, errors)) / 10)
    for arm, values, minus, n in shown:
        what = f"{arm.name} minus dense" if minus else arm.name
        found.append(
            grid(
                f"fig-heat-map-{arm.index}",
                f"{what}: error under single frequencies",
                values,
                across,
                down,
                limits=(-widest, widest) if minus else (low, max(high, low + 10)),
                unit="points" if minus else "%",
                x_title="horizontal frequency, cycles per image",
                y_title="vertical",
                words=f"Mean over {plural(n, 'paired seed' if minus else 'seed')}.",
                arm=arm.name,
            )
        )
    return found


def _ceil(value: float) -> float:
    """The next number of one digit."""
    unit = 10.0 ** math.floor(math.log10(value))
    return math.ceil(value / unit) * unit


def loss_gradient(view: StudyView, arms: Sequence[Arm]) -> Section:
    """Which frequencies the loss follows, and how strongly answers follow pixels."""
    intro = (
        "The gradient of the loss with respect to the pixels, by frequency: where it has its power, a small change of "
        "the image changes the loss most. The Jacobian norm says how strongly all logits follow small changes."
    )
    id, title = "loss-gradient", "What the loss follows"
    if not any(of_runs(arms, "gradients").values()):
        return empty(id, title, GROUP, intro, why_not(view, "gradients"))

    def shares(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
        power = [float(r["bins"]) * float(r["power"] or 0.0) for r in rows]
        whole = sum(power)
        return [{"radius": r["radius"], "share": p / whole} for r, p in zip(rows, power, strict=True)] if whole else []

    first = next(iter(next(by for by in of_runs(arms, "gradients.input_gradient").values() if by).values()))
    n = plural(int(first["n"]), "clean test image")
    figures = (
        curve(
            "fig-gradient-profile",
            "Power of the loss gradient by frequency",
            curves_of(arms, "gradients.input_gradient.profile", "radius", "share", shares),
            arms,
            x_title="radius, cycles per image",
            y_title="share of the power, %",
            words=f"Rings one cycle wide; {n}.",
            factor=100.0,
            kind="percent",
        ),
        by_arm(
            "fig-gradient-share",
            "High-frequency share of the loss gradient",
            of_runs(arms, "gradients.input_gradient.share"),
            arms,
            unit=f"share above radius {_radius(first)}, %",
            words=f"{n.capitalize()}.",
            factor=100.0,
            kind="percent",
        ),
        by_arm(
            "fig-jacobian",
            "Jacobian norm",
            of_runs(arms, "gradients.jacobian.norm"),
            arms,
            unit="norm, logits per unit of the image",
            words="Frobenius norm, estimated from random projections; images scaled to [0, 1].",
            kind="number",
        ),
    )
    return Section(id, title, GROUP, intro, (Grid(tuple(f for f in figures if f), 3),), legend=True)


def _radius(found: Mapping[str, Any]) -> str:
    return f"{float(found['radius']):g}" if found.get("radius") is not None else "?"


def kernels(view: StudyView, arms: Sequence[Arm]) -> Section:
    """Spectra of kernels, and whether those of high frequency are emptied."""
    intro = (
        "The spectrum of every convolution kernel, and the paper's explanation put to the test: are the filters and "
        "kernels that lost weights the high-frequency ones? A kernel of few weights is flat by itself, so the relation "
        "of FINAL spectra to density is negative by mechanics; only the relation of the spectra before training, and "
        "the distance z from random masks of equal densities, speak."
    )
    id, title = "kernels", "Spectra of kernels"
    layers = of_runs(arms, "kernel_spectra.layers")
    known = [rows for by in layers.values() for rows in by.values() if rows]
    if not known:
        why = "Not measured, or the network has no kernel of more than one weight."
        return empty(id, title, GROUP, intro, why)
    names = in_depth((str(row["layer"]) for row in known[0]), arms)

    def placed(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        there = [{"x": names.index(r["layer"]) + 1, "share": r["share"]} for r in rows if r["layer"] in names]
        return sorted(there, key=lambda row: int(row["x"]))

    figure = curve(
        "fig-kernel-shares",
        "High-frequency share of the kernels, by layer",
        curves_of(arms, "kernel_spectra.layers", "x", "share", placed),
        arms,
        x_title="layer, from the input",
        y_title="share of power at high frequencies, %",
        words="Kernels padded to 32 x 32; high: radius above 8; mean weighted by energy. A single weight has 80.8 %.",
        factor=100.0,
        kind="percent",
    )
    relation = _relation(arms)
    blocks: list[Block] = [figure] if figure else []
    if relation.rows:
        blocks.append(TableBlock(relation))
    else:
        blocks.append(Prose("No finished run is sparse, so there is no relation to density.", "empty"))
    return Section(id, title, GROUP, intro, tuple(blocks), legend=True)


def _relation(arms: Sequence[Arm]) -> Table:
    columns = (
        Column("arm", "Arm"),
        Column("by", "Groups"),
        Column("rho_initial", "Rank correlation, initial spectra", "signed"),
        Column("rho_final", "Final spectra", "signed"),
        Column("null_mean", "Random masks", "signed"),
        Column("z", "z", "signed"),
        Column("seeds", "Seeds", "integer"),
    )
    rows: list[tuple[Value, ...]] = []
    for arm, by in of_runs(arms, "kernel_spectra.relation.pooled").items():
        groups: dict[str, list[Mapping[str, Any]]] = {}
        for pooled in by.values():
            for row in pooled:
                groups.setdefault(str(row["by"]), []).append(row)
        for group, found in groups.items():
            values = [mean(row.get(key) for row in found) for key in ("rho_initial", "rho_final", "null_mean", "z")]
            if values[1] is not None:  # all groups of a dense network are equally full
                rows.append((arm, f"{group}s", *values, len(found)))
    return table(
        "Density of filters and kernels against their high-frequency share",
        columns,
        rows,
        "Spearman's rank correlation over all layers, ranks within layers; mean over seeds. Below 0: groups of high "
        "frequency hold fewer weights. Random masks keep the initial weights at as many random places of each kernel; "
        "z is the distance from them in their standard deviations. Not computed for networks above 500,000 weights.",
    )


def aliasing(view: StudyView, arms: Sequence[Arm]) -> Section:
    """What strided layers fold onto low frequencies."""
    intro = (
        "A layer of stride 2 keeps every second value: frequencies above half of its new grid are folded onto lower "
        "ones. The share is the energy that lies there before the stride; the relative error is how far the sampled "
        "map is from one without them. Less aliasing is a rival explanation of robustness to high frequencies."
    )
    id, title = "aliasing", "Aliasing"
    rows = {arm: {s: r for s, r in by.items() if r} for arm, by in of_runs(arms, "aliasing.layers").items()}
    known = [found for by in rows.values() for found in by.values()]
    if not known:
        any_run = any(of_runs(arms, "aliasing").values())
        why = "The network has no layer with a stride." if any_run else why_not(view, "aliasing")
        return empty(id, title, GROUP, intro, why)
    names = [str(row["layer"]) for row in known[0]]
    figures = [
        by_arm(
            f"fig-aliasing-{key}",
            heading,
            {a.name: _mean_of(rows.get(a.name, {}), key) for a in arms},
            arms,
            unit=unit,
            words=f"Mean over {plural(len(names), 'strided layer')}.",
            factor=100.0,
            kind="percent",
        )
        for key, heading, unit in (
            ("share", "Energy that is folded", "share above the new Nyquist frequency, %"),
            ("relative_error", "Error of the sampled maps", "relative error, %"),
        )
    ]
    columns = (
        Column("layer", "Layer"),
        Column("kind", "Kind"),
        Column("stride", "Stride"),
        Column("white", "White noise", "percent"),
        *(Column(a.name, a.name, "percent") for a in arms if rows.get(a.name)),
    )
    there = [a for a in arms if rows.get(a.name)]
    lines = [
        (
            name,
            str(known[0][i]["kind"]),
            str(known[0][i]["stride"]),
            known[0][i]["white_share"],
            *(mean(_share(found, name) for found in rows[a.name].values()) for a in there),
        )
        for i, name in enumerate(names)
    ]
    made = table(
        "Energy above the new Nyquist frequency, by layer",
        columns,
        lines,
        f"Mean over images and seeds ({seeds_sentence(there)}). White noise: what a map without any structure has.",
    )
    return Section(
        id,
        title,
        GROUP,
        intro,
        (Grid(tuple(f for f in figures if f), 2), TableBlock(made, folded=len(lines) > 8)),
        True,
    )


def _share(rows: Sequence[Mapping[str, Any]], layer: str) -> float | None:
    return next((at(row, "share.mean") for row in rows if row["layer"] == layer), None)


def _mean_of(by_seed: Mapping[int, Sequence[Mapping[str, Any]]], key: str) -> dict[int, float]:
    means = {seed: mean(at(row, f"{key}.mean") for row in rows) for seed, rows in by_seed.items()}
    return {seed: value for seed, value in means.items() if value is not None}


def why_not(view: StudyView, name: str) -> str:
    """Why no run has an analysis that is made of small images alone by default."""
    if not any(run.state == "done" for run in view.runs):
        return "No finished run."
    if view.modality != "image" and name != "sharpness":  # which looks at weights
        return of_images_alone(view)
    side = view.data.get("image_size")
    if view.modality == "image" and isinstance(side, int) and side > SMALL_SIDE:
        key = f"analysis.{name}.images"
        return f"Not measured: by default of images of up to {SMALL_SIDE} pixels alone; {key} in a recipe asks for it."
    return f"Not measured: not asked for (analysis.{name}.images), or made before this analysis was there."
