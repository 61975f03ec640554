"""Light refracted by the surface of water."""

from __future__ import annotations

import numpy as np

from regrow.corruptions.cbar.grid import SOURCE, between, coordinates, sample, strength
from regrow.corruptions.draws import Stream
from regrow.corruptions.pixels import Floats
from regrow.corruptions.registry import Corruption, Draws, Images, Shape

_ETA = 4.0
_LUMA = np.array([0.2126, 0.7152, 0.0722])


def draw_caustic_refraction(stream: Stream, shape: Shape, severity: float) -> Draws:
    """Time and size of the pattern in pixels, (n, 2)."""
    time = between(stream, 0.5, 2.0)
    return np.stack([time, between(stream, 0.75, 1.25) * shape[0]], axis=1)


def _pattern(side: int, time: float, size: float) -> Floats:
    """Brightness of caustics, (side, side), softened."""
    from scipy.ndimage import gaussian_filter

    rows, columns = coordinates(side)
    p, q = ((line / size % 1) * 6.28318530718 - 250 for line in (rows, columns))
    i, j = np.broadcast_arrays(p, q)
    total = np.ones((side, side))
    for n in range(5):
        t = time * (1.0 - (3.5 / (n + 1)))
        i, j = p + (np.cos(t - i) + np.sin(t + j)), q + (np.sin(t - j) + np.cos(t + i))
        total += 1.0 / np.sqrt((p / (np.sin(i + t) / 0.005)) ** 2 + (q / (np.cos(j + t) / 0.005)) ** 2)
    total /= 5.0
    bright = np.clip(np.abs(1.17 - total**1.4) ** 8.0, 0, 1)
    soft: Floats = gaussian_filter(np.repeat(bright[..., None], 3, axis=2), sigma=1)
    luma: Floats = soft @ _LUMA
    return luma


def _bent(east_west: Floats, south_north: Floats) -> tuple[Floats, Floats]:
    """Sideways parts of the refracted ray where the surface is tilted; the ray comes straight from above."""
    length = np.sqrt(east_west**2 + south_north**2 + 1.0)
    a, b, c = east_west / length, south_north / length, 1.0 / length
    flat = c >= 1.0 - 1e-3
    angle = np.arccos(np.where(flat, 0.0, c))
    out = np.arcsin(np.sin(angle) / _ETA)
    sideways = np.where(flat, 1.0, np.sqrt(a**2 + b**2))
    # normal * cos(out) + (normal x (incident x normal)) * sin(out), of which the first two parts are wanted
    first, second = -b / sideways, a / sideways
    ortho_a, ortho_b = -c * second, c * first
    cos, sin = np.cos(out), np.sin(out)
    return np.where(flat, 0.0, a * cos + ortho_a * sin), np.where(flat, 0.0, b * cos + ortho_b * sin)


def caustic_refraction(images: Images, draws: Floats, severity: float) -> Images:
    """Look through moving water: pixels shifted by its tilt and lit by its caustics; (N, H, H, 3)."""
    side, out = images.shape[1], np.empty_like(images)
    lens, light = strength(severity, 0.5 * side), strength(severity, 2.0)
    for image, target, (time, size) in zip(images, out, draws.tolist(), strict=True):
        luma = np.pad(_pattern(side, time, size), 1)
        north, south, west, east = luma[1:-1, :-2], luma[1:-1, 2:], luma[:-2, 1:-1], luma[2:, 1:-1]
        shift = [np.round(part * lens, 3) for part in _bent(east - west, south - north)]
        rows, columns = coordinates(side)
        unit = image.astype(np.float32) / 255
        level = sample(unit, rows + shift[0], columns + shift[1]).astype(np.float64)
        for lit in ((north - south) * light, (east - west) * light):
            level = level + lit[..., None]
        target[...] = (np.clip(level, 0, 1) * 255).astype(np.uint8)
    return out


CAUSTIC_REFRACTION = Corruption(
    name="caustic_refraction",
    family="weather",
    source=SOURCE,
    benchmark="c-bar",
    draw=draw_caustic_refraction,
    apply=caustic_refraction,
    settings={"imagenet": (2.35, 3.2, 4.9, 6.6, 9.15)},
)
