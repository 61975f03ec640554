"""Sections that say what came out: summary, by corruption, by severity, against sparsity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from regrow.report import charts, tables
from regrow.report.blocks import Block, Figure, Grid, Key, Prose, Section, TableBlock, human, listed, nothing, plural
from regrow.report.finding import underfit_sentence
from regrow.report.parts import drawn_seeds, looks, seeds_sentence
from regrow.report.table import Column, Table, Value, table
from regrow.study.view import RunView, StudyView
from regrow.verdict.arms import (
    Arm,
    Difference,
    clean,
    differences,
    extras,
    families,
    gain,
    in_family_order,
    mean,
    mean_name,
    over,
    pairs,
)

#: More arms than these are in the tables alone, where a chart would be too crowded or the page too heavy.
MAX_HEAT_MAPS = 9
GROUP = "Results"


def images_sentence(view: StudyView) -> str:
    """How many images each cell holds, from the scores."""
    counts = {s.n for r in view.runs for s in r.scores.values()}
    if not counts:
        return f"no {view.example}"
    return (
        f"{plural(counts.pop(), view.example)} a cell"
        if len(counts) == 1
        else f"{min(counts)} to {max(counts)} {view.noun} a cell"
    )


def seed_rows(arms: Sequence[Arm], measure: Callable[[RunView], float | None], **more: Any) -> list[dict[str, Any]]:
    """One row per finished run: arm, seed, value in per cent."""
    values = ((a.name, r.seed, measure(r)) for a in arms for r in a.done)
    return [{"arm": name, "seed": seed, "value": 100 * v, **more} for name, seed, v in values if v is not None]


def mean_rows(arms: Sequence[Arm], measure: Callable[[RunView], float | None], **more: Any) -> list[dict[str, Any]]:
    """One row per arm: the mean over its finished runs in per cent."""
    values = ((a.name, mean(measure(r) for r in a.done), len(a.done)) for a in arms)
    return [{"arm": name, "value": 100 * v, "runs": n, **more} for name, v, n in values if v is not None]


def summary(view: StudyView, arms: Sequence[Arm]) -> Section:
    """How well each arm does, and how far from dense."""
    label = mean_name(view)
    intro = (
        f"Top-1 accuracy. {label} is the mean over {len(view.common)} {view.common_words} "
        f"and severities {listed(view.severities)}."
    )
    if extras(view):
        intro += f" Beside it, and not in it: {listed([human(e) for e in extras(view)])}."
    measure = over(view, view.common)
    seeds = seed_rows(arms, measure)
    blocks: list[Block] = []
    if warning := underfit_sentence(view):
        blocks.append(Prose(warning, "note"))
    if not seeds:
        why = "No finished run has every cell of these types yet, so there is no mean to show."
        return Section(
            "summary", "Summary", GROUP, intro, (*blocks, Prose(why, "empty"), TableBlock(tables.summary(view, arms)))
        )
    table = tables.summary(view, arms)
    figures = [
        Figure(
            "fig-mean",
            f"{label} by arm",
            f"Dots: seeds ({seeds_sentence(arms)}, {images_sentence(view)}). Tick: their mean. No error bars.",
            charts.strip(seeds, mean_rows(arms, measure), looks(arms), f"{label}, %"),
            f"Accuracy under corruption for each arm, one dot per seed: {_spoken(mean_rows(arms, measure))}.",
            _by_seed(seeds, label),
        )
    ]
    found = [d for d in differences(arms, measure) if d.n]
    if found:
        figures.append(_forest(view, arms, found, label))
    blocks.append(Grid(tuple(figures), 2))
    if not found:
        blocks.append(
            Prose(
                "There is no difference to dense: no seed has both a finished dense and a finished sparse run.", "empty"
            )
        )
    blocks += _summary_tables(table)
    return Section("summary", "Summary", GROUP, intro, tuple(blocks), legend=True)


def _summary_tables(whole: Table) -> list[Block]:
    """The summary in two tables that fit a page: accuracies, and differences."""
    against = ["difference", "low", "high", "p", "p_holm", "pairs"]
    sd = next(c.key for c in whole.columns if c.key.endswith("_sd"))
    keys = [c.key for c in whole.columns if c.key not in (*against, sd)]
    blocks: list[Block] = [TableBlock(whole.select(whole.title, keys, whole.note.partition(" Difference:")[0]))]
    rows = tuple(row for row in whole.rows if row[-1])
    if rows:
        note = (
            "p: paired t test over seeds, two-sided; Holm corrects it for the number of arms. No interval "
            "and no p below 3 pairs."
        )
        blocks.append(
            TableBlock(Table("", whole.columns, rows).select("Paired difference to dense", ["arm", sd, *against], note))
        )
    return blocks


def _by_seed(rows: Sequence[dict[str, Any]], label: str) -> Table:
    columns = (Column("arm", "Arm"), Column("seed", "Seed", "integer"), Column("value", label, "percent"))
    return table(f"{label} by seed", columns, [(r["arm"], r["seed"], r["value"] / 100) for r in rows])


def interval_sentence(found: Sequence[Difference]) -> str:
    """What the bars of paired differences are, or why there are none."""
    with_interval = [d for d in found if d.low is not None]
    if not with_interval:
        most = max((d.n for d in found), default=0)
        if most >= 3:
            return "No interval: the differences do not vary over the seeds."
        return f"No interval: it needs three paired seeds and there {'is' if most == 1 else 'are'} {most}."
    text = "Bar: 95 % interval of the paired t over seeds."
    return text if len(with_interval) == len(found) else text + " Arms with fewer than three paired seeds have none."


def difference_rows(
    found: Sequence[Difference],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of seeds, means and intervals in points; only arms with three pairs or more have an interval."""
    base = [(d, {"arm": d.arm.name, "sparsity": d.arm.sparsity}) for d in found]
    seeds = [{**b, "seed": s, "value": 100 * x} for d, b in base for s, x in zip(d.seeds, d.by_seed, strict=True)]
    means = [{**b, "value": 100 * d.mean} for d, b in base if d.mean is not None]
    intervals = [
        {**b, "low": 100 * d.low, "high": 100 * d.high} for d, b in base if d.low is not None and d.high is not None
    ]
    return seeds, means, intervals


