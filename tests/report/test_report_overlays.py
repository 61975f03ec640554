"""Attribution maps over images: what is hidden, in which colour, and the same bytes each time."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from regrow.report import overlays


def pixels(side: int = 32, width: int | None = None) -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (side, width or side, 3)).astype(np.uint8)


def opened(picture: overlays.Picture) -> Image.Image:
    kind, _, data = picture.src.partition(";base64,")
    assert kind == "data:image/png"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_nothing_to_show_is_the_grey_image() -> None:
    image = pixels()
    grey = np.asarray(Image.fromarray(image).convert("L"), int)
    shown = overlays.overlay(image, np.zeros((32, 32), np.float16)).astype(int)
    assert (shown == shown[..., :1]).all()
    assert np.abs(shown[..., 0] - grey).max() <= 1


@pytest.mark.parametrize("scale", [1e-3, 1, 1e4])
def test_strength_is_relative_and_the_sign_has_its_colour(scale: float) -> None:
    image = np.full((1, 3, 3), 128, np.uint8)
    shown = overlays.overlay(image, scale * np.array([[1.0, -1.0, 0.0]])).astype(float)
    for place, colour in ((0, overlays.FOR), (1, overlays.AGAINST)):
        expected = (1 - overlays.STRENGTH) * 128 + overlays.STRENGTH * np.array(colour)
        assert np.abs(shown[0, place] - expected).max() <= 0.5
    assert shown[0, 2].tolist() == [128] * 3


def test_a_picture_is_a_png_with_the_overlay_s_pixels_and_always_the_same() -> None:
    image, attribution = pixels(), np.random.RandomState(1).randn(32, 32)
    picture = overlays.overlay_picture(image, attribution, "a cat")
    assert picture.alt == "a cat"
    assert (np.asarray(opened(picture)) == overlays.overlay(image, attribution)).all()
    assert overlays.overlay_picture(image.copy(), attribution.copy(), "a cat") == picture


@pytest.mark.parametrize(("height", "width"), [(224, 224), (97, 300), (192, 96)])
def test_larger_images_are_reduced_by_means_of_blocks(height: int, width: int) -> None:
    attribution = np.zeros((height, width))
    attribution[: height // 2] = 1
    stripes = np.full((height, width, 3), 60, np.uint8)
    block = -(-max(height, width) // overlays.IMAGE_SIDE)
    stripes[:, ::block] += block  # one column in each block
    stripes[:, 1::block] -= block
    picture = overlays.overlay_picture(stripes, attribution, "half")
    assert max(picture.width, picture.height) <= overlays.IMAGE_SIDE
    shown = np.asarray(opened(picture)).astype(int)
    assert (shown[0] == overlays.overlay(np.full((1, 1, 3), 60, np.uint8), np.ones((1, 1)))[0, 0]).all()
    assert (shown[-1] == 60).all()
