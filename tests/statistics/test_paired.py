"""Paired differences, equivalence, effect sizes, permutation: worked examples and properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from regrow import statistics as rs
from regrow.errors import InputError

DENSE = [51.2, 51.9, 51.4, 51.8, 51.5]
SPARSE = [52.6, 52.4, 52.9, 52.7, 52.3]
CLEAN_DENSE = [93.10, 93.35, 93.22, 93.41, 93.18]
CLEAN_SPARSE = [93.02, 93.30, 93.31, 93.28, 93.20]

points = st.lists(st.integers(0, 1000).map(lambda k: k / 10), min_size=3, max_size=12)


@st.composite
def two(draw):
    n = draw(st.integers(3, 12))
    one = st.lists(st.integers(0, 1000).map(lambda k: k / 10), min_size=n, max_size=n)
    a, b = draw(one), draw(one)
    return a, b


def varies(values) -> bool:
    return np.ptp(values) > 1e-6


def test_the_worked_example_of_the_gain():
    found = rs.paired(SPARSE, DENSE)
    assert (found.n, found.df) == (5, 4)
    assert found.mean == pytest.approx(1.02, rel=1e-6)
    assert found.sd == pytest.approx(0.420714, rel=2e-6)
    assert found.t == pytest.approx(5.421239, rel=1e-6)
    assert found.p == pytest.approx(0.005612, abs=5e-7)
    assert found.p_greater == pytest.approx(0.002806, abs=5e-7)
    assert found.low == pytest.approx(0.497615, rel=1e-5)
    assert found.high == pytest.approx(1.542385, rel=1e-6)
    assert found.r == pytest.approx(-0.074 / (0.228 * 0.332) ** 0.5)  # sums of products by hand


def test_the_worked_example_against_a_margin():
    found = rs.paired(SPARSE, DENSE, margin=0.3)
    assert found.t == pytest.approx(3.826757, rel=1e-6)
    assert found.p_greater == pytest.approx(0.009335, abs=5e-7)
    assert (found.low, found.high) == (rs.paired(SPARSE, DENSE).low, rs.paired(SPARSE, DENSE).high)


def test_the_worked_example_of_an_interaction():
    found = rs.paired([3.1, 2.2, 3.6, 2.7, 2.9], [0.8, 0.6, 1.1, 0.4, 0.9])
    assert found.mean == pytest.approx(2.14)
    assert found.t == pytest.approx(13.644142, rel=1e-6)
    assert found.p == pytest.approx(1.6710e-4, rel=1e-4)


def test_the_worked_example_of_equivalence():
    found = rs.tost(CLEAN_SPARSE, CLEAN_DENSE, 0.3)
    assert found.mean == pytest.approx(-0.03)
    assert found.t_low == pytest.approx(6.994725, rel=1e-6)
    assert found.t_high == pytest.approx(-8.549108, rel=1e-6)
    assert found.p == pytest.approx(0.001099, abs=5e-7)
    assert (found.low, found.high) == (pytest.approx(-0.112290, rel=1e-5), pytest.approx(0.052290, rel=1e-5))
    assert found.equivalent is True


def test_the_worked_example_of_unequal_seeds():
    found = rs.welch(SPARSE[:3], DENSE)
    assert (found.n_a, found.n_b) == (3, 5)
    assert found.mean == pytest.approx(1.073333, rel=1e-6)
    assert found.t == pytest.approx(5.527133, rel=1e-6)
    assert found.df == pytest.approx(4.874817, rel=1e-6)
    assert found.p == pytest.approx(0.002877, abs=5e-7)


def test_the_worked_examples_of_effect_sizes():
    found = rs.effect_sizes(SPARSE, DENSE)
    assert found is not None
    assert found.d_z == pytest.approx(2.424452, rel=1e-6)
    assert found.g_z == pytest.approx(1.934433, rel=1e-6)
    assert found.d_av == pytest.approx(3.855238, rel=1e-6)


def test_five_equal_signs_cannot_reach_two_sided_five_percent_and_six_can():
    five = rs.sign_flip(np.subtract(SPARSE, DENSE))
    assert (five.one_sided, five.two_sided, five.smallest) == (0.03125, 0.0625, 0.0625)
    assert rs.sign_flip([1, 2, 3, 4, 5, 6]).two_sided == 0.03125


@settings(deadline=None)
@given(two(), st.floats(0.5, 0.99), st.integers(-20, 20).map(float))
def test_paired_agrees_with_scipy(pair, level, margin):
    a, b = pair
    found = rs.paired(a, b, level=level, margin=margin)
    d = np.subtract(a, b)
    assert found.mean == pytest.approx(d.mean())
    if not varies(d):
        assert found.p is None
        return
    reference = stats.ttest_rel(a, np.add(b, margin))
    assert found.t == pytest.approx(reference.statistic, rel=1e-6, abs=1e-9)
    assert found.p == pytest.approx(reference.pvalue, rel=1e-6, abs=1e-12)
    ends = stats.ttest_1samp(d, 0).confidence_interval(level)
    assert (found.low, found.high) == (pytest.approx(ends.low, abs=1e-6), pytest.approx(ends.high, abs=1e-6))
    greater = stats.ttest_rel(a, np.add(b, margin), alternative="greater").pvalue
    assert found.p_greater == pytest.approx(greater, rel=1e-6, abs=1e-12)


@settings(deadline=None)
@given(two())
def test_swapping_the_sides_swaps_the_interval(pair):
    a, b = pair
    forth, back = rs.paired(a, b), rs.paired(b, a)
    assert forth.mean == pytest.approx(-back.mean)
    assert forth.p == pytest.approx(back.p)
    if forth.low is not None:
        assert forth.low == pytest.approx(-back.high)


@settings(deadline=None)
@given(two())
def test_the_interval_excludes_zero_exactly_when_p_is_below_five_percent(pair):
    found = rs.paired(*pair)
    if found.p is not None and abs(found.p - 0.05) > 1e-9:
        assert (found.low > 0 or found.high < 0) == (found.p < 0.05)


@settings(deadline=None)
@given(two(), st.floats(0.1, 60))
def test_equivalence_is_the_ninety_percent_interval_inside_the_region(pair, margin):
    found = rs.tost(*pair, margin)
    if found.p is None or abs(found.p - 0.05) < 1e-9:
        return
    assert found.equivalent == (-margin < found.low and found.high < margin)
    a, b = pair
    below = stats.ttest_rel(np.add(a, margin), b, alternative="greater").pvalue
    above = stats.ttest_rel(np.subtract(a, margin), b, alternative="less").pvalue
    assert found.p == pytest.approx(max(below, above), rel=1e-6, abs=1e-12)
    assert found.p_not_below == pytest.approx(below, rel=1e-6, abs=1e-12)


@pytest.mark.filterwarnings("ignore:Precision loss occurred:RuntimeWarning")  # scipy's, where one side is constant
@settings(deadline=None)
@given(points, points, st.floats(0.5, 0.99))
@example(a=[0.1, 0.1, 0.1], b=[0.0, 1.0, 2.5], level=0.9)
def test_welch_agrees_with_scipy(a, b, level):
    found = rs.welch(a, b, level=level)
    if not varies(a) and not varies(b):
        assert found.p is None
        return
    reference = stats.ttest_ind(a, b, equal_var=False)
    assert (found.t, found.p) == (pytest.approx(reference.statistic), pytest.approx(reference.pvalue, abs=1e-12))
    ends = reference.confidence_interval(level)
    assert (found.low, found.high) == (pytest.approx(ends.low, abs=1e-6), pytest.approx(ends.high, abs=1e-6))


@settings(deadline=None)
@given(st.lists(st.integers(-9, 9).map(float), min_size=1, max_size=9))
def test_the_sign_flip_test_counts_every_pattern(d):
    found = rs.sign_flip(d)
    signed = [sum((1 - 2 * s) * x for s, x in zip(signs, d, strict=True)) for signs in np.ndindex(*[2] * len(d))]
    assert found.one_sided == sum(s >= sum(d) for s in signed) / 2 ** len(d)
    assert found.two_sided == sum(abs(s) >= abs(sum(d)) for s in signed) / 2 ** len(d)
    assert found.two_sided >= found.smallest


def test_the_sign_flip_test_takes_equal_sums_as_equal_in_spite_of_rounding():
    assert rs.sign_flip([0.1, 0.2, 0.3, -0.3, -0.2, -0.1]).two_sided == 1.0


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_than_three_pairs_are_reported_and_never_judged(n):
    a, b = SPARSE[:n], DENSE[:n]
    found = rs.paired(a, b)
    assert found.n == n
    assert found.mean == pytest.approx(np.mean(np.subtract(a, b)))
    assert (found.sd is None) == (n == 1)
    assert {found.low, found.high, found.p, found.t, found.p_greater, found.r} == {None}
    assert rs.tost(a, b, 0.5).equivalent is None
    assert rs.welch(a, b).p is None
    assert rs.effect_sizes(a, b) is None
    assert rs.mean_interval(a).low is None


def test_differences_without_variation_are_not_judged():
    a = [52.3, 61.7, 88.1]
    found = rs.paired(a, np.subtract(a, 0.01))  # equal but for rounding
    assert found.mean == pytest.approx(0.01)
    assert found.sd == 0
    assert {found.low, found.p, found.t} == {None}
    assert rs.effect_sizes(a, a) is None
    assert rs.tost(a, a, 1).p is None


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ([1, 2, 3], [1, 2], "one length, got 3 and 2"),
        ([1, 2, math.nan], [1, 2, 3], "a holds a value that is not finite .position 2"),
        ([1, 2, 3], [math.inf, 2, 3], "b holds"),
        ([], [], "non-empty"),
        ([[1, 2, 3]], [1, 2, 3], "shape"),
        (["x", 2, 3], [1, 2, 3], "list of numbers"),
        ([None, 2, 3], [1, 2, 3], "a holds"),
    ],
)
@pytest.mark.parametrize("function", [rs.paired, rs.effect_sizes, lambda a, b: rs.tost(a, b, 1.0)])
def test_samples_that_do_not_pair_are_refused(function, a, b, words):
    with pytest.raises(InputError, match=words):
        function(a, b)


def test_impossible_settings_are_refused():
    for level in (0, 1, 95, math.nan):
        with pytest.raises(InputError, match="level"):
            rs.paired(SPARSE, DENSE, level=level)
    for margin in (0, -1, math.nan):
        with pytest.raises(InputError, match="margin"):
            rs.tost(SPARSE, DENSE, margin)
    with pytest.raises(InputError, match="alpha"):
        rs.tost(SPARSE, DENSE, 1, alpha=0.5)
    with pytest.raises(InputError, match="at most 20"):
        rs.sign_flip([1.0] * 21)