def _forest(view: StudyView, arms: Sequence[Arm], found: Sequence[Difference], label: str) -> Figure:
    rows, means, intervals = difference_rows(found)
    shown = [d.arm for d in found]
    caption = f"Dots: the same seed, arm minus dense. Tick: mean over seeds. {interval_sentence(found)}"
    return Figure(
        "fig-difference",
        f"Difference to dense in {label}",
        caption,
        charts.forest(rows, means, intervals, looks(shown), "points, arm minus dense"),
        f"Difference to dense for each arm in points: {_spoken(means, sign=True)}.",
        tables.differences_by_seed(view, arms),
    )


def _spoken(rows: Sequence[dict[str, Any]], *, sign: bool = False) -> str:
    return ", ".join(f"{r['arm']} {r['value']:{'+' if sign else ''}.1f}" for r in rows)


def corruptions(view: StudyView, arms: Sequence[Arm]) -> Section:
    """Which corruptions hurt, and where an arm differs from dense."""
    intro = "Accuracy under each corruption, and how far each sparse arm is from dense in every cell."
    order: list[dict[str, str]] = []
    rows: list[dict[str, Any]] = []
    seen = ""
    for family, name in in_family_order(view):
        heading = f"{family.upper()}{'' if name in view.common else ', EXTRA'}"
        if heading != seen:
            order.append({"label": heading, "family": family})
            seen = heading
        label = human(name)
        order.append({"label": label, "family": family})
        rows += mean_rows(arms, over(view, [name]), label=label, corruption=name, family=family)
    if not rows:
        return Section(
            "corruptions",
            "By corruption",
            GROUP,
            intro,
            nothing("No finished run has been evaluated on a corruption yet."),
        )
    blocks: list[Block] = [
        Figure(
            "fig-corruptions",
            "Accuracy by corruption",
            f"Points: mean over severities {listed(view.severities)} and seeds ({seeds_sentence(arms)}, "
            f"{images_sentence(view)}). "
            "Grey line: from the lowest to the highest arm; it is not an error bar.",
            charts.by_corruption(rows, order, looks(arms), "accuracy, %"),
            "Accuracy of each arm under each corruption, grouped by family; the figures are in the table below.",
            tables.corruptions(view, arms),
            cells=True,
        )
    ]
    blocks += _heat_maps(view, arms)
    return Section("corruptions", "By corruption", GROUP, intro, tuple(blocks), legend=True)


