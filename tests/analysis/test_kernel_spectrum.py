"""Spectra of kernels against the padded transform, and what random masks do to them."""

from __future__ import annotations

import json
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

DELTA = 827 / 1024  # bins of the 32 x 32 plane at rho > 8


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def padded_share(kernel: np.ndarray, radius: float = 8) -> float:
    """The definition: pad, transform, sum over bins."""
    power = np.abs(np.fft.fftshift(np.fft.fft2(kernel, (32, 32)))) ** 2
    rho = np.hypot(*np.meshgrid(np.arange(-16, 16), np.arange(-16, 16), indexing="ij"))
    return power[rho > radius].sum() / power.sum()


@pytest.mark.parametrize(
    ("kernel", "share"),
    [
        (np.ones((3, 3)), 0.191516),
        ([[0, 0, 0], [0, 1, 0], [0, 0, 0]], 0.807617),
        ([[1, 0, -1], [2, 0, -2], [1, 0, -1]], 0.662032),
        ([[0, 1, 0], [1, -4, 1], [0, 1, 0]], 0.984957),
    ],
    ids=["box", "delta", "sobel", "laplacian"],
)
def test_kernels_of_known_share(kernel, share):
    found = analysis.kernel_shares(torch.tensor(kernel, dtype=torch.float32).view(1, 1, 3, 3))
    assert found.item() == pytest.approx(share, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.tuples(st.integers(1, 7), st.integers(2, 7)), st.booleans(), st.floats(1, 20), st.integers(0, 99))
def test_the_quadratic_form_is_the_padded_transform(sides, swap, radius, seed):
    weight = normal(3, 2, *(sides[::-1] if swap else sides), seed=seed)
    found = analysis.kernel_shares(weight, radius=radius)
    filters = analysis.filter_shares(weight, radius=radius)
    for o in range(3):
        for i in range(2):
            assert found[o, i] == pytest.approx(padded_share(weight[o, i].double().numpy(), radius), abs=1e-9)
        energy = weight[o].double().square().sum(dim=(1, 2)).numpy()
        assert filters[o] == pytest.approx((found[o] * energy).sum() / energy.sum(), abs=1e-9)


@settings(deadline=None)
@given(st.integers(0, 99), st.floats(-5, 5).filter(lambda x: abs(x) > 0.01))
def test_scale_sign_shift_and_mirroring_change_no_share(seed, scale):
    kernel = normal(1, 1, 3, 3, seed=seed)
    moved = torch.zeros(1, 1, 5, 5)
    moved[..., 2:, 1:4] = scale * kernel
    for other in (moved, kernel.flip(2), kernel.transpose(2, 3)):
        assert analysis.kernel_shares(other).item() == pytest.approx(analysis.kernel_shares(kernel).item(), abs=1e-6)


def test_a_single_weight_is_flat_wherever_it_lies():
    weight = torch.zeros(9, 1, 3, 3)
    weight.view(9, 9).copy_(torch.eye(9) * 2)
    np.testing.assert_allclose(analysis.kernel_shares(weight), DELTA, atol=1e-12)


def test_a_clip_s_kernel_speaks_of_space_alone():
    weight = normal(2, 3, 4, 3, 3)
    found = analysis.kernel_shares(weight)
    for o in range(2):
        for i in range(3):
            slices = weight[o, i].double().numpy()
            energy = (slices**2).sum(axis=(1, 2))
            expected = sum(padded_share(s) * e for s, e in zip(slices, energy, strict=True)) / energy.sum()
            assert found[o, i] == pytest.approx(expected, abs=1e-9)
    assert analysis.kernel_shares(weight.flip(2)) == pytest.approx(found)  # order of times does not matter


@pytest.mark.parametrize("shape", [(8, 4, 1, 1), (8, 4, 3, 1, 1), (8, 4), (8,), (8, 4, 9), (2, 1, 33, 3)])
def test_what_has_no_spectrum_says_so(shape):
    assert analysis.no_spectrum(shape)
    assert analysis.kernel_shares(torch.ones(shape)) is None
    assert analysis.filter_shares(torch.ones(shape)) is None
    assert analysis.kernel_spectra({"x": torch.ones(shape)}) == []


