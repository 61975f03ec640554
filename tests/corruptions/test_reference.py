"""The restated published programs, against which speed is measured, do the same as exact mode."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from regrow.corruptions import corrupt, get, names

GOLDEN = Path(__file__).parents[1] / "golden"
# Restated without OpenCV's fixed point (warp) and its integer distances: close, not equal. Share of the change.
LOOSE = {"elastic_transform": 0.06, "spatter": 0.25}
TYPES = [*names("c"), *names("c-bar")]


@pytest.fixture(scope="module")
def reference():
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("reference")
    finally:
        sys.path.remove(folder)


def compare(reference, image, name, severity, frost, scale=None):
    """Mean difference to exact mode for the same random numbers, and the corruption's own size."""
    ours, theirs = np.random.RandomState(severity), np.random.RandomState(severity)
    codec = "pillow" if name == "jpeg_compression" else None
    expected = corrupt(image[None], name, severity, rng=ours, mode="exact", scale=scale, frost=frost, codec=codec)[
        0
    ].astype(int)
    before = image.copy()
    result = reference.corrupt(image, name, severity, theirs, scale=scale, frost=frost)
    assert result.dtype == np.uint8
    assert result.shape == image.shape
    np.testing.assert_array_equal(image, before)
    assert ours.random_sample() == theirs.random_sample(), "other random numbers were taken"
    return np.abs(result - expected).mean(), np.abs(expected - image).mean()


def assert_close(name, difference, size):
    assert size > 0.3, "a picture that is hardly changed shows nothing"
    assert difference <= min(1.5, LOOSE.get(name, 0.003) * size)


def test_every_type_is_restated(reference):
    assert sorted(reference.FORMS) == sorted(TYPES)


@pytest.mark.parametrize("name", TYPES)
def test_the_restated_program_makes_the_exact_images_at_32_px(reference, pictures, stand_in_frost, name):
    scale = "cifar" if "cifar" in get(name).settings else "imagenet"
    for severity in range(1, 6):
        image = pictures(32)[severity % 4]
        assert_close(name, *compare(reference, image, name, severity, stand_in_frost, scale))


@pytest.mark.parametrize("side", [64, 224, pytest.param(299, marks=pytest.mark.system)])
@pytest.mark.parametrize("name", names("c"))
def test_the_restated_program_makes_the_exact_images_at_other_sizes(reference, pictures, stand_in_frost, name, side):
    for severity in (2, 5):
        assert_close(name, *compare(reference, pictures(side)[-1], name, severity, stand_in_frost))
