"""What chance gives: exact moments by listing every mask, the fast draws against whole masks, planted concentration."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import torch
from scipy import stats

from regrow import analysis, models
from regrow.analysis.spatial import null
from regrow.analysis.spatial.evenness import Places, evenness
from regrow.errors import InputError

SHAPES = {"a": (16, 12, 3, 3), "b": (24, 16, 3, 3), "c": (10, 40)}


def ratios_of_all_orders(values, n_groups):
    """D of every order of the values, by its definition."""
    size = len(values) // n_groups
    sums = np.array([np.reshape(order, (n_groups, size)).sum(1) for order in itertools.permutations(values)])
    return np.mean((sums - sums.mean(1, keepdims=True)) ** 2, axis=1), size


@pytest.mark.parametrize(
    ("values", "n_groups"),
    [
        ((1, 1, 0, 0), 2),
        ((1, 1, 1, 0, 0, 0, 0, 0), 2),
        ((1, 1, 0, 0, 0, 0), 3),
        ((0.3, 2.0, 0.0, 0.0, 5.0, 1.0, 0.0, 0.7), 4),
        ((0.3, 2.0, 0.0, 0.0, 5.0, 1.0, 0.0, 0.7), 2),
        ((1.0, 4.0, 0.0, 0.0, 0.0, 2.0), 2),
    ],
)
def test_mean_and_spread_of_d_are_those_over_all_orders(values, n_groups):
    found, size = ratios_of_all_orders(values, n_groups)
    powers = tuple(float(sum(v**k for v in values)) for k in (1, 2, 3, 4))
    places = Places.of_powers(len(values), powers)
    d = found / places.variance(size)
    assert d.mean() == pytest.approx(1, rel=1e-12)
    assert analysis.dispersion_sd(n_groups, size, places) == pytest.approx(d.std(), rel=1e-9, abs=1e-9)


def test_places_of_counts_are_places_of_zeros_and_ones():
    assert Places.of_counts(50, 13) == pytest.approx(Places.of_powers(50, (13.0, 13.0, 13.0, 13.0)))


def test_groups_of_one_place_cannot_vary():
    assert analysis.dispersion_sd(7, 1, Places.of_counts(7, 3)) == 0


def test_measures_of_a_histogram_are_those_of_its_values():
    values, times = np.array([0, 1, 2, 3]), np.array([[2, 0, 3, 1], [0, 4, 1, 1]])
    folded = evenness(values, times)
    for i, row in enumerate(times):
        x = np.repeat(values, row)
        assert folded.square[i] == pytest.approx(x.var())
        assert folded.gini[i] == pytest.approx(np.abs(np.subtract.outer(x, x)).mean() / (2 * x.mean()))
        assert folded.effective_number[i] == pytest.approx(math.exp(stats.entropy(x)))


def test_dealt_counts_are_hypergeometric_and_add_up():
    counts = null.deal(null.stream(1, "x"), np.full(3000, 90), np.full(4, 54))
    assert (counts.sum(axis=1) == 90).all()
    exact = stats.hypergeom(216, 90, 54)
    for group in counts.T:
        seen, cells = np.bincount(group, minlength=55), exact.pmf(np.arange(55)) * 3000
        low, high = np.flatnonzero(cells > 5)[[0, -1]]
        binned = [np.array([v[: low + 1].sum(), *v[low + 1 : high], v[high:].sum()]) for v in (seen, cells)]
        assert stats.chisquare(binned[0], binned[1] * 3000 / binned[1].sum()).pvalue > 1e-3
    assert np.corrcoef(counts.T)[0, 1] == pytest.approx(-1 / 3, abs=0.06)


@pytest.mark.parametrize(("active", "sizes"), [(0, [3, 2]), (5, [3, 2]), (2, [0, 2, 0, 3]), (1, [0, 0, 1])])
def test_dealing_copes_with_full_and_empty_groups(active, sizes):
    counts = null.deal(null.stream(0, ""), np.full(50, active), np.array(sizes))
    assert (counts.sum(axis=1) == active).all()
    assert (counts <= np.array(sizes)).all()
    assert (counts >= 0).all()


def test_histograms_of_kernels_are_distributed_as_those_of_whole_masks(random_mask):
    n_groups, size, n_active, n = 40, 4, 70, 1500
    drawn = null.histograms(null.stream(2, "x"), n_groups, size, n_active, n)
    assert (drawn.sum(axis=1) == n_groups).all()
    assert (drawn @ np.arange(size + 1) == n_active).all()
    whole = np.array(
        [
            np.bincount(random_mask((n_groups, size), n_active, seed).sum(1).numpy(), minlength=size + 1)
            for seed in range(n)
        ]
    )
    for count in range(size + 1):
        a, b = drawn[:, count], whole[:, count]
        assert a.mean() == pytest.approx(b.mean(), abs=5 * b.std() * (2 / n) ** 0.5 + 1e-9)
        assert a.std() == pytest.approx(b.std(), rel=0.12)
    exact = n_groups * stats.hypergeom(n_groups * size, n_active, size).pmf(np.arange(size + 1))
    assert drawn.mean(axis=0) == pytest.approx(exact, abs=5 * drawn.std() / n**0.5)


@pytest.mark.parametrize(("n_groups", "size"), [(6, 54), (60, 4)])
def test_figures_of_drawn_masks_are_those_of_whole_masks(random_mask, n_groups, size):
    n_active, n = round(0.4 * n_groups * size), 1000
    drawn = null.count_null(null.stream(3, "x"), n_groups, size, n_active, n)
    counts = np.array([random_mask((n_groups, size), n_active, seed).sum(1).numpy() for seed in range(n)])
    log = np.array([math.log(analysis.dispersion(x, size).ratio) for x in counts])
    gini = np.array([analysis.gini(x) for x in counts])
    effective = np.array([analysis.effective_number(x) for x in counts])
    for fast, slow in ((drawn.log_dispersion, log), (drawn.gini, gini), (drawn.effective_number, effective)):
        assert stats.ks_2samp(fast, slow).pvalue > 1e-3


@pytest.mark.parametrize(("n_groups", "size", "density"), [(12, 100, 0.5), (80, 9, 0.6)])
def test_sums_of_random_magnitudes_are_close_to_those_of_real_shuffles(n_groups, size, density):
    random, n = np.random.RandomState(4), 3000
    n_active = round(density * n_groups * size)
    values = np.zeros(n_groups * size)
    values[:n_active] = np.abs(random.standard_normal(n_active))
    powers = tuple(float((values**k).sum()) for k in (1, 2, 3, 4))
    drawn = null.mass_null(null.stream(4, "x"), n_groups, size, n_active, powers, n)
    sums = np.sort([random.permutation(values).reshape(n_groups, size).sum(1) for _ in range(n)], axis=1)
    slow = evenness(sums)
    log = np.log(slow.square / Places.of_powers(values.size, powers).variance(size))
    pairs = [(drawn.log_dispersion, log)]
    if size == 100:
        pairs += [(drawn.gini, slow.gini), (drawn.effective_number, slow.effective_number)]
    else:
        assert drawn.gini is None  # too few weights in a group for the normal law
    for fast, true in pairs:
        assert fast.mean() == pytest.approx(true.mean(), abs=0.12 * true.std())
        assert fast.std() == pytest.approx(true.std(), rel=0.08)


def rows_of(mask, weight=None, **how):
    mass = None if weight is None else analysis.kernel_mass(weight, mask)
    rows = analysis.spatial_rows(analysis.kernel_map(mask), mask[0, 0].numel(), mass=mass, **how)
    return {(row["of"], row["by"]): row for row in rows}


def test_z_values_of_random_masks_are_standard_normal(random_mask):
    shape, found = (24, 20, 3, 3), []
    for seed in range(120):
        weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        found.append(rows_of(random_mask(shape, 2300, seed), weight, null_masks=200, seed=seed))
    for of, by in itertools.product(("count", "mass"), ("output", "input", "kernel")):
        for key in ("z_dispersion", "z_log_dispersion", "z_gini", "z_effective_number"):
            z = [rows[of, by][key] for rows in found]
            if (of, by) == ("mass", "kernel") and key in ("z_gini", "z_effective_number"):
                assert z == [None] * len(z)
                continue
            assert abs(np.mean(z)) < 0.4, (of, by, key)
            assert 0.75 < np.std(z) < 1.3, (of, by, key)
        p = [rows[of, by]["p"] for rows in found]
        assert stats.kstest(p, "uniform").pvalue > 1e-3, (of, by)


def test_planted_concentration_is_found_where_it_is_and_nowhere_else(planted_mask):
    shape = (24, 20, 3, 3)
    rows = rows_of(planted_mask(shape, 2300, 0.12), torch.ones(shape), null_masks=200)
    for of in ("count", "mass"):
        assert rows[of, "output"]["z_dispersion"] > 5
        assert rows[of, "output"]["z_log_dispersion"] > 3
        assert rows[of, "output"]["z_effective_number"] < -5
        assert rows[of, "output"]["p"] < 1e-6
        assert abs(rows[of, "input"]["z_dispersion"]) < 4


def test_concentration_of_magnitude_alone_shows_in_mass_and_not_in_counts(random_mask):
    shape = (24, 20, 3, 3)
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    weight[:6] *= 2
    rows = rows_of(random_mask(shape, 2300), weight, null_masks=200)
    assert rows["mass", "output"]["z_dispersion"] > 10
    assert abs(rows["count", "output"]["z_dispersion"]) < 4


def test_mass_is_the_sum_of_magnitudes_under_the_mask_and_equal_weights_make_counts_of_it(random_mask):
    weight = torch.randn((4, 3, 2, 2), generator=torch.Generator().manual_seed(0))
    mask = random_mask((4, 3, 2, 2), 20)
    found = analysis.kernel_mass(weight, mask)
    for o, i in itertools.product(range(4), range(3)):
        assert found.map[o, i] == pytest.approx(sum(abs(float(w)) for w in weight[o, i][mask[o, i]]))
    active = weight[mask].double().abs()
    assert found.powers == pytest.approx([float((active**k).sum()) for k in (1, 2, 3, 4)])
    rows = rows_of(mask, torch.full((4, 3, 2, 2), -3.0))
    for by in ("output", "input", "kernel"):
        for key in ("dispersion", "dispersion_sd", "z_dispersion", "gini", "effective_number"):
            assert rows["mass", by][key] == pytest.approx(rows["count", by][key])


def test_layers_have_random_masks_of_their_own(random_mask):
    mask = random_mask((8, 8, 3, 3), 200)
    first, other = (rows_of(mask, null_masks=200, layer=name) for name in ("a", "b"))
    assert first != other
    assert first == rows_of(mask, null_masks=200, layer="a")


@pytest.fixture(scope="module")
def masks(random_mask):
    return {"full": torch.ones(6, 6, dtype=torch.bool)} | {
        name: random_mask(shape, round(0.5 * math.prod(shape)), i) for i, (name, shape) in enumerate(SHAPES.items())
    }


def test_a_summary_is_json_and_repeats_the_single_functions(masks):
    weights = {name: torch.randn(m.shape, generator=torch.Generator().manual_seed(1)) for name, m in masks.items()}
    found = analysis.spatial_summary(masks, weights)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found == analysis.spatial_summary(masks, weights)
    layers = {row["layer"]: row for row in found["layers"]}
    assert layers["full"]["spread"] == []
    size = 9
    mass = analysis.kernel_mass(weights["b"], masks["b"])
    alone = analysis.spatial_rows(analysis.kernel_map(masks["b"]), size, mass=mass, null_masks=200, layer="b")
    assert layers["b"]["spread"] == alone
    network = {(row["of"], row["by"]): row for row in found["network"]}
    expected = analysis.concentration(analysis.kernel_maps(masks), analysis.kernel_sizes(masks))
    for by in ("output", "input", "kernel"):
        assert network["count", by]["value"] == pytest.approx(expected[by])
        assert network["count", by]["null_masks"] == 200
    assert network["count", "output"]["layers"] == 3
    assert network["count", "kernel"]["layers"] == 2  # a linear layer has no say per kernel


def test_the_network_s_null_is_that_of_independent_layers(masks):
    row = next(r for r in analysis.spatial_summary(masks, null_masks=800)["network"] if r["by"] == "output")
    sizes = {name: math.prod(shape) for name, shape in SHAPES.items()}
    total, mean, variance = sum(sizes.values()), 0.0, 0.0
    for name, shape in SHAPES.items():
        groups, size = shape[0], sizes[name] // shape[0]
        drawn = null.count_null(null.stream(9, name), groups, size, round(0.5 * sizes[name]), 2000).log_dispersion
        mean += sizes[name] / total * drawn.mean()
        variance += (sizes[name] / total) ** 2 * drawn.var()
    assert row["null_mean"] == pytest.approx(mean, abs=5 * (variance / 800) ** 0.5)
    assert row["null_sd"] == pytest.approx(variance**0.5, rel=0.15)
    assert row["z"] == pytest.approx((row["value"] - row["null_mean"]) / row["null_sd"])
    assert abs(row["z"]) < 4
    assert 0.001 < row["p"] < 1


def test_a_network_of_planted_layers_is_far_from_its_null(planted_mask):
    masks = {name: planted_mask(shape, round(0.5 * math.prod(shape)), 0.2) for name, shape in SHAPES.items()}
    row = next(r for r in analysis.spatial_summary(masks)["network"] if r["by"] == "output")
    assert row["z"] > 5
    assert row["p"] == pytest.approx(1 / 201)


def test_empty_kernels_and_filters_are_those_of_chance(random_mask):
    shape, n_active, n = (12, 10, 3, 3), 300, 400
    rows = [analysis.layer_rows({"a": random_mask(shape, n_active, seed)})[0] for seed in range(n)]
    seen = np.array([row["empty_kernels"] for row in rows])
    assert seen.mean() == pytest.approx(rows[0]["empty_kernels_expected"], abs=4 * seen.std() / n**0.5)
    assert seen.std() == pytest.approx(rows[0]["empty_kernels_sd"], rel=0.15)
    d = n_active / 1080
    assert rows[0]["empty_kernels_expected"] == pytest.approx(120 * (1 - d) ** 9, rel=0.03)
    few, _ = analysis.empty_groups(120_000, 9, round(0.6 * 9 * 120_000))  # large: (1 - d)^k, science of the null
    assert few / 120_000 == pytest.approx(2.62e-4, rel=2e-3)


def test_empty_groups_agree_with_all_masks_listed():
    groups, size, n_active = 3, 2, 3
    empty = [
        sum(all(2 * g + i not in places for i in range(size)) for g in range(groups))
        for places in itertools.combinations(range(groups * size), n_active)
    ]
    mean, sd = analysis.empty_groups(groups, size, n_active)
    assert (mean, sd) == pytest.approx((np.mean(empty), np.std(empty)))
    assert analysis.empty_groups(3, 2, 6) == (0.0, 0.0)
    assert analysis.empty_groups(3, 2, 0) == (3.0, 0.0)


def test_rows_of_layers_count_what_is_empty():
    mask = torch.zeros(3, 2, 2, 2, dtype=torch.bool)
    mask[0, 0, 0, 0] = mask[2, 0] = True
    (row,) = analysis.layer_rows({"a": mask})
    told = {
        key: row[key] for key in ("n_active", "filters", "empty_kernels", "filters_without_inputs", "inputs_unread")
    }
    assert told == {
        "n_active": 5,
        "filters": 3,
        "empty_kernels": 4,
        "filters_without_inputs": 1,
        "inputs_unread": 1,
    }
    assert row["density"] == pytest.approx(5 / 24)
    assert row["filters_dead"] is None


def test_dead_filters_of_a_real_network_are_in_the_rows():
    model = models.build("resnet8", 10, image_size=32, width=4)
    masks = {name: torch.ones_like(p, dtype=torch.bool) for name, p in model.named_parameters() if p.ndim in (2, 4)}
    assert all(row["filters_dead"] == 0 for row in analysis.layer_rows(masks, model))
    first = next(iter(masks))
    masks[first][1] = False
    row = analysis.layer_rows(masks, model)[0]
    assert row["layer"] == first
    assert row["filters_without_inputs"] == row["filters_dead"] == 1


def test_dense_weights_are_cut_to_the_counts_of_a_sparse_network():
    weights = {name: torch.randn(shape, generator=torch.Generator().manual_seed(3)) for name, shape in SHAPES.items()}
    wanted = {"a": 500, "c": 30}
    own = analysis.magnitude_masks(weights, wanted)
    assert {name: int(mask.sum()) for name, mask in own.items()} == wanted
    for name, mask in own.items():
        assert weights[name][mask].abs().min() > weights[name][~mask].abs().max()
    together = analysis.magnitude_masks(weights, wanted, scope="global")
    assert sum(int(mask.sum()) for mask in together.values()) == 530
    kept = min(float(weights[n][m].abs().min()) for n, m in together.items() if m.any())
    assert kept > max(float(weights[n][~m].abs().max()) for n, m in together.items())
    with pytest.raises(InputError, match="no layer x"):
        analysis.magnitude_masks(weights, {"x": 1})


def test_bad_masses_are_refused():
    with pytest.raises(InputError, match="not all finite"):
        analysis.kernel_mass(torch.tensor([[math.nan, 1.0]]))
    with pytest.raises(InputError, match="a mask of shape"):
        analysis.kernel_mass(torch.ones(2, 2), torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(InputError, match=r"a mass of shape"):
        analysis.spatial_rows(np.ones((2, 2), dtype=np.int64), 1, mass=analysis.kernel_mass(torch.ones(3, 2)))
    with pytest.raises(InputError, match="a mask of a"):
        analysis.spatial_summary({"a": torch.ones(2, 2, dtype=torch.bool)}, {})
