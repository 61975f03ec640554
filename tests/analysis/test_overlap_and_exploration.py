"""Overlap of masks, exploration against its expectation, films of masks, and rank correlation over filters."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from regrow import analysis, sparsity
from regrow.analysis.spatial.overlap import chance_overlap
from regrow.errors import DataError, InputError
from regrow.training.film import MaskFilm


@pytest.mark.parametrize(("total", "one", "other"), [(6, 2, 3), (7, 5, 4), (5, 0, 2), (5, 5, 3), (4, 0, 0)])
def test_what_two_random_masks_share_by_listing_all(total, one, other):
    first = set(range(one))
    shared = [len(first & set(places)) for places in itertools.combinations(range(total), other)]
    chance = chance_overlap(total, one, other)
    assert chance.both == pytest.approx(np.mean(shared))
    assert chance.sd == pytest.approx(np.std(shared))
    union = [one + other - n for n in shared]
    assert chance.jaccard == pytest.approx(np.mean([n / u if u else 0 for n, u in zip(shared, union, strict=True)]))


def test_the_chance_overlap_of_a_large_layer_is_scipy_s():
    total, one, other = 2_359_296, 1_200_000, 900_000
    exact = stats.hypergeom(total, one, other)
    chance = chance_overlap(total, one, other)
    assert (chance.both, chance.sd) == pytest.approx((exact.mean(), exact.std()))
    assert chance.jaccard == pytest.approx(exact.mean() / (one + other - exact.mean()), rel=1e-6)


def test_independent_masks_share_what_chance_gives_and_equal_ones_all(random_mask):
    shapes = {"a": (12, 10, 3, 3), "b": (20, 30)}
    runs = [
        {n: random_mask(s, math.prod(s) // 2, 10 * seed + i) for i, (n, s) in enumerate(shapes.items())}
        for seed in range(6)
    ]
    found = analysis.mask_overlap(runs[0], runs[1])
    assert json.loads(json.dumps(found)) == found
    assert found["aligned"] is False
    assert abs(found["total"]["z"]) < 4
    for row in found["layers"]:
        one, other = runs[0][row["layer"]], runs[1][row["layer"]]
        assert row["n_both"] == int((one & other).sum())
        assert row["jaccard"] == pytest.approx(int((one & other).sum()) / int((one | other).sum()))
        assert abs(row["z"]) < 4
    same = analysis.mask_overlap(runs[0], runs[0])
    assert same["total"]["jaccard"] == 1
    assert same["total"]["z"] > 20
    seeds = analysis.seed_overlap(runs)
    assert (seeds["runs"], seeds["pairs"]) == (6, 15)
    pairs = [analysis.mask_overlap(a, b)["layers"][0]["jaccard"] for a, b in itertools.combinations(runs, 2)]
    assert seeds["layers"][0]["jaccard"] == pytest.approx(np.mean(pairs))
    assert seeds["total"]["jaccard"] == pytest.approx(seeds["total"]["jaccard_expected"], abs=0.02)


def test_full_layers_and_other_networks_have_no_overlap():
    full = {"a": torch.ones(2, 2, dtype=torch.bool)}
    assert analysis.mask_overlap(full, full) == {"aligned": False, "layers": [], "total": None}
    with pytest.raises(InputError, match="not the same layers"):
        analysis.mask_overlap(full, {"a": torch.ones(2, 3, dtype=torch.bool)})
    with pytest.raises(InputError, match="two runs"):
        analysis.seed_overlap([full])


def drawn_history(method, total_steps=60):
    """History of random growth on two layers, and their sizes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(120, 150, bias=False), nn.Linear(150, 60, bias=False))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = sparsity.attach(model, optimizer, method, total_steps=total_steps, seed=3)
    for _ in range(total_steps):
        model(torch.randn(8, 120)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return sparsifier, {row["name"]: row["n_weights"] for row in sparsifier.report()}


@pytest.mark.parametrize("regrow_dropped", [True, False])
def test_random_growth_explores_as_expected(regrow_dropped):
    method = sparsity.SET(0.6, timing=sparsity.Every(5), regrow_dropped=regrow_dropped)
    sparsifier, sizes = drawn_history(method)
    found = analysis.itop_curves(sparsifier.history, sizes, regrow_dropped=regrow_dropped)
    assert json.loads(json.dumps(found)) == found
    assert found["total"]["points"][-1]["itop"] == pytest.approx(sparsifier.itop_rate)
    assert found["total"]["points"][0]["itop"] == pytest.approx(0.4, abs=1e-3)
    for layer in found["layers"]:
        rows = [row for row in sparsifier.history if row["layer"] == layer["layer"]]
        n_active, size = rows[0]["n_active"], sizes[layer["layer"]]
        closed = analysis.expected_itop(
            n_active / size, [row["drop_fraction"] for row in rows], regrow_dropped=regrow_dropped
        )
        told = [point["expected"] for point in layer["points"][1:]]
        assert told == pytest.approx(closed, abs=2e-3)  # whole numbers of weights
        for point in layer["points"]:
            sd = math.sqrt(point["expected"] * (1 - point["expected"]) / size)
            assert point["itop"] == pytest.approx(point["expected"], abs=5 * sd)


def test_falling_densities_are_covered():
    sparsifier, sizes = drawn_history(sparsity.GraNet(0.6, start_density=0.8, grow=sparsity.RandomGrowth()))
    found = analysis.itop_curves(sparsifier.history, sizes)
    assert sparsifier.density == pytest.approx(0.4, abs=1e-3)
    points = found["total"]["points"]
    assert points[0]["itop"] == pytest.approx(0.8, abs=2e-3)
    for point in points:
        assert point["itop"] == pytest.approx(point["expected"], abs=0.01)


@pytest.mark.parametrize(
    ("density", "rates"),
    [(0.6, (0.771, 0.925, 0.998, 1.0)), (0.1, (0.147, 0.234, 0.465, 0.750)), (0.05, (0.074, 0.121, 0.260, 0.485))],
)
def test_expected_exploration_after_1_3_10_and_48_updates(density, rates):
    found = analysis.expected_itop(density, [0.25 * (1 + math.cos(math.pi * t / 48)) for t in range(1, 49)])
    assert [found[n - 1] for n in (1, 3, 10, 48)] == pytest.approx(rates, abs=6e-4)


def test_dense_layers_count_as_explored_and_unknown_ones_are_refused():
    sparsifier, sizes = drawn_history(sparsity.SET(0.6, timing=sparsity.Every(20)))
    total = analysis.itop_curves(sparsifier.history, {**sizes, "dense": sum(sizes.values())})["total"]
    assert total["points"][-1]["itop"] == pytest.approx((1 + sparsifier.itop_rate) / 2)
    with pytest.raises(DataError, match="size is not known"):
        analysis.itop_curves(sparsifier.history, {})
    assert analysis.itop_curves([], {"a": 5})["total"]["points"] == []


@pytest.fixture
def drawn_film():
    """Four frames of a 2 x 2 layer of kernels of 2, and of a linear one."""
    a = np.array(
        [[1, 1, 0, 0, 1, 0, 1, 0], [1, 0, 1, 0, 1, 0, 1, 0], [1, 0, 1, 1, 0, 0, 1, 0], [0, 0, 1, 1, 1, 0, 1, 0]]
    )
    b = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    bits = {name: np.packbits(x.astype(bool), axis=1, bitorder="little") for name, x in (("a", a), ("b", b))}
    film = MaskFilm(np.array([0, 2, 4, 5]), np.array([0, 20, 40, 50]), {"a": (2, 2, 2), "b": (1, 2)}, bits)
    return film, a.astype(bool)


def test_a_film_s_overlap_by_sets(drawn_film):
    film, masks = drawn_film
    rows = analysis.film_overlap(film, "a")
    assert [(row["update"], row["step"]) for row in rows] == [(0, 0), (2, 20), (4, 40), (5, 50)]
    sets = [set(np.flatnonzero(mask)) for mask in masks]
    for i, row in enumerate(rows):
        grown = sets[i] - sets[i - 1] if i else set()
        assert row["n_active"] == len(sets[i])
        assert row["first_kept"] == pytest.approx(len(sets[i] & sets[0]) / len(sets[0]))
        assert row["last_there"] == pytest.approx(len(sets[i] & sets[-1]) / len(sets[-1]))
        assert row["jaccard_first"] == pytest.approx(len(sets[i] & sets[0]) / len(sets[i] | sets[0]))
        assert row["jaccard_last"] == pytest.approx(len(sets[i] & sets[-1]) / len(sets[i] | sets[-1]))
        assert row["grown"] == len(grown)
        survive = len(grown & sets[-1]) / len(grown) if grown and i < 3 else None
        assert row["grown_survive"] == survive
    assert json.loads(json.dumps(rows)) == rows


def test_frames_of_a_film_are_kernel_maps(drawn_film):
    film, masks = drawn_film
    frames = analysis.kernel_frames(film, "a")
    assert frames.shape == (4, 2, 2)
    for frame, mask in zip(frames, masks, strict=True):
        assert frame.tolist() == analysis.kernel_map(torch.from_numpy(mask.reshape(2, 2, 2))).tolist()
    assert analysis.kernel_frames(film, "b").tolist() == [[[1, 0]], [[1, 0]], [[0, 1]], [[0, 1]]]
    with pytest.raises(InputError, match="'c' was not filmed"):
        analysis.kernel_frames(film, "c")


@pytest.mark.parametrize("seed", range(4))
def test_rank_correlation_is_scipy_s(seed):
    random = np.random.RandomState(seed)
    x, y = random.randint(0, 6, 30), random.standard_normal(30)
    y = y + 0.2 * x
    found, expected = analysis.rank_correlation(x, y), stats.spearmanr(x, y)
    assert found.n == 30
    assert (found.rho, found.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_rank_correlation_where_there_is_none():
    assert analysis.rank_correlation([1, 1, 1], [1, 2, 3])[1:] == (None, None)
    assert analysis.rank_correlation([1, 2, 3], [3, 5, 9])[1:] == (1.0, None)
    assert analysis.rank_correlation([1, 2, 3, 4], [1, 2, 3, 4])[1:] == (1.0, 0.0)
    assert analysis.rank_correlation([1, 2, math.nan, 4], [1, 3, 9, 5]).n == 3
    with pytest.raises(InputError, match="got 2 and 3"):
        analysis.rank_correlation([1, 2], [1, 2, 3])


def test_correlations_of_layers_are_weighted_by_their_filters():
    kept = {"a": [0.1, 0.2, 0.3, 0.4], "dense": [1.0, 1.0], "b": [0.3, 0.2], "c": [0.1]}
    found = analysis.filter_correlations(kept, {"a": [1, 2, 4, 3], "dense": [1, 2], "b": [1, 2]})
    assert [row["layer"] for row in found["layers"]] == ["a", "dense", "b"]
    assert found["mean_rho"] == pytest.approx((4 * 0.8 - 2) / 6)
    assert found["layers"][1]["rho"] is None
    assert analysis.filter_correlations({}, {})["mean_rho"] is None
