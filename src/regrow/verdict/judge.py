"""The verdict: every registered claim against the numbers of a study.

The order of decisions: is the data complete, are there seeds enough, was it registered, what does the primary test say,
is the size material, do the controls show the same effect. Nothing is judged that fails an earlier step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from regrow.study.claims import ClaimSettings, Registration, paper_claims
from regrow.study.roles import CONTROLS, WORDS, Role
from regrow.study.view import StudyView
from regrow.verdict import words
from regrow.verdict.comparing import FEWEST_SEEDS, compare, in_family
from regrow.verdict.evidence import evidence
from regrow.verdict.metrics import Metric, metric
from regrow.verdict.model import ArmVerdict, ClaimVerdict, Comparison, Value, Verdict
from regrow.verdict.pools import Pool, named, pools, references
from regrow.verdict.problems import problems
from regrow.verdict.registered import registered_claims
from regrow.verdict.tiers import judges_paper, tier_sentence


def judge(view: StudyView, extra: Sequence[ClaimSettings] = ()) -> Verdict:
    """Judge all claims of a study.

    Args:
        view: the study; finished or not.
        extra: claims that were not registered with it; they are judged as exploratory.

    Returns:
        A verdict on each claim, in the order registered, then the extra ones.
    """
    registration, was_registered = registered_claims(view)
    everything = pools(view, registration)
    study = _Study(view, registration, everything)
    claims = [study.claim(claim, registered=was_registered) for claim in registration.claims]
    claims += [study.claim(claim, registered=False) for claim in extra]
    there = {pool.role for pool in everything if pool.is_done}
    return Verdict(
        study=view.name,
        title=view.title,
        tier=view.tier,
        tier_words=tier_sentence(view.tier),
        registration=registration.digest if was_registered else "",
        registered_at=view.registered_at if was_registered else "",
        claims=tuple(claims),
        families=_families(claims),
        problems=problems(view, registration),
        controls_run=[WORDS[role] for role in CONTROLS if role in there],
        controls_not_run=[WORDS[role] for role in CONTROLS if role not in there],
    )


def _families(claims: Sequence[ClaimVerdict]) -> int:
    """How many families of tests there are; what has no test is in none."""
    return len(
        {
            (claim.id, one.metric, one.family, kind)
            for claim in claims
            for arm in claim.arms
            for kind, row in enumerate((arm.comparisons, arm.controls))
            for one in row
            if one.family
        }
    )


@dataclass(frozen=True)
class _Study:
    """What all claims of a study share."""

    view: StudyView
    registered: Registration
    pools: tuple[Pool, ...]

    def claim(self, claim: ClaimSettings, *, registered: bool) -> ClaimVerdict:
        metrics = [metric(settings, self.view, self.registered) for settings in claim.metrics]
        why_not = self._untestable(claim, metrics)
        judged = [] if why_not else self._arms(claim, metrics, registered)
        value = _whole([arm.value for arm in judged]) if judged else "not testable"
        if not why_not and value == "not testable":
            why_not = "; ".join(f"{arm.arm}: {arm.reason}" for arm in judged if arm.reason) or "no arm could be judged"
        paper_judged = judges_paper(self.view.tier)
        return ClaimVerdict(
            id=claim.id,
            title=claim.title,
            statement=claim.statement,
            source=claim.source,
            value=value,
            headline=words.headline(value, judged),
            scope="" if paper_judged or value == "not testable" else "of this study only",
            paper=words.of_paper(value, claim, judges=paper_judged),
            registered=registered,
            metric="; ".join(dict.fromkeys(m.words for m in metrics)),
            direction=claim.direction,
            margin=claim.margin,
            arms=tuple(judged),
            evidence=() if why_not else tuple(evidence(claim, self.view, self.registered, self.pools)),
            rivals=tuple(claim.rivals),
            breaks=claim.breaks,
            settle=words.settle(claim, judged, why_not, self.view.tier),
            why_not=why_not,
        )

    def _untestable(self, claim: ClaimSettings, metrics: Sequence[Metric]) -> str:
        """Why no arm can be judged under a claim; empty where some can."""
        if self.view.modality != "image" and claim.id in paper_claims():
            return (
                f"it speaks of images, and {self.view.data['name']} holds {self.view.noun}; what is claimed of these "
                "stands in the recipe as a claim of its own"
            )
        missing = [m.missing for m in metrics if m.missing]
        if missing:
            return f"cells that the claim asks for were not evaluated: {missing[0]}"
        groups = named(self.pools, claim.groups)
        if not groups:
            return f"the study has no arm of {words.listed(claim.groups, 'or')}"
        low, high = claim.sparsity
        if not any(pool.within(low, high).arms for pool in groups):
            return f"no arm has a sparsity of {low:g} to {high:g}, which the claim speaks of"
        if not any(references(self.pools, pool.within(low, high), name) for pool in groups for name in claim.against):
            return f"nothing to compare with: {words.roles(claim.against)} was not run"
        done = [run for pool in self.pools for run in pool.runs if run.state == "done"]
        unknown = [m.words for m in metrics if done and all(m.of_run(run) is None for run in done)]
        return f"no finished run has the {unknown[0]}" if unknown else ""

    def _arms(self, claim: ClaimSettings, metrics: Sequence[Metric], registered: bool) -> list[ArmVerdict]:
        groups = [pool.within(*claim.sparsity) for pool in named(self.pools, claim.groups)]
        groups = [pool for pool in groups if pool.arms]
        found = {pool.label: [self._compared(pool, m, claim) for m in metrics] for pool in groups}
        if len(claim.against) == 1:  # the family is the methods
            for k in range(len(metrics)):
                row = in_family([c for pool in groups for c in found[pool.label][k]], "methods", claim)
                for pool in groups:
                    found[pool.label][k] = [c for c in row if c.arm == pool.label]
        else:  # the family of a method is what it is compared with
            for pool in groups:
                found[pool.label] = [in_family(row, f"controls of {pool.label}", claim) for row in found[pool.label]]
        return [
            self._arm(pool, [c for row in found[pool.label] for c in row], claim, metrics, registered)
            for pool in groups
        ]

    def _compared(self, pool: Pool, m: Metric, claim: ClaimSettings) -> list[Comparison]:
        """Against every reference; of an arm with too few updates none."""
        if self._too_few_updates(pool, claim):
            return []
        return [compare(pool, one, m, claim) for name in claim.against for one in references(self.pools, pool, name)]

    def _too_few_updates(self, pool: Pool, claim: ClaimSettings) -> str:
        """Why an arm that rewires cannot be judged; of arms that do not, nothing is asked."""
        done = [run.result or {} for run in pool.runs if run.state == "done"]
        had = [result.get("updates") for result in done]
        if not claim.updates or not done or (pool.role != "dst" and not any(had)):
            return ""
        known = [int(n) for n in had if n is not None]
        if len(known) < len(had):
            return "how many topology updates a run had is not known"
        asked = f"{claim.updates} are asked for"
        return f"{words.plural(min(known), 'topology update')}, {asked}" if min(known) < claim.updates else ""

    def _arm(
        self,
        pool: Pool,
        comparisons: Sequence[Comparison],
        claim: ClaimSettings,
        metrics: Sequence[Metric],
        registered: bool,
    ) -> ArmVerdict:
        value, reason = _value(comparisons, claim, registered)
        reason = self._too_few_updates(pool, claim) or reason
        not_run = [WORDS.get(cast(Role, name), name) for name in self._absent(claim, pool)]
        controls = self._controls(pool, claim, metrics) if value == "supported" else []
        same = list(dict.fromkeys(one.reference for one in controls if one.value != "supported"))
        cause = ""
        if value == "supported" and (claim.controls or len(claim.against) > 1):
            cause = "cause not separated" if same or not_run else "cause separated"
        verdict = ArmVerdict(
            arm=pool.label,
            value=value,
            size=_size(value, comparisons, claim),
            cause=cause,
            sentence="",
            reason=reason,
            comparisons=tuple(comparisons),
            controls=tuple(controls),
            same_effect=tuple(same),
            not_run=tuple(not_run),
            sparsities=pool.sparsities,
        )
        return words.with_sentence(verdict, claim, self.view.tier)

    def _controls(self, pool: Pool, claim: ClaimSettings, metrics: Sequence[Metric]) -> list[Comparison]:
        """The arm minus each control that was run; under each metric one family."""
        against = [one for role in claim.controls for one in references(self.pools, pool, role) if one.is_done]
        plain = claim.model_copy(update={"direction": "greater", "margin": 0.0})
        family = f"separating controls of {pool.label}"
        rows = [in_family([compare(pool, one, m, plain) for one in against], family, plain) for m in metrics]
        return [one for row in rows for one in row]

    def _absent(self, claim: ClaimSettings, pool: Pool) -> list[str]:
        """Roles and labels that the claim asks for and no finished run has."""
        asked = [*claim.controls, *(claim.against if len(claim.against) > 1 else ())]
        return [
            name for name in dict.fromkeys(asked) if not any(one.is_done for one in references(self.pools, pool, name))
        ]


def _value(comparisons: Sequence[Comparison], claim: ClaimSettings, registered: bool) -> tuple[Value, str]:
    """One value of all comparisons of an arm, and why where the numbers alone do not say it."""
    if not comparisons:
        return "not testable", f"it has no {words.roles(claim.against)} beside it"
    values = [one.value for one in comparisons]
    for worst in _AGAINST:  # what one reference with seeds enough says is not undone by another that has too few
        if worst in values:
            return worst, ""
    tested = [one for one in comparisons if one.value != "not testable"]
    if not tested or (len(tested) < len(values) and len(claim.against) == 1):
        fewest = words.plural(min(one.n for one in comparisons), "paired seed")
        return "not testable", f"{fewest}, at least {FEWEST_SEEDS} are needed"
    if any(one.p is None for one in tested):
        return "inconclusive", "the differences do not vary over seeds, so there is no test"
    fewest_tested = min(one.n for one in tested)
    if fewest_tested < claim.seeds:
        return "inconclusive", f"{words.plural(fewest_tested, 'paired seed')}, {claim.seeds} are asked for"
    if any(one.value != "supported" for one in tested):
        return "inconclusive", ""
    if not registered:
        return "inconclusive", words.EXPLORATORY
    if len(tested) < len(values):
        return "inconclusive", "supported against the references with seeds enough; others have too few"
    return "supported", ""


#: Values of a single comparison that a claim on all of them cannot survive, the worse first.
_AGAINST: tuple[Value, ...] = ("refuted", "equivalent")


def _whole(values: Sequence[Value]) -> Value:
    """Of a claim: what every method says, else open."""
    return values[0] if len(set(values)) == 1 else "inconclusive"


def _size(value: Value, comparisons: Sequence[Comparison], claim: ClaimSettings) -> str:
    if value != "supported" or claim.material is None:
        return ""
    lows = [one.low for one in comparisons if one.low is not None]
    return "material" if lows and min(lows) > claim.material else "size not established"
