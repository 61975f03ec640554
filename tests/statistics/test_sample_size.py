"""Power of the paired t test: printed values, quadrature over the spread, and inverses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from regrow import statistics as rs
from regrow.errors import InputError

effects = st.floats(0.05, 4)


def slow(d_z, n, alpha):
    """E over the sample's spread s of P(|z + shift| > critical s), z normal and s^2 (n - 1) chi-squared."""
    df, shift = n - 1, d_z * math.sqrt(n)
    critical = stats.t.ppf(1 - alpha / 2, df)

    def beyond(u):
        s = math.sqrt(u / df)
        return (stats.norm.sf(critical * s - shift) + stats.norm.cdf(-critical * s - shift)) * stats.chi2.pdf(u, df)

    return integrate.quad(beyond, 0, df, limit=400)[0] + integrate.quad(beyond, df, np.inf, limit=400)[0]


@pytest.mark.parametrize(
    ("d_z", "n", "chance"),
    [
        (1, 3, 0.1793),
        (1, 5, 0.4014),
        (1, 8, 0.6808),
        (1, 10, 0.8031),
        (1.5, 5, 0.7107),
        (1.5, 8, 0.9510),
        (2, 5, 0.9089),
    ],
)
def test_the_printed_powers(d_z, n, chance):
    assert rs.power(d_z, n) == pytest.approx(chance, abs=5e-5)


@pytest.mark.parametrize(("family", "chance"), [(1, 0.999), (6, 0.93), (15, 0.76), (30, 0.57)])
def test_the_printed_powers_of_a_large_effect_in_families(family, chance):
    """The least power under Holm, that of Bonferroni; printed for a d_z that was rounded to 3.3."""
    least, most = (rs.power(d_z, 5, alpha=0.05 / family) for d_z in (3.25, 3.35))
    assert least - 0.005 <= chance <= most + 0.005


@pytest.mark.parametrize(("d_z", "n"), [(0.5, 34), (0.8, 15), (1, 10), (1.5, 6), (2, 5)])
def test_the_printed_numbers_of_seeds(d_z, n):
    assert rs.seeds_needed(d_z) == n


@pytest.mark.parametrize(("n", "d_z"), [(3, 3.2640), (5, 1.6820), (8, 1.1560), (10, 0.9960)])
def test_the_printed_smallest_effects(n, d_z):
    assert rs.smallest_effect(n) == pytest.approx(d_z, abs=5e-5)


@pytest.mark.parametrize(("points", "sd", "n"), [(0.32, 0.4, 27), (0.5, 0.6, 25), (1, 0.6, 8), (2, 0.6, 4)])
def test_the_printed_seeds_for_gains_in_points(points, sd, n):
    assert rs.seeds_to_see(points, sd) == n
    assert rs.seeds_to_see(-points, sd) == n


@settings(deadline=None, max_examples=30)
@given(effects, st.integers(3, 40), st.sampled_from([0.01, 0.05, 0.2]))
@example(d_z=2.0, n=13, alpha=0.01)  # where scipy's noncentral t has no lower tail
@example(d_z=9.8, n=16, alpha=0.2)  # nor an upper one
def test_power_agrees_with_quadrature(d_z, n, alpha):
    found = rs.power(d_z, n, alpha=alpha)
    assert found == pytest.approx(slow(d_z, n, alpha), abs=1e-6)


@settings(deadline=None)
@given(effects, st.integers(3, 60))
def test_power_rises_with_effect_seeds_and_alpha_and_does_not_know_signs(d_z, n):
    here = rs.power(d_z, n)
    assert rs.power(-d_z, n) == pytest.approx(here)
    slack = 1e-12  # where it is 1
    assert rs.power(d_z + 0.1, n) >= here - slack
    assert rs.power(d_z, n + 1) >= here - slack
    assert rs.power(d_z, n, alpha=0.06) >= here - slack
    assert rs.power(0, n) == pytest.approx(0.05)


@settings(deadline=None)
@given(effects, st.floats(0.1, 0.99))
def test_the_seeds_needed_are_just_enough(d_z, power):
    n = rs.seeds_needed(d_z, power=power)
    assert n >= 3
    assert rs.power(d_z, n) >= power
    assert n == 3 or rs.power(d_z, n - 1) < power


@settings(deadline=None)
@given(st.integers(3, 60), st.floats(0.1, 0.99))
def test_the_smallest_effect_has_the_power_asked_for(n, power):
    assert rs.power(rs.smallest_effect(n, power=power), n) == pytest.approx(power, abs=1e-9)


def test_correlated_arms_need_fewer_seeds():
    found = [rs.seeds_to_see(0.5, 0.6, r=r) for r in (-0.5, 0.0, 0.5, 0.9)]
    assert found == sorted(found, reverse=True)
    assert rs.seeds_to_see(0.5, 0.6, r=0.5) == rs.seeds_needed(0.5 / 0.6)


def test_small_effects_need_as_many_seeds_as_the_normal_approximation_says():
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert rs.seeds_needed(0.01) == pytest.approx((z / 0.01) ** 2, rel=1e-3)


def test_what_cannot_be_is_refused():
    for n in (2, 0, 4.5):
        with pytest.raises(InputError, match="n must be"):
            rs.power(1, n)
    for wrong in (0, 1, 80, math.nan):
        with pytest.raises(InputError, match="power must"):
            rs.seeds_needed(1, power=wrong)
    with pytest.raises(InputError, match="alpha"):
        rs.power(1, 5, alpha=5)
    with pytest.raises(InputError, match="d_z"):
        rs.seeds_needed(0)
    with pytest.raises(InputError, match="greater than alpha"):
        rs.smallest_effect(5, power=0.04)
    with pytest.raises(InputError, match="sd"):
        rs.seeds_to_see(1, 0)
    with pytest.raises(InputError, match="r must"):
        rs.seeds_to_see(1, 1, r=1)
