"""Stars of light: five small ones, or everything outside a large one."""

from __future__ import annotations

import numpy as np

from regrow.corruptions.cbar.grid import SOURCE, between, clipped, coordinates, strength
from regrow.corruptions.draws import Integers, Stream
from regrow.corruptions.pixels import Floats
from regrow.corruptions.registry import Corruption, Draws, Images, Shape

_SPREAD = 25 / 100.0  # deviation of a ray's length, in units of the radius


def _profile(side: int, centre: Floats, lengths: Floats, sharpness: float) -> Floats:
    """How bright a star is at each pixel, 0 to 1, (side, side); rays of the given lengths at equal angles."""
    rows, columns = coordinates(side)
    down, right = rows - centre[0], columns - centre[1]
    turn = (np.arctan2(right, down) + np.pi) / (2 * np.pi) * len(lengths)
    ray = turn.astype(np.int64)
    beyond = turn - ray
    here, after = lengths.take(ray % len(lengths)), lengths.take((ray + 1) % len(lengths))
    length = here + beyond * (after - here)
    distance = np.sqrt(down**2 + right**2)
    glow = (length**2 / (distance**2 + 1e-4)) ** sharpness
    beyond -= 0.5
    bright: Floats = np.clip((1 - beyond**2) * glow, 0, 1)
    return bright


def draw_sparkles(stream: Stream, shape: Shape, severity: float) -> Draws:
    """Centres (row, column) of five stars (n, 5, 2), seeds of the ray lengths (n,), numbers of rays (n, 5)."""
    centres = between(stream, 0, shape[0], (5, 2))
    return centres, stream.integers(0, 1 << 32), stream.integers(50, 200, (5,))


def sparkles(images: Images, draws: tuple[Floats, Integers, Integers], severity: float) -> Images:
    """Five white stars, one after the other; (N, H, H, 3)."""
    side = images.shape[1]
    radius, out = strength(severity, 0.1) * side, np.empty_like(images)
    for image, target, centres, seed, counts in zip(images, out, *draws, strict=True):
        bits, level = np.random.RandomState(int(seed)), image.astype(np.float64)
        for centre, rays in zip(centres, counts.tolist(), strict=True):
            lengths = np.maximum(1, radius + _SPREAD * radius * bits.randn(rays))
            bright = _profile(side, centre, lengths, 1.0)[..., None]
            level = level.astype(np.float32).astype(np.float64)
            level += bright * (255 - level)
        target[...] = clipped(level)
    return out


SPARKLES = Corruption(
    name="sparkles",
    family="weather",
    source=SOURCE,
    benchmark="c-bar",
    draw=draw_sparkles,
    apply=sparkles,
    settings={"cifar": (0.7, 3.5, 5.6, 6.3, 7), "imagenet": (1, 2, 3, 5, 6)},
)


def draw_inverse_sparkles(stream: Stream, shape: Shape, severity: float) -> Draws:
    """Centre (row, column) (n, 2), seed of the ray lengths (n,), number of rays (n,)."""
    centre = between(stream, 0.25, 0.75, (2,)) * shape[0]
    return centre, stream.integers(0, 1 << 32), stream.integers(50, 200)


def inverse_sparkles(images: Images, draws: tuple[Floats, Integers, Integers], severity: float) -> Images:
    """White out what lies outside a star; (N, H, H, 3)."""
    side = images.shape[1]
    radius, amount, out = 0.25 * side, 100 - strength(severity, 65), np.empty_like(images)
    for image, target, centre, seed, rays in zip(images, out, *draws, strict=True):
        lengths = radius + _SPREAD * radius * np.random.RandomState(int(seed)).randn(int(rays))
        keep = _profile(side, centre, lengths, (100 - amount) / 50.0)[..., None]
        target[...] = clipped(255 + keep * (image.astype(np.float64) - 255))
    return out


INVERSE_SPARKLES = Corruption(
    name="inverse_sparkles",
    family="weather",
    source=SOURCE,
    benchmark="c-bar",
    draw=draw_inverse_sparkles,
    apply=inverse_sparkles,
    settings={"cifar": (1, 1.5, 2.5, 4.5, 5), "imagenet": (1, 2, 4, 9, 10)},
)
