"""Images bent, twisted, turned and split by colour."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from regrow.corruptions.cbar.grid import SOURCE, between, clipped, coordinates, sample, strength
from regrow.corruptions.draws import Integers, Stream
from regrow.corruptions.pixels import Floats
from regrow.corruptions.registry import Corruption, Draws, Images, Shape


def draw_ripple(stream: Stream, shape: Shape, severity: float) -> Draws:
    """Wavelengths in pixels and phases in radians along rows and columns; (n, 2, 2)."""
    wavelength = between(stream, 0.1, 0.3, (2,)) * shape[0]
    return np.stack([wavelength, between(stream, 0, 2 * np.pi, (2,))], axis=1)


def ripple(images: Images, draws: Floats, severity: float) -> Images:
    """Shift rows and columns along sine waves; (N, H, H, 3)."""
    side, out = images.shape[1], np.empty_like(images)
    line, amplitude = np.arange(side), strength(severity, 0.025) * side
    for image, target, (wavelength, phase) in zip(images, out, draws, strict=True):
        rows, columns = (
            line + amplitude * np.sin(2 * np.pi * line / w + p) for w, p in zip(wavelength, phase, strict=True)
        )
        target[...] = clipped(sample(image, *np.broadcast_arrays(rows[:, None], columns)))
    return out


RIPPLE = Corruption(
    name="ripple",
    family="blur",
    source=SOURCE,
    benchmark="c-bar",
    draw=draw_ripple,
    apply=ripple,
    settings={"cifar": (5.5, 6, 6.5, 7.5, 8)},
)


def _cells(side: int) -> int:
    return 5 if side == 224 else 3


def draw_pinch_and_twirl(stream: Stream, shape: Shape, severity: float) -> Draws:
    """Sense of the twirl of each cell, 1 or -1; (n, cells, cells)."""
    cells = _cells(shape[0])
    return 1 - 2 * stream.integers(0, 2, (cells, cells))


@functools.lru_cache(maxsize=32)
def _twirl(side: int, severity: float, sign: int) -> tuple[Floats, Floats]:
    """Where each pixel of a cell comes from, relative to the cell's corner."""
    radius, angle, amount = side / 2, sign * strength(severity, np.pi / 2), strength(severity, 0.4) + 0.1
    rows, columns = coordinates(side)
    down, right = np.broadcast_arrays(rows - radius, columns - radius)
    distance = np.sqrt(down**2 + right**2)
    moves = (distance <= radius) & (np.round(distance, 3) != 0)
    share = np.where(moves, distance / radius, 1.0)
    stretch = np.sin(np.pi * 0.5 * share) ** (-amount)
    a = angle * (1 - share) ** 2
    y, x = down * stretch, right * stretch
    new_rows, new_columns = radius + y * np.cos(a) - x * np.sin(a), radius + y * np.sin(a) + x * np.cos(a)
    return np.where(moves, new_rows, rows), np.where(moves, new_columns, columns)


def pinch_and_twirl(images: Images, signs: Integers, severity: float) -> Images:
    """Pinch and twist the image in every cell of a grid, cell after cell; (N, H, H, 3)."""
    cells = signs.shape[1]
    side = images.shape[1] // cells
    out = np.empty_like(images)
    for image, target, turns in zip(images, out, signs.tolist(), strict=True):
        level = image.astype(np.float32)
        for i in range(cells):
            for j in range(cells):
                top, left = j * side, i * side
                rows, columns = _twirl(side, severity, turns[i][j])
                level[top : top + side, left : left + side] = sample(level, rows + top, columns + left)
        target[...] = clipped(level)
    return out


PINCH_AND_TWIRL = Corruption(
    name="pinch_and_twirl",
    family="blur",
    source=SOURCE,
    benchmark="c-bar",
    draw=draw_pinch_and_twirl,
    apply=pinch_and_twirl,
    settings={"cifar": (5.5, 6, 6.5, 8.5, 10)},
)


