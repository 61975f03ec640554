"""Intervals of a mean and of a share; Holm's correction."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from regrow import statistics as rs
from regrow.errors import InputError

shares = st.lists(st.floats(0, 1), min_size=1, max_size=10)


def test_the_worked_example_of_holm():
    assert rs.holm([0.004, 0.030, 0.020, 0.200, 0.011]) == pytest.approx([0.020, 0.060, 0.060, 0.200, 0.044])


@settings(deadline=None)
@given(shares)
def test_holm_rejects_what_the_step_down_rule_rejects(p):
    adjusted = rs.holm(p)
    for alpha in (0.01, 0.05, 0.3):
        open_still, rejected = True, set()
        for rank, index in enumerate(np.argsort(p, kind="stable")):
            open_still = open_still and p[index] * (len(p) - rank) < alpha
            if open_still:
                rejected.add(int(index))
        assert {i for i, value in enumerate(adjusted) if value < alpha} == rejected


@settings(deadline=None)
@given(shares, st.randoms(use_true_random=False))
def test_holm_never_lowers_keeps_the_order_and_follows_the_input_s_order(p, random):
    adjusted = rs.holm(p)
    assert all(value >= given for value, given in zip(adjusted, p, strict=True))
    assert max(adjusted) <= 1
    order = list(range(len(p)))
    random.shuffle(order)
    assert rs.holm([p[i] for i in order]) == [adjusted[i] for i in order]


def test_holm_of_one_is_itself():
    assert rs.holm([0.03]) == [0.03]


@pytest.mark.parametrize("p", [[], [0.1, 1.1], [-0.1], [math.nan]])
def test_values_that_are_no_probabilities_are_refused(p):
    with pytest.raises(InputError):
        rs.holm(p)


@settings(deadline=None)
@given(st.lists(st.integers(0, 1000).map(lambda k: k / 7), min_size=3, max_size=9), st.floats(0.5, 0.999))
def test_mean_interval_agrees_with_scipy(values, level):
    found = rs.mean_interval(values, level=level)
    assert found.n == len(values)
    if np.ptp(values) == 0:
        assert found.low is None
        return
    ends = stats.ttest_1samp(values, 0).confidence_interval(level)
    assert (found.low, found.high) == (pytest.approx(ends.low, abs=1e-9), pytest.approx(ends.high, abs=1e-9))
    assert found.sd == pytest.approx(np.std(values, ddof=1))


@settings(deadline=None)
@given(st.integers(1, 5000), st.data(), st.floats(0.5, 0.999))
def test_wilson_agrees_with_scipy_and_holds_the_share(n, data, level):
    k = data.draw(st.integers(0, n))
    low, high = rs.wilson(k, n, level)
    ends = stats.binomtest(k, n).proportion_ci(level, method="wilson")
    assert (low, high) == (pytest.approx(ends.low, abs=1e-9), pytest.approx(ends.high, abs=1e-9))
    assert 0 <= low <= k / n <= high <= 1


@pytest.mark.parametrize(("k", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_impossible_counts_are_refused(k, n):
    with pytest.raises(InputError, match="0 <= k <= n"):
        rs.wilson(k, n)


def test_figures_of_two_runs_show_no_interval_and_one_run_no_spread():
    assert rs.mean_interval([70.0, 72.0]).low is None
    assert rs.mean_interval([70.0]).sd is None


def test_the_room_is_entered_without_scipy_or_torch():
    code = "import sys, regrow.statistics; print([n for n in ('scipy', 'torch') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
