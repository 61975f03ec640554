"""Sign test, McNemar, signed ranks, rank correlation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from regrow import statistics as rs
from regrow.errors import InputError

counts = st.integers(0, 60)
small = st.integers(-6, 6).map(float)


def test_the_worked_example_of_two_networks():
    found = rs.mcnemar(420, 360, 10_000)
    assert found.points == pytest.approx(0.60)
    assert found.se == pytest.approx(0.279, abs=5e-4)
    assert found.p == pytest.approx(0.034573, abs=5e-7)


def test_the_printed_sign_tests():
    assert rs.sign_test(9, 0).one_sided == pytest.approx(0.001953, abs=5e-7)
    assert rs.sign_test(7, 0).one_sided == 1 / 128


@settings(deadline=None)
@given(counts, counts)
def test_counts_agree_with_scipy(b, c):
    found = rs.sign_test(b, c)
    if b + c == 0:
        assert (found.one_sided, found.two_sided) == (1, 1)
        return
    assert found.one_sided == pytest.approx(stats.binomtest(b, b + c, alternative="greater").pvalue)
    assert found.two_sided == pytest.approx(stats.binomtest(b, b + c).pvalue)
    assert rs.mcnemar(b, c).p == found.two_sided == rs.mcnemar(c, b).p


@settings(deadline=None)
@given(counts, counts, st.integers(2, 100))
def test_points_and_their_error_are_those_of_the_differences_image_by_image(b, c, others):
    each = np.array([100.0] * b + [-100.0] * c + [0.0] * others)
    found = rs.mcnemar(b, c, each.size)
    assert found.points == pytest.approx(each.mean())
    assert found.se == pytest.approx(each.std() / math.sqrt(each.size))


@pytest.mark.parametrize(("b", "c", "n"), [(-1, 0, 5), (3, 3, 5), (1.5, 1, 5), (0, 0, 0)])
def test_impossible_counts_are_refused(b, c, n):
    with pytest.raises(InputError):
        rs.mcnemar(b, c, n)


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=10, unique=True), st.data())
def test_signed_ranks_agree_with_scipy_where_no_sizes_tie(sizes, data):
    signs = data.draw(st.lists(st.sampled_from([-1, 1]), min_size=len(sizes), max_size=len(sizes)))
    d = np.multiply(sizes, signs) / 7
    found = rs.wilcoxon(d)
    assert found.two_sided == pytest.approx(stats.wilcoxon(d, method="exact").pvalue)
    assert found.one_sided == pytest.approx(stats.wilcoxon(d, method="exact", alternative="greater").pvalue)


@settings(deadline=None)
@given(st.lists(small, min_size=1, max_size=8))
def test_signed_ranks_with_ties_and_zeros_count_every_pattern(d):
    found = rs.wilcoxon(d)
    kept = [x for x in d if x]
    rank = stats.rankdata(np.abs(kept)) if kept else np.zeros(1)
    patterns = [float(np.dot(signs, rank)) for signs in itertools.product([-1, 1], repeat=len(rank))]
    seen = float(np.dot(np.sign(kept), rank)) if kept else 0.0
    assert found.two_sided == pytest.approx(np.mean(np.abs(patterns) >= abs(seen) - 1e-9))
    assert found.one_sided == pytest.approx(np.mean(np.array(patterns) >= seen - 1e-9))


def test_sizes_equal_but_for_rounding_tie():
    assert rs.wilcoxon([0.1 + 0.2, -0.3, 0.5]) == rs.wilcoxon([0.3, -0.3, 0.5])


def test_ranks_of_five_pairs_give_what_the_sign_flips_give_where_all_agree():
    d = [1.4, 0.5, 1.5, 0.9, 0.8]
    assert rs.wilcoxon(d) == rs.sign_flip(d)


@settings(deadline=None, max_examples=50)
@given(st.integers(4, 15), st.data())
def test_rank_correlation_and_interval_agree_with_their_formulas(n, data):
    x, y = (data.draw(st.lists(small, min_size=n, max_size=n)) for _ in range(2))
    found = rs.spearman(x, y, draws=20)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert {found.rho, found.p, found.low} == {None}
        return
    assert found.rho == pytest.approx(stats.spearmanr(x, y).statistic)
    if found.low is None:
        assert abs(found.rho) == pytest.approx(1)
        return
    centre, half = np.arctanh(found.rho), 1.959963984540054 * math.sqrt((1 + found.rho**2 / 2) / (n - 3))
    assert (found.low, found.high) == pytest.approx((np.tanh(centre - half), np.tanh(centre + half)))
    assert -1 <= found.low < found.rho < found.high <= 1


@pytest.mark.parametrize("y", [[1, 2, 3, 4, 5], [2, 1, 4, 3, 5], [3, 1, 5, 2, 4], [1, 1, 2, 2, 3], [5, 4, 3, 1, 2]])
def test_the_permutation_p_approaches_the_share_of_all_orders(y):
    x = [10.0, 20.0, 20.0, 40.0, 50.0]
    rho = stats.spearmanr(x, y).statistic
    every = np.array([stats.spearmanr(x, order).statistic for order in itertools.permutations(y)])
    found = rs.spearman(x, y, draws=40_000)
    assert found.p == pytest.approx(np.mean(np.abs(every) >= abs(rho) - 1e-9), abs=0.01)
    assert found.p_greater == pytest.approx(np.mean(every >= rho - 1e-9), abs=0.01)


def test_draws_follow_the_seed_and_p_is_never_zero():
    x, y = np.arange(15.0), np.arange(15.0) ** 2
    noisy = np.random.default_rng(0).normal(size=15)
    assert rs.spearman(x, noisy, seed=3) == rs.spearman(x, noisy, seed=3)
    assert rs.spearman(x, noisy, seed=3).p != rs.spearman(x, noisy, seed=4).p
    assert rs.spearman(x, y).p == 1 / 10_001


def test_only_the_order_of_values_counts():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 12))
    plain = rs.spearman(x, y)
    assert rs.spearman(np.exp(x), y**3) == plain
    turned = rs.spearman(-x, y)
    assert turned.rho == pytest.approx(-plain.rho)
    assert (turned.low, turned.high) == pytest.approx((-plain.high, -plain.low))


def test_two_pairs_have_no_correlation_and_three_no_interval():
    assert rs.spearman([1, 2], [1, 2]).rho is None
    three = rs.spearman([1, 2, 3], [1, 3, 2])
    assert three.rho == pytest.approx(0.5)
    assert three.low is None


def test_the_p_of_unrelated_values_is_even():
    rng = np.random.default_rng(5)
    p = [rs.spearman(rng.normal(size=15), rng.normal(size=15), draws=199, seed=k).p for k in range(400)]
    for alpha in (0.05, 0.2, 0.5):
        assert np.mean(np.array(p) <= alpha) == pytest.approx(alpha, abs=4 * math.sqrt(alpha * (1 - alpha) / 400))


def test_the_interval_of_a_rank_correlation_covers():
    """15 pairs of normals of correlation 0.6: rho of the ranks is 6/pi asin(0.3); 93 to 97.5 % of 1000 samples cover."""
    rng = np.random.default_rng(6)
    truth = 6 / math.pi * math.asin(0.3)
    covered = 0
    for _ in range(1000):
        x = rng.normal(size=15)
        found = rs.spearman(x, 0.6 * x + 0.8 * rng.normal(size=15), draws=1)
        covered += found.low <= truth <= found.high
    assert 930 <= covered <= 975


def test_what_does_not_pair_is_refused():
    with pytest.raises(InputError, match="one length"):
        rs.spearman([1, 2, 3], [1, 2])
    with pytest.raises(InputError, match="y holds"):
        rs.spearman([1, 2, 3], [1, 2, math.nan])
    with pytest.raises(InputError, match="draws"):
        rs.spearman([1, 2, 3], [1, 2, 3], draws=0)
