"""The crossed interval: its worked example, a slow version, its limits and its symmetries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from regrow import statistics as rs
from regrow.errors import InputError

EXAMPLE = [[2, 1, 3, 0], [1, 1, 2, -1], [3, 2, 4, 2]]


@st.composite
def tables(draw, least=3, most=7):
    shape = draw(st.tuples(st.integers(least, most), st.integers(least, most)))
    return draw(arrays.arrays(np.float64, shape, elements=st.integers(-40, 40).map(lambda k: k / 4)))


def by_hand(d):
    """Mean squares with loops, from the model cell = mean + seed + image + rest."""
    n, m = len(d), len(d[0])
    mean = sum(map(sum, d)) / (n * m)
    seed = [sum(row) / m - mean for row in d]
    image = [sum(row[i] for row in d) / n - mean for i in range(m)]
    rest = [d[s][i] - mean - seed[s] - image[i] for s in range(n) for i in range(m)]
    return (
        m * sum(x * x for x in seed) / (n - 1),
        n * sum(x * x for x in image) / (m - 1),
        sum(x * x for x in rest) / ((n - 1) * (m - 1)),
    )


def test_the_worked_example():
    found = rs.crossed(EXAMPLE)
    assert (found.n_seeds, found.n_images) == (3, 4)
    assert found.mean == pytest.approx(1.666667, rel=1e-6)
    squares = (found.ms_seed, found.ms_image, found.ms_rest)
    assert squares == (pytest.approx(4.083333, rel=1e-6), pytest.approx(3.777778, rel=1e-6), pytest.approx(7 / 36))
    assert found.var_seed == pytest.approx(0.972222, rel=1e-6)
    assert found.var_image == pytest.approx(1.194444, rel=1e-6)
    assert found.se == pytest.approx(0.799305, rel=1e-6)
    assert found.t == pytest.approx(2.085144, rel=1e-6)
    assert found.df == pytest.approx(4.486748, rel=1e-6)
    assert 2 * stats.t.sf(found.t, found.df) == pytest.approx(0.097852, abs=5e-7)


def test_below_five_seeds_the_critical_value_is_the_weighted_mean_of_two():
    found = rs.crossed(EXAMPLE)
    beyond = found.ms_image - found.ms_rest
    weight = found.ms_seed / (found.ms_seed + beyond)

    def critical(level):
        at = (1 + level) / 2
        return weight * stats.t.ppf(at, 2) + (1 - weight) * stats.t.ppf(at, 3)

    assert (found.high - found.mean) / found.se == pytest.approx(critical(0.95))
    assert critical(1 - found.p) == pytest.approx(found.t)  # p is where the interval reaches 0


def test_tests_of_one_source_alone_overstate():
    d = np.array(EXAMPLE, float)
    assert rs.paired(d.mean(axis=1), [0, 0, 0]).p == pytest.approx(0.103779, abs=5e-7)
    image_only = rs.paired(d.mean(axis=0), [0, 0, 0, 0]).p
    assert image_only == pytest.approx(0.059047, abs=5e-7)
    assert rs.crossed(d).p > image_only


@settings(deadline=None)
@given(tables(), st.floats(0.5, 0.99))
def test_it_agrees_with_the_slow_version(d, level):
    found = rs.crossed(d, level=level)
    assert found.mean == pytest.approx(d.mean(), abs=1e-12)
    seed, image, rest = by_hand(d.tolist())
    v = max(seed + image - rest, seed, image)
    if v < 1e-9:
        assert {found.se, found.p, found.low, found.ms_seed} == {None}
        return
    n, m = d.shape
    assert (found.ms_seed, found.ms_image) == (pytest.approx(seed, abs=1e-9), pytest.approx(image, abs=1e-9))
    assert found.ms_rest == pytest.approx(rest, abs=1e-9)
    assert found.se == pytest.approx(math.sqrt(v / (n * m)))
    df = v**2 / (seed**2 / (n - 1) + image**2 / (m - 1) + rest**2 / ((n - 1) * (m - 1)))
    assert found.df == pytest.approx(df)
    if n >= 5:
        assert found.p == pytest.approx(2 * stats.t.sf(abs(found.t), df), rel=1e-6, abs=1e-12)
        assert found.high - found.mean == pytest.approx(stats.t.ppf((1 + level) / 2, df) * found.se, rel=1e-6)


@settings(deadline=None)
@given(tables(), st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99]))
def test_the_interval_excludes_zero_exactly_when_p_is_small(d, level):
    found = rs.crossed(d, level=level)
    if found.p is not None and abs(found.p - (1 - level)) > 1e-7:
        assert (found.low > 0 or found.high < 0) == (found.p < 1 - level)


@settings(deadline=None)
@given(tables())
def test_p_is_the_level_whose_interval_ends_at_zero(d):
    found = rs.crossed(d)
    if found.p is None or not 1e-9 < found.p < 1 - 1e-6:
        return
    touching = rs.crossed(d, level=1 - found.p)
    nearest = touching.low if found.mean > 0 else touching.high
    assert nearest == pytest.approx(0, abs=1e-5 * found.se * abs(found.t))


@settings(deadline=None)
@given(tables(), st.integers(-5, 5).map(float), st.sampled_from([-3.0, 0.25, 8.0]))
def test_shift_and_scale_carry_over(d, shift, scale):
    plain, moved = rs.crossed(d), rs.crossed(d * scale + shift)
    if plain.se is None:
        assert moved.se is None
        return
    assert moved.mean == pytest.approx(plain.mean * scale + shift, abs=1e-9)
    assert moved.df == pytest.approx(plain.df)
    ends = sorted([plain.low * scale + shift, plain.high * scale + shift])
    assert [moved.low, moved.high] == pytest.approx(ends, rel=1e-6, abs=1e-9)


@settings(deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_seeds_and_images_is_nothing(d, random):
    rows, columns = list(range(d.shape[0])), list(range(d.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    one, other = rs.crossed(d), rs.crossed(d[rows][:, columns])
    assert (one.se is None) == (other.se is None)
    if one.se is not None:
        assert (one.low, one.high, one.p) == pytest.approx((other.low, other.high, other.p), rel=1e-6, abs=1e-9)


@settings(deadline=None)
@given(tables(least=5))
def test_seeds_and_images_are_treated_alike_from_five_up(d):
    one, other = rs.crossed(d), rs.crossed(d.T)
    if one.se is not None:
        assert (one.low, one.high, one.p) == pytest.approx((other.low, other.high, other.p), rel=1e-6, abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.integers(-30, 30).map(lambda k: k / 8), min_size=3, max_size=8))
def test_where_all_images_are_alike_it_is_the_paired_interval_of_the_seeds(gains):
    found, plain = rs.crossed(np.repeat(np.array(gains)[:, None], 6, axis=1)), rs.paired(gains, np.zeros(len(gains)))
    if plain.p is None:
        assert found.p is None
        return
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=1e-9)
    assert (found.p, found.df) == pytest.approx((plain.p, plain.df))


@pytest.mark.parametrize("n_seeds", [3, 4, 5, 10])
def test_where_all_seeds_are_alike_it_is_the_interval_over_images(n_seeds):
    images = np.arange(40.0) - 12.0
    found, plain = rs.crossed(np.tile(images, (n_seeds, 1))), rs.mean_interval(images)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high))
    assert found.p == pytest.approx(stats.ttest_1samp(images, 0).pvalue)


@pytest.mark.parametrize("n_seeds", [3, 4, 7])
def test_an_interval_around_zero_itself_has_p_one(n_seeds):
    d = np.random.default_rng(0).normal(size=(n_seeds, 9))
    found = rs.crossed(np.concatenate([d, -d], axis=1))
    assert found.mean == pytest.approx(0, abs=1e-12)
    assert found.p == pytest.approx(1)


@pytest.mark.parametrize("size", [1e-6, 1e3, 1e9])
def test_effects_of_any_size_have_a_p(size):
    d = np.random.default_rng(1).normal(size=(4, 50)) + size
    found = rs.crossed(d)
    assert 0 <= found.p <= 1
    assert found.p <= 2 * stats.t.sf(abs(found.t), 3) * (1 + 1e-6)
    assert found.p >= 2 * stats.t.sf(abs(found.t), 49) * (1 - 1e-6)


@pytest.mark.parametrize("n_seeds", [1, 2])
def test_fewer_than_three_seeds_are_reported_and_never_judged(n_seeds):
    found = rs.crossed(EXAMPLE[:n_seeds])
    assert found.mean == pytest.approx(np.mean(EXAMPLE[:n_seeds]))
    assert {found.se, found.t, found.p, found.low, found.high, found.ms_seed} == {None}


def test_differences_equal_but_for_rounding_are_not_judged():
    found = rs.crossed(np.full((5, 7), 70.3) - np.full((5, 7), 70.1) + np.arange(7) * 1e-15)
    assert (found.p, found.se) == (None, None)


def test_whole_numbers_and_answers_are_taken():
    right = np.random.default_rng(2).random((2, 5, 60)) < 0.6
    difference = right[0].astype(np.int8) - right[1]
    assert rs.crossed(difference).low == rs.crossed(difference.astype(float)).low


@pytest.mark.parametrize(
    ("d", "words"),
    [
        ([1, 2, 3], "table of numbers, got the shape .3,."),
        ([[], []], "non-empty"),
        ([[1], [2], [3]], "two images"),
        ([[1, 2], [3]], "table of numbers"),
        ([[1, 2], [math.nan, 3], [4, 5]], "not finite .position 1, 0"),
    ],
)
def test_tables_that_are_none_are_refused(d, words):
    with pytest.raises(InputError, match=words):
        rs.crossed(d)


def test_a_level_outside_its_range_is_refused():
    with pytest.raises(InputError, match="level"):
        rs.crossed(EXAMPLE, level=95)
