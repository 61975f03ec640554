"""Byte for byte the published generators, with their random numbers, at all four scales."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from regrow.corruptions import corrupt, get, names
from regrow.corruptions.scales import SCALES

GOLDEN = Path(__file__).parents[1] / "golden"
# Place of each corruption in the published order, from which its seed was made.
PLACE = {
    "gaussian_noise": 0,
    "shot_noise": 1,
    "impulse_noise": 2,
    "defocus_blur": 3,
    "brightness": 10,
    "contrast": 11,
    "pixelate": 13,
    "gaussian_blur": 16,
    "saturate": 18,
}
STORED = sorted(set(np.load(GOLDEN / "corruptions_cifar.npz").files) - {"input"})


def picture_two(side: int) -> np.ndarray:
    stream, k = np.random.RandomState(side), side // 8
    blocks = stream.randint(0, 256, (-(-side // k), -(-side // k), 3)).repeat(k, 0).repeat(k, 1)[:side, :side]
    return np.clip(blocks + stream.randint(-12, 13, (side, side, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module", params=list(SCALES))
def stored(request):
    return request.param, dict(np.load(GOLDEN / f"corruptions_{request.param}.npz"))


def test_every_stored_corruption_is_registered_and_every_other_says_why():
    assert set(STORED) <= set(names())
    assert all(get(name).codec is not None for name in set(names()) - set(STORED))


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", STORED)
def test_bytes_of_the_published_generator(stored, name, severity):
    scale, golden = stored
    images, expected = golden["input"], golden[name][severity - 1]
    if scale == "tiny":
        images = np.stack([images[0], picture_two(64), images[1]])
    rng = np.random.RandomState(1000 + 10 * PLACE[name] + severity)
    result = corrupt(images, name, severity, rng=rng)
    if scale == "tiny":
        result = result[[0, 2]]
    if scale in ("cifar", "tiny"):
        np.testing.assert_array_equal(result, expected)
        return
    sums = json.loads((GOLDEN / f"corruptions_{scale}_md5.json").read_text())
    low, high = sums["crop"]
    np.testing.assert_array_equal(result[:, low:high, low:high], expected)
    assert [hashlib.md5(image.tobytes()).hexdigest() for image in result] == sums["image_md5"][f"{name}_{severity}"]