def test_rows_of_a_network():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 5, groups=4), nn.Conv2d(8, 4, 1), nn.Linear(4, 2)
    )
    with torch.no_grad():
        model[0].weight[0, 1] = 0
    rows = analysis.kernel_spectra(model.state_dict())
    assert json.loads(json.dumps(rows)) == rows
    assert [(r["layer"], r["kernel"], r["filters"], r["kernels"], r["empty"]) for r in rows] == [
        ("0.weight", [3, 3], 8, 24, 1),
        ("2.weight", [5, 5], 8, 16, 0),
    ]
    weight = model[0].weight.detach().double()
    shares, energy = analysis.kernel_shares(weight), weight.square().sum(dim=(2, 3)).numpy()
    assert rows[0]["share"] == pytest.approx(np.nansum(shares * energy) / energy.sum())
    assert rows[0]["kernel_share"]["n"] == 23
    assert rows[0]["kernel_share"]["mean"] == pytest.approx(np.nanmean(shares))
    assert rows[0]["filter_share"]["sd"] == pytest.approx(analysis.filter_shares(weight).std(ddof=1))
    empty = analysis.kernel_spectra({"a": torch.zeros(2, 2, 3, 3)})[0]
    assert (empty["share"], empty["kernel_share"]["mean"], empty["empty"]) == (None, None, 4)


