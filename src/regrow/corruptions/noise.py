"""Noise: gaussian, speckle, shot (photon counting), impulse (salt and pepper)."""

from __future__ import annotations

import numpy as np

from regrow.corruptions.draws import Stream, poisson
from regrow.corruptions.pixels import Floats, to_bytes, to_unit
from regrow.corruptions.registry import Corruption, Draws, Images, Shape

_SOURCE = "Hendrycks and Dietterich 2019, arXiv:1903.12261, section 4"


def draw_normal(stream: Stream, shape: Shape, _: float) -> Draws:
    """Standard normal numbers, (n, H, W, 3)."""
    return stream.normal(shape)


def gaussian_noise(images: Images, draws: Floats, std: float) -> Images:
    """Add normal noise of standard deviation ``std`` in units of the 0..1 range; (N, H, W, 3)."""
    noisy = draws * std
    noisy += to_unit(images)
    return to_bytes(noisy)


GAUSSIAN_NOISE = Corruption(
    name="gaussian_noise",
    family="noise",
    source=_SOURCE,
    draw=draw_normal,
    apply=gaussian_noise,
    settings={
        "cifar": (0.04, 0.06, 0.08, 0.09, 0.10),
        "tiny": (0.04, 0.08, 0.12, 0.15, 0.18),
        "imagenet": (0.08, 0.12, 0.18, 0.26, 0.38),
        "inception": (0.09, 0.13, 0.19, 0.27, 0.40),
    },
)


def speckle_noise(images: Images, draws: Floats, std: float) -> Images:
    """Add normal noise in proportion to the value: ``x + x * noise``; (N, H, W, 3)."""
    unit = to_unit(images)
    noisy = draws * std
    noisy *= unit
    noisy += unit
    return to_bytes(noisy)


SPECKLE_NOISE = Corruption(
    name="speckle_noise",
    family="noise",
    source=_SOURCE + " (extra type)",
    draw=draw_normal,
    apply=speckle_noise,
    extra=True,
    settings={
        "cifar": (0.06, 0.1, 0.12, 0.16, 0.2),
        "tiny": (0.15, 0.2, 0.25, 0.3, 0.35),
        "imagenet": (0.15, 0.2, 0.35, 0.45, 0.6),
        "inception": (0.16, 0.21, 0.36, 0.46, 0.61),
    },
)


def draw_uniform(stream: Stream, shape: Shape, _: float) -> Draws:
    """Uniform numbers, (n, H, W, 3)."""
    return stream.uniform(shape)


def _bytes_of_counts(counts: Draws, photons: float) -> Images:
    table = to_bytes(np.arange(int(counts.max(initial=0)) + 1) / photons)
    return np.asarray(table.take(counts))


def shot_noise(images: Images, draws: Floats, photons: float) -> Images:
    """Count photons: Poisson with rate ``x * photons``, divided by ``photons``; x in [0, 1], (N, H, W, 3).

    ``draws`` are uniform numbers, turned into counts by the inverse distribution function.
    """
    return _bytes_of_counts(poisson(draws, images, photons), photons)


def _replay_shot(rng: np.random.RandomState, images: Images, photons: float) -> Images:
    return _bytes_of_counts(np.asarray(rng.poisson(to_unit(images) * photons)), photons)


SHOT_NOISE = Corruption(
    name="shot_noise",
    family="noise",
    source=_SOURCE,
    draw=draw_uniform,
    apply=shot_noise,
    replay=_replay_shot,
    settings={
        "cifar": (500.0, 250.0, 100.0, 75.0, 50.0),
        "tiny": (250.0, 100.0, 50.0, 30.0, 15.0),
        "imagenet": (60.0, 25.0, 12.0, 5.0, 3.0),
        "inception": (50.0, 20.0, 10.0, 5.0, 3.0),
    },
)


def impulse_noise(images: Images, draws: Floats, share: float) -> Images:
    """Turn a ``share`` of the values to 255 or 0, half each, every channel by itself; (N, H, W, 3).

    ``draws`` are uniform numbers: below ``share / 2`` salt, from there to ``share`` pepper.
    """
    noisy = images.copy()
    noisy[draws < share] = 0
    noisy[draws < share / 2] = 255
    return noisy


def _replay_impulse(rng: np.random.RandomState, images: Images, share: float) -> Images:
    noisy = images.copy()
    for image in noisy:
        hit = rng.random_sample(image.shape) < share
        salt = rng.random_sample(image.shape) < 0.5
        image[hit] = np.where(salt, 255, 0)[hit]
    return noisy


IMPULSE_NOISE = Corruption(
    name="impulse_noise",
    family="noise",
    source=_SOURCE,
    draw=draw_uniform,
    apply=impulse_noise,
    replay=_replay_impulse,
    settings={
        "cifar": (0.01, 0.02, 0.03, 0.05, 0.07),
        "tiny": (0.01, 0.02, 0.05, 0.08, 0.14),
        "imagenet": (0.03, 0.06, 0.09, 0.17, 0.27),
        "inception": (0.04, 0.07, 0.10, 0.18, 0.28),
    },
)
