"""Findings beside the tests of the claims: descriptive, never the verdict itself.

What is looked at follows from what a claim measures, so that a claim of the user's own has them as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from regrow.statistics import (
    compare_by_seed,
    effective_robustness,
    expected_maximum,
    gap_closure,
    paired,
    spearman,
    tost,
)
from regrow.study.claims import ClaimSettings, MetricSettings, Registration
from regrow.study.view import RunView, StudyView
from regrow.verdict.arms import accuracy, complete
from regrow.verdict.metrics import Metric, metric, types_of
from regrow.verdict.model import Evidence
from regrow.verdict.pools import Pool, named, references
from regrow.verdict.words import listed, measured, plural, probability, signed


@dataclass(frozen=True)
class Case:
    """What evidence on a claim is made from.

    Attributes:
        claim: the claim.
        view: the study.
        registered: its registration.
        pools: all pools of the study.
    """

    claim: ClaimSettings
    view: StudyView
    registered: Registration
    pools: Sequence[Pool]

    @property
    def judged(self) -> list[Pool]:
        """The pools that the claim judges."""
        found = [pool.within(*self.claim.sparsity) for pool in named(self.pools, self.claim.groups)]
        return [pool for pool in found if pool.arms]

    def dense(self, pool: Pool) -> Pool | None:
        """Dense training beside a pool."""
        found = references(self.pools, pool, "dense")
        return found[0] if len(found) == 1 else None

    def types(self, name: str) -> tuple[str, ...]:
        """The registered types of a family, or the type of that name."""
        return types_of(name, self.view, self.registered)

    def number(self, path: str, words: str, unit: str, factor: float) -> Metric:
        """A number of one of the analyses, times a factor."""
        found = self.metric(kind="analysis", path=path)

        def of_run(run: RunView) -> float | None:
            value = found.of_run(run)
            return None if value is None else factor * value

        return Metric(words, unit, of_run)

    def metric(self, **settings: object) -> Metric:
        """Another metric of the same study."""
        return metric(MetricSettings.model_validate(settings), self.view, self.registered)


def evidence(claim: ClaimSettings, view: StudyView, registered: Registration, pools: Sequence[Pool]) -> list[Evidence]:
    """What else a reader must see of a claim, in words and numbers."""
    case = Case(claim, view, registered, pools)
    return [found for applies, look in _LOOKS if applies(claim) for found in look(case)]


def _pairs(case: Case, pool: Pool, other: Pool, m: Metric) -> tuple[list[float], list[float]]:
    mine, theirs = pool.by_seed(m), other.by_seed(m)
    seeds = [s for s in sorted(mine.keys() & theirs.keys()) if mine[s] is not None and theirs[s] is not None]
    return [float(mine[s] or 0.0) for s in seeds], [float(theirs[s] or 0.0) for s in seeds]


def _selection(case: Case) -> list[Evidence]:
    """What the best of several equal methods would show by chance alone."""
    m = metric(case.claim.metrics[0], case.view, case.registered)
    gains, errors = [], []
    for pool in case.judged:
        for other in references(case.pools, pool, case.claim.against[0]):
            a, b = _pairs(case, pool, other, m)
            if len(a) >= 3:
                gain = np.subtract(a, b)
                gains.append((float(gain.mean()), pool.label))
                errors.append(float(gain.std(ddof=1)) / len(a) ** 0.5)
    if len(gains) < 2:
        return []
    best, label = max(gains)
    flattery = expected_maximum(len(gains)) * float(np.mean(errors))
    text = (
        f"{label} is the best of {len(gains)} ({signed(best)}). With no effect at all the best would be expected at "
        f"{signed(flattery)}; less that, {signed(best - flattery)} is left."
    )
    return [Evidence("the best of several", text, {"best": best, "arm": label, "expected_by_chance": flattery})]


def _failed(case: Case) -> list[Evidence]:
    """Failed runs with the worst value, where there are any."""
    m = metric(case.claim.metrics[0], case.view, case.registered)
    found = []
    for pool in case.judged:
        for name in case.claim.against:
            for other in references(case.pools, pool, name):
                line = _with_worst(pool, other, m)
                found += [line] if line else []
    return found


def _with_worst(pool: Pool, other: Pool, m: Metric) -> Evidence | None:
    mine, theirs = _done_or_failed(pool, m), _done_or_failed(other, m)
    if not all(any(value is not None for value in arm.values()) for arm in (mine, theirs)):
        return None
    test = compare_by_seed(mine, theirs)
    if test.least is None or test.greatest is None:
        return None
    text = (
        f"{pool.label} minus {other.label} with failed runs at the worst value: {signed(test.least.mean)} to "
        f"{signed(test.greatest.mean)}, without them {signed(test.difference.mean)}."
    )
    numbers = {"least": test.least.mean, "greatest": test.greatest.mean, "without": test.difference.mean}
    return Evidence("failed runs", text, numbers)


def _done_or_failed(pool: Pool, m: Metric) -> dict[int, float | None]:
    """Seed -> value, None where one of its runs failed; seeds that are merely not finished are left out."""
    failed = {run.seed for run in pool.runs if run.state == "failed"}
    return {seed: value for seed, value in pool.by_seed(m).items() if value is not None or seed in failed}


def _beyond_accuracy(case: Case) -> list[Evidence]:
    """Relative robustness, and how far runs lie above the line of dense networks of several sizes or lengths."""
    clean, corrupted = case.metric(of=["clean"]), case.metric(of=["common"])
    if corrupted.missing:
        return [Evidence("effective robustness", f"Not computed: {corrupted.missing} missing.", {})]
    found = []
    for pool in case.judged:
        dense = case.dense(pool)
        ratios = {one.label: _ratio(one, clean, corrupted) for one in (pool, dense) if one is not None}
        known = {label: value for label, value in ratios.items() if value is not None}
        if len(known) == 2:
            words = listed([f"{label} {value:.3f}" for label, value in known.items()], "and")
            found.append(Evidence("relative robustness", f"Corrupted over clean accuracy: {words}.", known))
    return [*found, *_line(case, clean, corrupted)]


def _ratio(pool: Pool, clean: Metric, corrupted: Metric) -> float | None:
    a, b = pool.by_seed(corrupted), pool.by_seed(clean)
    ratios = [float(a[s] or 0.0) / float(b[s] or 1.0) for s in a if a[s] is not None and b.get(s)]
    return float(np.mean(ratios)) if ratios else None


def _line(case: Case, clean: Metric, corrupted: Metric) -> list[Evidence]:
    roles = ("dense", "narrow", "early_stop")
    runs = [run for pool in case.pools if pool.role in roles for run in pool.runs if run.state == "done"]
    kinds = {pool.label for pool in case.pools if pool.role in roles}
    points = [(x, y) for run in runs if _inside(x := clean.of_run(run)) and _inside(y := corrupted.of_run(run))]
    line = effective_robustness([x / 100 for x, _ in points], [y / 100 for _, y in points]) if points else None  # type: ignore[operator]
    if line is None or len(kinds) < 2:
        why = "it needs six dense runs of several widths or lengths"
        return [Evidence("effective robustness", f"Not computed: {why}.", {})]
    found = []
    for pool in case.judged:
        own = [(clean.of_run(run), corrupted.of_run(run)) for run in pool.runs if run.state == "done"]
        good = [(x / 100, y / 100) for x, y in own if _inside(x) and _inside(y)]  # type: ignore[operator]
        if not good:
            continue
        above = line.residual([x for x, _ in good], [y for _, y in good])
        mean = float(np.mean(above))
        text = (
            f"{pool.label} lies {signed(mean, 3)} logits above the line of {plural(line.n, 'dense run')} (their own "
            f"spread about it: {line.sd:.3f})."
        )
        numbers = {"mean": mean, "slope": line.slope, "intercept": line.intercept, "sd": line.sd}
        found.append(Evidence("effective robustness", text, numbers))
    return found


def _inside(points: float | None) -> bool:
    return points is not None and 0 < points < 100


def _logit(case: Case) -> list[Evidence]:
    """The contrast of families on the logit scale: what is left of it where headroom is taken off."""
    settings = case.claim.metrics[0]
    parts = [case.metric(of=[name], severities=settings.severities) for name in settings.of]
    others = [case.metric(of=[name], severities=settings.severities) for name in settings.minus]

    def of_run(run: RunView) -> float | None:
        first, rest = ([part.of_run(run) for part in group] for group in (parts, others))
        if not all(_inside(value) for value in [*first, *rest]):
            return None
        scale = [[float(np.log(v / (100 - v))) for v in group if v is not None] for group in (first, rest)]
        return float(np.mean(scale[0]) - np.mean(scale[1]))

    return _contrast(case, Metric("the same on the logit scale", "logits", of_run), "without headroom")


def _relative(case: Case) -> list[Evidence]:
    """The contrast of families as reduction of the error relative to dense training, by seed."""
    settings = case.claim.metrics[0]
    groups = [
        [case.metric(of=[name], severities=settings.severities) for name in g] for g in (settings.of, settings.minus)
    ]
    found = []
    for pool in case.judged:
        dense = case.dense(pool)
        reduced = [_reductions(case, pool, dense, group) for group in groups] if dense is not None else [{}, {}]
        seeds = sorted(reduced[0].keys() & reduced[1].keys())
        if len(seeds) >= 3:
            test = paired([reduced[0][s] for s in seeds], [reduced[1][s] for s in seeds])
            text = (
                f"{pool.label}: the reduction of the error relative to dense training is {signed(test.mean)} % larger "
                f"there than elsewhere{_interval(test)}."
            )
            found.append(Evidence("relative to the error", text, asdict(test)))
    return found


def _reductions(case: Case, pool: Pool, dense: Pool, parts: Sequence[Metric]) -> dict[int, float]:
    """Seed -> mean over parts of (error of dense - error) / error of dense, in per cent."""
    by_part = []
    for part in parts:
        mine, theirs = pool.by_seed(part), dense.by_seed(part)
        by_seed: dict[int, float] = {}
        for seed in mine.keys() & theirs.keys():
            a, b = mine[seed], theirs[seed]
            if a is not None and b is not None and b < 100:
                by_seed[seed] = 100 * (a - b) / (100 - b)
        by_part.append(by_seed)
    seeds = set.intersection(*(set(by) for by in by_part)) if by_part else set()
    return {s: float(np.mean([by[s] for by in by_part])) for s in seeds}


def _interval(test: Any) -> str:
    return "" if test.low is None else f" (95 % interval {signed(test.low)} to {signed(test.high)})"


def _matched(case: Case) -> list[Evidence]:
    """The contrast of families where every type is taken at the severity of like dense accuracy."""
    settings, found = case.claim.metrics[0], []
    if len(case.view.severities) < 2:
        return []
    for pool in case.judged:
        dense = case.dense(pool)
        levels = _levels(case, dense) if dense is not None else {}
        types = {n: [c for c in case.types(n) if c in levels] for n in (*settings.of, *settings.minus)}
        if dense is None or not all(types.values()):
            continue
        common = float(np.mean([level for by in levels.values() for level in by.values()]))
        chosen = {c: min(by, key=lambda s: (abs(by[s] - common), s)) for c, by in levels.items()}

        def of_run(
            run: RunView, types: Mapping[str, list[str]] = types, at: Mapping[str, int] = chosen
        ) -> float | None:
            means = {n: complete([accuracy(run, c, at[c]) for c in group]) for n, group in types.items()}
            first, rest = (complete([means[n] for n in g]) for g in (settings.of, settings.minus))
            return None if first is None or rest is None else 100 * (first - rest)

        a, b = _pairs(case, pool, dense, Metric("", "points", of_run))
        if len(a) >= 3:
            test = paired(a, b)
            text = (
                f"{pool.label} minus dense, every type at the one severity where dense training is nearest to "
                f"{100 * common:.0f} %: {signed(test.mean)} points{_interval(test)}."
            )
            found.append(Evidence("at matched accuracy", text, {**asdict(test), "level": common, "severities": chosen}))
    return found


def _levels(case: Case, dense: Pool) -> dict[str, dict[int, float]]:
    """Type -> severity -> mean accuracy of dense runs, of the types that have all of them."""
    runs = [run for run in dense.runs if run.state == "done"]
    found: dict[str, dict[int, float]] = {}
    for name in case.registered.corruptions:
        by = {s: complete([accuracy(run, name, s) for run in runs]) for s in case.view.severities}
        known = {s: value for s, value in by.items() if value is not None}
        if len(known) == len(by) and known:
            found[name] = known
    return found


def _contrast(case: Case, m: Metric, name: str) -> list[Evidence]:
    found = []
    for pool in case.judged:
        dense = case.dense(pool)
        a, b = _pairs(case, pool, dense, m) if dense is not None else ([], [])
        if len(a) < 3:
            continue
        test = paired(a, b)
        interval = f" (95 % interval {signed(test.low, 3)} to {signed(test.high, 3)})" if test.low is not None else ""
        text = f"{pool.label} minus dense, {m.words}: {signed(test.mean, 3)} {m.unit}{interval}."
        found.append(Evidence(name, text, asdict(test)))
    return found


def _rank_trend(case: Case) -> list[Evidence]:
    """Gain of each type against the high frequencies that it adds or takes away."""
    name = "gain against high frequencies"
    ratios = power_ratios(case.view.analyses.get("corruption_spectra") or {})
    types = [c for c in case.registered.corruptions if ratios.get(c) is not None and c in case.view.corruptions]
    if len(types) < 4:
        return [Evidence(name, "Not computed: the spectra of the corruptions were not measured.", {})]
    found = []
    for pool in case.judged:
        dense = case.dense(pool)
        gains = {c: _gain(case, pool, dense, c) for c in types} if dense is not None else {}
        known = {c: gain for c, gain in gains.items() if gain is not None}
        if len(known) < 4:
            continue
        test = spearman([ratios[c] for c in known], list(known.values()))
        ends = f", 95 % interval {signed(test.low)} to {signed(test.high)}" if test.low is not None else ""
        text = (
            f"{pool.label}: rank correlation of gain and high-frequency power over {plural(len(known), 'type')} "
            f"{signed(test.rho)}{ends}, permutation p {probability(test.p)}. Types of a family go together, so this "
            "describes and does not judge."
        )
        found.append(Evidence(name, text, {**asdict(test), "gains": known, "ratios": {c: ratios[c] for c in known}}))
    return found


def power_ratios(spectra: Mapping[str, Any]) -> dict[str, float]:
    """Corruption -> power of its images at high frequencies over that of the clean ones: above 1 where it adds them.

    The geometric mean over severities. The share of the *difference* does not serve: blur and noise both change high
    frequencies, one takes them and one adds them.
    """
    found = {}
    for row in spectra.get("rows", ()):
        ratios = [one["high_power_ratio"] for one in row["severities"] if one.get("high_power_ratio")]
        if ratios:
            found[row["corruption"]] = float(np.exp(np.mean(np.log(ratios))))
    return found


def _gain(case: Case, pool: Pool, dense: Pool, corruption: str) -> float | None:
    a, b = _pairs(case, pool, dense, case.metric(of=[corruption]))
    return float(np.mean(np.subtract(a, b))) if a else None


def _gap(case: Case) -> list[Evidence]:
    """How much of the gain over dense each control reaches."""
    m, found = metric(case.claim.metrics[0], case.view, case.registered), []
    for pool in case.judged:
        dense = case.dense(pool)
        for name in case.claim.against if dense is not None else ():
            for control in references(case.pools, pool, name):
                assert dense is not None
                found += _closure(case, pool, dense, control, m)
    return found


def _closure(case: Case, pool: Pool, dense: Pool, control: Pool, m: Metric) -> list[Evidence]:
    values = [one.by_seed(m) for one in (pool, dense, control)]
    seeds = [s for s in values[0] if all(value.get(s) is not None for value in values)]
    if len(seeds) < 3 or control.label == dense.label:
        return []
    closed = gap_closure(*([float(value[s] or 0.0) for s in seeds] for value in values))
    if closed.q is None:
        text = f"{control.label} against {pool.label}: {closed.reason}."
    else:
        ends = f"95 % interval {closed.low:.2f} to {closed.high:.2f}" if closed.low is not None else closed.reason
        text = f"{control.label} closes {closed.q:.2f} of the gap between dense and {pool.label} ({ends})."
    return [Evidence("gap closure", text, asdict(closed))]


def _without_decay(case: Case) -> list[Evidence]:
    """Whether the gain over dense is there without weight decay."""
    m, found = metric(case.claim.metrics[0], case.view, case.registered), []
    for pool in named(case.pools, ["no_decay"]):
        dense = case.dense(pool)
        a, b = _pairs(case, pool, dense, m) if dense is not None else ([], [])
        if len(a) < 3:
            continue
        test = paired(a, b)
        ends = f" (95 % interval {signed(test.low)} to {signed(test.high)})" if test.low is not None else ""
        text = f"{pool.label}, without weight decay, minus dense with it: {signed(test.mean)} {m.unit}{ends}."
        found.append(Evidence("without weight decay", text, asdict(test)))
    return found or [Evidence("without weight decay", "Not run: dynamic sparse training without weight decay.", {})]


def _equivalence(case: Case) -> list[Evidence]:
    """Whether what is not below is also not above: two one-sided tests."""
    m, margin, found = metric(case.claim.metrics[0], case.view, case.registered), case.claim.margin, []
    for pool in case.judged:
        for other in references(case.pools, pool, case.claim.against[0]):
            a, b = _pairs(case, pool, other, m)
            test = tost(a, b, margin) if len(a) >= 3 else None
            if test is None or test.p is None:
                continue
            text = (
                f"{pool.label} minus {other.label}: 90 % interval {signed(test.low)} to {signed(test.high)}, "
                f"{'inside' if test.equivalent else 'not inside'} ±{measured(margin, m.unit)}; p {probability(test.p)}."
            )
            found.append(Evidence("equivalence", text, asdict(test)))
    return found


def _against_chance(case: Case) -> list[Evidence]:
    """Whether the masks are more concentrated than random ones of equal densities."""
    by = case.claim.metrics[0].by
    found = []
    for pool in case.judged:
        rows = [row for run in pool.runs if run.state == "done" and (row := _network_row(run, by)) is not None]
        if not rows:
            found.append(Evidence("z against random masks", f"{pool.label}: not computed.", {}))
            continue
        z, p = [float(row["z"]) for row in rows], [float(row["p"]) for row in rows]
        text = (
            f"{pool.label}: z {signed(float(np.mean(z)))}, mean of {plural(len(rows), 'run')} ({signed(min(z))} to "
            f"{signed(max(z))}); above what random masks have (p < 0.05) in {sum(one < 0.05 for one in p)} of them."
        )
        numbers = {"z": float(np.mean(z)), "p": float(np.mean(p)), "z_of_runs": z, "p_of_runs": p}
        found.append(Evidence("z against random masks", text, {"arm": pool.label, **numbers}))
    return found


def _network_row(run: RunView, by: str) -> Mapping[str, Any] | None:
    """The row of a run's masks as a whole that says how far they are from chance."""
    for row in (run.analyses.get("spatial") or {}).get("network", ()):
        if row.get("of") == "count" and row.get("by") == by and row.get("z") is not None and row.get("p") is not None:
            found: Mapping[str, Any] = row
            return found
    return None


