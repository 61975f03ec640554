"""Every table of a study, as plain rows: what the page prints and what ``regrow report`` exports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from regrow.report.table import Column, Table, Value, table
from regrow.study.view import RunView, StudyView
from regrow.verdict.arms import (
    Arm,
    arms_of,
    clean,
    differences,
    extras,
    families,
    gain,
    in_family_order,
    mean,
    mean_name,
    over,
    result_number,
    spread,
    train_accuracy,
)

Measure = Callable[[RunView], float | None]


def tables(view: StudyView) -> dict[str, Table]:
    """All tables of a study by name, each from the view alone; a table without numbers has no rows.

    Returns:
        ``summary``, ``differences``, ``corruptions``, ``cells``, ``severities``, ``sparsity``, ``topology``,
        ``updates``, ``layers``, ``attenuation``, ``reliance``, ``costs``, ``settings``, ``runs`` and ``environment``.
    """
    makers = (
        summary,
        differences_by_seed,
        corruptions,
        cells,
        severities,
        sparsity,
        topology,
        updates,
        layers,
        attenuation,
        reliance,
        costs,
        settings,
        runs,
        environment,
    )
    arms = arms_of(view)
    names = {"differences_by_seed": "differences"}
    return {names.get(make.__name__, make.__name__): make(view, arms) for make in makers}


def summary(view: StudyView, arms: Sequence[Arm]) -> Table:
    """One row per arm: accuracies, train accuracy, density and the paired difference to dense."""
    label, groups, others = mean_name(view), families(view), extras(view)
    measures: list[tuple[Column, Measure]] = [
        (Column("clean", "Clean", "percent"), clean),
        (Column(label, label, "percent"), over(view, view.common)),
        *((Column(f"{f}", f.capitalize(), "percent"), over(view, group)) for f, group in groups.items()),
    ]
    if others:
        measures.append((Column("extras", f"Extras ({len(others)})", "percent"), over(view, others)))
    measures.append((Column("train_accuracy", "Train", "percent"), train_accuracy))
    measures.append((Column("density", "Density", "share"), result_number("density")))
    found = {d.arm.name: d for d in differences(arms, over(view, view.common))}
    rows = []
    for arm in arms:
        d = found.get(arm.name)
        spread_here = spread(over(view, view.common)(r) for r in arm.done)
        means = [mean(measure(r) for r in arm.done) for _, measure in measures]
        against: tuple[Value, ...] = (d.mean, d.low, d.high, d.p, d.p_holm, d.n) if d else (None,) * 6
        rows.append((arm.name, len(arm.done), *means, spread_here, *against))
    columns = (
        Column("arm", "Arm"),
        Column("runs", "Runs", "integer"),
        *(c for c, _ in measures),
        Column(f"{label}_sd", f"{label} sd", "percent"),
        Column("difference", "Minus dense, points", "points"),
        Column("low", "95 % low", "points"),
        Column("high", "95 % high", "points"),
        Column("p", "p", "probability"),
        Column("p_holm", "p, Holm", "probability"),
        Column("pairs", "Pairs", "integer"),
    )
    note = (
        f"Means over finished runs. {label} is the mean over {len(view.common)} {view.common_words} and "
        f"severities {', '.join(map(str, view.severities))}. Difference: {label}, paired by seed; no "
        "interval below 3 pairs."
    )
    return table("Summary by arm", columns, rows, note)


def differences_by_seed(view: StudyView, arms: Sequence[Arm]) -> Table:
    """One row per arm and common seed."""
    label = mean_name(view)
    rows = [
        (d.arm.name, d.reference, seed, value)
        for d in differences(arms, over(view, view.common))
        for seed, value in zip(d.seeds, d.by_seed, strict=True)
    ]
    columns = (
        Column("arm", "Arm"),
        Column("reference", "Minus"),
        Column("seed", "Seed", "integer"),
        Column("difference", f"{label}, points", "points"),
    )
    return table(f"Difference to dense in {label}, by seed", columns, rows)


def corruptions(view: StudyView, arms: Sequence[Arm]) -> Table:
    """One row per corruption: mean over severities and seeds for every arm."""
    rows = [
        (
            name,
            family,
            "" if name in view.common else "extra",
            *(mean(over(view, [name])(r) for r in a.done) for a in arms),
        )
        for family, name in in_family_order(view)
    ]
    columns = (
        Column("corruption", "Corruption"),
        Column("family", "Family"),
        Column("set", "Set"),
        *_arm_columns(arms),
    )
    return table("Accuracy by corruption", columns, rows, "Mean over severities and finished runs.")


def cells(view: StudyView, arms: Sequence[Arm]) -> Table:
    """Every evaluated cell of every finished run, before any averaging."""
    rows = [
        (arm.name, run.seed, corruption, severity, score.accuracy, score.n)
        for arm in arms
        for run in arm.done
        for (corruption, severity), score in run.scores.items()
    ]
    columns = (
        Column("arm", "Arm"),
        Column("seed", "Seed", "integer"),
        Column("corruption", "Corruption"),
        Column("severity", "Severity", "integer"),
        Column("accuracy", "Accuracy", "percent"),
        Column("n", view.noun.capitalize(), "integer"),
    )
    return table("Every evaluated cell", columns, rows)


def severities(view: StudyView, arms: Sequence[Arm]) -> Table:
    """Clean, then one row per severity: mean over the common types and seeds."""
    rows: list[list[Value]] = [["clean", *(mean(clean(r) for r in a.done) for a in arms)]]
    for s in view.severities:
        rows.append([str(s), *(mean(over(view, view.common, (s,))(r) for r in a.done) for a in arms)])
    note = f"Mean over {len(view.common)} {view.common_words} and over finished runs."
    return table("Accuracy by severity", (Column("severity", "Severity"), *_arm_columns(arms)), rows, note)


def sparsity(view: StudyView, arms: Sequence[Arm]) -> Table:
    """One row per sparse arm: gain in the mean against sparsity."""
    rows = [
        (d.arm.name, d.arm.method, d.arm.sparsity, d.mean, d.low, d.high, d.n)
        for d in differences(arms, over(view, view.common))
    ]
    columns = (
        Column("arm", "Arm"),
        Column("method", "Method"),
        Column("sparsity", "Sparsity", "share"),
        Column("difference", "Minus dense, points", "points"),
        Column("low", "95 % low", "points"),
        Column("high", "95 % high", "points"),
        Column("pairs", "Pairs", "integer"),
    )
    return table("Gain against sparsity", columns, rows)


def topology(view: StudyView, arms: Sequence[Arm]) -> Table:
    """One row per arm: updates planned and done, interval, ITOP rate, densities and kept-dense layers."""
    del view
    rows = []
    for arm in arms:
        if arm.is_dense:
            continue
        plan = next((r.plan for r in arm.runs if r.plan), {})
        kept = sum(bool(layer.get("kept_dense")) for layer in plan.get("layers", ()))
        rows.append(
            (
                arm.name,
                plan.get("updates"),
                mean(result_number("updates")(r) for r in arm.done),
                plan.get("interval"),
                mean(result_number("itop_rate")(r) for r in arm.done),
                plan.get("density"),
                mean(result_number("density")(r) for r in arm.done),
                kept,
                len(plan.get("layers", ())),
            )
        )
    columns = (
        Column("arm", "Arm"),
        Column("updates_planned", "Updates planned", "integer"),
        Column("updates_done", "done", "number"),
        Column("interval", "Interval, steps", "integer"),
        Column("itop_rate", "ITOP rate", "share"),
        Column("density_planned", "Density planned", "share"),
        Column("density", "at the end", "share"),
        Column("kept_dense", "Layers kept dense", "integer"),
        Column("layers", "of", "integer"),
    )
    return table("Topology of the sparse runs", columns, rows, "ITOP rate: share of weights that were ever active.")


def updates(view: StudyView, arms: Sequence[Arm]) -> Table:
    """One row per arm and topology update: shares of the active weights, summed over layers, mean over seeds."""
    del view
    rows: list[tuple[Value, ...]] = []
    for arm in arms:
        by_run = [_per_update(run) for run in arm.done if run.history]
        for number in sorted({u for run in by_run for u in run}):
            here = [run[number] for run in by_run if number in run]
            means = (mean(x[key] for x in here) for key in ("dropped", "returned", "fresh", "itop_rate"))
            rows.append((arm.name, number, round(mean(x["step"] for x in here) or 0), *means, len(here)))
    columns = (
        Column("arm", "Arm"),
        Column("update", "Update", "integer"),
        Column("step", "Step", "integer"),
        Column("dropped", "Dropped", "percent"),
        Column("returned", "Returned", "percent"),
        Column("fresh", "Fresh", "percent"),
        Column("itop_rate", "ITOP rate", "share"),
        Column("runs", "Runs", "integer"),
    )
    note = "Shares of the active weights. Returned: dropped and grown back in the same update. Fresh: newly active."
    return table("Topology updates", columns, rows, note)


def _per_update(run: RunView) -> dict[int, dict[str, float]]:
    sizes = {str(layer["name"]): float(layer["n_weights"]) for layer in run.plan.get("layers", ())}
    grouped: dict[int, list[Mapping[str, Any]]] = {}
    for row in run.history:
        grouped.setdefault(int(row["update"]), []).append(row)
    found = {}
    for number, rows in grouped.items():
        active = max(1, sum(int(r["n_active"]) for r in rows))
        one = {key: sum(int(r[key]) for r in rows) / active for key in ("dropped", "returned", "fresh")}
        weights = [sizes.get(str(r["layer"]), 0.0) for r in rows]
        total = sum(weights)
        itop = (
            sum(float(r["itop_rate"]) * w for r, w in zip(rows, weights, strict=True)) / total
            if total
            else float("nan")
        )
        found[number] = {**one, "itop_rate": itop, "step": float(rows[0]["step"])}
    return found


def layers(view: StudyView, arms: Sequence[Arm]) -> Table:
    """One row per sparsifiable layer: shape, weights, and the density that each arm gives it."""
    del view
    sparse = [a for a in arms if not a.is_dense]
    plans = {a.name: next((r.plan for r in a.runs if r.plan.get("layers")), {}) for a in arms}
    order: dict[str, Mapping[str, Any]] = {}
    for plan in plans.values():  # dense first: a narrow network has other shapes
        for layer in plan.get("layers", ()):
            order.setdefault(str(layer["name"]), layer)
    density = {name: {str(x["name"]): x for x in plan.get("layers", ())} for name, plan in plans.items()}
    rows = [
        (
            name,
            " × ".join(map(str, layer["shape"])),  # noqa: RUF001
            int(layer["n_weights"]),
            *(float(density[a.name][name]["density"]) if name in density[a.name] else None for a in sparse),
            ", ".join(a.name for a in sparse if density[a.name].get(name, {}).get("kept_dense")),
        )
        for name, layer in order.items()
    ]
    columns = (
        Column("layer", "Layer"),
        Column("shape", "Shape"),
        Column("n_weights", "Weights", "integer"),
        *_arm_columns(sparse, "share"),
        Column("kept_dense", "Kept dense in"),
    )
    return table("Density by layer", columns, rows)


def attenuation(view: StudyView, arms: Sequence[Arm]) -> Table:
    """Accuracy against the radius, for both ways of removing frequencies; mean over finished runs."""
    del view
    rows = []
    for kind in ("low", "high"):
        points = {a.name: _curve(a, kind) for a in arms}
        for radius in sorted({r for curve in points.values() for r in curve}):
            rows.append((kind, radius, *(points[a.name].get(radius) for a in arms)))
    columns = (Column("kept", "Kept"), Column("radius", "Radius, cycles", "number"), *_arm_columns(arms))
    note = "low: frequencies below the radius are kept (high ones removed); high: those from the radius on."
    return table("Accuracy under removal of frequencies", columns, rows, note)


def _curve(arm: Arm, kind: str) -> dict[float, float | None]:
    found: dict[float, list[float]] = {}
    for run in arm.done:
        for point in (run.attenuation or {}).get(kind, ()):
            found.setdefault(float(point["radius"]), []).append(float(point["accuracy"]))
    return {radius: mean(values) for radius, values in found.items()}


def reliance(view: StudyView, arms: Sequence[Arm]) -> Table:
    """One row per arm: which cue its answers follow, and accuracy with one cue alone."""
    del view
    keys = ("low", "high", "other", "low_only", "high_only")
    rows = []
    for arm in arms:
        there = [r.reliance for r in arm.done if r.reliance]
        if there:
            means = [mean(None if x.get(k) is None else float(x[k]) for x in there) for k in keys]
            rows.append((arm.name, *means, int(there[0].get("n", 0)), len(there)))
    columns = (
        Column("arm", "Arm"),
        Column("low", "Follows low", "percent"),
        Column("high", "Follows high", "percent"),
        Column("other", "Neither", "percent"),
        Column("low_only", "Low cue alone", "percent"),
        Column("high_only", "High cue alone", "percent"),
        Column("n", "Images", "integer"),
        Column("runs", "Runs", "integer"),
    )
    return table(
        "Reliance on low and high frequencies", columns, rows, "Where the two cues conflict, or one is absent."
    )


def costs(view: StudyView, arms: Sequence[Arm]) -> Table:
    """One row per arm: weights, FLOPs, time and memory; means over finished runs."""

    def flops(key: str, unit: float = 1.0) -> Measure:
        def read(run: RunView) -> float | None:
            value = ((run.result or {}).get("flops") or {}).get(key)
            return None if value is None else float(value) / unit

        return read

    rows = []
    for arm in arms:
        plan = next((r.plan for r in arm.runs if r.plan), {})
        measures = (
            result_number("n_parameters"),
            flops("forward_dense", 1e6),
            flops("forward_sparse", 1e6),
            flops("training_ratio"),
            result_number("steps"),
            result_number("wall_s"),
            result_number("images_per_s"),
        )
        values: list[Value] = [mean(m(r) for r in arm.done) for m in measures]
        memory = mean(result_number("peak_memory_bytes")(r) for r in arm.done)
        rows.append(
            (arm.name, values[0], plan.get("n_active"), *values[1:], None if memory is None else memory / 2**20)
        )
    columns = (
        Column("arm", "Arm"),
        Column("n_parameters", "Parameters", "integer"),
        Column("n_active", "Active weights", "integer"),
        Column("forward_dense_mflops", "Forward MFLOPs, dense", "number"),
        Column("forward_sparse_mflops", "with masks", "number"),
        Column("training_ratio", "Training FLOPs / dense", "share"),
        Column("steps", "Steps", "integer"),
        Column("wall_s", "Wall time, s", "number"),
        Column("images_per_s", f"{view.noun.capitalize()}/s", "number"),
        Column("peak_memory_mib", "Peak memory, MiB", "number"),
    )
    one = view.example
    note = f"FLOPs are theoretical, for one {one}, two per multiply-add: on ordinary hardware a mask saves no time."
    return table("Costs", columns, rows, note)


def settings(view: StudyView, arms: Sequence[Arm]) -> Table:
    """The resolved recipe and the precision, one row per dotted key."""
    del arms
    rows = [*flat(view.recipe), *flat(view.precision, "precision")]
    return table("Settings", (Column("key", "Key"), Column("value", "Value")), rows)


def runs(view: StudyView, arms: Sequence[Arm]) -> Table:
    """Every planned run, with its state and how often it was started."""
    label, names = mean_name(view), {id(r): a.name for a in arms for r in a.runs}
    measure = over(view, view.common)
    rows = [
        (
            run.name,
            names[id(run)],
            run.seed,
            run.state,
            run.attempts,
            clean(run),
            measure(run),
            train_accuracy(run),
            result_number("wall_s")(run),
            run.reason,
        )
        for run in view.runs
    ]
    columns = (
        Column("run", "Run"),
        Column("arm", "Arm"),
        Column("seed", "Seed", "integer"),
        Column("state", "State"),
        Column("attempts", "Starts", "integer"),
        Column("clean", "Clean", "percent"),
        Column(label, label, "percent"),
        Column("train_accuracy", "Train", "percent"),
        Column("wall_s", "Wall time, s", "number"),
        Column("reason", "Reason"),
    )
    return table("Runs", columns, rows)


def environment(view: StudyView, arms: Sequence[Arm]) -> Table:
    """Versions, processor, device: one row per key."""
    del arms
    return table("Environment", (Column("key", "Key"), Column("value", "Value")), flat(view.environment))


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as dotted keys with printable values.

    Example:
        >>> flat({"train": {"lr": 0.05, "epochs": None}, "seeds": [0, 1]})
        [('train.lr', '0.05'), ('train.epochs', 'none'), ('seeds', '0, 1')]
    """
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping) and value:
            rows += flat(value, name)
        elif isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
            for i, item in enumerate(value):
                rows += _named(item, i, name) if isinstance(item, Mapping) else [(f"{name}.{i}", _plain(item))]
        else:
            rows.append((name, _plain(value)))
    return rows


