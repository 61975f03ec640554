"""The verdict as a part of the page: one card a claim, and the strip of values at the head that is read first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regrow.report import charts
from regrow.report.blocks import Claim, Figure, Prose, Result, Section, begun, listed, plural, slug
from regrow.report.table import Column, Table, Value, shown, table
from regrow.study.view import StudyView
from regrow.verdict.arms import Arm, is_underfit
from regrow.verdict.model import VALUES, ArmVerdict, ClaimVerdict, Comparison, Verdict

GROUP = "Verdict"
TITLE = "Claims"
INTRO = (
    "What the study was to be judged by, and what came out. The unit of replication is a training run; an arm and what "
    "it is compared with share the seed."
)
EXPLORATORY = "exploratory: not registered before the first run"


@dataclass(frozen=True)
class Tile:
    """One claim in the strip at the head."""

    anchor: str
    name: str
    title: str
    value: str
    headline: str


@dataclass(frozen=True)
class Headline:
    """What the head of a judged study says.

    Attributes:
        lead: how many claims have which value.
        labels: tier, and short warnings.
        tiles: the claims.
        registered: time of the registration, or that there is none.
        digest: of what was registered, or empty.
        controls: which were run.
        missing: which were not.
    """

    lead: str
    labels: tuple[str, ...]
    tiles: tuple[Tile, ...]
    registered: str
    digest: str
    controls: str
    missing: tuple[str, ...]


def headline(arms: Sequence[Arm], verdict: Verdict) -> Headline:
    """The head of the page."""
    labels = [*(("underfit",) if is_underfit(arms) else ())]
    if not all(claim.registered for claim in verdict.claims):
        labels.append("exploratory" if not any(c.registered for c in verdict.claims) else "partly exploratory")
    scopes = list(dict.fromkeys(claim.scope for claim in verdict.claims if claim.scope))
    tiles = tuple(
        Tile(f"claim-{slug(c.id)}", c.id, c.title, c.value, c.headline if c.arms else c.why_not or c.headline)
        for c in verdict.claims
    )
    return Headline(
        _lead(verdict),
        (*labels, *scopes),
        tiles,
        registered_sentence(verdict),
        verdict.registration,
        _controls_sentence(verdict),
        tuple(verdict.controls_not_run),
    )


def _lead(verdict: Verdict) -> str:
    if not verdict.claims:
        return "No claim was made, so nothing is judged."
    found = {value: sum(c.value == value for c in verdict.claims) for value in VALUES}
    words = [f"{n} {value}" for value, n in found.items() if n]
    words[0] = words[0].replace(" ", " is " if words[0].startswith("1 ") else " are ", 1)
    if len(verdict.claims) == 1:
        return f"The one claim is {verdict.claims[0].value}."
    return f"Of {plural(len(verdict.claims), 'claim')}, {listed(words)}."


def registered_sentence(verdict: Verdict) -> str:
    """When the claims were registered; the digest stands beside it."""
    if not verdict.registration:
        return "No claim was registered before the first run: every value here is exploratory."
    return f"Registered {verdict.registered_at or 'at a time that is not recorded'}; digest"


def _controls_sentence(verdict: Verdict) -> str:
    families = plural(verdict.families, "family", "families")
    return (
        f"Controls run: {listed(list(verdict.controls_run))}. "
        f"p is corrected (Holm) within each of {families} of tests, and not across them."
    )


def unjudged(view: StudyView) -> str:
    """Why a page has no verdict."""
    if not (view.registration or {}).get("claims"):
        return (
            "No verdict: no claim was registered before the first run, so this page shows numbers and judges nothing."
        )
    return "No verdict: the registered claims have not been judged. Next: regrow verdict STUDY."


def claims(view: StudyView, arms: Sequence[Arm], verdict: Verdict) -> Section:
    """One card a claim."""
    if not verdict.claims:
        return Section("claims", TITLE, GROUP, INTRO, (Prose("No claim was made, so nothing is judged.", "empty"),))
    colours: dict[str, int] = {}
    for arm in arms:
        colours.setdefault(arm.method, arm.look % charts.N_COLOURS)
    settings = {str(c.get("id")): c for c in (view.registration or {}).get("claims", ())}
    cards = tuple(_card(c, settings.get(c.id, {}), colours) for c in verdict.claims)
    return Section("claims", TITLE, GROUP, INTRO, cards, legend=False)


def _card(claim: ClaimVerdict, settings: Mapping[str, Any], colours: Mapping[str, int]) -> Claim:
    controls = tuple(c for arm in claim.arms for c in arm.controls)
    control_tables = (_comparisons(controls, "Against each control", verdicts=True),) if controls else ()
    labels = () if claim.registered else (EXPLORATORY,)
    return Claim(
        claim.id,
        claim.title,
        claim.value,
        " · ".join(x for x in (claim.headline, claim.scope) if x),
        labels,
        claim.statement,
        claim.source,
        claim.paper,
        claim.why_not,
        claim.metric,
        _forests(claim, settings, colours),
        _tables(claim),
        tuple(Result(a.arm, a.value, a.sentence, a.reason) for a in claim.arms),
        _facts(claim),
        tuple((e.name, e.text) for e in claim.evidence),
        control_tables,
        claim.rivals,
        claim.breaks,
    )


def _facts(claim: ClaimVerdict) -> tuple[tuple[str, str], ...]:
    run = _unique(c.reference for arm in claim.arms for c in arm.controls)
    missing = _unique(name for arm in claim.arms for name in arm.not_run)
    same = {arm.arm: arm.same_effect for arm in claim.arms if arm.same_effect}
    facts = [
        ("Controls run", listed(run) if run else ""),
        ("Controls not run", listed(missing) if missing else ""),
        ("Controls with the same effect", "; ".join(f"{arm}: {listed(names)}" for arm, names in same.items())),
        ("What would settle it", claim.settle),
    ]
    return tuple((label, text) for label, text in facts if text)


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _tables(claim: ClaimVerdict) -> tuple[Table, ...]:
    """One table where every arm has one comparison; else one of arms, one of comparisons."""
    if not claim.arms:
        return ()
    if all(len(arm.comparisons) <= 1 for arm in claim.arms):
        return (_merged(claim),)
    arms = table(
        "By method",
        (Column("arm", "Method"), Column("value", "Verdict", "verdict"), *_WORDS),
        [(a.arm, a.value, *_words(a)) for a in claim.arms],
        _pooled(claim.arms),
    )
    return (arms, _comparisons([c for a in claim.arms for c in a.comparisons], "By comparison"))


_WORDS = (Column("size", "Size"), Column("cause", "Cause"))


def _words(arm: ArmVerdict) -> tuple[Value, ...]:
    return (arm.size or None, arm.cause or None)


def _pooled(arms: Sequence[ArmVerdict]) -> str:
    """Which sparsities stand behind each method."""
    found = {a.arm: ", ".join(f"{s:g}" for s in a.sparsities) for a in arms if a.sparsities}
    if len(set(found.values())) == 1 and len(found) == len(arms):
        return f"Sparsities pooled: {next(iter(found.values()))}."
    return f"Sparsities pooled: {'; '.join(f'{arm} {text}' for arm, text in found.items())}." if found else ""


def _figures(unit: str) -> tuple[Column, ...]:
    return (
        Column("mean", f"Mean, {unit}" if unit else "Mean", "signed"),
        Column("low", "95 % from", "signed"),
        Column("high", "to", "signed"),
        Column("n", "n", "integer"),
        Column("p", "p", "probability"),
        Column("p_holm", "p, Holm", "probability"),
    )


def _numbers(c: Comparison | None) -> tuple[Value, ...]:
    return (c.mean, c.low, c.high, c.n, c.p, c.p_holm) if c else (None, None, None, 0, None, None)


def _merged(claim: ClaimVerdict) -> Table:
    first = [arm.comparisons[0] if arm.comparisons else None for arm in claim.arms]
    unit = next((c.unit for c in first if c), "")
    columns = (Column("arm", "Method"), Column("value", "Verdict", "verdict"), *_figures(unit), *_WORDS)
    rows = [(a.arm, a.value, *_numbers(c), *_words(a)) for a, c in zip(claim.arms, first, strict=True)]
    return table("By method", columns, rows, f"{_pooled(claim.arms)} {_note([c for c in first if c])}".strip())


def _comparisons(found: Sequence[Comparison], title: str, *, verdicts: bool = True) -> Table:
    units, metrics = _unique(c.unit for c in found), _unique(c.metric for c in found)
    several = len(metrics) > 1
    columns = [Column("arm", "Method"), Column("reference", "Minus")]
    columns += [Column("metric", "Metric")] if several else []
    columns += _figures(units[0] if len(units) == 1 else "")
    columns += [Column("unit", "Unit")] if len(units) > 1 else []
    columns += [Column("value", "Alone", "verdict")] if verdicts else []
    rows = [
        (
            c.arm,
            c.reference,
            *((c.metric,) if several else ()),
            *_numbers(c),
            *((c.unit,) if len(units) > 1 else ()),
            *((c.value,) if verdicts else ()),
        )
        for c in found
    ]
    return table(title, columns, rows, _note(found))


def _note(found: Sequence[Comparison]) -> str:
    """What the figures were corrected over, and what else is known of them."""
    families = _unique(c.family for c in found if c.family)
    parts = [f"Holm over {'; '.join(families)}."] if families else []
    crossed = [c for c in found if c.crossed]
    if crossed:
        ends = [
            f"{c.arm}{' − ' + c.reference if len(found) > 1 else ''} {shown(c.crossed.low, 'signed')} to "  # noqa: RUF001
            f"{shown(c.crossed.high, 'signed')}"
            for c in crossed[:8]
            if c.crossed
        ]
        more = f" and {len(crossed) - 8} more" if len(crossed) > 8 else ""
        parts.append(f"Over seeds and test examples together, 95 %: {'; '.join(ends)}{more}.")
    return " ".join(parts)


def _forests(claim: ClaimVerdict, settings: Mapping[str, Any], colours: Mapping[str, int]) -> tuple[Figure, ...]:
    """A forest for each metric and unit; none where no seed was compared."""
    found = [c for arm in claim.arms for c in arm.comparisons if c.n]
    kinds = _unique(f"{c.metric}\n{c.unit}" for c in found)
    figures = []
    for i, kind in enumerate(kinds):
        here = [c for c in found if f"{c.metric}\n{c.unit}" == kind]
        figures.append(_forest(claim, here, settings, colours, f"fig-claim-{slug(claim.id)}{f'-{i + 1}' if i else ''}"))
    return tuple(figures)


def _forest(
    claim: ClaimVerdict, found: Sequence[Comparison], settings: Mapping[str, Any], colours: Mapping[str, int], id: str
) -> Figure:
    references = _unique(c.reference for c in found)
    labels = [c.arm if len(references) == 1 else f"{c.arm} − {c.reference}" for c in found]  # noqa: RUF001
    rows = []
    for label, c in zip(labels, found, strict=True):
        row: dict[str, Any] = {"label": label, "arm": c.arm, "value": c.mean, "low": c.low, "high": c.high}
        if c.crossed:
            row |= {"crossed_low": c.crossed.low, "crossed_high": c.crossed.high}
        rows.append(row)
    seeds = [
        {"label": label, "arm": c.arm, "seed": seed, "value": value}
        for label, c in zip(labels, found, strict=True)
        for seed, value in zip(c.seeds, c.by_seed, strict=True)
    ]
    looks = [(arm, colours.get(arm, len(colours) % charts.N_COLOURS)) for arm in _unique(c.arm for c in found)]
    unit, metric = found[0].unit, found[0].metric
    band, lines, words = _margins(claim, settings)
    against = f" minus {references[0]}" if len(references) == 1 else ""
    spec = charts.claim_forest(
        rows, seeds, looks, f"{unit or 'difference'}, arm{against or ' minus reference'}", band=band, lines=lines
    )
    spoken = ", ".join(f"{label} {shown(c.mean, 'signed')}" for label, c in zip(labels, found, strict=True))
    caption = f"Dots: seeds. Mark: mean. Thick bar: 95 % interval over seeds.{_crossed_words(found)} {words}".strip()
    return Figure(
        id,
        f"{begun(metric)}{against}",
        caption,
        spec,
        f"{claim.title}: {spoken} {unit}.",
        _comparisons(found, metric),
    )


def _crossed_words(found: Sequence[Comparison]) -> str:
    return " Thin bar below: over seeds and test examples." if any(c.crossed for c in found) else ""


def _margins(
    claim: ClaimVerdict, settings: Mapping[str, Any]
) -> tuple[tuple[float, float] | None, list[tuple[str, float]], str]:
    """Band of "no difference", dashed lines, and the words for both."""
    if claim.direction == "equal":
        return (-claim.margin, claim.margin), [], f"Band: ±{claim.margin:g}, inside which both count as alike."
    if claim.direction == "not_below":
        return (
            None,
            [("non-inferiority margin", -claim.margin)],
            f"Dashed at −{claim.margin:g}: below it counts as worse.",  # noqa: RUF001
        )
    lines = [("margin", claim.margin)] if claim.margin else []
    words = [f"Dashed at {claim.margin:g}: the margin."] if claim.margin else []
    material, half = settings.get("material"), settings.get("equivalence")
    if isinstance(material, (int, float)) and material != claim.margin:
        lines.append(("material margin", float(material)))
        words.append(f"Dashed at +{material:g}: from here on a difference is material.")
    band = None
    if isinstance(half, (int, float)):
        band = (-float(half), float(half))
        words.append(f"Band: ±{half:g}, inside which a difference counts as none.")
    return band, lines, " ".join(words)
