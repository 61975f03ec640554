"""Arms with other seeds or failed runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow import statistics as rs
from regrow.errors import InputError

DENSE = dict(enumerate([51.2, 51.9, 51.4, 51.8, 51.5]))
SPARSE = dict(enumerate([52.6, 52.4, 52.9, 52.7, 52.3]))

arm = st.dictionaries(st.integers(0, 8), st.integers(0, 1000).map(lambda k: k / 10), min_size=1, max_size=8)


def test_three_common_seeds_are_paired_and_the_rest_is_named():
    found = rs.compare_by_seed({k: SPARSE[k] for k in (0, 1, 2)} | {7: 52.0}, DENSE)
    assert found.test == "paired"
    assert (found.common, found.only_a, found.only_b) == ((0, 1, 2), (7,), (3, 4))
    assert found.difference == rs.paired([52.6, 52.4, 52.9], [51.2, 51.9, 51.4])
    assert (found.failed_a, found.failed_b, found.least, found.greatest) == ((), (), None, None)


def test_the_worked_example_with_no_common_seeds_is_welch_s():
    found = rs.compare_by_seed({10 + k: SPARSE[k] for k in (0, 1, 2)}, DENSE)
    assert (found.test, found.common) == ("welch", ())
    assert found.difference.mean == pytest.approx(1.073333, rel=1e-6)
    assert found.difference.t == pytest.approx(5.527133, rel=1e-6)
    assert found.difference.df == pytest.approx(4.874817, rel=1e-6)
    assert found.difference.p == pytest.approx(0.002877, abs=5e-7)


@settings(deadline=None)
@given(arm, arm, st.sampled_from([0.8, 0.95]))
def test_the_policy(a, b, level):
    found = rs.compare_by_seed(a, b, level=level)
    common = sorted(set(a) & set(b))
    assert set(found.common) | set(found.only_a) == set(a)
    assert set(found.common) | set(found.only_b) == set(b)
    if len(common) >= 3:
        assert found.test == "paired"
        assert found.difference == rs.paired([a[s] for s in common], [b[s] for s in common], level=level)
    else:
        assert found.test == "welch"
        assert found.difference.mean == pytest.approx(np.mean(list(a.values())) - np.mean(list(b.values())))
        assert (found.difference.n_a, found.difference.n_b) == (len(a), len(b))


@settings(deadline=None)
@given(arm, arm, st.data())
def test_failed_runs_bound_the_difference_whatever_they_would_have_given(a, b, data):
    seeds = sorted(set(a) & set(b))
    failed = set(data.draw(st.lists(st.sampled_from(seeds), unique=True))) if seeds else set()
    if not failed or len(seeds) < 3 or len(failed) == len(a) or len(failed) > len(seeds) - 3:
        return
    broken = {seed: None if seed in failed else value for seed, value in a.items()}
    found = rs.compare_by_seed(broken, b, extremes=(0.0, 100.0))
    assert found.failed_a == tuple(sorted(failed))
    assert not failed & set(found.common)
    whole = rs.compare_by_seed(a, b)
    assert found.least.mean - 1e-9 <= whole.difference.mean <= found.greatest.mean + 1e-9


def test_failed_runs_of_both_arms_count_with_their_worst_and_their_best():
    a, b = {**SPARSE, 1: math.nan}, {**DENSE, 3: None}
    found = rs.compare_by_seed(a, b)
    assert (found.common, found.failed_a, found.failed_b) == ((0, 2, 4), (1,), (3,))
    lowest, highest = 51.2, 52.9
    least = rs.paired([*({**SPARSE, 1: lowest}).values()], [*({**DENSE, 3: highest}).values()])
    greatest = rs.paired([*({**SPARSE, 1: highest}).values()], [*({**DENSE, 3: lowest}).values()])
    assert (found.least, found.greatest) == (least, greatest)
    wider = rs.compare_by_seed(a, b, extremes=(10.0, 100.0))
    assert wider.least.mean < found.least.mean
    assert wider.greatest.mean > found.greatest.mean


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="a has no finished run"):
        rs.compare_by_seed({0: None}, DENSE)
    with pytest.raises(InputError, match="b has no finished run"):
        rs.compare_by_seed(SPARSE, {})
    with pytest.raises(InputError, match="extremes"):
        rs.compare_by_seed({**SPARSE, 0: None}, DENSE, extremes=(100.0, 10.0))
    with pytest.raises(InputError, match="level"):
        rs.compare_by_seed(SPARSE, DENSE, level=95)
