"""Fast forms against slow, obvious ones, and against Pillow."""

import colorsys
import io
import math

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from regrow.corruptions import blur, corrupt, get
from regrow.corruptions.digital import box_resize
from regrow.corruptions.jpeg import pillow_round_trip
from regrow.corruptions.scales import SCALES, choose_scale
from regrow.errors import InputError


def noise_images(n: int, side: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (n, side, side, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("side", "small"), [(32, 30), (32, 20), (64, 57), (64, 32), (224, 67), (299, 74), (299, 59), (37, 11), (9, 9)]
)
def test_box_resize_is_pillows(side, small):
    for before, after in ((side, small), (small, side)):
        images = noise_images(2, before)
        expected = [np.asarray(Image.fromarray(image).resize((after, after), Image.Resampling.BOX)) for image in images]
        np.testing.assert_array_equal(box_resize(images, after), expected)


@pytest.mark.parametrize("quality", [80, 40, 7])
def test_the_codec_pillow_is_the_encoder_inside_pillow(quality):
    images = noise_images(3, 48)
    for image, result in zip(images, pillow_round_trip(images, quality), strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality)
        np.testing.assert_array_equal(result, np.asarray(Image.open(io.BytesIO(buffer.getvalue()))))


@pytest.mark.parametrize("params", [(3.0, 0.1), (6.0, 0.5), (10.0, 0.5), "mean of 25"])
def test_a_disk_by_transform_has_the_bytes_of_the_sum(params, monkeypatch):
    if params == "mean of 25":  # weights that sum to 1: flat colour lies within rounding errors of whole numbers
        monkeypatch.setattr(blur, "trimmed_kernel", lambda *_: np.full((5, 5), 0.04))
        params = (0.0, 0.0)
    patches = noise_images(4, 96)
    patches[0, 30:70, 30:70], patches[3, :40, 50:90] = (255, 7, 131), (200, 254, 0)
    flat = np.full((1, 96, 96, 3), (255, 7, 0), np.uint8)
    results = {}
    for taps in (0, 10**6):
        monkeypatch.setattr(blur, "_DIRECT_TAPS", taps)
        monkeypatch.setattr(blur, "library", lambda: None)
        results[taps] = [blur.defocus_blur(part, None, params) for part in (patches, patches[3:], flat)]
    for by_transform, by_sum in zip(results[0], results[10**6], strict=True):
        np.testing.assert_array_equal(by_transform, by_sum)


@pytest.mark.parametrize("scale", list(SCALES))
def test_every_disk_of_the_settings_is_stored_and_symmetric(scale):
    for radius, alias in get("defocus_blur").settings[scale]:
        kernel = blur.disk_kernel(radius, alias)
        assert kernel.dtype == np.float32
        np.testing.assert_allclose(kernel, kernel.T, rtol=1e-5)
        np.testing.assert_allclose(kernel, kernel[::-1, ::-1], rtol=1e-5)
        assert kernel.sum() == pytest.approx(1, abs=0.014)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 3.5, 6.5])
def test_gaussian_blur_is_a_correlation_with_the_sampled_gaussian(sigma):
    images = noise_images(2, 40)
    radius = int(4 * sigma + 0.5)
    weights = np.array([math.exp(-0.5 / (sigma * sigma) * k * k) for k in range(-radius, radius + 1)])
    weights /= weights.sum()
    plain = images / 255.0
    for axis in (1, 2):
        plain = ndimage.correlate1d(plain, weights, axis=axis, mode="nearest")
    np.testing.assert_array_equal(
        blur.gaussian_blur(images, None, sigma), (np.clip(plain, 0, 1) * 255).astype(np.uint8)
    )


@pytest.mark.parametrize(("name", "params"), [("brightness", 0.3), ("saturate", (2.5, 0.2)), ("saturate", (0.3, 0.0))])
def test_hue_saturation_value_agree_with_the_standard_library(name, params):
    edge = [(r, g, b) for r in (0, 1, 128, 254, 255) for g in (0, 1, 128, 254, 255) for b in (0, 1, 128, 254, 255)]
    colours = np.concatenate([np.array(edge[:125], np.uint8), noise_images(1, 30).reshape(-1, 3)])[:1024]
    images = colours[: 32 * 32 // 1].reshape(1, 32, -1, 3)
    result = get(name).apply(images, None, params).reshape(-1, 3)
    for colour, got in zip(colours, result, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(colour / 255.0))
        if name == "brightness":
            value = min(value + params, 1.0)
        else:
            saturation = min(max(saturation * params[0] + params[1], 0.0), 1.0)
        expected = np.array(colorsys.hsv_to_rgb(hue, saturation, value)) * 255
        assert np.abs(got - expected + 0.5).max() <= 0.5 + 1e-9, colour  # cut off, never more than one level away


def test_contrast_against_the_formula():
    images = noise_images(4, 32)
    x = images / 255.0
    expected = []
    for image in x:
        mean = np.zeros(3)
        for pixel in image.reshape(-1, 3):
            mean = mean + pixel
        mean /= 1024
        expected.append((np.clip((image - mean) * 0.4 + mean, 0, 1) * 255).astype(np.uint8))
    np.testing.assert_array_equal(corrupt(images, "contrast", 3), expected)


def test_scales_are_chosen_by_ratio_and_said():
    assert [choose_scale(side).name for side in SCALES.values()] == list(SCALES)
    assert all(choose_scale(side).note == "" for side in SCALES.values())
    assert [choose_scale(side).name for side in (45, 46, 119, 120, 258, 259)] == [
        "cifar", "tiny", "tiny", "imagenet", "imagenet", "inception",
    ]  # fmt: skip
    assert "tiny (64 px)" in choose_scale(32, "tiny").note
    with pytest.raises(InputError, match="7 px"):
        choose_scale(7)
