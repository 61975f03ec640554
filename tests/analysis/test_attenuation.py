"""Frequency attenuation against numpy's full transform, bin by bin."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from regrow import analysis
from regrow.errors import InputError, UnknownNameError

MEAN, STD = (0.49, 0.48, 0.45), (0.20, 0.199, 0.201)
BINS_BELOW = {0: 0, 1: 1, 2: 9, 4: 45, 6: 109, 8: 193, 10: 305, 12: 437, 16: 793, 22: 1023, 23: 1024}


def images(n=2, side=32, seed=0, dtype=torch.float64, width=None):
    shape = (n, 3, side, side if width is None else width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def inside(rho: float, radius: float, edge: float | str) -> float:
    """How much of a bin a disc holds."""
    if edge == "hard" or radius == 0:
        return 1.0 if rho < radius else 0.0
    half = min(edge / 2, radius)
    if rho <= radius - half:
        return 1.0
    if rho >= radius + half:
        return 0.0
    return 0.5 + 0.5 * math.cos(math.pi * (rho - radius + half) / (2 * half))


def by_hand(x: np.ndarray, radius: float, keep: str, keep_dc: bool = False, edge: float | str = "hard") -> np.ndarray:
    """The definition: shifted full transform, loop over bins, complex inverse."""
    height, width = x.shape[-2:]
    spectrum = np.fft.fftshift(np.fft.fft2(x), axes=(-2, -1))
    for row in range(height):
        for col in range(width):
            weight = inside(math.hypot(row - height // 2, col - width // 2), radius, edge)
            centre = row == height // 2 and col == width // 2
            spectrum[..., row, col] *= 1 if keep_dc and centre else weight if keep == "low" else 1 - weight
    return np.fft.ifft2(np.fft.ifftshift(spectrum, axes=(-2, -1)))


@pytest.mark.parametrize(("radius", "count"), BINS_BELOW.items())
def test_the_number_of_bins_below_a_radius(radius, count):
    low = analysis.radial_mask(32, 32, radius, "low")
    high = analysis.radial_mask(32, 32, radius, "high")
    assert int(low.sum()) == count
    assert torch.equal(high, ~low)
    assert bool(low[16, 16]) == (radius > 0)


def test_keeping_the_zero_frequency_changes_that_bin_alone():
    follow = analysis.radial_mask(32, 32, 4, "high")
    kept = analysis.radial_mask(32, 32, 4, "high", convention="keep_dc")
    assert (follow != kept).nonzero().tolist() == [[16, 16]]


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(2, 9), st.integers(2, 9)),
    st.floats(0, 8),
    st.sampled_from(["low", "high"]),
    st.booleans(),
    st.one_of(st.just("hard"), st.floats(0.01, 20)),
    st.integers(0, 99),
)
@example(size=(3, 4), radius=1e-200, keep="low", dc=False, edge="hard", seed=0)  # its square is 0
@example(size=(3, 4), radius=1e-200, keep="high", dc=False, edge=1.0, seed=0)
def test_attenuation_is_the_definition_for_any_size_and_its_imaginary_part_is_nothing(
    size, radius, keep, dc, edge, seed
):
    x = images(1, size[0], seed, width=size[1])
    expected = by_hand(x.numpy(), radius, keep, dc, edge)
    found = analysis.attenuate(x, radius, keep, convention="keep_dc" if dc else "follow", edge=edge)
    assert np.abs(expected.imag).max() < 1e-14
    np.testing.assert_allclose(found.numpy(), expected.real, atol=1e-13)


def test_at_32_pixels_the_imaginary_part_is_below_1e_15_and_the_half_plane_is_enough():
    x = images(1)
    for radius in (4, 8, 12):
        expected = by_hand(x.numpy(), radius, "low")
        assert np.abs(expected.imag).max() < 1e-15
        np.testing.assert_allclose(analysis.attenuate(x, radius).numpy(), expected.real, atol=2e-15)


EDGES = st.one_of(st.just("hard"), st.floats(0.01, 40))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.floats(0, 9), EDGES, st.integers(0, 99))
def test_low_and_high_add_up_to_the_image(height, width, radius, edge, seed):
    x = images(1, height, seed, width=width)
    total = analysis.attenuate(x, radius, "low", edge=edge) + analysis.attenuate(x, radius, "high", edge=edge)
    assert float((total - x).abs().max()) < 2e-15
    assert torch.equal(analysis.attenuate(x, 0, "high", edge=edge), x)


def test_low_and_high_add_up_at_32_pixels():
    x = images()
    for radius in (1, 2.5, 4, 8, 16):
        total = analysis.attenuate(x, radius, "low") + analysis.attenuate(x, radius, "high")
        assert float((total - x).abs().max()) < 5e-15


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 30), EDGES, st.floats(0, 30))
def test_a_soft_edge_falls_within_its_width_and_ever_narrower_it_is_hard(height, width, radius, edge, other):
    rho = analysis.frequency_radii(height, width)
    weight = analysis.radial_weights(height, width, radius, edge=edge)
    reach = 0 if edge == "hard" else edge / 2
    hard = analysis.radial_mask(height, width, radius)
    away = (rho - radius).abs() > reach + 1e-9
    assert torch.equal(weight[away], hard[away].double())
    assert bool(weight[height // 2, width // 2] == (radius > 0))
    order = rho.flatten().argsort()
    assert bool((weight.flatten()[order].diff() <= 1e-15).all())
    larger = analysis.radial_weights(height, width, max(radius, other), edge=edge)
    assert bool((larger >= weight - 1e-12).all())
    apart = (rho - radius).abs() > 1e-6
    assert torch.equal(analysis.radial_weights(height, width, radius, edge=1e-6)[apart], hard[apart].double())


def test_a_cosine_of_width_one_is_half_at_its_radius_and_whole_and_gone_half_a_bin_away():
    weight = analysis.radial_weights(1, 32, 4.25, edge=1)[0, 16:]
    expected = [1, 1, 1, 1, (1 + math.cos(math.pi / 4)) / 2, 0, 0]
    torch.testing.assert_close(weight[:7], torch.tensor(expected, dtype=torch.float64), atol=1e-15, rtol=0)
    assert float(analysis.radial_weights(1, 32, 4, edge=1)[0, 20]) == pytest.approx(0.5, abs=1e-15)


def test_keeping_everything_changes_no_bit_and_keeping_nothing_leaves_nothing():
    x = images(dtype=torch.float32)
    assert torch.equal(analysis.attenuate(x, 0, "high"), x)
    assert torch.equal(analysis.attenuate(x, 23, "low"), x)
    assert float(analysis.attenuate(x, 0, "low").abs().max()) == 0


def test_radius_one_leaves_each_channel_s_mean():
    x = images()
    mean = x.mean(dim=(2, 3), keepdim=True).expand_as(x)
    torch.testing.assert_close(analysis.attenuate(x, 1, "low"), mean, atol=1e-14, rtol=0)
    torch.testing.assert_close(analysis.attenuate(x, 0, "low", convention="keep_dc"), mean, atol=1e-14, rtol=0)


def test_the_number_of_bins_up_to_a_radius():
    rho = analysis.frequency_radii(32, 32)
    up_to = {0: 1, 1: 5, 2: 13, 4: 49, 8: 197, 12: 441, 16: 795, 22: 1023, 23: 1024}
    assert {radius: int((rho <= radius).sum()) for radius in up_to} == up_to
    assert torch.equal(rho, torch.fft.fftshift(analysis.frequency_radii(32, 32, centred=False)))


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.floats(0, 8),
    st.sampled_from(["low", "high"]),
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0.1, 2)), min_size=3, max_size=3),
    EDGES,
)
def test_keeping_the_zero_frequency_commutes_with_normalisation(size, radius, keep, constants, edge):
    pixels = images(1, size[0], width=size[1]).sigmoid()
    mean, std = torch.tensor(constants, dtype=torch.float64).T.reshape(2, 3, 1, 1)
    after = analysis.attenuate((pixels - mean) / std, radius, keep, convention="keep_dc", edge=edge)
    before = (analysis.attenuate(pixels, radius, keep, convention="keep_dc", edge=edge) - mean) / std
    torch.testing.assert_close(after, before, atol=1e-13, rtol=0)


@pytest.mark.parametrize("convention", ["follow", "keep_dc"])
@pytest.mark.parametrize("keep", ["low", "high"])
@pytest.mark.parametrize("edge", ["hard", 1.0, 3.5])
@pytest.mark.parametrize("size", [(32, 32), (7, 10)])
def test_clipping_is_done_to_pixels_before_they_are_normalised(size, edge, keep, convention):
    pixels = (images(2, size[0], width=size[1]) > 0).double()
    mean, std = (torch.tensor(given, dtype=torch.float64).view(3, 1, 1) for given in (MEAN, STD))
    bounded = False
    for radius in (0, 1, 2.5, 12, 30):
        filtered = by_hand(pixels.numpy(), radius, keep, convention == "keep_dc", edge).real
        bounded |= filtered.min() < 0
        expected = (torch.from_numpy(filtered.clip(0, 1)) - mean) / std
        for dtype, tolerance in ((torch.float64, 1e-13), (torch.float32, 2e-6)):
            x = ((pixels - mean) / std).to(dtype)
            found = analysis.attenuate(x, radius, keep, convention=convention, edge=edge, clip=True, mean=MEAN, std=STD)
            assert found.dtype == dtype
            torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=0)
    assert bounded


@pytest.mark.parametrize("keep", ["low", "high"])
def test_order_of_normalisation_matters_only_where_the_zero_frequency_goes(keep):
    pixels = images().sigmoid()
    mean, std = (torch.tensor(given, dtype=torch.float64).view(3, 1, 1) for given in (MEAN, STD))

    def gap(convention):
        after = analysis.attenuate((pixels - mean) / std, 4, keep, convention=convention)
        before = (analysis.attenuate(pixels, 4, keep, convention=convention) - mean) / std
        return (after - before).abs().amax(dim=(0, 2, 3))

    assert float(gap("keep_dc").max()) < 1e-14
    expected = (mean / std).reshape(3) if keep == "high" else torch.zeros(3, dtype=torch.float64)
    torch.testing.assert_close(gap("follow"), expected, atol=1e-13, rtol=0)
    assert keep == "low" or float(gap("follow")[0]) == pytest.approx(2.45)


def test_a_wave_is_kept_or_removed_whole_at_its_own_radius():
    column = torch.arange(32, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * 6 * column / 32).expand(1, 1, 32, 32)
    assert float(analysis.attenuate(wave, 6, "low").abs().max()) < 1e-14  # half-open: rho < 6
    torch.testing.assert_close(analysis.attenuate(wave, 6.001, "low"), wave, atol=1e-14, rtol=0)
    torch.testing.assert_close(analysis.attenuate(wave, 6, "high"), wave, atol=1e-14, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shape_and_dtype_come_back_and_float32_is_close_to_float64(dtype):
    x = images(dtype=dtype)
    found = analysis.attenuate(x, 8, "low")
    assert (found.shape, found.dtype) == (x.shape, dtype)
    exact = analysis.attenuate(x.double(), 8, "low")
    tolerance = {torch.float32: 2e-6, torch.float64: 0, torch.bfloat16: 2e-2}[dtype]
    assert float((found.double() - exact).abs().max()) <= tolerance


def test_a_double_spectrum_loses_nothing_but_the_rounding_of_its_result():
    x = 1000 + images(dtype=torch.float32)
    expected = torch.from_numpy(by_hand(x.double().numpy(), 4, "high").real.astype(np.float32))
    double = analysis.attenuate(x, 4, "high", float64=True)
    assert double.dtype == torch.float32
    torch.testing.assert_close(double, expected, atol=1e-6, rtol=0)
    single = analysis.attenuate(x, 4, "high")
    assert float((single - expected).abs().max()) > 1e-5  # of float32's 7 digits, 3 are in the mean


def test_removal_is_not_clipped():
    x = torch.zeros(1, 1, 8, 8)
    x[..., 4, 4] = 1
    assert float(analysis.attenuate(x, 2, "low").min()) < 0


def test_the_input_is_left_as_it_was():
    x = images()
    copy = x.clone()
    analysis.attenuate(x, 4, "high")
    assert torch.equal(x, copy)


def test_impossible_input_is_refused():
    x = images(4)
    for radius in (-1, math.nan, math.inf):
        with pytest.raises(InputError, match="radius"):
            analysis.attenuate(x, radius)
    for edge in (0, -1, math.nan, math.inf, "soft"):
        with pytest.raises(InputError, match="an edge must be hard, or a width above 0"):
            analysis.attenuate(x, 1, edge=edge)
    with pytest.raises(UnknownNameError, match="Did you mean 'high'"):
        analysis.attenuate(x, 1, "hihg")
    with pytest.raises(UnknownNameError, match="Did you mean 'keep_dc'"):
        analysis.radial_mask(4, 4, 1, convention="keepdc")
    with pytest.raises(InputError, match="float tensor"):
        analysis.attenuate((x * 255).to(torch.uint8), 1)
    for mean, std in ((None, None), (MEAN, None), (MEAN[:2], STD), (MEAN, (0.2, 0.2, 0))):
        with pytest.raises(InputError, match="standard deviation above 0 for each of 3 channels"):
            analysis.attenuate(x, 1, clip=True, mean=mean, std=std)
    with pytest.raises(InputError, match=r"\(N, C, H, W\)"):
        analysis.attenuate(x[0], 1, clip=True, mean=MEAN, std=STD)
