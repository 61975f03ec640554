"""What a verdict is, as plain values: from single comparisons of two arms to the whole study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from regrow.markup import html_lines, html_table

Value = Literal["supported", "refuted", "equivalent", "inconclusive", "not testable"]
#: In the order in which a reader asks.
VALUES: tuple[Value, ...] = ("supported", "refuted", "equivalent", "inconclusive", "not testable")


@dataclass(frozen=True)
class Interval:
    """A second interval of the same difference.

    Attributes:
        low: lower end.
        high: upper end.
        p: its two-sided p-value.
        df: degrees of freedom.
        n: number of what it is over besides the seeds, e.g. images.
    """

    low: float
    high: float
    p: float
    df: float
    n: int


@dataclass(frozen=True)
class Comparison:
    """One arm minus another under one metric, over the seeds that both have.

    All figures are in the metric's unit; None where there is nothing to judge by (fewer than 3 seeds, no variation).

    Attributes:
        arm: label of the arm that is judged, sparsities pooled.
        reference: label of what it is compared with.
        role: role of the reference.
        metric: the metric in words.
        unit: ``points``, or the metric's own.
        seeds: the common seeds.
        by_seed: difference for each of them.
        mean: mean difference.
        sd: standard deviation of the differences.
        low: lower end of the two-sided 95 % interval of the paired t over seeds, the primary one.
        high: upper end.
        p: two-sided p of "no difference" (of a claim with a margin: of "as large as the margin", one-sided).
        p_holm: the same after Holm within ``family``.
        family: what Holm ran over, in words.
        low_90: lower end of the 90 % interval, which decides on equivalence.
        high_90: upper end.
        d_z: mean over sd.
        g_z: the same with Hedges' small-sample factor.
        r: correlation of the two arms over seeds.
        welch: interval without pairing, as a sensitivity check.
        crossed: interval over seeds and images together, the second one.
        p_sign_flip: exact two-sided permutation p.
        seeds_needed: paired seeds that would see ``sees`` with a power of 80 % at the sd found.
        sees: the difference that ``seeds_needed`` is about.
        value: what this comparison alone says.
    """

    arm: str
    reference: str
    role: str
    metric: str
    unit: str
    seeds: tuple[int, ...]
    by_seed: tuple[float, ...]
    mean: float | None = None
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    family: str = ""
    low_90: float | None = None
    high_90: float | None = None
    d_z: float | None = None
    g_z: float | None = None
    r: float | None = None
    welch: Interval | None = None
    crossed: Interval | None = None
    p_sign_flip: float | None = None
    seeds_needed: int | None = None
    sees: float | None = None
    value: Value = "inconclusive"

    @property
    def n(self) -> int:
        """Number of paired seeds."""
        return len(self.seeds)


@dataclass(frozen=True)
class ArmVerdict:
    """One value for one arm (a method, its registered sparsities pooled) under one claim.

    Attributes:
        arm: label.
        value: the verdict value.
        size: ``material``, ``size not established``, or empty where there is nothing to say.
        cause: ``cause separated``, ``cause not separated``, or empty.
        sentence: the result in one sentence with its numbers, interval, n, p and tier.
        reason: why the value is what it is, where the numbers alone do not say it.
        comparisons: what the value rests on: one for each reference and metric.
        controls: the arm minus each control, Holm over the controls.
        same_effect: controls (in words) that show the same effect.
        not_run: controls (in words) that were not run.
        sparsities: the registered sparsities that were pooled.
    """

    arm: str
    value: Value
    size: str
    cause: str
    sentence: str
    reason: str
    comparisons: tuple[Comparison, ...]
    controls: tuple[Comparison, ...]
    same_effect: tuple[str, ...]
    not_run: tuple[str, ...]
    sparsities: tuple[float, ...]


@dataclass(frozen=True)
class Evidence:
    """A finding beside the test: descriptive, never the verdict itself.

    Attributes:
        name: what was looked at, in a few words.
        text: what it shows, with its numbers; or why it is not there.
        numbers: the same as JSON values.
    """

    name: str
    text: str
    numbers: Mapping[str, Any]


@dataclass(frozen=True)
class ClaimVerdict:
    """The verdict on one claim.

    Attributes:
        id: short name, e.g. ``C1``.
        title: a few words.
        statement: the claim.
        source: who claims it.
        value: supported (refuted, equivalent) only if every registered method is.
        headline: ``2 of 3 methods supported``.
        scope: ``of this study only`` below tier T1, else empty.
        paper: what the study says of the claim as the paper makes it, e.g. ``not testable at this tier``; empty where
            the paper does not make it.
        registered: whether it was registered before the first run; else the verdict is exploratory.
        metric: the metric in words.
        direction: ``greater``, ``not_below`` or ``equal``.
        margin: existence, non-inferiority or equivalence margin.
        arms: one verdict for each method.
        evidence: secondary findings.
        rivals: other explanations a reader must know.
        breaks: what would refute the claim.
        settle: which runs would settle it.
        why_not: why it is not testable; empty otherwise.
    """

    id: str
    title: str
    statement: str
    source: str
    value: Value
    headline: str
    scope: str
    paper: str
    registered: bool
    metric: str
    direction: str
    margin: float
    arms: tuple[ArmVerdict, ...]
    evidence: tuple[Evidence, ...]
    rivals: tuple[str, ...]
    breaks: str
    settle: str
    why_not: str

    @property
    def qualities(self) -> list[str]:
        """What must be said beside the value: that it holds of this study alone, or was not registered."""
        return [word for word in (self.scope, "" if self.registered else "exploratory") if word]


@dataclass(frozen=True)
class Verdict:
    """The verdict on a study.

    Attributes:
        study: its name.
        title: one line that says what is compared.
        tier: its tier.
        tier_words: what a study of this tier may say.
        registration: digest of the registered claims; empty where none were.
        registered_at: when, in UTC; empty where none were.
        claims: one verdict a claim, in the order registered.
        families: number of families of tests on the page, within each of which Holm was applied.
        problems: missing runs, unequal seeds, damaged files ...: what a reader must know before any number.
        controls_run: roles in words.
        controls_not_run: likewise.
    """

    study: str
    title: str
    tier: str
    tier_words: str
    registration: str
    registered_at: str
    claims: tuple[ClaimVerdict, ...]
    families: int
    problems: Sequence[str]
    controls_run: Sequence[str]
    controls_not_run: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values, as ``verdict.json`` holds it; figures without bounds are null."""
        found: dict[str, Any] = _plain({"schema": 1, **asdict(self)})
        return found

    def _repr_html_(self) -> str:
        """The verdict on each claim, for a notebook."""
        said = f"{self.tier_words[:1].upper()}{self.tier_words[1:]}."
        rows = [(c.id, c.title, c.value, c.headline, "; ".join(c.qualities)) for c in self.claims]
        table = html_table(self.title, ("Claim", "About", "Verdict", "By method", "Holds"), rows)
        return html_lines([said, *self.problems]) + table


def _plain(value: Any) -> Any:
    """Nested values as JSON has them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