def _heat_maps(view: StudyView, arms: Sequence[Arm]) -> list[Block]:
    made = [(a, tables.heat(view, a, arms)) for a in arms if not a.is_dense]
    made = [(a, t) for a, t in made if any(isinstance(v, float) for row in t.rows for v in row)]
    limit = (
        max((abs(v) for _, t in made for row in t.rows for v in row[2:] if isinstance(v, float)), default=0.0) * 100
        or 1.0
    )
    columns = [str(s) for s in view.severities]
    order = [human(name) for _, name in in_family_order(view)]
    figures = []
    for arm, cells in made[:MAX_HEAT_MAPS]:
        rows = [
            {"label": human(str(row[0])), "corruption": row[0], "family": row[1], "severity": s, "value": 100 * v}
            for row in cells.rows
            for s, v in zip(columns, row[2:], strict=True)
            if isinstance(v, float)
        ]
        figures.append(
            Figure(
                f"fig-heat-{arm.index}",
                f"{arm.name} minus dense",
                f"Points, mean over {plural(pairs(arm, arms), 'paired seed')}. Same colour scale in all "
                "panels; no test was made on single cells.",
                charts.heat_map(rows, order, columns, limit),
                f"Difference of {arm.name} to dense for each corruption and severity, in points.",
                cells,
                arm=arm.name,
                cells=True,
            )
        )
    if not figures:
        return [
            Prose(
                "There is no difference to dense by cell: no seed has both a finished dense and a finished sparse run.",
                "empty",
            )
        ]
    blocks: list[Block] = [Grid(tuple(figures), 3)]
    if len(made) > MAX_HEAT_MAPS:
        blocks.append(
            Prose(f"The first {MAX_HEAT_MAPS} of {len(made)} arms are drawn; the exported tables hold all.", "note")
        )
    return blocks


def severity(view: StudyView, arms: Sequence[Arm]) -> Section:
    """How accuracy falls with severity."""
    intro = (
        f"How accuracy falls as a corruption gets stronger. The clean {view.noun} are a set of their own, so no "
        "line joins them."
    )
    levels = [str(s) for s in view.severities]
    groups = [("common", view.common), *families(view).items()]
    figures = []
    for name, group in groups:
        if not group:
            continue
        means, seeds = mean_rows(arms, clean, x="clean"), seed_rows(arms, clean, x="clean")
        for s in view.severities:
            means += mean_rows(arms, over(view, group, (s,)), x=str(s))
            seeds += seed_rows(arms, over(view, group, (s,)), x=str(s))
        if not [m for m in means if m["x"] != "clean"]:
            continue
        whole = name == "common"
        thin, bands, which = drawn_seeds(seeds)
        title = f"{mean_name(view)} by severity" if whole else f"{name.capitalize()} ({plural(len(group), 'type')})"
        figures.append(
            Figure(
                f"fig-severity-{name}",
                title,
                f"Strong line: mean over {plural(len(group), 'type')} and seeds "
                f"({seeds_sentence(arms)}). {which} No error bars. The axis does not start at zero."
                if whole
                else f"{listed([human(c) for c in group])}. Lines as in the first chart.",
                charts.lines(
                    means,
                    thin,
                    looks(arms),
                    x_title="severity",
                    y_title="accuracy, %",
                    height=270 if whole else 170,
                    bands=bands,
                    ordinal=["clean", *levels],
                    points=True,
                    labels=whole,
                    detached="clean",
                ),
                f"Accuracy by severity for each arm, {title}.",
                tables.severities(view, arms) if whole else _severity_table(view, arms, group, title),
                family="" if whole else name,
            )
        )
    if not figures:
        return Section(
            "severity",
            "By severity",
            GROUP,
            intro,
            nothing("No finished run has been evaluated on every type of the mean yet."),
        )
    apart = _severity_differences(view, arms)
    first: Block = Grid((figures[0], apart), 2) if apart else figures[0]
    # One family alone would repeat the first chart.
    blocks: tuple[Block, ...] = (first, Grid(tuple(figures[1:]), 2)) if len(figures) > 2 else (first,)
    return Section("severity", "By severity", GROUP, intro, blocks, legend=True)


