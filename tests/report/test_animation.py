"""Films of masks as animated PNG: every frame to the pixel, in the colours of the maps."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from regrow.errors import InputError
from regrow.report.animation import frames_png
from regrow.report.pictures import scale_colours, thinned
from regrow.training.film import MaskFilm


def film_of(n: int, shape: tuple[int, ...], seed: int = 0) -> tuple[MaskFilm, np.ndarray]:
    masks = np.random.RandomState(seed).random_sample((n, *shape)) < 0.5
    bits = np.packbits(masks.reshape(n, -1), axis=1, bitorder="little")
    return MaskFilm(np.arange(n), np.arange(n) * 10, {"a": shape}, {"a": bits}), masks


def shown(content: bytes) -> tuple[list[np.ndarray], list[float]]:
    with Image.open(io.BytesIO(content)) as image:
        frames, times = [], []
        for i in range(getattr(image, "n_frames", 1)):
            image.seek(i)
            frames.append(np.array(image.convert("RGB")))
            times.append(image.info.get("duration", 0.0))
    return frames, times


@pytest.mark.parametrize("shape", [(5, 7, 3, 3), (6, 4), (4, 3, 5, 5)])
def test_every_frame_shows_its_kernel_map(shape: tuple[int, ...]) -> None:
    film, masks = film_of(6, shape)
    content = frames_png(film, "a")
    frames, times = shown(content)
    k = int(np.prod(shape[2:]))
    colours = np.array(scale_colours(k))
    assert len(frames) == 6
    for frame, mask in zip(frames, masks, strict=True):
        assert np.array_equal(frame, colours[mask.reshape(*shape[:2], -1).sum(2)])
    assert times[-1] > times[0] == times[1] > 0
    assert content == frames_png(film, "a")


def test_large_maps_are_thinned_and_stay_small() -> None:
    film, masks = film_of(20, (130, 120, 3, 3))
    frames, _ = shown(frames_png(film, "a"))
    colours = np.array(scale_colours(9))
    assert np.array_equal(frames[3], colours[thinned(masks[3].reshape(130, 120, 9).sum(2), 96)])
    assert frames[3].shape == (96, 96, 3)
    assert len(frames_png(film, "a", side=32)) < len(frames_png(film, "a")) < 20 * 96 * 96


def test_a_film_of_one_frame_is_a_still_picture() -> None:
    film, _ = film_of(1, (3, 3))
    assert len(shown(frames_png(film, "a"))[0]) == 1
    with pytest.raises(InputError, match="not filmed"):
        frames_png(film, "b")