@functools.lru_cache(maxsize=5)  # the severities of one size: a matrix takes up to 100 MB at 224 px
def _turns(side: int, severity: float) -> Any:
    """Weighted mean of 21 rotations as a sparse matrix on spline coefficients, (side * side, side * side)."""
    from scipy.sparse import csr_matrix

    parts = 2 * np.arange(21) / 20 - 1
    weights = np.exp(-2 * parts**2)
    total = csr_matrix((side * side, side * side))
    for part, weight in zip(parts.tolist(), (weights / weights.sum()).tolist(), strict=True):
        total = total + weight * _rotation(side, np.radians(part * strength(severity, 15)))
    return total


def _rotation(side: int, angle: float) -> Any:
    """A rotation about the centre by cubic splines, zero outside, as a sparse matrix on spline coefficients."""
    from scipy.sparse import csr_matrix

    rows, columns = (part.ravel() - (side - 1) / 2 for part in np.broadcast_arrays(*coordinates(side)))
    c, s = np.cos(angle), np.sin(angle)
    places = [c * rows + s * columns + (side - 1) / 2, -s * rows + c * columns + (side - 1) / 2]
    inside = np.all([(place >= 0) & (place <= side - 1) for place in places], axis=0)
    pairs = [_cubic(place, side) for place in places]
    at = (pairs[0][0][:, :, None] * side + pairs[1][0][:, None]).reshape(side * side, 16)
    weight = (pairs[0][1][:, :, None] * pairs[1][1][:, None]).reshape(side * side, 16) * inside[:, None]
    start = np.arange(0, 16 * side * side + 1, 16)
    return csr_matrix((weight.ravel(), at.ravel(), start), shape=(side * side, side * side))


def _cubic(place: Floats, side: int) -> tuple[Any, Floats]:
    """Indices, mirrored at the border, and B-spline weights of the four coefficients around each place; (n, 4)."""
    first = np.floor(place).astype(np.int64) - 1
    t = place - np.floor(place)
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    at = np.abs(first[:, None] + np.arange(4))
    return np.where(at >= side, 2 * side - 2 - at, at), weights


def circular_motion_blur(images: Images, _: None, severity: float) -> Images:
    """Blur by a weighted mean of rotations about the centre; (N, H, H, 3)."""
    from scipy.ndimage import spline_filter1d

    n, side = images.shape[:2]
    values = images.transpose(1, 2, 0, 3).astype(np.float64) / 255
    for axis in (0, 1):
        values = spline_filter1d(values, 3, axis=axis, mode="mirror")
    turned = _turns(side, severity) @ values.reshape(side * side, n * 3)
    return clipped(turned * 255).reshape(side, side, n, 3).transpose(2, 0, 1, 3).copy()


CIRCULAR_MOTION_BLUR = Corruption(
    name="circular_motion_blur",
    family="blur",
    source=SOURCE,
    benchmark="c-bar",
    apply=circular_motion_blur,
    settings={"cifar": (2.8, 3.6, 4.4, 5.2, 6)},
)


def draw_transverse_chromatic_abberation(stream: Stream, _: Shape, severity: float) -> Draws:
    """Which of the three enlargements each channel gets, (n, 3)."""
    return stream.permutation(3)


def transverse_chromatic_abberation(images: Images, orders: Integers, severity: float) -> Images:
    """Enlarge the channels by different factors about the centre, by smoothing cubic splines; (N, H, H, 3)."""
    from scipy.ndimage import zoom

    scale, side, out = strength(severity, 0.5), images.shape[1], np.empty_like(images)
    factors = (1.0, 1.0 + scale / 2, 1.0 + scale)
    for channel in range(3):
        for which, factor in enumerate(factors):
            chosen = np.flatnonzero(orders[:, channel] == which)
            for k in chosen.tolist():
                larger = zoom(images[k, :, :, channel], factor, prefilter=False)
                edge = (larger.shape[0] - side) // 2
                out[k, :, :, channel] = larger[edge : edge + side, edge : edge + side]
    return out


TRANSVERSE_CHROMATIC_ABBERATION = Corruption(
    name="transverse_chromatic_abberation",
    family="digital",
    source=SOURCE,
    benchmark="c-bar",
    draw=draw_transverse_chromatic_abberation,
    apply=transverse_chromatic_abberation,
    settings={"cifar": (1, 2, 5, 9, 10)},
)
