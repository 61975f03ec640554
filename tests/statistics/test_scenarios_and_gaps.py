"""Means across scenarios, gap closure, the best of many cells, the error of one cell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from regrow import statistics as rs
from regrow.errors import InputError

DENSE = [51.2, 51.9, 51.4, 51.8, 51.5]
SPARSE = [52.6, 52.4, 52.9, 52.7, 52.3]
CONTROL = [52.8, 53.3, 52.9, 53.1, 52.9]  # mean 53.0
GAINS = ([0.4, 4, 0.34, 1.06, 0.46], [0.3, 0.5, 0.2, 0.4, 0.3])

points = st.integers(0, 200).map(lambda k: 50 + k / 20)


def test_the_worked_example_across_scenarios():
    found = rs.hartung_knapp(*GAINS)
    assert found.q == pytest.approx(49.246477, rel=1e-6)
    assert found.tau2 == pytest.approx(1.094414, rel=1e-6)
    assert found.mean == pytest.approx(1.178781, rel=1e-6)
    assert found.se == pytest.approx(0.675336, rel=1e-6)
    assert (found.low, found.high) == (pytest.approx(-0.696253, rel=2e-6), pytest.approx(3.053814, rel=1e-6))
    assert found.p_q == pytest.approx(stats.chi2.sf(49.246477, 4), rel=1e-4)


@settings(deadline=None)
@given(st.lists(st.integers(-50, 50).map(lambda k: k / 10), min_size=3, max_size=9), st.floats(0.2, 5))
def test_equal_errors_give_the_t_interval_of_the_plain_mean(y, se):
    """Weights are then equal whatever tau^2 is."""
    found, plain = rs.hartung_knapp(y, np.full(len(y), se)), rs.mean_interval(y)
    assert found.mean == pytest.approx(plain.mean, abs=1e-9)
    if plain.low is None:
        assert found.low is None
        return
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=1e-6)
    assert found.p == pytest.approx(stats.ttest_1samp(y, 0).pvalue, rel=1e-6, abs=1e-9)
    assert (found.low > 0 or found.high < 0) == (found.p < 0.05) or abs(found.p - 0.05) < 1e-9


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(2, 30)), min_size=3, max_size=9), st.integers(-9, 9))
def test_tau2_is_the_moment_estimate_and_shift_and_scale_carry_over(pairs, shift):
    y, se = (np.array(side) / 10 for side in zip(*pairs, strict=True))
    found = rs.hartung_knapp(y, se)
    if found.tau2 > 0:  # DerSimonian and Laird: the Q of the fixed-effect weights equals its expectation
        w = se**-2
        expected = len(y) - 1 + found.tau2 * (w.sum() - (w**2).sum() / w.sum())
        assert found.q == pytest.approx(expected)
    moved = rs.hartung_knapp(2 * y + shift, 2 * se)
    assert (moved.q, moved.tau2) == pytest.approx((found.q, 4 * found.tau2), abs=1e-6)
    assert moved.mean == pytest.approx(2 * found.mean + shift, abs=1e-9)
    if found.low is not None:
        assert (moved.low, moved.high) == pytest.approx((2 * found.low + shift, 2 * found.high + shift), abs=1e-6)


def test_fewer_than_three_scenarios_have_a_mean_and_no_interval():
    found = rs.hartung_knapp([1.0, 2.0], [0.5, 0.5])
    assert (found.mean, found.low, found.p) == (1.5, None, None)
    assert rs.hartung_knapp([1.0], [0.5]).mean == 1.0
    with pytest.raises(InputError, match="greater than 0"):
        rs.hartung_knapp([1, 2, 3], [0.1, 0.0, 0.1])
    with pytest.raises(InputError, match="one length"):
        rs.hartung_knapp([1, 2, 3], [0.1, 0.1])


def test_the_mean_interval_across_scenarios_covers():
    """9 scenarios, errors 0.2 to 0.6, tau 0.5: 2000 sets cover 93-97 %."""
    rng = np.random.default_rng(7)
    se = np.linspace(0.2, 0.6, 9)
    y = 1.0 + rng.normal(size=(2000, 9)) * np.sqrt(se**2 + 0.25)
    found = [rs.hartung_knapp(row, se) for row in y]
    assert 0.93 <= np.mean([f.low <= 1 <= f.high for f in found]) <= 0.97


def test_the_worked_example_of_gap_closure():
    found = rs.gap_closure(SPARSE, DENSE, CONTROL)
    assert found.q == pytest.approx(1.411765, rel=1e-6)
    assert found.gap == pytest.approx(1.02)
    assert found.reason == ""
    assert found.low < found.q < found.high
    assert found.low < found.bootstrap[0] < found.q < found.bootstrap[1] < found.high


@settings(deadline=None)
@given(st.integers(3, 7).flatmap(lambda n: st.tuples(*[st.lists(points, min_size=n, max_size=n)] * 3)))
def test_fieller_holds_what_the_paired_test_does_not_reject(arms):
    dst, dense, control = map(np.array, arms)
    found = rs.gap_closure(dst, dense, control, draws=10)
    gain = rs.paired(dst, dense)
    if found.q is None:
        assert found.reason == "no gap to close"
        assert {found.low, found.high, found.bootstrap} == {None}
        assert abs(gain.mean) <= 2 * gain.sd / math.sqrt(gain.n) + 1e-9
        return
    assert found.q == pytest.approx((control - dense).mean() / (dst - dense).mean())
    if gain.p is not None and abs(gain.p - 0.05) > 1e-9:
        assert (found.low is None) == (gain.p > 0.05) == (found.reason != "")
    if found.low is None or found.high - found.low < 1e-3:
        return
    for end in (found.low, found.high):  # the test of this closure has p = 0.05 there, and less outside
        at = rs.paired(control - dense, end * (dst - dense))
        assert min(abs(at.low), abs(at.high)) == pytest.approx(0, abs=1e-4 * (1 + at.high - at.low))
    inside = rs.paired(control - dense, (found.low + found.high) / 2 * (dst - dense))
    assert inside.p is None or inside.p > 0.05 - 1e-9


def test_what_a_control_closes_is_read_off():
    dense, dst = np.array(DENSE), np.array(SPARSE)
    assert rs.gap_closure(dst, dense, dense).q == 0
    assert rs.gap_closure(dst, dense, dst).q == 1
    half = rs.gap_closure(dst, dense, (dst + dense) / 2)
    assert (half.low, half.high) == pytest.approx((0.5, 0.5), abs=1e-6)
    assert half.bootstrap == pytest.approx((0.5, 0.5))
    lost = rs.gap_closure(dense, dst, (dst + dense) / 2)  # sparse training lost, and the control lost half of it
    assert lost.q == pytest.approx(0.5)


def test_a_gap_within_two_standard_errors_is_none_and_one_a_bit_above_has_no_bounds():
    dense = np.zeros(4)
    d = np.array([1.0, -1.0, 1.0, -1.0])
    se = d.std(ddof=1) / 2
    below = rs.gap_closure(d + 1.99 * se, dense, d)
    above = rs.gap_closure(d + 2.01 * se, dense, d)
    assert (below.q, below.reason) == (None, "no gap to close")
    assert above.q is not None
    assert above.low is None
    assert "not bounded" in above.reason
    assert rs.gap_closure(dense, dense, d).reason == "no gap to close"


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_than_three_seeds_close_no_gap(n):
    found = rs.gap_closure(SPARSE[:n], DENSE[:n], CONTROL[:n])
    assert (found.q, found.reason) == (None, "fewer than three seeds")
    assert found.gap == pytest.approx(np.mean(np.subtract(SPARSE[:n], DENSE[:n])))


def test_the_bootstrap_follows_its_seed_and_resamples_seeds_whole():
    assert rs.gap_closure(SPARSE, DENSE, CONTROL, seed=1) == rs.gap_closure(SPARSE, DENSE, CONTROL, seed=1)
    # every seed closes exactly 0.7, so every resample does
    control = np.array(DENSE) + 0.7 * np.subtract(SPARSE, DENSE)
    assert rs.gap_closure(SPARSE, DENSE, control).bootstrap == pytest.approx((0.7, 0.7))


def test_the_bootstrap_agrees_with_one_over_all_resamples():
    dst, dense, control = (np.array(arm)[:4] for arm in (SPARSE, DENSE, CONTROL))
    every = np.array(list(np.ndindex(*[4] * 4)))
    ratio = (control - dense)[every].mean(axis=1) / (dst - dense)[every].mean(axis=1)
    exact = np.quantile(ratio, [0.025, 0.975], method="inverted_cdf")
    assert rs.gap_closure(dst, dense, control, draws=100_000).bootstrap == pytest.approx(exact, rel=0.02)


def test_fieller_covers():
    """5 seeds, gap 1.5, closure 0.6, sd of the arms 0.5, independent: 2000 studies cover 93-97 %."""
    rng = np.random.default_rng(8)
    covered = n = 0
    for dst, dense, control in 0.5 * rng.normal(size=(2000, 3, 5)) + np.array([51.5, 50.0, 50.9])[:, None]:
        found = rs.gap_closure(dst, dense, control, draws=1)
        if found.low is not None:
            n += 1
            covered += found.low <= 0.6 <= found.high
    assert n > 1800
    assert 0.93 <= covered / n <= 0.97


def test_the_expected_maximum_agrees_with_closed_forms_and_quadrature():
    root = math.sqrt(math.pi)
    closed = {1: 0.0, 2: 1 / root, 3: 1.5 / root, 4: 6 / root**3 * math.atan(math.sqrt(2))}
    closed[5] = 5 / (4 * root) + 15 / (2 * root**3) * math.asin(1 / 3)
    for m, value in closed.items():
        assert rs.expected_maximum(m) == pytest.approx(value, abs=1e-12)
    for m in (9, 45, 1000, 10**6):
        tails = integrate.quad(lambda x, m=m: 1 - stats.norm.cdf(x) ** m - stats.norm.cdf(-x) ** m, 0, 12, limit=200)
        assert rs.expected_maximum(m) == pytest.approx(tails[0], abs=1e-8)


def test_the_printed_maxima():
    printed = {3: 0.8463, 5: 1.1630, 9: 1.4850, 15: 1.7359, 30: 2.0428, 45: 2.2077}
    for m, value in printed.items():
        assert rs.expected_maximum(m) == pytest.approx(value, abs=5e-5)


def test_no_cell_has_no_maximum():
    for m in (0, 1.5):
        with pytest.raises(InputError, match="m must"):
            rs.expected_maximum(m)


def test_the_printed_errors_of_a_cell():
    assert rs.binomial_se(0.7, 10_000) == pytest.approx(0.458, abs=5e-4)
    assert rs.binomial_se(0.7, 1000) == pytest.approx(1.449, abs=5e-4)


@settings(deadline=None)
@given(st.integers(1, 300), st.data())
def test_the_error_of_a_cell_is_the_spread_of_its_images(n, data):
    k = data.draw(st.integers(0, n))
    right = np.array([100.0] * k + [0.0] * (n - k))
    assert rs.binomial_se(k / n, n) == pytest.approx(right.std() / math.sqrt(n), abs=1e-9)


def test_points_are_no_share():
    for share, n in ((70, 1000), (-0.1, 10), (0.5, 0), (math.nan, 5)):
        with pytest.raises(InputError):
            rs.binomial_se(share, n)


@settings(deadline=None)
@given(st.lists(points, min_size=3, max_size=8), st.floats(0.1, 3))
def test_closure_does_not_depend_on_units(values, scale):
    dense = np.array(values)
    dst, control = dense + 3 + 0.1 * np.arange(dense.size), dense + 1 + 0.05 * np.arange(dense.size) ** 2
    assume(dense.size >= 3)
    plain, scaled = (
        rs.gap_closure(dst, dense, control, draws=50),
        rs.gap_closure(dst * scale, dense * scale, control * scale, draws=50),
    )
    assert (scaled.q, scaled.low, scaled.high) == pytest.approx((plain.q, plain.low, plain.high), rel=1e-4)
