"""Kernel maps and the spread of weights: worked examples, properties and the null of random masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from regrow import analysis
from regrow.errors import InputError


def random_mask(shape, n_active, seed=0):
    mask = torch.zeros(math.prod(shape), dtype=torch.bool)
    mask[torch.randperm(mask.numel(), generator=torch.Generator().manual_seed(seed))[:n_active]] = True
    return mask.reshape(shape)


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.sampled_from([(), (3,), (2, 3), (2, 2, 2)]), st.integers(0, 99))
def test_a_kernel_map_counts_every_kernel_for_itself(n_out, n_in, kernel, seed):
    mask = torch.rand((n_out, n_in, *kernel), generator=torch.Generator().manual_seed(seed)) < 0.5
    found = analysis.kernel_map(mask)
    assert found.shape == (n_out, n_in)
    assert np.issubdtype(found.dtype, np.integer)
    for o in range(n_out):
        for i in range(n_in):
            assert found[o, i] == int(mask[o, i].sum())


def test_a_weight_s_map_is_that_of_its_non_zeros_and_leaves_it_alone():
    weight = nn.Parameter(torch.tensor([[[[0.0, -1e-30], [2.0, 0.0]]]]))
    assert analysis.kernel_map(weight).tolist() == [[2]]
    assert weight.requires_grad


def test_maps_of_a_network_leave_out_what_has_no_kernels():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 5, groups=4), nn.Linear(4, 2))
    maps = analysis.kernel_maps(model.state_dict())
    assert {name: found.shape for name, found in maps.items()} == {
        "0.weight": (4, 3),
        "2.weight": (4, 1),
        "3.weight": (2, 4),
    }
    assert analysis.kernel_sizes(model.state_dict()) == {"0.weight": 9, "2.weight": 25, "3.weight": 1}
    assert maps["0.weight"].max() == 9
    with pytest.raises(InputError, match="at least 2 dimensions"):
        analysis.kernel_map(torch.ones(4))


@settings(deadline=None)
@given(st.lists(st.integers(-2, 2).map(float), min_size=1, max_size=12), st.data())
def test_the_largest_weights_are_kept_and_the_first_among_equals(values, data):
    n = data.draw(st.integers(0, len(values)))
    mask = analysis.largest(torch.tensor(values), n)
    ranked = sorted(range(len(values)), key=lambda j: (-abs(values[j]), j))
    assert mask.nonzero().reshape(-1).tolist() == sorted(ranked[:n])


def test_an_impossible_budget_is_refused():
    with pytest.raises(InputError, match=r"0 \.\. 3, got 4"):
        analysis.largest(torch.ones(3), 4)


def test_the_worked_example_of_dispersion():
    found = analysis.dispersion([2, 9, 9, 16], 18)
    assert found is not None
    assert found.ratio == pytest.approx(7.158436, rel=1e-6)
    assert found.chi2 == pytest.approx(21.475308, rel=1e-6)
    assert found.df == 3
    assert found.p == pytest.approx(8.386e-5, rel=1e-4)
    assert analysis.dispersion([2, 9, 9, 16], 18) == found
    assert np.mean((np.array([2, 9, 9, 16]) - 9) ** 2) / found.ratio == pytest.approx(3.422535, rel=1e-6)


def test_the_worked_examples_of_gini_and_effective_number():
    assert analysis.gini((0, 0, 2, 6)) == pytest.approx(0.625)
    assert analysis.effective_number((0, 0, 2, 6)) == pytest.approx(1.754765, rel=1e-6)


counts = st.lists(st.integers(0, 50), min_size=1, max_size=12)


@settings(deadline=None)
@given(counts)
def test_gini_is_the_mean_absolute_difference(x):
    found = analysis.gini(x)
    if sum(x) == 0:
        assert found is None
        assert analysis.effective_number(x) is None
        return
    pairs = np.abs(np.subtract.outer(x, x)).mean()
    assert found == pytest.approx(pairs / (2 * np.mean(x)), abs=1e-12)
    assert analysis.effective_number(x) == pytest.approx(math.exp(stats.entropy(x)))


@settings(deadline=None)
@given(counts, st.randoms(use_true_random=False))
def test_the_order_of_groups_does_not_matter(x, random):
    shuffled = random.sample(x, len(x))
    assert analysis.gini(shuffled) == pytest.approx(analysis.gini(x))
    a, b = analysis.dispersion(x, 50), analysis.dispersion(shuffled, 50)
    assert (a is None) == (b is None)
    if a is not None and b is not None:
        assert a.ratio == pytest.approx(b.ratio)


def test_equal_groups_have_none_of_it_and_one_full_group_has_all():
    assert analysis.gini([5, 5, 5, 5]) == 0
    assert analysis.effective_number([5, 5, 5, 5]) == pytest.approx(4)
    assert analysis.gini([0, 0, 0, 7]) == pytest.approx(3 / 4)
    even = analysis.dispersion([5, 5, 5, 5], 9)
    assert even is not None
    assert (even.ratio, even.p) == (0, 1)


@pytest.mark.parametrize(("x", "size"), [([0, 0], 4), ([4, 4], 4), ([3], 9)])
def test_where_nothing_can_vary_there_is_no_dispersion(x, size):
    assert analysis.dispersion(x, size) is None


def test_random_masks_have_dispersion_one_and_chi_squared_statistics():
    found = [
        analysis.dispersion(analysis.kernel_map(random_mask((16, 8, 3, 3), 691, seed)).sum(axis=1), 72)
        for seed in range(300)
    ]
    ratios = [x.ratio for x in found if x is not None]
    assert len(ratios) == 300
    assert np.mean(ratios) == pytest.approx(1, abs=4 * np.std(ratios) / 300**0.5)
    assert stats.kstest([x.chi2 for x in found if x is not None], stats.chi2(15).cdf).pvalue > 1e-3


def test_rows_agree_with_the_single_figures_for_each_grouping():
    kernels = analysis.kernel_map(random_mask((4, 6, 3, 3), 90))
    rows = {row["by"]: row for row in analysis.spatial_rows(kernels, 9)}
    for by, x, size in (
        ("output", kernels.sum(axis=1), 54),
        ("input", kernels.sum(axis=0), 36),
        ("kernel", kernels.reshape(-1), 9),
    ):
        row, found = rows[by], analysis.dispersion(x, size)
        assert found is not None
        assert (row["groups"], row["group_size"], row["n_active"]) == (len(x), size, 90)
        assert row["density"] == pytest.approx(90 / 216)
        assert (row["dispersion"], row["chi2"], row["p"]) == (found.ratio, found.chi2, found.p)
        assert row["log_dispersion"] == pytest.approx(math.log(found.ratio))
        assert row["gini"] == analysis.gini(x)
        assert (row["z_gini"], row["null_masks"]) == (None, 0)


def test_z_tells_a_concentrated_mask_from_a_random_one_and_gini_alone_does_not():
    shape = (8, 6, 3, 3)
    by_chance = analysis.spatial_rows(analysis.kernel_map(random_mask(shape, 130)), 9, null_masks=200)[0]
    concentrated = random_mask(shape, 130)
    concentrated[:4] = False
    concentrated[:4, :, :1] = True
    packed = torch.zeros(math.prod(shape), dtype=torch.bool)
    packed[:130] = True  # whole filters, one after the other
    by_filter = analysis.spatial_rows(analysis.kernel_map(packed.reshape(shape)), 9, null_masks=200)[0]
    assert by_chance["gini"] > 0.02
    assert abs(by_chance["z_log_dispersion"]) < 4
    assert abs(by_chance["z_gini"]) < 4
    assert by_filter["z_log_dispersion"] > 6
    assert by_filter["z_gini"] > 10


def test_the_null_follows_from_the_seed_alone():
    kernels = analysis.kernel_map(random_mask((4, 4, 3, 3), 60))
    first, again = (analysis.spatial_rows(kernels, 9, null_masks=200, seed=7) for _ in range(2))
    assert first == again
    assert analysis.spatial_rows(kernels, 9, null_masks=200, seed=8) != first


@pytest.mark.parametrize("n_active", [0, 72])
def test_empty_and_full_layers_have_rows_without_figures(n_active):
    for row in analysis.spatial_rows(analysis.kernel_map(random_mask((4, 2, 3, 3), n_active)), 9, null_masks=200):
        assert row["dispersion"] is None
        assert row["z_gini"] is None
        assert row["density"] == n_active / 72


def test_a_network_s_concentration_weights_layers_by_size_and_skips_dense_ones():
    shapes = {"a": (6, 4, 3, 3), "b": (8, 20), "full": (5, 5)}
    masks = {"a": random_mask(shapes["a"], 100), "b": random_mask(shapes["b"], 70), "full": torch.ones(5, 5)}
    maps, sizes = analysis.kernel_maps(masks), analysis.kernel_sizes(masks)
    found = analysis.concentration(maps, sizes)
    logs = {
        by: [{r["by"]: r for r in analysis.spatial_rows(maps[n], sizes[n])}[by]["log_dispersion"] for n in ("a", "b")]
        for by in ("output", "kernel")
    }
    assert found["output"] == pytest.approx((216 * logs["output"][0] + 160 * logs["output"][1]) / 376)
    assert found["kernel"] == pytest.approx(logs["kernel"][0])  # the linear layer has no say per kernel
    assert analysis.concentration({"full": maps["full"]}, sizes)["output"] is None


def test_impossible_input_is_refused():
    kernels = np.full((2, 2), 3)
    with pytest.raises(InputError, match="at least 200"):
        analysis.spatial_rows(kernels, 9, null_masks=50)
    with pytest.raises(InputError, match=r"counts in 0 \.\. 2"):
        analysis.spatial_rows(kernels, 2)
    with pytest.raises(InputError, match="cannot hold 5"):
        analysis.dispersion([5], 4)
    for wrong in ([], [-1, 2], [math.nan]):
        with pytest.raises(InputError, match="counts"):
            analysis.gini(wrong)
