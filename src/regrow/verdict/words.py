"""Sentences of a verdict: numbers first, never more than they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from regrow.study.claims import ClaimSettings, paper_claims
from regrow.study.roles import WORDS
from regrow.verdict.model import ArmVerdict, Comparison, Value

MINUS = "−"  # noqa: RUF001 (the sign of a number)

EXPLORATORY = "exploratory: not registered before the first run; by its numbers supported"


def plural(n: int, noun: str) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def listed(names: Sequence[object], last: str) -> str:
    """``a, b or c``."""
    words = [str(name) for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else "none"


def roles(names: Sequence[str]) -> str:
    """Roles or labels in words, one of which is meant."""
    return listed([WORDS.get(name, name) for name in names], "or")  # type: ignore[call-overload]


def signed(value: float | None, digits: int = 2) -> str:
    """A number with its sign, or a dash."""
    if value is None:
        return "–"  # noqa: RUF001
    text = f"{abs(value):.{digits}f}"
    return f"{MINUS if value < 0 and float(text) else '+'}{text}"


def probability(p: float | None) -> str:
    """``= 0.0123`` or ``< 0.0001``."""
    return "not computed" if p is None else "< 0.0001" if p < 1e-4 else f"= {p:.4f}"


def headline(value: Value, arms: Sequence[ArmVerdict]) -> str:
    """How many methods say what, the claim's own value first."""
    if not arms:
        return value
    counts: dict[str, int] = {}
    for arm in arms:
        counts[arm.value] = counts.get(arm.value, 0) + 1
    order = sorted(counts, key=lambda v: (v != "supported", -counts[v]))
    return "; ".join(f"{counts[v]} of {plural(len(arms), 'method')} {v}" for v in order)


def of_paper(value: Value, claim: ClaimSettings, *, judges: bool) -> str:
    """What a study says of the claim as the paper makes it; empty for a claim that the paper does not make."""
    if claim.id not in paper_claims():
        return ""
    return value if judges or value == "not testable" else "not testable at this tier"


def measured(value: float, unit: str) -> str:
    """A value with its unit, of one point in the singular."""
    return f"{value:g} {unit.removesuffix('s') if value == 1 and unit == 'points' else unit}"


def with_sentence(verdict: ArmVerdict, claim: ClaimSettings, tier: str) -> ArmVerdict:
    """The verdict on an arm with its sentence."""
    if not verdict.comparisons:
        return replace(verdict, sentence=f"{verdict.arm}: {verdict.value} ({verdict.reason or 'no comparison'}).")
    parts = [_compared(one, claim, verdict.sparsities, tier) for one in verdict.comparisons]
    parts += [f"{verdict.reason[0].upper()}{verdict.reason[1:]}."] if verdict.reason else []
    lower = [one.reference for one in verdict.controls if one.reference not in verdict.same_effect]
    if lower:
        parts.append(f"Controls shown to be lower: {listed(list(dict.fromkeys(lower)), 'and')}.")
    if verdict.same_effect:
        parts.append(f"Controls not shown to be lower: {listed(verdict.same_effect, 'and')}.")
    if verdict.not_run and (verdict.cause or verdict.value == "inconclusive"):
        parts.append(f"Not run: {listed(verdict.not_run, 'and')}.")
    return replace(verdict, sentence=" ".join(parts))


def _compared(one: Comparison, claim: ClaimSettings, sparsities: Sequence[float], tier: str) -> str:
    at = listed([f"{s:g}" for s in sparsities], "and")
    where = f"{one.arm} at sparsity {at}" if any(sparsities) else one.arm
    unit = "" if one.unit == "log D" else f" {one.unit}"
    what = f"{where} minus {one.reference}, {one.metric}: {signed(one.mean)}{unit}"
    if one.low is None:
        return f"{what} ({plural(one.n, 'paired seed')}, no interval; tier {tier})."
    interval = f"95 % interval {signed(one.low)} to {signed(one.high)}"
    return f"{what} ({interval}; {plural(one.n, 'paired seed')}; Holm p {probability(one.p_holm)}; tier {tier})."


def settle(claim: ClaimSettings, arms: Sequence[ArmVerdict], why_not: str, tier: str) -> str:
    """Which runs would settle what is open; empty where nothing is, or where ``why_not`` says what is missing."""
    if not arms:
        return ""
    parts = []
    pending = [c for arm in arms if arm.value in ("inconclusive", "not testable") for c in arm.comparisons]
    short = [c for c in pending if c.n < claim.seeds]
    unsure = [c for c in pending if c.value == "inconclusive" and c.n >= claim.seeds and c.seeds_needed is not None]
    if short:
        parts.append(f"At least {plural(claim.seeds, 'paired seed')} of every arm.")
    if unsure:
        most = max(unsure, key=lambda c: c.seeds_needed or 0)
        parts.append(
            f"{plural(max(most.seeds_needed or 0, claim.seeds), 'paired seed')} would see a difference of "
            f"{measured(most.sees or 0.0, most.unit)} with a power of 80 % at the deviation found "
            f"({most.sd:.2g} for {most.arm})."
        )
    if any(arm.reason == EXPLORATORY for arm in arms):
        parts.append("A study with other seeds that registers the claim before its first run.")
    absent = dict.fromkeys(name for arm in arms for name in arm.not_run)
    if absent and any(arm.value in ("supported", "inconclusive") for arm in arms):
        parts.append(f"Controls to add: {listed(list(absent), 'and')}.")
    if tier.startswith("T0") and not why_not and claim.id in paper_claims():
        parts.append("The paper's claim needs a run of tier T1 or longer.")
    return " ".join(parts)
