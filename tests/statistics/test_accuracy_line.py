"""The line of corrupted against clean accuracy, and gains beyond it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from regrow import statistics as rs
from regrow.errors import InputError

shares = st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99)), min_size=6, max_size=12)


@settings(deadline=None)
@given(shares)
def test_the_line_agrees_with_scipy(pairs):
    clean, corrupted = (np.array(side) / 100 for side in zip(*pairs, strict=True))
    line = rs.effective_robustness(clean, corrupted)
    if np.ptp(clean) == 0:
        assert line is None
        return
    reference = stats.linregress(special.logit(clean), special.logit(corrupted))
    assert (line.slope, line.intercept) == pytest.approx((reference.slope, reference.intercept), abs=1e-9)
    rest = line.residual(clean, corrupted)
    assert rest.sum() == pytest.approx(0, abs=1e-9)
    assert rest @ special.logit(clean) == pytest.approx(0, abs=1e-8)
    assert line.sd == pytest.approx(np.sqrt(rest @ rest / (len(pairs) - 2)))


@settings(deadline=None)
@given(st.floats(-2, 2), st.floats(-3, 3), st.floats(-1, 1))
def test_runs_on_the_line_have_no_effective_robustness_and_runs_above_have_theirs(slope, intercept, above):
    clean = np.linspace(0.5, 0.95, 7)
    on = special.expit(intercept + slope * special.logit(clean))
    line = rs.effective_robustness(clean, on)
    assert (line.slope, line.intercept) == pytest.approx((slope, intercept), abs=1e-6)
    assert line.sd == pytest.approx(0, abs=1e-6)
    assert line.expected(clean) == pytest.approx(on)
    shifted = special.expit(special.logit(on) + above)
    assert line.residual(clean, shifted) == pytest.approx(np.full(7, above), abs=1e-6)


def test_fewer_than_six_runs_or_one_accuracy_draw_no_line():
    clean, corrupted = np.linspace(0.5, 0.9, 6), np.linspace(0.3, 0.5, 6)
    assert rs.effective_robustness(clean, corrupted) is not None
    assert rs.effective_robustness(clean[:5], corrupted[:5]) is None
    assert rs.effective_robustness(np.full(6, 0.7), corrupted) is None
    assert rs.residual_gain([1, 2, 3], [0, 1, 1], clean=clean[:5], corrupted=corrupted[:5]) is None


@settings(deadline=None)
@given(st.floats(-3, 3), st.lists(st.integers(-20, 20).map(lambda k: k / 10), min_size=3, max_size=8), st.data())
def test_the_residual_gain_is_what_the_slope_does_not_bring(slope, clean_gain, data):
    n = len(clean_gain)
    beyond = np.array(data.draw(st.lists(st.integers(-30, 30).map(lambda k: k / 10), min_size=n, max_size=n)))
    clean = np.array([88.0, 90.0, 91.0, 92.5, 93.0, 95.0])
    gain = slope * np.array(clean_gain) + beyond
    found = rs.residual_gain(gain, clean_gain, clean=clean, corrupted=10 + slope * clean)
    assert found.slope == pytest.approx(slope, abs=1e-9)
    plain = rs.mean_interval(beyond)
    assert found.difference.mean == pytest.approx(plain.mean, abs=1e-9)
    if plain.low is not None:
        assert (found.difference.low, found.difference.high) == pytest.approx((plain.low, plain.high), abs=1e-6)


def test_the_slope_is_the_least_squares_one():
    rng = np.random.default_rng(0)
    clean, corrupted = 90 + rng.normal(size=9), 60 + rng.normal(size=9)
    found = rs.residual_gain([1, 2, 4], [0, 1, 1], clean=clean, corrupted=corrupted)
    assert found.slope == pytest.approx(stats.linregress(clean, corrupted).slope)


def test_accuracies_in_points_are_no_shares():
    clean, corrupted = np.linspace(50, 90, 6), np.linspace(0.3, 0.5, 6)
    with pytest.raises(InputError, match="clean must lie between 0 and 1"):
        rs.effective_robustness(clean, corrupted)
    line = rs.effective_robustness(clean / 100, corrupted)
    with pytest.raises(InputError, match="corrupted must lie"):
        line.residual([0.7], [1.0])
    with pytest.raises(InputError, match="one length"):
        line.residual([0.7, 0.8], [0.5])
    with pytest.raises(InputError, match="one length"):
        rs.effective_robustness(clean[:5] / 100, corrupted)
