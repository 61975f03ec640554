"""The page of two studies side by side: what differs in how they were made, then what differs in what came out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from regrow.report import charts, page
from regrow.report.blocks import Block, Figure, Grid, Listing, Prose, Section, TableBlock, human, listed, plural
from regrow.report.finding import Finding
from regrow.report.parts import looks
from regrow.report.result import difference_rows, interval_sentence
from regrow.report.table import Column, Table, Value, shown, table
from regrow.report.tables import flat
from regrow.study.view import RunView, StudyView
from regrow.verdict.arms import Arm, Difference, arms_of, clean, families, mean, mean_name, over

GROUP = "Comparison"
NAMES = ("A", "B")
Measure = Callable[[RunView], float | None]
#: What must be equal for two accuracies to be of the same images, as key of ``StudyView.data`` and in words.
_SETS = (("name", "data set"), ("image_size", "side of the images"), ("n_test", "number of test images"))
_MAKING = ("mode", "column", "stored", "stand_ins", "published", "seed")


def render_comparison(a: StudyView, b: StudyView) -> str:
    """Two studies as one HTML document.

    A difference is formed only where both have the arm, the seed and the same evaluated images; what was evaluated
    otherwise is said and never averaged.

    Args:
        a: the study that is taken off.
        b: the study it is taken off from.

    Returns:
        HTML that asks for nothing outside itself; the same values give the same text.
    """
    arms = arms_of(a), arms_of(b)
    apart = evaluation_differences(a, b)
    found = differences_between(a, b)
    sections = (_summary(a, b, found, apart), _families(a, b, apart), _evaluation(apart), _settings(a, b), _arms(*arms))
    legend = page.legend_of([*arms[0], *(x for x in arms[1] if x.name not in {y.name for y in arms[0]})])
    facts = (
        page.Fact(a.name, f"A, {plural(len(a.runs), 'run')}, tier {a.tier}"),
        page.Fact(b.name, f"B, {plural(len(b.runs), 'run')}, tier {b.tier}"),
        page.Fact(str(len(_shared(*arms))), "arms in both"),
        page.Fact(str(len(setting_differences(a, b).rows)), "settings that differ"),
    )
    owners = {arm.name: arm.method for arm in (*arms[0], *arms[1])}
    problems = [f"{name}: {problem}" for name, view in zip(NAMES, (a, b), strict=True) for problem in view.problems]
    return page.compose(
        page.Page(
            f"{a.name} and {b.name}",
            "regrow compare",
            _finding(a, found, apart),
            facts,
            sections,
            legend,
            problems=tuple(problems),
            owners=owners,
            families=tuple(families(a)) if not apart else (),
        )
    )


def evaluation_differences(a: StudyView, b: StudyView) -> tuple[str, ...]:
    """How the evaluated images of two studies differ; empty where their accuracies may be compared."""
    found = [
        f"The {words} is {a.data.get(key)} in A and {b.data.get(key)} in B."
        for key, words in _SETS
        if a.data.get(key) != b.data.get(key)
    ]
    if tuple(a.severities) != tuple(b.severities):
        found.append(f"Severities are {listed(a.severities)} in A and {listed(b.severities)} in B.")
    for name, mine, theirs in (("A", a, b), ("B", b, a)):
        alone = [human(c) for c in mine.common if c not in theirs.common]
        if alone:
            found.append(f"The mean of {name} alone holds {listed(alone)}.")
    ways = [_making(v) for v in (a, b)]
    found += [
        f"{key} is {ways[0].get(key, 'not set')} in A and {ways[1].get(key, 'not set')} in B."
        for key in sorted(ways[0].keys() | ways[1].keys())
        if ways[0].get(key) != ways[1].get(key)
    ]
    return tuple(found)


def _making(view: StudyView) -> dict[str, str]:
    """The settings that decide which pixels are evaluated."""
    evaluation = view.recipe.get("evaluation") or {}
    ways = {key: evaluation[key] for key in _MAKING if key in evaluation}
    options = (view.recipe.get("data") or {}).get("options") or {}
    return dict([*flat(ways, "evaluation"), *flat(options, "data.options")])


def setting_differences(a: StudyView, b: StudyView) -> Table:
    """Dotted keys of the resolved recipes, the precision and the environment that do not agree."""
    mine, theirs = (
        dict([*flat(v.recipe), *flat(v.precision, "precision"), *flat(v.environment, "environment")]) for v in (a, b)
    )
    keys = [k for k in dict.fromkeys((*mine, *theirs)) if k != "name" and mine.get(k) != theirs.get(k)]
    rows = [(key, mine.get(key), theirs.get(key)) for key in keys]
    return table("Settings that differ", (Column("key", "Key"), Column("a", "A"), Column("b", "B")), rows)


def differences_between(a: StudyView, b: StudyView) -> tuple[Difference, ...]:
    """B minus A under the mean, for each arm in both, paired by seed; none where other images were evaluated."""
    from regrow.statistics import holm

    if evaluation_differences(a, b) or not a.common:
        return ()
    measure = over(a, a.common)
    found = [d for x, y in _shared(arms_of(a), arms_of(b)) if (d := _between(x, y, measure)).n]
    known = [d.p for d in found if d.p is not None]
    adjusted = iter(holm(known) if known else [])
    return tuple(d if d.p is None else replace(d, p_holm=next(adjusted)) for d in found)


def _shared(a: Sequence[Arm], b: Sequence[Arm]) -> list[tuple[Arm, Arm]]:
    theirs = {arm.name: arm for arm in b}
    return [(arm, theirs[arm.name]) for arm in a if arm.name in theirs]


def _values(arm: Arm, measure: Measure) -> dict[int, float]:
    return {run.seed: v for run in arm.done if (v := measure(run)) is not None}


def _between(a: Arm, b: Arm, measure: Measure) -> Difference:
    from regrow.statistics import paired

    first, second = _values(a, measure), _values(b, measure)
    seeds = tuple(sorted(first.keys() & second.keys()))
    by_seed = tuple(second[s] - first[s] for s in seeds)
    if len(seeds) < 3:
        return Difference(a, "A", seeds, by_seed, mean(by_seed))
    test = paired([second[s] for s in seeds], [first[s] for s in seeds], level=0.95)
    return Difference(a, "A", seeds, by_seed, mean(by_seed), test.low, test.high, test.p)


def _finding(a: StudyView, found: Sequence[Difference], apart: Sequence[str]) -> Finding:
    if apart:
        lead = "The two studies were evaluated on different images, so no difference is formed. " + " ".join(apart)
        return Finding(lead, "not comparable", (), "")
    if not found:
        lead = "No arm has a seed that both studies have finished under the whole mean, so no difference is formed."
        return Finding(lead, "no pair", (), "")
    clear = [d for d in found if d.low is not None and d.high is not None and (d.low > 0 or d.high < 0)]
    said = "; ".join(
        f"{d.arm.name} {shown(d.mean, 'points')} ({plural(d.n, 'seed')})"
        for d in sorted(found, key=lambda d: -abs(d.mean or 0.0))[:6]
    )
    lead = f"B minus A in {mean_name(a)}, in points, paired by seed: {said}. "
    judged = [d for d in found if d.low is not None]
    if judged:
        lead += f"The 95 % interval excludes zero for {len(clear)} of {plural(len(judged), 'arm')}. "
    lead += "Everything in which the studies differ may be the cause."
    return Finding(lead, "descriptive: nothing here was registered", (), "")


def _summary(a: StudyView, b: StudyView, found: Sequence[Difference], apart: Sequence[str]) -> Section:
    intro = "Top-1 accuracy of each arm in both studies, in the mean that each registered."
    blocks: list[Block] = []
    if found:
        rows, means, intervals = difference_rows(found)
        arms = [d.arm for d in found]
        spoken = ", ".join(f"{d.arm.name} {shown(d.mean, 'points')}" for d in found)
        blocks.append(
            Figure(
                "fig-between",
                f"B minus A in {mean_name(a)}",
                f"Dots: the same seed in both. Tick: mean over seeds. {interval_sentence(found)}",
                charts.forest(rows, means, intervals, looks(arms), "points, B minus A"),
                f"Difference of the two studies for each arm, in points: {spoken}.",
                _by_seed(found),
            )
        )
    else:
        why = "Evaluated on different images: no difference is formed." if apart else "No pair of seeds in any arm."
        blocks.append(Prose(why, "empty"))
    return Section(
        "summary", "Arm by arm", GROUP, intro, (*blocks, TableBlock(_table(a, b, found))), legend=bool(found)
    )


def _by_seed(found: Sequence[Difference]) -> Table:
    rows = [(d.arm.name, s, x) for d in found for s, x in zip(d.seeds, d.by_seed, strict=True)]
    columns = (Column("arm", "Arm"), Column("seed", "Seed", "integer"), Column("difference", "B minus A", "points"))
    return table("B minus A by seed", columns, rows)


def _table(a: StudyView, b: StudyView, found: Sequence[Difference]) -> Table:
    known = {d.arm.name: d for d in found}
    sides = [{arm.name: arm for arm in arms_of(v)} for v in (a, b)]
    labels = [mean_name(v) for v in (a, b)]
    measures = [over(v, v.common) for v in (a, b)]
    rows = []
    for name in dict.fromkeys((*sides[0], *sides[1])):
        row: list[Value] = [name]
        for i in (0, 1):
            arm = sides[i].get(name)
            done = arm.done if arm else ()
            row += [len(done), mean(clean(r) for r in done), mean(measures[i](r) for r in done)]
        d = known.get(name)
        row += [d.mean, d.low, d.high, d.p, d.p_holm, d.n] if d else [None] * 5 + [0]
        rows.append(row)
    columns = [Column("arm", "Arm")]
    for name, label in zip(NAMES, labels, strict=True):
        key = name.lower()
        columns += [
            Column(f"runs_{key}", f"Runs, {name}", "integer"),
            Column(f"clean_{key}", f"Clean, {name}", "percent"),
            Column(f"mean_{key}", f"{label}, {name}", "percent"),
        ]
    columns += [
        Column("difference", "B − A, points", "points"),  # noqa: RUF001
        Column("low", "95 % from", "points"),
        Column("high", "to", "points"),
        Column("p", "p", "probability"),
        Column("p_holm", "p, Holm", "probability"),
        Column("pairs", "Pairs", "integer"),
    ]
    return table("Both studies by arm", columns, rows, "Means over finished runs; differences over the seeds in both.")


def _families(a: StudyView, b: StudyView, apart: Sequence[str]) -> Section:
    title, intro = "By family", "Where the difference comes from: means over the types of a family and all severities."
    groups = {"clean": (clean, clean)} | {
        family: (over(a, group), over(b, group))
        for family, group in families(a).items()
        if families(b).get(family) == group
    }
    shared = _shared(arms_of(a), arms_of(b))
    if apart:
        return Section(
            "families",
            title,
            GROUP,
            intro,
            (Prose("Evaluated on different images: no difference is formed.", "empty"),),
        )
    rows: list[list[Value]] = []
    means: list[dict[str, Any]] = []
    for x, y in shared:
        row: list[Value] = [x.name]
        for family, (mine, theirs) in groups.items():
            first, second = _values(x, mine), _values(y, theirs)
            seeds = sorted(first.keys() & second.keys())
            value = mean(second[s] - first[s] for s in seeds)
            row += [value]
            if value is not None:
                means.append({"arm": x.name, "x": family, "value": 100 * value, "family": family})
        rows.append(row)
    columns = (Column("arm", "Arm"), *(Column(f, f.capitalize(), "points") for f in groups))
    made = table("B minus A by family, points", columns, rows)
    if not means:
        return Section("families", title, GROUP, intro, (Prose("No pair of seeds in any arm.", "empty"),))
    figure = Figure(
        "fig-between-families",
        "B minus A by family",
        "Points, mean over the seeds in both. No error bars; clean images are no family.",
        charts.grid(
            [{"x": m["x"], "y": m["arm"], "arm": m["arm"], "value": m["value"], "family": m["family"]} for m in means],
            list(groups),
            [x.name for x, _ in shared],
            _limits([float(m["value"]) for m in means]),
            x_title="",
            y_title="",
            unit="points",
            figures=True,
        ),
        "Difference of the two studies for each arm and family, in points.",
        made,
    )
    return Section("families", title, GROUP, intro, (Grid((figure,)),))


def _limits(values: Sequence[float]) -> tuple[float, float]:
    most = max((abs(v) for v in values), default=0.0) or 1.0
    return -most, most


def _evaluation(apart: Sequence[str]) -> Section:
    intro = "Accuracies are compared only where both studies saw the same images in the same cells."
    block: Block = Listing(tuple(apart)) if apart else Prose("Data, types, severities and their making agree.")
    return Section("evaluation", "What was evaluated", "How they differ", intro, (block,))


def _settings(a: StudyView, b: StudyView) -> Section:
    intro = "Every resolved setting that does not agree: each may be the cause of a difference."
    made = setting_differences(a, b)
    block: Block = TableBlock(made) if made.rows else Prose("Recipes, precision and environment agree.")
    return Section("settings", "Settings that differ", "How they differ", intro, (block,))


def _arms(a: Sequence[Arm], b: Sequence[Arm]) -> Section:
    names: list[Mapping[str, Any]] = [{x.name: x for x in side} for side in (a, b)]
    items = [
        f"Only in {name}: {listed(alone)}."
        for name, mine, theirs in (("A", names[0], names[1]), ("B", names[1], names[0]))
        if (alone := [arm for arm in mine if arm not in theirs])
    ]
    for x, y in _shared(a, b):
        seeds = [{r.seed for r in side.done} for side in (x, y)]
        if seeds[0] != seeds[1]:
            both = sorted(seeds[0] & seeds[1])
            items.append(f"{x.name}: seeds in both are {listed(both)}; others are left out of its difference.")
    block: Block = Listing(tuple(items)) if items else Prose("Both studies have the same arms and seeds.")
    return Section("arms", "Arms and seeds", "How they differ", "What has no partner in the other study.", (block,))