def thin(weight, counts, seed=0):
    """Random masks with the given number of weights in each kernel."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.zeros_like(weight).reshape(-1, weight[0, 0].numel())
    for row, n in zip(mask, counts, strict=True):
        row[torch.randperm(len(row), generator=generator)[:n]] = 1
    return mask.reshape(weight.shape)


def by_layer(found, by):
    return {row["layer"]: row for row in found["rows"] if row["by"] == by}


def test_random_masks_draw_a_share_towards_that_of_one_weight():
    kernel = torch.tensor([[1.0, 2, 1], [2, 3, 2], [1, 1, 0.5]])
    share = analysis.kernel_shares(kernel.view(1, 1, 3, 3)).item()
    for n in (2, 5, 8):
        weight = kernel.expand(4000, 1, 3, 3)
        masked = weight * thin(weight, [n] * 4000, seed=n)
        found = analysis.filter_shares(masked.reshape(1, 4000, 3, 3)).item()  # weighted by energy
        assert found == pytest.approx(DELTA + (n - 1) / 8 * (share - DELTA), abs=0.01)


def test_rank_correlations_are_spearman_s():
    first, counts = normal(12, 10, 3, 3), np.arange(120) % 10
    mask = thin(first, counts)
    final = first * mask
    found = analysis.density_relation({"a": final}, masks={"a": mask}, initial={"a": first})
    kernel, filters = by_layer(found, "kernel")["a"], by_layer(found, "filter")["a"]
    now, then = analysis.kernel_shares(final).reshape(-1), analysis.kernel_shares(first).reshape(-1)
    has = ~np.isnan(now)
    assert kernel["n_final"] == has.sum() == 108
    assert kernel["rho_final"] == pytest.approx(stats.spearmanr(counts[has], now[has]).statistic)
    assert (kernel["n_initial"], kernel["rho_initial"]) == (120, pytest.approx(stats.spearmanr(counts, then).statistic))
    assert kernel["empty"] == pytest.approx(then[counts == 0].mean())
    assert kernel["others"] == pytest.approx(then[counts > 0].mean())
    per_filter = counts.reshape(12, 10).sum(axis=1)
    assert per_filter.std() == 0  # nothing to correlate
    assert filters["rho_final"] is None
    assert filters["empty"] is None
    assert found["pooled"][1]["rho_final"] == pytest.approx(kernel["rho_final"])
    assert json.loads(json.dumps(found)) == found


def test_without_masks_non_zeros_count_and_other_layers_are_named():
    first = normal(6, 6, 3, 3)
    final = first * thin(first, np.arange(36) % 9 + 1)
    tensors = {"a": final, "b": torch.ones(4, 4), "c": torch.ones(4, 4, 1, 1)}
    found = analysis.density_relation(tensors)
    masked = analysis.density_relation(tensors, masks={"a": final != 0})
    assert found == masked
    assert found["without_spectrum"] == {"b": "no kernel in two dimensions", "c": "kernels of one pixel"}
    row = by_layer(found, "kernel")["a"]
    assert (row["rho_initial"], row["initial_density"], row["z"], row["n_initial"]) == (None, None, None, 0)


def smooth(n_out, n_in, seed=0):
    """Kernels of low frequency: one value each with a little noise."""
    return 1 + 0.1 * normal(n_out, n_in, 3, 3, seed=seed)


def test_random_removal_of_low_frequency_weights_fools_the_final_correlation_and_neither_of_the_others():
    first = smooth(20, 20)
    mask = thin(first, np.arange(400) % 9 + 1)
    found = analysis.density_relation({"a": first * mask}, masks={"a": mask}, initial={"a": first}, null_masks=200)
    row = by_layer(found, "kernel")["a"]
    assert row["rho_final"] < -0.8
    assert abs(row["rho_initial"]) < 4 / 400**0.5
    assert abs(row["z"]) < 4
    assert row["null_mean"] == pytest.approx(row["rho_final"], abs=0.05)
    pooled = found["pooled"][1]
    assert pooled["null_mean"] == pytest.approx(row["null_mean"])
    assert pooled["z"] == pytest.approx(row["z"])


def test_selection_of_high_frequency_kernels_is_found():
    first = normal(20, 20, 3, 3)
    order = np.argsort(np.argsort(-analysis.kernel_shares(first).reshape(-1)))
    mask = thin(first, order * 10 // 400)  # the highest share keeps nothing
    found = analysis.density_relation({"a": first * mask}, masks={"a": mask}, initial={"a": first}, null_masks=200)
    row = by_layer(found, "kernel")["a"]
    assert row["rho_initial"] < -0.95
    assert row["empty"] > row["others"] + 0.05
    assert row["z"] is not None
    lone = analysis.density_relation({"a": first * mask}, masks={"a": mask}, initial={"a": first})
    assert by_layer(lone, "kernel")["a"]["rho_initial"] == row["rho_initial"]


def test_removing_the_high_frequencies_of_kernels_shows_in_z():
    """Masks that leave the smoothest of many choices, in kernels with few weights alone: against the mechanics."""
    first = normal(10, 10, 3, 3)
    counts = np.arange(100) % 2 * 4 + 4
    masks = torch.stack([thin(first, counts, seed) for seed in range(30)])
    shares = np.stack([analysis.kernel_shares(first * mask) for mask in masks])
    best = np.where(counts.reshape(10, 10) == 4, shares.argmax(axis=0), shares.argmin(axis=0))
    mask = torch.stack([masks[best[o, i], o, i] for o in range(10) for i in range(10)]).reshape(first.shape)
    found = analysis.density_relation({"a": first * mask}, masks={"a": mask}, initial={"a": first}, null_masks=200)
    assert by_layer(found, "kernel")["a"]["z"] < -5


def test_the_null_keeps_every_kernel_s_number_of_weights():
    first = normal(4, 5, 3, 3)
    counts = np.arange(20) % 10
    layer = next(analysis.kernel_spectrum._layers({"a": first * thin(first, counts)}, None, {"a": first}))
    drawn = [layer.thinned(3, index) for index in range(2)]
    for one in drawn:
        assert np.count_nonzero(one, axis=(2, 3)).reshape(-1).tolist() == counts.tolist()
        assert (one[one != 0] == first.numpy().astype(float)[one != 0]).all()
    assert not np.array_equal(*drawn)
    np.testing.assert_array_equal(layer.thinned(3, 0), drawn[0])


def test_differences_between_layers_do_not_enter_the_pooled_figure():
    """One layer is dense and of low frequency, the other sparse and of high: within each there is nothing."""
    low, high = smooth(10, 10), normal(10, 10, 3, 3) * torch.tensor([[1.0, -1, 1], [-1, 1, -1], [1, -1, 1]])
    masks = {"low": thin(low, np.arange(100) % 2 + 8), "high": thin(high, np.arange(100) % 2 + 2)}
    found = analysis.density_relation(
        {"low": low * masks["low"], "high": high * masks["high"]}, masks=masks, initial={"low": low, "high": high}
    )
    rows, pooled = by_layer(found, "kernel"), found["pooled"][1]
    assert pooled["layers"] == 2
    both = sorted(rows[name]["rho_initial"] for name in ("low", "high"))
    assert both[0] <= pooled["rho_initial"] <= both[1]
    assert abs(pooled["rho_initial"]) < 4 / 200**0.5
    counts = torch.cat([m.reshape(100, 9).sum(1) for m in masks.values()]).numpy()
    shares = np.concatenate([analysis.kernel_shares(w).reshape(-1) for w in (low, high)])
    assert stats.spearmanr(counts, shares).statistic < -0.5  # what pooling without care would have said


def test_dense_layers_have_nothing_to_correlate():
    found = analysis.density_relation({"a": normal(4, 4, 3, 3)}, initial={"a": normal(4, 4, 3, 3)}, null_masks=200)
    for row in found["rows"] + found["pooled"]:
        assert (row["rho_initial"], row["rho_final"], row["z"], row["null_mean"]) == (None, None, None, None)
    assert [p["layers"] for p in found["pooled"]] == [0, 0]


def test_impossible_input_is_refused():
    w = normal(4, 4, 3, 3)
    with pytest.raises(InputError, match="at least 200"):
        analysis.density_relation({"a": w}, initial={"a": w}, null_masks=50)
    with pytest.raises(InputError, match="0 initial weights"):
        analysis.density_relation({"a": w}, null_masks=200)
    for kind, other in (("mask", {"masks": {"a": w[:2]}}), ("initial weight", {"initial": {"a": w[:2]}})):
        with pytest.raises(InputError, match=f"{kind} of a has the shape"):
            analysis.density_relation({"a": w}, **other)
    assert math.isnan(analysis.kernel_shares(torch.zeros(1, 1, 3, 3)).item())
