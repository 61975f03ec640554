"""The corruptions of ImageNet-3DCC that need no depth: colour quantisation, sensor noise, low light.

Kar, Yeo, Atanov and Zamir 2022, arXiv:2203.01441. The settings are one list for all image sizes. The types of the
published set that need a depth map are read, not made.
"""

from __future__ import annotations

import numpy as np

from regrow.corruptions.draws import Integers, Stream, poisson
from regrow.corruptions.pixels import UNIT, Floats, to_bytes, to_unit
from regrow.corruptions.registry import Corruption, Draws, Images, Shape
from regrow.corruptions.scales import SCALES

_SOURCE = "Kar et al. 2022, arXiv:2203.01441"


def color_quant(images: Images, _: None, bits: int) -> Images:
    """Keep the highest ``bits`` of each byte; (N, H, W, 3)."""
    kept: Images = images & np.uint8((0xFF << (8 - bits)) & 0xFF)
    return kept


COLOR_QUANT = Corruption(
    name="color_quant",
    family="digital",
    source=_SOURCE,
    benchmark="3dcc",
    apply=color_quant,
    settings=dict.fromkeys(SCALES, (5, 4, 3, 2, 1)),
)


def draw_iso_noise(stream: Stream, shape: Shape, std: float) -> Draws:
    """Uniform numbers of the photon counts and normal ones of the read-out, (n, H, W, 3) each."""
    return stream.uniform(shape), stream.normal(shape)


def _iso(counts: Integers, normal: Floats, std: float) -> Images:
    level = np.clip(counts / 25.0, 0, 1)
    level += normal * (0.7 * std)
    return to_bytes(level)


def iso_noise(images: Images, draws: tuple[Floats, Floats], std: float) -> Images:
    """Photon noise at 25 photons, then normal noise of 0.7 ``std``; (N, H, W, 3)."""
    uniform, normal = draws
    return _iso(poisson(uniform, images, 25.0), normal, std)


def _replay_iso(rng: np.random.RandomState, images: Images, std: float) -> Images:
    out = np.empty_like(images)
    for image, target in zip(images, out, strict=True):
        counts = np.asarray(rng.poisson(to_unit(image) * 25.0))
        target[...] = _iso(counts, np.asarray(rng.standard_normal(image.shape)), std)
    return out


ISO_NOISE = Corruption(
    name="iso_noise",
    family="noise",
    source=_SOURCE,
    benchmark="3dcc",
    draw=draw_iso_noise,
    apply=iso_noise,
    replay=_replay_iso,
    settings=dict.fromkeys(SCALES, (0.08, 0.12, 0.18, 0.26, 0.38)),
)

_PHOTONS, _READ_OUT = 10 * 12.0, 0.1 * 0.18


def _darkened(image: Images, gain: float) -> Floats:
    """Level of each byte of one image in low light, (256,): a parabola over the image's own range."""
    low, high = UNIT[int(image.min())], UNIT[int(image.max())]
    level = np.clip(UNIT, low, high) - low
    dark: Floats = (level / max(high - low, 1 / 255)) ** 2 * gain
    return dark


def _counts(uniform: Floats, levels: Images, rates: Floats) -> Integers:
    """Poisson counts by inversion, for rates that depend on a byte; all but ``rates`` (256,) of one shape."""
    from scipy.special import pdtr

    largest = int(rates.max() + 10 * rates.max() ** 0.5 + 40)
    table = pdtr(np.arange(largest), rates[:, None])
    counts = np.empty(uniform.shape, np.int64)
    order = np.argsort(levels, axis=None, kind="stable")
    ends = np.cumsum(np.bincount(levels.ravel(), minlength=256))
    for level, end in enumerate(ends.tolist()):
        at = order[(ends[level - 1] if level else 0) : end]
        counts.ravel()[at] = np.searchsorted(table[level], uniform.ravel()[at], side="right")
    return counts


def low_light(images: Images, draws: tuple[Floats, Floats], gain: float) -> Images:
    """Darken by a parabola over the image's own range, then photon and read-out noise; (N, H, W, 3)."""
    out = np.empty_like(images)
    for image, target, uniform, normal in zip(images, out, *draws, strict=True):
        counts = _counts(uniform, image, _darkened(image, gain) * _PHOTONS)
        target[...] = to_bytes(np.clip(counts / _PHOTONS, 0, 1) + normal * _READ_OUT)
    return out


def _replay_low_light(rng: np.random.RandomState, images: Images, gain: float) -> Images:
    out = np.empty_like(images)
    for image, target in zip(images, out, strict=True):
        counts = rng.poisson(_darkened(image, gain).take(image) * _PHOTONS)
        target[...] = to_bytes(np.clip(counts / _PHOTONS, 0, 1) + rng.standard_normal(image.shape) * _READ_OUT)
    return out


LOW_LIGHT = Corruption(
    name="low_light",
    family="noise",
    source=_SOURCE,
    benchmark="3dcc",
    draw=draw_iso_noise,
    apply=low_light,
    replay=_replay_low_light,
    settings=dict.fromkeys(SCALES, (0.6, 0.5, 0.4, 0.3, 0.2)),
)
