"""The finding of a study in words: what was measured, how sure it is, and what was not run. Never more than that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from regrow.report.table import shown
from regrow.study.view import StudyView
from regrow.verdict.arms import (
    Arm,
    Difference,
    arms_of,
    differences,
    is_underfit,
    mean,
    mean_name,
    over,
    train_accuracy,
)
from regrow.verdict.tiers import tier_sentence

#: Below so many paired seeds an interval is shown and nothing is concluded.
CLAIM_SEEDS = 5


@dataclass(frozen=True)
class Finding:
    """What the head of the page says.

    Attributes:
        lead: the one paragraph.
        tier: what a study of this tier may say.
        labels: short warnings, e.g. ``underfit``.
        controls: which separating controls were run, which were not.
    """

    lead: str
    tier: str
    labels: tuple[str, ...]
    controls: str


def finding(view: StudyView) -> Finding:
    """The finding of a study, from its numbers alone."""
    arms = arms_of(view)
    labels = ("underfit",) if is_underfit(arms) else ()
    return Finding(_lead(view, arms), tier_sentence(view.tier), labels, _controls(arms))


def underfit_sentence(view: StudyView) -> str:
    """Why the label ``underfit`` stands there, or empty."""
    arms = arms_of(view)
    if not is_underfit(arms):
        return ""
    reached = mean(train_accuracy(r) for a in arms if a.is_dense for r in a.done)
    return (
        f"underfit: the dense runs end at {shown(reached, 'percent')} mean train accuracy, below 99 %. "
        "A network that has not memorised its training set cannot show what regularisation does."
    )


def _lead(view: StudyView, arms: Sequence[Arm]) -> str:
    name = mean_name(view)
    if not view.common:
        return "No corruption was evaluated, so there is no mean to compare."
    found = [d for d in differences(arms, over(view, view.common)) if d.n]
    if not found:
        return _nothing(arms)
    judged = [d for d in found if d.n >= 3]
    if not judged:
        return _few(found, name)
    best = max(judged, key=lambda d: -2.0 if d.mean is None else d.mean)
    parts = (_sentence(best, name, view.tier), _others(judged), _short(found, name), _caution(min(d.n for d in judged)))
    return " ".join(part for part in parts if part)


def _nothing(arms: Sequence[Arm]) -> str:
    done = sum(len(a.done) for a in arms)
    if not done:
        return "No run has finished yet, so there is nothing to compare."
    return "No seed has both a finished dense run and a finished sparse run, so there is no pair to compare."


def _few(found: Sequence[Difference], name: str) -> str:
    """What may be said below three pairs: the differences, and that they show nothing."""
    least, most = min(d.n for d in found), max(d.n for d in found)
    count = f"{least}" if least == most else f"{least} to {most}"
    noun = "seed" if most == 1 else "seeds"
    return (
        f"With {count} paired {noun} there is no interval, and nothing is claimed about any method. "
        f"Differences to dense in {name}, in points, seed by seed: {_seed_by_seed(found)}."
    )


def _seed_by_seed(found: Sequence[Difference]) -> str:
    return "; ".join(f"{_label(d.arm)} {' and '.join(_points(x) for x in d.by_seed)}" for d in found)


def _short(found: Sequence[Difference], name: str) -> str:
    """Arms with too few pairs beside others with enough: their differences, and no claim."""
    few = [d for d in found if d.n < 3]
    if not few:
        return ""
    return (
        f"Nothing is claimed about arms with fewer than three paired seeds ({name}, points by seed: "
        f"{_seed_by_seed(few)})."
    )


def _sentence(d: Difference, name: str, tier: str) -> str:
    interval = f"95 % interval {_points(d.low)} to {_points(d.high)}" if d.low is not None else "no interval"
    p = f"; Holm p {_equals(shown(d.p_holm, 'probability'))}" if d.p_holm is not None else ""
    figures = f"({interval}; {d.n} paired seeds{p}; tier {tier})"
    sure = d.low is not None and d.high is not None and (d.low > 0 or d.high < 0) and (d.p_holm or 0.0) < 0.05
    if d.n >= CLAIM_SEEDS and sure and d.mean is not None and tier != "T0":  # T0 judges nothing
        verb = "raises" if d.mean > 0 else "lowers"
        scope = " in this study" if tier.startswith("T0") else ""
        return f"{_label(d.arm)} {verb} {name} by {_size(d.mean)} over dense{scope} {figures}."
    where = "above" if (d.mean or 0) >= 0 else "below"
    return f"{_label(d.arm)} lies {_size(d.mean)} {where} dense in {name} {figures}."


def _others(found: Sequence[Difference]) -> str:
    if len(found) < 2:
        return ""
    covers = [d for d in found if d.low is not None and d.high is not None and d.low <= 0 <= d.high]
    return (
        f"It is the largest of {len(found)} differences, so by itself it flatters; "
        f"the interval covers zero for {len(covers)} of {len(found)}."
    )


def _caution(pairs: int) -> str:
    if pairs >= CLAIM_SEEDS:
        return ""
    return f"With {pairs} paired seeds the result counts as inconclusive: a verdict asks for {CLAIM_SEEDS}."


def _controls(arms: Sequence[Arm]) -> str:
    axes = {key for a in arms for key, _ in a.axes}
    found = [a.done[0].settings.get("method") for a in arms if a.done]
    entries = [entry for entry in found if isinstance(entry, Mapping)]
    done = {a.method for a in arms if a.done}
    pruned = any((entry.get("source") or {}).get("masks") == "magnitude" for entry in entries)
    decays = any("weight_decay" in entry.get("training", {}) for entry in entries if entry.get("name") == "dense")
    checks = (
        ("static sparse training", "static" in done),
        ("pruned dense", pruned or any("prun" in m for m in done)),
        ("narrow dense", any(e.get("narrow") for e in entries) or any(k.rsplit(".", 1)[-1] == "width" for k in axes)),
        ("weight-decay sweep of dense", decays or any("weight_decay" in key for key in axes)),
    )
    run = [name for name, there in checks if there]
    missing = [name for name, there in checks if not there]
    parts = [f"Controls run: {', '.join(run) if run else 'none'}."]
    if missing:
        parts.append(f"Not run: {', '.join(missing)}; what causes a difference is not separated without them.")
    return " ".join(parts)


def _label(arm: Arm) -> str:
    name = {"set": "SET", "rigl": "RigL", "static": "Static", "mest": "MEST", "granet": "GraNet"}.get(
        arm.method, arm.method
    )
    at = f" at sparsity {arm.sparsity:g}" if arm.sparsity else ""
    more = "".join(f", {key.rsplit('.', 1)[-1]} {value}" for key, value in arm.axes)
    return f"{name}{at}{more}"


def _equals(p: str) -> str:
    return p.replace("<", "< ") if p.startswith("<") else f"= {p}"


def _points(x: float | None) -> str:
    return shown(x, "points")


def _size(x: float | None) -> str:
    return f"{shown(abs(x or 0.0), 'points').lstrip('+')} points"
