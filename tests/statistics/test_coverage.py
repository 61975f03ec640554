"""Simulated studies: how often intervals hold the truth. Seeds are fixed, so each figure is one number."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from regrow import statistics as rs

#: Standard deviations of seeds, images and the rest, in points: from seeds alone to images alone.
SETTINGS = ((0.5, 1.0, 3.0), (0.1, 3.0, 3.0), (0.02, 3.0, 3.0))


def tables(n_seeds, n_images, sds, n, rng):
    """Tables of a true mean of 0: cell = seed + image + rest."""
    seed, image, rest = sds
    for _ in range(n):
        cells = rng.standard_normal((n_seeds, n_images), dtype=np.float32) * rest
        cells += rng.standard_normal(n_images, dtype=np.float32) * image
        cells += rng.standard_normal((n_seeds, 1), dtype=np.float32) * seed
        yield cells


def covers(found) -> bool:
    return found.low <= 0 <= found.high


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_paired_interval_covers_normal_differences(n):
    """At the nominal 95 % (exact for normal differences): 93 to 97 % of 2000 studies."""
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=(2, 2000, n)) * np.array([0.4, 0.6])[:, None, None]
    assert 0.93 <= np.mean([covers(rs.paired(*study)) for study in zip(a, b, strict=True)]) <= 0.97


@pytest.mark.parametrize(("n", "share"), [(3, 0.881), (5, 0.881), (10, 0.905)])
def test_the_paired_interval_of_skewed_differences_covers_less(n, share):
    """Differences of a centred exponential: 88 % at 3 and 5 seeds, 90.5 % at 10 (20,000 studies; here 4000)."""
    d = np.random.default_rng(100 + n).exponential(size=(4000, n)) - 1
    assert np.mean([covers(rs.paired(study, np.zeros(n))) for study in d]) == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_equivalence_is_found_wrongly_at_most_at_its_level(n):
    """True difference at the margin: at most 5 % of 2000 studies, and some, may find equivalence."""
    d = 0.3 + 0.1 * np.random.default_rng(200 + n).normal(size=(2000, n))
    assert 0.03 <= np.mean([rs.tost(study, np.zeros(n), 0.3).equivalent for study in d]) <= 0.065


@pytest.mark.parametrize(("n_seeds", "sds"), list(itertools.product([3, 5, 10], SETTINGS)))
def test_the_crossed_interval_covers(n_seeds, sds):
    """At the nominal 95 %, 2000 images: 93 % or more of 200 studies (the slow test has more)."""
    rng = np.random.default_rng(n_seeds)
    assert np.mean([covers(rs.crossed(d)) for d in tables(n_seeds, 2000, sds, 200, rng)]) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [3, 5, 10])
@pytest.mark.parametrize("sds", [*SETTINGS, (0.0, 3.0, 3.0), (0.5, 0.0, 3.0), (0.05, 1.0, 3.0), (0.0, 0.0, 3.0)])
def test_the_crossed_interval_covers_many(n_seeds, sds):
    """At the nominal 95 %, 2000 images: 93.5 % or more of 4000 studies, whatever varies."""
    rng = np.random.default_rng(n_seeds)
    assert np.mean([covers(rs.crossed(d)) for d in tables(n_seeds, 2000, sds, 4000, rng)]) >= 0.935


def test_where_images_dominate_seeds_alone_claim_too_much():
    """5 seeds x 60 images, sd 0.1, 3, 3: wrong in about 4 % of the studies, and in about 30 % by the seeds alone."""
    rng = np.random.default_rng(9)
    studies = list(tables(5, 60, (0.1, 3.0, 3.0), 2000, rng))
    wrong = np.mean([not covers(rs.crossed(d)) for d in studies])
    by_seeds = np.mean([not covers(rs.mean_interval(d.mean(axis=1, dtype=float))) for d in studies])
    assert wrong == pytest.approx(0.041, abs=0.014)
    assert by_seeds == pytest.approx(0.297, abs=0.035)


def test_where_seeds_dominate_both_keep_their_level():
    """5 seeds x 200 images, sd 0.5, 1, 3: wrong in about 5 % of the studies."""
    rng = np.random.default_rng(10)
    wrong = np.mean([not covers(rs.crossed(d)) for d in tables(5, 200, (0.5, 1.0, 3.0), 2000, rng)])
    assert wrong == pytest.approx(0.054, abs=0.015)
