"""Frequency attenuation against numpy's full transform, and accuracy against radius."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from regrow import analysis
from regrow.errors import InputError, UnknownNameError

BINS_BELOW = {0: 0, 1: 1, 2: 9, 4: 45, 6: 109, 8: 193, 10: 305, 12: 437, 16: 793, 22: 1023, 23: 1024}


def images(n=2, side=32, seed=0, dtype=torch.float64, width=None):
    shape = (n, 3, side, side if width is None else width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_hand(x: np.ndarray, radius: float, keep: str, keep_dc: bool = False) -> np.ndarray:
    """The definition: shifted full transform, loop over bins, complex inverse."""
    height, width = x.shape[-2:]
    spectrum = np.fft.fftshift(np.fft.fft2(x), axes=(-2, -1))
    for row in range(height):
        for col in range(width):
            rho = math.hypot(row - height // 2, col - width // 2)
            centre = row == height // 2 and col == width // 2
            if (rho < radius) != (keep == "low") and not (keep_dc and centre):
                spectrum[..., row, col] = 0
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
    st.integers(0, 99),
)
@example(size=(3, 4), radius=1e-200, keep="low", dc=False, seed=0)  # its square is 0
def test_attenuation_is_the_definition_for_any_size_and_its_imaginary_part_is_nothing(size, radius, keep, dc, seed):
    x = images(1, size[0], seed, width=size[1])
    expected = by_hand(x.numpy(), radius, keep, dc)
    found = analysis.attenuate(x, radius, keep, convention="keep_dc" if dc else "follow")
    assert np.abs(expected.imag).max() < 1e-14
    np.testing.assert_allclose(found.numpy(), expected.real, atol=1e-13)


def test_at_32_pixels_the_imaginary_part_is_below_1e_15_and_the_half_plane_is_enough():
    x = images(1)
    for radius in (4, 8, 12):
        expected = by_hand(x.numpy(), radius, "low")
        assert np.abs(expected.imag).max() < 1e-15
        np.testing.assert_allclose(analysis.attenuate(x, radius).numpy(), expected.real, atol=2e-15)


@pytest.mark.parametrize("radius", [1, 2.5, 4, 8, 16])
def test_low_and_high_add_up_to_the_image(radius):
    x = images()
    total = analysis.attenuate(x, radius, "low") + analysis.attenuate(x, radius, "high")
    assert float((total - x).abs().max()) < 5e-15


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


@pytest.mark.parametrize("keep", ["low", "high"])
def test_order_of_normalisation_matters_only_where_the_zero_frequency_goes(keep):
    pixels = images().sigmoid()
    mean = torch.tensor([0.49, 0.48, 0.45], dtype=torch.float64).view(3, 1, 1)
    std = torch.tensor([0.20, 0.199, 0.201], dtype=torch.float64).view(3, 1, 1)

    def gap(convention):
        after = analysis.attenuate((pixels - mean) / std, 4, keep, convention=convention)
        before = (analysis.attenuate(pixels, 4, keep, convention=convention) - mean) / std
        return (after - before).abs().amax(dim=(0, 2, 3))

    assert float(gap("keep_dc").max()) < 1e-14
    expected = (mean / std).reshape(3) if keep == "high" else torch.zeros(3, dtype=torch.float64)
    torch.testing.assert_close(gap("follow"), expected, atol=1e-13, rtol=0)


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


def test_removal_is_not_clipped():
    x = torch.zeros(1, 1, 8, 8)
    x[..., 4, 4] = 1
    assert float(analysis.attenuate(x, 2, "low").min()) < 0


def test_the_input_is_left_as_it_was():
    x = images()
    copy = x.clone()
    analysis.attenuate(x, 4, "high")
    assert torch.equal(x, copy)


def test_registered_radii_scale_with_the_image():
    assert analysis.registered_radii(32) == ((4, 6, 8, 10, 12), (1, 2, 3, 4, 6))
    assert analysis.registered_radii(224) == ((28, 42, 56, 70, 84), (7, 14, 21, 28, 42))


def frequency_reader(threshold: float):
    """Class 1 where the image carries a column wave of 6 cycles, class 0 elsewhere."""
    wave = torch.cos(2 * math.pi * 6 * torch.arange(32, dtype=torch.float32) / 32)

    def predict(x: torch.Tensor) -> torch.Tensor:
        score = (x * wave).mean(dim=(1, 2, 3))
        return torch.stack([threshold - score, score - threshold], dim=1)

    return predict, wave


def test_a_network_that_reads_one_frequency_fails_exactly_where_it_is_gone():
    predict, wave = frequency_reader(0.2)
    labels = torch.tensor([0, 1] * 10)
    x = 0.01 * images(20, dtype=torch.float32) + labels.view(-1, 1, 1, 1) * wave
    found = analysis.radius_accuracy(predict, x, labels, radii_low=(4, 6, 8), radii_high=(0, 6, 7))
    assert found["convention"] == "follow"
    assert found["n"] == 20
    assert found["low"] == [
        {"radius": 4.0, "accuracy": 0.5},
        {"radius": 6.0, "accuracy": 0.5},
        {"radius": 8.0, "accuracy": 1.0},
    ]
    assert found["high"] == [
        {"radius": 0.0, "accuracy": 1.0},
        {"radius": 6.0, "accuracy": 1.0},
        {"radius": 7.0, "accuracy": 0.5},
    ]


@pytest.mark.parametrize("convention", ["follow", "keep_dc"])
def test_the_curve_is_the_plain_loop_whatever_the_batches(convention):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 5)).eval()
    x, labels = images(23, dtype=torch.float32) + 0.3, np.arange(23) % 5
    whole = analysis.radius_accuracy(net, x, labels, convention=convention)
    assert analysis.radius_accuracy(net, x, labels, convention=convention, batch_size=7) == whole
    assert analysis.radius_accuracy(net, iter(x.split(4)), labels, convention=convention) == whole
    for keep, radii in zip(("low", "high"), analysis.registered_radii(32), strict=True):
        assert [row["radius"] for row in whole[keep]] == list(radii)
        for row in whole[keep]:
            with torch.no_grad():
                answer = net(analysis.attenuate(x, row["radius"], keep, convention=convention)).argmax(1).numpy()
            assert row["accuracy"] == np.mean(answer == labels)


def test_predict_may_give_classes_and_each_batch_is_transformed_once(monkeypatch):
    calls = []
    real = torch.fft.rfft2
    monkeypatch.setattr(torch.fft, "rfft2", lambda x: calls.append(len(x)) or real(x))
    found = analysis.radius_accuracy(
        lambda x: torch.zeros(len(x), dtype=torch.int64), images(10), torch.zeros(10), batch_size=4
    )
    assert calls == [4, 4, 2]
    assert {row["accuracy"] for row in found["low"] + found["high"]} == {1.0}


def test_one_answer_for_several_views_is_counted_once():
    x, labels = images(12), torch.tensor([0, 1, 1, 0, 1, 0])

    def by_pairs(views):
        return (views[0::2].mean((1, 2, 3)) > views[1::2].mean((1, 2, 3))).long()

    found = analysis.radius_accuracy(by_pairs, x, labels, radii_low=[], radii_high=[0], batch_size=4)
    assert found["n"] == 6
    assert found["high"][0]["accuracy"] == np.mean((by_pairs(x) == labels).numpy())
    with pytest.raises(InputError, match="7 labels and 6"):
        analysis.radius_accuracy(by_pairs, x, torch.zeros(7), batch_size=4)


def test_impossible_input_is_refused():
    x = images(4)
    for radius in (-1, math.nan, math.inf):
        with pytest.raises(InputError, match="radius"):
            analysis.attenuate(x, radius)
    with pytest.raises(UnknownNameError, match="Did you mean 'high'"):
        analysis.attenuate(x, 1, "hihg")
    with pytest.raises(UnknownNameError, match="'keep_dc'"):
        analysis.radius_accuracy(lambda x: x, x, torch.zeros(4), convention="keepdc")
    with pytest.raises(InputError, match="float tensor"):
        analysis.attenuate((x * 255).to(torch.uint8), 1)
    for labels, words in ((3, "3 labels and 4 images"), (5, "5 labels and 4 images")):
        with pytest.raises(InputError, match=words):
            analysis.radius_accuracy(lambda x: torch.zeros(len(x)), x, torch.zeros(labels))
    with pytest.raises(InputError, match="0 labels and 0 images"):
        analysis.radius_accuracy(lambda x: x, [], torch.zeros(0))
