"""One comparison of two pools under one metric: intervals, tests, and what they say alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from regrow.statistics import compare_by_seed, crossed, effect_sizes, holm, paired, seeds_needed, sign_flip, tost, welch
from regrow.study.claims import ClaimSettings
from regrow.verdict.metrics import Metric
from regrow.verdict.model import Comparison, Interval, Value
from regrow.verdict.pools import Pool

#: Family-wise error of a claim's family.
ALPHA = 0.05
#: Fewer paired seeds than this are shown and not judged.
FEWEST_SEEDS = 3
#: Differences of the metric ``concentration`` and of others without points are seen at their equivalence margin.
POINTS = "points"


def compare(pool: Pool, reference: Pool, metric: Metric, claim: ClaimSettings) -> Comparison:
    """``pool`` minus ``reference``, over the seeds that both have.

    The p-value is that of the claim's own test: two-sided against the margin (``greater``), one-sided against minus the
    margin (``not_below``), or the greater of two one-sided ones (``equal``).
    """
    mine, theirs = pool.by_seed(metric), reference.by_seed(metric)
    seeds = tuple(s for s in sorted(mine.keys() & theirs.keys()) if mine[s] is not None and theirs[s] is not None)
    a, b = [float(mine[s] or 0.0) for s in seeds], [float(theirs[s] or 0.0) for s in seeds]
    found = Comparison(
        arm=pool.label,
        reference=reference.label,
        role=reference.role,
        metric=metric.words,
        unit=metric.unit,
        seeds=seeds,
        by_seed=tuple(x - y for x, y in zip(a, b, strict=True)),
        mean=float(np.mean(a) - np.mean(b)) if seeds else None,
    )
    if len(seeds) < FEWEST_SEEDS:
        return replace(found, welch=_unpaired(mine, theirs), value="not testable")
    test = paired(a, b, margin=claim.margin if claim.direction == "greater" else 0.0)
    if test.low is None:  # the same difference in every seed
        return replace(found, sd=test.sd, crossed=_crossed(pool, reference, metric, seeds))
    two = tost(a, b, margin=claim.margin if claim.direction != "greater" else claim.equivalence)
    sizes = effect_sizes(a, b)
    sees = claim.material or (claim.margin if claim.direction != "greater" else claim.equivalence)
    assert test.sd is not None
    return replace(
        found,
        sd=test.sd,
        low=test.low,
        high=test.high,
        p={"greater": test.p, "not_below": two.p_not_below, "equal": two.p}[claim.direction],
        low_90=two.low,
        high_90=two.high,
        d_z=None if sizes is None else sizes.d_z,
        g_z=None if sizes is None else sizes.g_z,
        r=test.r,
        welch=_welch(a, b),
        crossed=_crossed(pool, reference, metric, seeds),
        p_sign_flip=sign_flip(list(found.by_seed)).two_sided if len(seeds) <= 20 else None,
        seeds_needed=seeds_needed(sees / test.sd),
        sees=sees,
    )


def _welch(a: Sequence[float], b: Sequence[float]) -> Interval | None:
    test = welch(a, b)
    if test.low is None or test.high is None or test.p is None or test.df is None:
        return None
    return Interval(test.low, test.high, test.p, test.df, 0)


def _unpaired(mine: dict[int, float | None], theirs: dict[int, float | None]) -> Interval | None:
    """Welch's interval over all runs, where too few seeds are common."""
    done = [[value for value in arm.values() if value is not None] for arm in (mine, theirs)]
    if min(map(len, done)) < FEWEST_SEEDS:
        return None
    test = compare_by_seed(mine, theirs).difference
    if test.low is None or test.high is None or test.p is None or test.df is None:
        return None
    return Interval(test.low, test.high, test.p, test.df, 0)


def _crossed(pool: Pool, reference: Pool, metric: Metric, seeds: Sequence[int]) -> Interval | None:
    """The interval for other seeds and other images; None where the answers to single images are not there."""
    mine, theirs = pool.images_by_seed(metric), reference.images_by_seed(metric)
    if any(s not in mine or s not in theirs for s in seeds):
        return None
    if len({len(arm[s]) for arm in (mine, theirs) for s in seeds}) != 1:
        return None
    test = crossed(np.stack([mine[s] - theirs[s] for s in seeds]))
    if test.low is None or test.high is None or test.p is None or test.df is None:
        return None
    return Interval(test.low, test.high, test.p, test.df, test.n_images)


def in_family(comparisons: Sequence[Comparison], words: str, claim: ClaimSettings) -> list[Comparison]:
    """The comparisons of one family: p corrected by Holm, and what each says alone."""
    known = [c.p for c in comparisons if c.p is not None]
    adjusted = iter(holm(known) if known else [])
    judged = []
    for one in comparisons:
        if one.p is not None:
            one = replace(one, p_holm=next(adjusted), family=f"{words}: {len(known)}")
            one = replace(one, value=_VALUES[claim.direction](one, claim))
        judged.append(one)
    return judged


def is_above(one: Comparison, margin: float = 0.0) -> bool:
    """Whether the difference lies above the margin: its sign, its corrected p and its interval say so."""
    return (
        one.mean is not None
        and one.low is not None
        and one.p_holm is not None
        and one.mean > margin
        and one.p_holm < ALPHA
        and one.low > margin
    )


def _bounds(low: float | None, high: float | None) -> tuple[float, float]:
    """The ends of an interval that is there: a comparison with a p-value has all of them."""
    assert low is not None
    assert high is not None
    return low, high


def _greater(one: Comparison, claim: ClaimSettings) -> Value:
    low, high = _bounds(one.low, one.high)
    if is_above(one, claim.margin):
        return "supported"
    if high < claim.margin:
        return "refuted"
    low_90, high_90 = _bounds(one.low_90, one.high_90)
    within = -claim.equivalence < low_90 and high_90 < claim.equivalence
    return "equivalent" if low <= 0 <= high and within else "inconclusive"


def _not_below(one: Comparison, claim: ClaimSettings) -> Value:
    _, high = _bounds(one.low, one.high)
    if one.p_holm is not None and one.p_holm < ALPHA:
        return "supported"
    return "refuted" if high < -claim.margin else "inconclusive"


def _equal(one: Comparison, claim: ClaimSettings) -> Value:
    low, high = _bounds(one.low, one.high)
    if one.p_holm is not None and one.p_holm < ALPHA:
        return "supported"
    return "refuted" if low > claim.margin or high < -claim.margin else "inconclusive"


_VALUES: dict[str, Callable[[Comparison, ClaimSettings], Value]] = {
    "greater": _greater,
    "not_below": _not_below,
    "equal": _equal,
}
