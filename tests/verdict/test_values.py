"""Every value of a verdict, from differences that are known, beside scipy and the rules written out again."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from regrow.verdict import VALUES


@pytest.mark.parametrize(
    ("mean", "sd", "value"),
    [
        (1.0, 0.3, "supported"),
        (-1.0, 0.3, "refuted"),
        (0.05, 0.2, "equivalent"),
        (0.3, 1.0, "inconclusive"),
        (0.0, 1.0, "inconclusive"),
        (0.2, 0.05, "supported"),  # small and sure
        (-0.2, 0.05, "refuted"),  # inside the equivalence margin, and wholly on the wrong side
    ],
)
def test_each_value_of_a_claim_that_something_is_greater(filled, claim_of, mean, sd, value) -> None:
    claim = claim_of(filled({"a": (mean, sd)}))
    assert claim.value == claim.arms[0].value == claim.arms[0].comparisons[0].value == value
    assert claim.headline == f"1 of 1 method {value}"
    assert claim.arms[0].comparisons[0].mean == pytest.approx(mean)
    assert f"{abs(mean):.2f} points" in claim.arms[0].sentence


@pytest.mark.parametrize(
    ("direction", "mean", "sd", "value"),
    [
        ("not_below", 0.0, 0.3, "supported"),
        ("not_below", 3.0, 0.3, "supported"),
        ("not_below", -0.3, 0.1, "supported"),  # below zero, and not by the margin
        ("not_below", -0.3, 0.6, "inconclusive"),
        ("not_below", -2.0, 0.3, "refuted"),
        ("equal", 0.0, 0.3, "supported"),
        ("equal", 0.3, 0.1, "supported"),
        ("equal", 0.0, 1.0, "inconclusive"),
        ("equal", 2.0, 0.3, "refuted"),
        ("equal", -2.0, 0.3, "refuted"),
    ],
)
def test_the_other_directions(filled, claim_of, direction, mean, sd, value) -> None:
    study = filled({"a": (mean, sd)}, claim={"direction": direction, "margin": 0.5})
    assert claim_of(study).value == value


def test_a_difference_must_exceed_a_margin_and_not_zero_alone(filled, claim_of) -> None:
    def value(margin: float, mean: float) -> str:
        return claim_of(filled({"a": (mean, 0.3)}, claim={"margin": margin})).value

    assert (value(0.0, 1.0), value(0.5, 1.0), value(0.8, 1.0), value(2.0, 1.0)) == (
        "supported", "supported", "inconclusive", "refuted",
    )  # fmt: skip


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_are_shown_and_not_judged(filled, claim_of, around, made, seeds) -> None:
    study = made(["a"], seeds)
    study.fill({"dense": np.full(seeds, 60.0), "a": 61.0 + np.arange(seeds)})
    claim = claim_of(study)
    one = claim.arms[0].comparisons[0]
    assert claim.value == one.value == "not testable"
    assert (one.n, one.mean, one.low, one.p) == (seeds, pytest.approx(1 + (seeds - 1) / 2), None, None)
    assert f"{seeds} paired seed" in claim.why_not
    assert "at least 3 are needed" in claim.why_not
    assert claim.settle.startswith("At least 5 paired seeds")


@pytest.mark.parametrize("seeds", [3, 4])
@pytest.mark.parametrize("mean", [3.0, -3.0, 0.0])
def test_from_three_seeds_to_the_minimum_numbers_are_shown_and_nothing_is_decided(
    filled, claim_of, seeds, mean
) -> None:
    claim = claim_of(filled({"a": (mean, 0.1)}, seeds))
    one = claim.arms[0].comparisons[0]
    assert claim.value == one.value == "inconclusive"
    assert None not in (one.low, one.high, one.p, one.p_holm)
    assert claim.arms[0].reason == f"{seeds} paired seeds, 5 are asked for"
    assert f"{seeds} paired seeds" in claim.arms[0].sentence
    assert claim.settle.startswith("At least 5 paired seeds")


def test_a_claim_may_ask_for_fewer_or_more_seeds(filled, claim_of) -> None:
    assert claim_of(filled({"a": (3.0, 0.1)}, 3, claim={"seeds": 3})).value == "supported"
    assert claim_of(filled({"a": (3.0, 0.1)}, 5, claim={"seeds": 8})).value == "inconclusive"


def test_differences_that_do_not_vary_have_no_test(made, claim_of) -> None:
    study = made(["a"])
    study.fill({"dense": np.arange(60.0, 65.0), "a": np.arange(62.0, 67.0)})
    claim = claim_of(study)
    one = claim.arms[0].comparisons[0]
    assert claim.value == "inconclusive"
    assert (one.mean, one.p, one.low) == (pytest.approx(2.0), None, None)
    assert "do not vary" in claim.arms[0].reason


def test_a_claim_is_what_every_method_is(filled, claim_of) -> None:
    good, bad, none, open_ = (1.5, 0.2), (-1.5, 0.2), (0.0, 0.1), (0.3, 1.0)

    def said(**effects: tuple[float, float]) -> tuple[str, str]:
        claim = claim_of(filled(effects))
        return claim.value, claim.headline

    assert said(a=good, b=good) == ("supported", "2 of 2 methods supported")
    assert said(a=bad, b=bad) == ("refuted", "2 of 2 methods refuted")
    assert said(a=none, b=none) == ("equivalent", "2 of 2 methods equivalent")
    value, headline = said(a=good, b=bad, c=good, d=open_)
    assert value == "inconclusive"
    assert headline == "2 of 4 methods supported; 1 of 4 methods refuted; 1 of 4 methods inconclusive"


def test_the_size_is_a_second_word(filled, claim_of) -> None:
    def size(mean: float, material: float | None = 0.5) -> str:
        return claim_of(filled({"a": (mean, 0.2)}, claim={"material": material})).arms[0].size

    # the half width of the interval is 2.776 * 0.2 / sqrt(5) = 0.248
    assert size(0.76) == "material"
    assert size(0.74) == "size not established"
    assert size(-1.0) == size(0.0) == size(1.0, None) == ""


def holm(p: list[float]) -> list[float]:
    """Holm as its paper has it: go up from the smallest, and never down again."""
    adjusted = {}
    for rank, k in enumerate(sorted(range(len(p)), key=lambda k: p[k])):
        adjusted[k] = max([min(1.0, p[k] * (len(p) - rank)), *adjusted.values()])
    return [adjusted[k] for k in range(len(p))]


def expected(d: np.ndarray, p_holm: float, direction: str, margin: float, equivalence: float) -> str:
    """The rules of the documentation, from the differences."""
    fit = stats.ttest_1samp(d, 0)
    low, high = fit.confidence_interval(0.95)
    low_90, high_90 = fit.confidence_interval(0.90)
    if direction == "greater":
        if p_holm < 0.05 and d.mean() > margin and low > margin:
            return "supported"
        if high < margin:
            return "refuted"
        return "equivalent" if low <= 0 <= high and max(-low_90, high_90) < equivalence else "inconclusive"
    wrong = high < -margin or (direction == "equal" and low > margin)
    return "supported" if p_holm < 0.05 else "refuted" if wrong else "inconclusive"


def p_of(d: np.ndarray, direction: str, margin: float) -> float:
    if direction == "greater":
        return float(stats.ttest_1samp(d, margin).pvalue)
    lower = stats.ttest_1samp(d, -margin, alternative="greater").pvalue
    upper = stats.ttest_1samp(d, margin, alternative="less").pvalue
    return float(lower if direction == "not_below" else max(lower, upper))


@pytest.mark.parametrize(
    ("direction", "margin"), [("greater", 0.0), ("greater", 0.3), ("not_below", 0.5), ("equal", 0.5)]
)
def test_every_number_and_value_agrees_with_scipy(made, claim_of, direction, margin) -> None:
    """Four arms of random effects in 25 studies of each direction; Holm's family is the methods."""
    rng = np.random.default_rng([round(10 * margin), len(direction)])
    study = made("abcd", 6, claim={"direction": direction, "margin": margin, "equivalence": 0.4})
    seen = set()
    for number in range(25):
        dense = 60 + rng.normal(size=6)
        effects = rng.choice([-1.5, -0.4, 0.0, 0.4, 1.5], size=4)[:, None]
        arms = dense + effects + rng.choice([0.15, 0.6], size=(4, 1)) * rng.normal(size=(4, 6))
        study.fill({"dense": dense, **dict(zip("abcd", arms, strict=True))})
        claim = claim_of(study)
        differences = arms - dense
        p = [p_of(d, direction, margin) for d in differences]
        for arm, d, a, own, adjusted in zip(claim.arms, differences, arms, p, holm(p), strict=True):
            (one,) = arm.comparisons
            fit = stats.ttest_rel(a, dense)
            low_90, high_90 = fit.confidence_interval(0.90)
            apart = stats.ttest_ind(a, dense, equal_var=False)
            assert [one.low, one.high, one.low_90, one.high_90] == pytest.approx(
                [*fit.confidence_interval(0.95), low_90, high_90]
            )
            assert [one.mean, one.sd, one.p, one.p_holm] == pytest.approx([d.mean(), d.std(ddof=1), own, adjusted])
            assert [one.d_z, one.r] == pytest.approx([d.mean() / d.std(ddof=1), np.corrcoef(a, dense)[0, 1]])
            assert [one.welch.low, one.welch.high, one.welch.p] == pytest.approx(
                [*apart.confidence_interval(0.95), apart.pvalue]
            )
            if number == 0:  # 64 signs, one by one
                flips = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf)
                assert one.p_sign_flip == pytest.approx(flips.pvalue)
            assert arm.value == one.value == expected(d, adjusted, direction, margin, 0.4)
            seen.add(arm.value)
    wanted = {"supported", "refuted", "inconclusive"}
    # below a margin of 0.3 all that is equivalent is refuted already
    assert seen == (wanted | {"equivalent"} if (direction, margin) == ("greater", 0.0) else wanted)