def _severity_differences(view: StudyView, arms: Sequence[Arm]) -> Figure | None:
    """What the falling lines hide: arm minus dense at each severity; None without a pair."""
    label, levels = mean_name(view), [str(s) for s in view.severities]
    measures = [("clean", clean), *((str(s), over(view, view.common, (s,))) for s in view.severities)]
    sparse = [a for a in arms if not a.is_dense]
    values = [(a, x, gain(a, arms, measure)) for a in sparse for x, measure in measures]
    rows: list[dict[str, Any]] = [{"arm": a.name, "x": x, "value": 100 * v} for a, x, v in values if v is not None]
    if not [r for r in rows if r["x"] != "clean"]:
        return None
    found = {(a.name, x): v for a, x, v in values}
    made = table(
        f"{label} minus dense by severity",
        (Column("severity", "Severity"), *(Column(a.name, a.name, "points") for a in sparse)),
        [(x, *(found[a.name, x] for a in sparse)) for x, _ in measures],
    )
    figures = [r["value"] for r in rows]
    low, high = min(0.0, *figures), max(0.0, *figures)
    pad = 0.08 * (high - low) or 0.1
    counts = sorted({pairs(a, arms) for a in sparse})
    n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return Figure(
        "fig-severity-difference",
        f"The same, minus dense: {label}",
        f"Points, mean over {n} paired seeds. No error bars: the intervals of the whole mean are in the summary.",
        charts.lines(
            rows,
            [],
            looks(sparse),
            x_title="severity",
            y_title="points, arm minus dense",
            height=270,
            ordinal=["clean", *levels],
            points=True,
            labels=False,
            domain=(low - pad, high + pad),
            detached="clean",
            zero=True,
        ),
        f"Difference to dense in {label} at each severity, in points, for each sparse arm.",
        made,
    )


def _severity_table(view: StudyView, arms: Sequence[Arm], group: Sequence[str], title: str) -> Table:
    rows: list[tuple[Value, ...]] = [("clean", *(mean(clean(r) for r in a.done) for a in arms))]
    rows += [(str(s), *(mean(over(view, group, (s,))(r) for r in a.done) for a in arms)) for s in view.severities]
    return table(title, (Column("severity", "Severity"), *(Column(a.name, a.name, "percent") for a in arms)), rows)


def sparsity(view: StudyView, arms: Sequence[Arm]) -> Section:
    """Gain over dense against sparsity."""
    label = mean_name(view)
    intro = f"How the difference to dense in {label} changes with the share of weights that are switched off."
    found = [d for d in differences(arms, over(view, view.common)) if d.n]
    levels = sorted({d.arm.sparsity for d in found})
    title = "Against sparsity"
    if not found:
        return Section(
            "sparsity", title, GROUP, intro, nothing("No sparse run has a finished dense partner of the same seed yet.")
        )
    if len(levels) == 1:
        why = (
            f"One sparsity only was run ({levels[0]:g}), so there is no curve to draw: the differences are "
            "those of the summary."
        )
        return Section("sparsity", title, GROUP, intro, (Prose(why, "empty"),))
    rows, means, intervals = difference_rows(found)
    method = {d.arm.name: line_name(d.arm) for d in found}
    first: dict[str, int] = {}
    for d in found:
        first.setdefault(method[d.arm.name], d.arm.look % charts.N_COLOURS)
    apart = 0.014 * (levels[-1] - levels[0])
    for row in (*rows, *means, *intervals):
        row["arm"] = method[row["arm"]]
        # Methods of one sparsity stand a little apart, so that their intervals do not hide each other.
        row["at"] = row["sparsity"] + apart * (list(first).index(row["arm"]) - (len(first) - 1) / 2)
    figure = Figure(
        "fig-sparsity",
        f"Gain in {label} against sparsity",
        "Dots: seeds. Joined: their means; methods of one sparsity are drawn a little apart. "
        f"{interval_sentence(found)}",
        charts.sparsities(rows, means, intervals, list(first.items()), "points, arm minus dense"),
        f"Difference to dense in points against sparsity: {_spoken(means, sign=True)}.",
        tables.sparsity(view, arms),
        keys=_line_keys(first),
    )
    return Section("sparsity", title, GROUP, intro, (figure,))


def line_name(arm: Arm) -> str:
    """What the arms of one method share in a chart over sparsities."""
    return " ".join([arm.method, *(f"{key.rsplit('.', 1)[-1]}={value}" for key, value in arm.axes)])


def _line_keys(first: dict[str, int]) -> tuple[Key, ...]:
    return tuple(Key(name, charts.colour(look)) for name, look in first.items())
