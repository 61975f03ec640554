"""Generated pictures and clips: classes can be told by either cue, spectra fall as those of photographs do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from regrow.data import scenes

CLASSES = 10


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training and test pictures with their labels."""
    looks, rng = scenes.book("tests", CLASSES), np.random.default_rng(0)
    train, test = rng.integers(0, CLASSES, 1500), rng.integers(0, CLASSES, 400)
    return scenes.pictures(train, looks, (32, 32), 0, 1), train, scenes.pictures(test, looks, (32, 32), 0, 2), test


def band(images: np.ndarray, low: float, high: float) -> np.ndarray:
    """Fourier coefficients of low <= frequency < high cycles a picture, complex (n, k)."""
    f = np.fft.fftfreq(images.shape[1], 1 / images.shape[1])
    rho = np.hypot(f[:, None], f[None])
    return np.fft.fft2(images.astype(float), axes=(1, 2))[:, (rho >= low) & (rho < high)].reshape(len(images), -1)


def by_centroid(train: np.ndarray, labels: np.ndarray, test: np.ndarray, wanted: np.ndarray) -> float:
    centres = np.stack([train[labels == k].mean(0) for k in range(CLASSES)])
    nearest = (np.abs(test[:, None] - centres) ** 2).sum(-1).argmin(1)
    return float((nearest == wanted).mean())


def test_either_band_tells_the_class_and_the_one_between_does_not(drawn) -> None:
    train, labels, test, wanted = drawn
    low = by_centroid(band(train, 0.5, 3), labels, band(test, 0.5, 3), wanted)
    high = by_centroid(spectrum(train), labels, spectrum(test), wanted)
    between = by_centroid(band(train, 3.5, 7), labels, band(test, 3.5, 7), wanted)
    assert low > 0.6
    assert high > 0.25
    assert between < 0.2


def spectrum(images: np.ndarray) -> np.ndarray:
    """Log power of high frequencies over all channels: their phase says nothing."""
    power = (np.abs(band(images, 7, 16.5)) ** 2).reshape(len(images), -1, 3).sum(-1)
    return np.log(power + 1)


def test_power_falls_as_in_photographs() -> None:
    looks = scenes.book("tests", CLASSES)
    grey = scenes.pictures(np.arange(6), looks, (180, 240), 0, 3, grain=3, noise=4).astype(float).mean(-1)
    power = (np.abs(np.fft.fft2(grey)) ** 2).mean(0)
    f = np.hypot(np.fft.fftfreq(180)[:, None], np.fft.fftfreq(240)[None])
    edges = np.geomspace(0.02, 0.5, 9)
    mean = [power[(f >= low) & (f < high)].mean() for low, high in itertools.pairwise(edges)]
    slope = np.polyfit(np.log(edges[:-1]), np.log(mean), 1)[0]
    assert -2.4 < slope < -1.6


def test_the_first_pictures_do_not_depend_on_how_many_there_are_and_seeds_change_no_class(drawn) -> None:
    train, labels, *_ = drawn
    looks = scenes.book("tests", CLASSES)
    np.testing.assert_array_equal(scenes.pictures(labels[:7], looks, (32, 32), 0, 1), train[:7])
    other = scenes.pictures(labels, looks, (32, 32), 1, 1)
    assert not np.array_equal(other[0], train[0])
    assert by_centroid(band(train, 0.5, 3), labels, band(other, 0.5, 3), labels) > 0.6


def test_fractal_noise_has_a_standard_deviation_of_one() -> None:
    white = np.random.default_rng(0).integers(0, 256, (40, 32, 48, 3), dtype=np.uint8)
    np.testing.assert_allclose(scenes.fractal(white).std((0, 1, 2)), 1, atol=0.15)


@pytest.mark.parametrize("group", ["ApplyEyeMakeup", "BabyCrawling", "SoccerJuggling", "bikes"])
def test_the_background_of_a_clip_moves_by_the_velocity_of_its_class(group: str) -> None:
    frames = scenes.clip(group, "some clip", 12, (64, 80), 0).astype(float).mean(-1)
    total = np.zeros((64, 80))
    for one, other in zip(frames, frames[2:], strict=False):  # phase correlation of frames two apart
        cross = np.fft.fft2(other - other.mean()) * np.conj(np.fft.fft2(one - one.mean()))
        total += np.fft.ifft2(cross / (np.abs(cross) + 1e-9)).real
    down, right = np.unravel_index(total.argmax(), total.shape)
    found = ((right + 40) % 80 - 40, (down + 32) % 64 - 32)
    assert found == tuple(2 * v for v in scenes.velocity(group))


def test_clips_of_a_class_are_different_clips() -> None:
    one, other = (scenes.clip("bikes", name, 2, (40, 48), 0) for name in ("a", "b"))
    assert np.abs(one.astype(int) - other).mean() > 10
    np.testing.assert_array_equal(one, scenes.clip("bikes", "a", 4, (40, 48), 0)[:2])
