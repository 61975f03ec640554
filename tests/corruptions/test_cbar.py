"""C-bar with the seeds of its reference bytes, and the types of 3DCC that need no depth."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, stats

from regrow.corruptions import corrupt, get, names
from regrow.corruptions.cbar import spectra, warps
from regrow.corruptions.cbar.grid import sample

GOLDEN = Path(__file__).parents[1] / "golden"
STORED = dict(np.load(GOLDEN / "cbar.npz"))
META = json.loads((GOLDEN / "cbar_meta.json").read_text())
LOW, HIGH = META["crop_224"]
CELLS = [
    (scale, name, k)
    for scale in ("cifar", "imagenet")
    for name in names("c-bar")
    if scale in get(name).settings
    for k in range(1, 6)
]


def test_the_stored_types_are_those_that_there_are():
    assert {f"{scale}_{name}_{k}" for scale, name, k in CELLS} == set(META["seeds"])
    assert len(names("c-bar")) == 15


@pytest.mark.parametrize(("scale", "name", "k"), CELLS)
def test_bytes_of_the_published_generator(scale, name, k):
    images = STORED["input_32" if scale == "cifar" else "input_224"]
    images = images if images.ndim == 4 else images[None]
    rng = np.random.RandomState(META["seeds"][f"{scale}_{name}_{k}"])
    result, expected = corrupt(images, name, k, rng=rng, mode="exact"), STORED[f"{scale}_{name}_{k}"]
    if name == "circular_motion_blur":  # its sum of 21 rounded rotations is one product here
        assert np.abs(result.astype(int) - expected).max() <= 1
        return
    if scale == "imagenet":
        assert hashlib.md5(result[0].tobytes()).hexdigest() == META["md5_224"][f"{scale}_{name}_{k}"]
        result = result[:, LOW:HIGH, LOW:HIGH].reshape(expected.shape)
    np.testing.assert_array_equal(result, expected)


def test_a_rotation_is_scipys():
    image = np.random.RandomState(0).random_sample((20, 20))
    inner = slice(4, -4)
    for degrees in (0.0, 7.0, -33.0):
        filtered = ndimage.spline_filter(image, 3, mode="mirror").ravel()
        ours = (warps._rotation(20, np.radians(degrees)) @ filtered).reshape(20, 20)
        np.testing.assert_allclose(ours, ndimage.rotate(image, degrees, reshape=False), atol=1e-10)
        assert np.abs(ours[inner, inner]).min() > 0


def test_sampling_is_linear_and_zero_outside():
    image = np.random.RandomState(0).random_sample((6, 7, 2))
    rows, columns = np.random.RandomState(1).uniform(-3, 9, (2, 5, 8))
    got = sample(image, rows, columns)
    for channel in range(2):
        padded = np.pad(image[..., channel], 5)
        expected = ndimage.map_coordinates(padded, [rows + 5, columns + 5], order=1)
        np.testing.assert_allclose(got[..., channel], expected, atol=1e-12)


@pytest.mark.parametrize("side", [32, 33, 100, 224])
@pytest.mark.parametrize("name", names("c-bar"))
def test_any_size_takes_the_nearest_column_there_is(name, side):
    image = np.random.RandomState(2).randint(0, 256, (2, side, side, 3)).astype(np.uint8)
    result = corrupt(image, name, 4)
    assert result.shape == image.shape
    assert (result != image).any()


def test_colour_quantisation_keeps_the_high_bits():
    levels = np.arange(256, dtype=np.uint8).repeat(12).reshape(1, 32, 32, 3)
    for severity, bits in zip(range(1, 6), (5, 4, 3, 2, 1), strict=True):
        result = corrupt(levels, "color_quant", severity)
        np.testing.assert_array_equal(result, levels // 2 ** (8 - bits) * 2 ** (8 - bits))
        assert len(np.unique(result)) == 2**bits


@pytest.mark.parametrize("severity", [1, 5])
def test_iso_noise_has_the_variance_of_photons_and_read_out(severity):
    level, std = 120, (0.08, 0.12, 0.18, 0.26, 0.38)[severity - 1]
    result = corrupt(np.full((20, 32, 32, 3), level, np.uint8), "iso_noise", severity).astype(float)
    if severity == 1:  # at five the noise is cut off at both ends
        variance = (level / 255 / 25 + (0.7 * std) ** 2) * 255**2 + 1 / 12
        assert abs(result.var() / variance - 1) < 5 * (2 / result.size) ** 0.5 + 0.01
    legacy = corrupt(
        np.full((20, 32, 32, 3), level, np.uint8), "iso_noise", severity, rng=np.random.RandomState(0), mode="exact"
    )
    assert stats.ks_2samp(result.ravel()[::5], legacy.astype(float).ravel()[::5]).pvalue > 1e-4


def test_low_light_follows_its_parabola():
    ramp = np.broadcast_to(np.linspace(20, 220, 32).astype(np.uint8)[:, None, None], (32, 32, 3))
    images = np.repeat(ramp[None], 60, 0)
    for severity, gain in ((1, 0.6), (5, 0.2)):
        result = corrupt(images, "low_light", severity).astype(float)
        expected = ((ramp[:, 0, 0].astype(float) - 20) / 200) ** 2 * gain * 255
        middle = slice(12, None)  # where noise is not cut off at black
        assert np.abs(result.mean(axis=(0, 2, 3)) + 0.5 - expected)[middle].max() < 1.0
        legacy = corrupt(images, "low_light", severity, rng=np.random.RandomState(0), mode="exact")
        np.testing.assert_allclose(legacy.mean(axis=(0, 2, 3)), result.mean(axis=(0, 2, 3)), atol=1.5)
    flat = corrupt(np.full((1, 32, 32, 3), 90, np.uint8), "low_light", 3)
    assert flat.mean() < 5


@pytest.mark.parametrize("severity", [1, 3])
def test_low_light_has_the_variance_of_photons_and_read_out(severity):
    gain = (0.6, 0.5, 0.4, 0.3, 0.2)[severity - 1]
    images = np.zeros((60, 32, 32, 3), np.uint8)
    images[:, 16:] = 255  # the brightest level is taken to the gain, far from black and white
    bright = corrupt(images, "low_light", severity)[:, 16:].astype(float)
    expected = (gain / 120 + 0.018**2) * 255**2 + 1 / 12
    assert abs(bright.var() / expected - 1) < 5 * (2 / bright.size) ** 0.5


def _photons_and_read_out(rng, level, photons, std):
    level = np.clip(rng.poisson(level * photons) / photons, 0, 1)
    return (np.clip(level + rng.normal(size=level.shape, scale=std), 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("severity", range(1, 6))
def test_the_legacy_stream_is_used_as_one_image_at_a_time_would(severity):
    images = STORED["input_32"]
    std, gain = 0.7 * (0.08, 0.12, 0.18, 0.26, 0.38)[severity - 1], (0.6, 0.5, 0.4, 0.3, 0.2)[severity - 1]
    levels = {"iso_noise": images / 255.0, "low_light": []}
    for level in images / 255.0:
        levels["low_light"].append(((level - level.min()) / (level.max() - level.min())) ** 2 * gain)
    for name, noise in (("iso_noise", (25, std)), ("low_light", (120, 0.1 * 0.18))):
        rng = np.random.RandomState(severity)
        expected = [_photons_and_read_out(rng, level, *noise) for level in levels[name]]
        result = corrupt(images, name, severity, rng=np.random.RandomState(severity), mode="exact")
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("seed", [83, 230])  # a gradient in use is drawn as (0, 0)
def test_perlin_noise_knows_no_direction_without_length(seed):
    image = np.full((1, 64, 64, 3), 100, np.uint8)
    noisy = spectra.perlin_noise(image, np.array([seed]), 0.5)
    _, gradients = spectra._lattice(seed)
    assert not gradients[:256].all(axis=1).all()
    assert np.isfinite(gradients).all()
    assert noisy.min() >= 100 - 1  # clouds lie between half and full white