def _bands(case: Case) -> list[Evidence]:
    """Errors under single frequencies, and which frequencies the loss follows: the same question, asked otherwise."""
    found = []
    for band in ("low", "middle", "high"):
        path = f"heat_map.summary.error.{band}.mean"
        m = case.number(path, f"error under single {band} frequencies", "points", 100)
        found += _contrast(case, m, f"heat map, {band} frequencies")
    share = case.number("gradients.input_gradient.share", "high-frequency share of the input gradient", "points", 100)
    found += _contrast(case, share, "input gradient")
    return found or [Evidence("heat map and input gradient", "Not computed: they were not measured.", {})]


def _is_gain(claim: ClaimSettings) -> bool:
    return claim.metrics[0].kind == "accuracy" and claim.direction == "greater"


def _many(claim: ClaimSettings) -> bool:
    return _is_gain(claim) and len(claim.against) > 1


_LOOKS: tuple[tuple[Callable[[ClaimSettings], bool], Callable[[Case], list[Evidence]]], ...] = (
    (lambda claim: _is_gain(claim) and len(claim.against) == 1, _selection),
    (lambda claim: claim.direction == "not_below", _equivalence),
    (lambda claim: claim.metrics[0].kind == "concentration", _against_chance),
    (lambda claim: claim.metrics[0].kind in ("low_pass", "high_pass"), _bands),
    (lambda claim: claim.metrics[0].kind == "accuracy", _failed),
    (lambda claim: claim.metrics[0].of == ["clean"], _beyond_accuracy),
    (lambda claim: _is_gain(claim) and bool(claim.metrics[0].minus), _logit),
    (lambda claim: _is_gain(claim) and bool(claim.metrics[0].minus), _relative),
    (lambda claim: _is_gain(claim) and bool(claim.metrics[0].minus), _matched),
    (lambda claim: _is_gain(claim) and bool(claim.metrics[0].minus), _rank_trend),
    (_many, _gap),
    (lambda claim: _many(claim) and "weight_decay" in claim.against, _without_decay),
)