def test_holm_can_take_support_away(filled, claim_of) -> None:
    """p = 0.02 alone is supported; beside two arms without effect it is not."""
    alone = {"a": (1.0, 0.6)}
    assert stats.ttest_1samp([1.0 + 0.6 * x for x in (-1, -1, 0, 1, 1)], 0).pvalue < 0.05
    assert claim_of(filled(alone)).value == "supported"
    claim = claim_of(filled({**alone, "b": (0.0, 0.6), "c": (0.05, 0.6)}))
    assert claim.arms[0].value == "inconclusive"
    one = claim.arms[0].comparisons[0]
    assert one.p_holm == pytest.approx(3 * one.p)
    assert one.low > 0
    assert one.family == "methods: 3"


def test_a_small_sure_difference_that_holm_takes_away_is_open_and_not_equivalent(filled, claim_of) -> None:
    """t = 3.1, 4 degrees of freedom: the 95 % interval excludes zero, 3 p = 0.11, and all lies inside the margin."""
    claim = claim_of(filled({"a": (0.2, 0.2 * 5**0.5 / 3.1), "b": (0.0, 0.2), "c": (0.0, 0.2)}))
    one = claim.arms[0].comparisons[0]
    assert 0 < one.low < one.high < 0.5
    assert one.p < 0.05 < one.p_holm
    assert [arm.value for arm in claim.arms] == ["inconclusive", "equivalent", "equivalent"]


