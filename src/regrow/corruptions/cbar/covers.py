"""Parts of the image covered by grey: a checkerboard's squares, or lines."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from regrow.corruptions.cbar.grid import SOURCE, between, coordinates, strength
from regrow.corruptions.draws import Integers, Stream
from regrow.corruptions.pixels import Floats
from regrow.corruptions.registry import Corruption, Draws, Images, Shape


def draw_checkerboard_cutout(stream: Stream, shape: Shape, severity: float) -> Draws:
    """Angle in radians and side of a square in pixels (n, 2), and the seed of the choice of squares (n,)."""
    angle = between(stream, 0, 2 * np.pi)
    size = between(stream, 0.1, 0.25) * shape[0]
    return np.stack([angle, np.maximum(size, 1)], axis=1), stream.integers(0, 1 << 32)


def checkerboard_cutout(images: Images, draws: tuple[Floats, Integers], severity: float) -> Images:
    """Grey out some of the dark squares of a turned checkerboard; (N, H, H, 3)."""
    side, share, out = images.shape[1], strength(severity, 1.0), images.copy()
    rows, columns = coordinates(side)
    for target, (angle, size), seed in zip(out, draws[0].tolist(), draws[1].tolist(), strict=True):
        squares = int(4 * side // size)
        grey = np.random.RandomState(seed).uniform(size=(squares, squares)) < share
        u = (np.cos(angle) * rows + np.sin(angle) * columns) / size
        v = (-np.sin(angle) * rows + np.cos(angle) * columns) / size
        dark = (u % 2).astype(np.int64) == (v % 2).astype(np.int64)
        target[dark & grey[u.astype(np.int64), v.astype(np.int64)]] = 128
    return out


CHECKERBOARD_CUTOUT = Corruption(
    name="checkerboard_cutout",
    family="digital",
    source=SOURCE,
    benchmark="c-bar",
    draw=draw_checkerboard_cutout,
    apply=checkerboard_cutout,
    settings={"cifar": (1, 2, 3, 4, 5), "imagenet": (2, 3, 4, 5, 6)},
)


def draw_lines(stream: Stream, _: Shape, severity: float) -> Draws:
    """Angle in radians and its variation (n, 2), and the seed of the lines (n,)."""
    angle = between(stream, 0.0, 2 * np.pi)
    return np.stack([angle, between(stream, 0.1, 1.0)], axis=1), stream.integers(0, 1 << 32)


def lines(images: Images, draws: tuple[Floats, Integers], severity: float) -> Images:
    """Draw grey anti-aliased lines across the image, rounding down to bytes after each; (N, H, H, 3)."""
    side, out = images.shape[1], images.copy()
    count = int(strength(severity, 1.0) * side)
    for target, (angle, variation), seed in zip(out, draws[0].tolist(), draws[1].tolist(), strict=True):
        numbers = np.random.RandomState(seed).random_sample((count, 3)).tolist()
        for across, down, turn in numbers:
            x, y, a = side * across, side * down, angle + 2 * math.pi * variation * (turn - 0.5)
            s, c = math.sin(a) * side, math.cos(a) * side
            rows, columns, cover = _smooth_line(int(x - c), int(y - s), int(x + c), int(y + s))
            inside = (rows >= 0) & (columns >= 0) & (rows < side) & (columns < side)
            rows, columns, cover = rows[inside], columns[inside], cover[inside, None]
            target[rows, columns] = (1.0 - cover) * target[rows, columns] + cover * 128
    return out


def _smooth_line(
    row: int, column: int, last_row: int, last_column: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]:
    """Pixels of an anti-aliased line and how far each is covered (Bresenham's walk with the error as the cover)."""
    wide, high = abs(last_column - column), abs(last_row - row)
    step_x, step_y = (1 if column < last_column else -1), (1 if row < last_row else -1)
    length = math.hypot(wide, high) or 1.0
    error, found = wide - high, []
    while True:
        found.append((row, column, abs(error - wide + high) / length))
        before, old = error, column
        if 2 * before >= -wide:
            if column == last_column:
                break
            if before + high < length:
                found.append((row + step_y, column, abs(before + high) / length))
            error -= high
            column += step_x
        if 2 * before <= high:
            if row == last_row:
                break
            if wide - before < length:
                found.append((row, old + step_x, abs(wide - before) / length))
            error += wide
            row += step_y
    rows, columns, away = (np.array(part) for part in zip(*found, strict=True))
    return rows, columns, 1 - away


LINES = Corruption(
    name="lines",
    family="digital",
    source=SOURCE,
    benchmark="c-bar",
    draw=draw_lines,
    apply=lines,
    settings={"cifar": (0.5, 1, 1.5, 2, 2.5)},
)
