"""A short draw of simulated studies: the judge keeps its levels and its power.

100 studies a setting. Bounds are those that a correct judge breaks less than once in a million, by the binomial law of
the true rate; `benchmarks/bench_verdict.py` draws twenty times as many against narrow ones.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from regrow.study.load import load_study
from regrow.verdict import judge

N = 100


def bounds(rate: float) -> tuple[float, float]:
    """Shares of N studies outside which a true rate leads less than once in a million."""
    return stats.binom.ppf(2.5e-7, N, rate) / N, stats.binom.isf(2.5e-7, N, rate) / N


def power(d_z: float, n: int, alpha: float) -> float:
    """Of the paired t test, on the right side: the noncentral t."""
    return float(stats.nct.sf(stats.t.ppf(1 - alpha / 2, n - 1), n - 1, d_z * n**0.5))


def values(verdicts, claim: int, arm: int = 0) -> list[str]:
    """The value of one arm under one claim in every study."""
    return [verdict.claims[claim].arms[arm].value for verdict in verdicts]


@pytest.fixture
def draw(made):
    """The verdicts on N studies, by the arms' true (gain, deviation of the paired difference)."""

    def studies(arms, claims, key):
        study, rng = made(list(arms), claims=claims), np.random.default_rng([2026, key])
        gain, sd = (np.array(column)[:, None] for column in zip(*arms.values(), strict=True))
        found = []
        for _ in range(N):
            dense = 60 + 0.4 * rng.normal(size=5)
            points = dense + gain + sd * rng.normal(size=(len(arms), 5))
            study.fill({"dense": dense, **dict(zip(arms, points, strict=True))})
            found.append(judge(load_study(study.folder)))
        return found

    return studies


def claim(group: str, **how) -> dict:
    metric = {"kind": "accuracy", "of": ["gaussian_noise"], "severities": [3]}
    name = f"{group}-{how.get('direction', 'greater')}"
    return {"id": name, "title": name, "metrics": [metric], "groups": [group], **how}


def zero_rates() -> tuple[float, float]:
    """How often a true zero at 0.2 is inside 0.5, with and without an interval that covers zero, of 200,000 samples."""
    rng = np.random.default_rng(0)
    mean = 0.2 / 5**0.5 * rng.normal(size=200_000)
    se = 0.2 * np.sqrt(rng.chisquare(4, size=200_000) / 4) / 5**0.5
    inside = np.abs(mean) + stats.t.ppf(0.95, 4) * se < 0.5
    return float(np.mean(inside & (np.abs(mean) < stats.t.ppf(0.975, 4) * se))), float(np.mean(inside))


def test_levels_and_power_of_single_arms(draw) -> None:
    """Five arms, each a family of its own: what is there is found as often as the noncentral t says, and no oftener."""
    arms = {"none": (0.0, 0.5), "gain": (1.0, 0.8), "loss": (-1.0, 0.3), "zero": (0.0, 0.2), "edge": (-0.5, 0.3)}
    asked = [
        *(claim(name) for name in ("none", "gain", "loss", "zero")),
        claim("zero", direction="equal", margin=0.5),
        claim("edge", direction="not_below", margin=0.5),
    ]
    found = draw(arms, asked, key=1)

    def share(k: int, value: str) -> float:
        return values(found, k).count(value) / N

    assert share(0, "supported") <= bounds(0.025)[1]
    low, high = bounds(0.95)
    intervals = [verdict.claims[0].arms[0].comparisons[0] for verdict in found]
    assert low <= np.mean([one.low <= 0 <= one.high for one in intervals]) <= high
    low, high = bounds(power(1 / 0.8, 5, 0.05))
    assert low <= share(1, "supported") <= high
    assert share(1, "refuted") <= bounds(stats.nct.cdf(stats.t.ppf(0.025, 4), 4, 5**0.5 / 0.8))[1]
    assert share(2, "refuted") >= bounds(power(1 / 0.3, 5, 0.05))[0] > 0.9
    for k, value, rate in zip((3, 4), ("equivalent", "supported"), zero_rates(), strict=True):
        low, high = bounds(rate)
        assert low <= share(k, value) <= high
    assert share(5, "supported") <= bounds(0.05)[1]


@pytest.mark.parametrize("gain", [0.0, 1.0])
def test_levels_and_power_in_a_family_of_six(draw, gain) -> None:
    """One arm with a gain at a deviation of 0.8, or none, among five without effect."""
    found = draw({f"a{k}": (gain * (k == 0), 0.8) for k in range(6)}, [claim("dst")], key=2)
    others = [any(arm.value == "supported" for arm in verdict.claims[0].arms[1:]) for verdict in found]
    assert np.mean(others) <= bounds(0.025)[1]
    low, high = bounds(power(gain / 0.8, 5, 0.05 / 6))
    assert low <= values(found, 0).count("supported") / N <= high


@pytest.mark.parametrize("spread", [(0.1, 1.0, 0.0), (0.01, 1.0, 0.8)])
def test_the_crossed_interval_covers_where_seeds_or_images_vary(made, spread) -> None:
    """5 seeds x 100 images without any difference; it is at least as long as its level says (93 %)."""
    by_seed, by_image, mixed = spread
    study, rng = made(), np.random.default_rng(50)
    held = []
    for _ in range(N):
        image = by_image * rng.normal(size=100)
        right = {}
        for label in study.labels:
            latent = 0.3 + image + mixed * rng.normal(size=100) + by_seed * rng.normal(size=(5, 1))
            right[label] = latent + rng.normal(size=(5, 100)) > 0
        study.fill_answers(right)
        one = judge(load_study(study.folder)).claims[0].arms[0].comparisons[0].crossed
        held.append(one.low <= 0 <= one.high)
    assert np.mean(held) >= bounds(0.93)[0]