def test_the_seeds_that_would_settle_it_have_the_power(filled, claim_of) -> None:
    """d_z = 0.5: 34 seeds for a power of 80 % (noncentral t)."""
    claim = claim_of(filled({"a": (0.3, 1.0)}, claim={"material": 0.5}))
    one = claim.arms[0].comparisons[0]
    assert (one.seeds_needed, one.sees) == (34, 0.5)
    assert "34 paired seeds would see a difference of 0.5 points" in claim.settle
    t, shift = stats.t.ppf(0.975, 33), 0.5 * 34**0.5
    assert stats.nct.sf(t, 33, shift) + stats.nct.cdf(-t, 33, shift) >= 0.8


def test_fewer_seeds_than_the_claim_asks_for_settle_nothing(filled, claim_of) -> None:
    """Three seeds would see 0.5 at a deviation of 0.1; the claim asks for five all the same."""
    claim = claim_of(filled({"a": (0.35, 0.1)}, claim={"margin": 0.3, "material": 0.5}))
    assert claim.value == "inconclusive"
    assert claim.arms[0].comparisons[0].seeds_needed == 3
    assert claim.settle.startswith("5 paired seeds would see a difference of 0.5 points")


def test_the_order_of_the_values_is_the_reader_s() -> None:
    assert VALUES == ("supported", "refuted", "equivalent", "inconclusive", "not testable")