def _named(item: Mapping[str, Any], index: int, prefix: str) -> list[tuple[str, str]]:
    """A record of a list, under its own label or name where it has one."""
    key = "label" if item.get("label") else "name"
    title = str(item.get(key, index))
    rest = {k: v for k, v in item.items() if k != key}
    return flat(rest, f"{prefix}.{title}") if rest else [(f"{prefix}.{title}", "as it is")]


def _plain(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(v) for v in value) if value else "none"
    return "none" if isinstance(value, Mapping) else str(value)


def _arm_columns(arms: Sequence[Arm], kind: str = "percent") -> tuple[Column, ...]:
    return tuple(Column(a.name, a.name, "share" if kind == "share" else "percent") for a in arms)


def heat(view: StudyView, arm: Arm, arms: Sequence[Arm]) -> Table:
    """Difference of one arm to dense by corruption and severity: mean over the common seeds, in points."""
    rows = []
    for family, name in in_family_order(view):
        by_severity = [gain(arm, arms, over(view, (name,), (s,))) for s in view.severities]
        rows.append((name, family, *by_severity))
    columns = (
        Column("corruption", "Corruption"),
        Column("family", "Family"),
        *(Column(f"severity_{s}", f"Severity {s}", "points") for s in view.severities),
    )
    return table(f"{arm.name} minus dense", columns, rows)
