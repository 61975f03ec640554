"""Rain on single frames: short bright lines, a blur where they are, and a darker, flatter picture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from regrow.corruptions.draws import Integers, Stream
from regrow.corruptions.pixels import Floats, to_bytes
from regrow.corruptions.registry import Corruption, Draws, Images, Shape
from regrow.corruptions.video.registry import YI

_BRIGHT = 220.0
_MOST_SLANT = 10


class Rain(NamedTuple):
    """Setting of a severity.

    Attributes:
        area: pixels for each drop.
        length: rows that a drop covers, less one.
        darken: factor of the distance of each value to its channel's mean.
    """

    area: int
    length: int
    darken: float


def _length(side: int, setting: Rain) -> int:
    """Rows of a drop, less one: as published, but at most half a frame."""
    return min(setting.length, side // 2)


def _place(first: Integers, slant: Integers) -> Integers:
    return first + np.minimum(slant, 0)


def draw_rain(stream: Stream, shape: Shape, setting: Rain) -> Draws:
    """Column and row where each drop starts, (n, D) each.

    A slant of each frame, from -10 to 9, widens the columns to the left or narrows them at the right; drops do not
    follow it, as in the published program.
    """
    height, width, _ = shape
    count = height * width // setting.area
    slant = stream.integers(-_MOST_SLANT, _MOST_SLANT)
    columns = stream.integers(0, width - slant, (count,))
    rows = stream.integers(0, height - _length(height, setting), (count,))
    return _place(columns, slant.reshape(-1, 1)), rows


def _replay(rng: np.random.RandomState, images: Images, setting: Rain) -> Images:
    height, width = images.shape[1:3]
    out = np.empty_like(images)
    for image, target in zip(images, out, strict=True):
        slant = int(rng.randint(-_MOST_SLANT, _MOST_SLANT))
        low, high = (slant, width) if slant < 0 else (0, width - slant)
        pairs = [
            (rng.randint(low, high), rng.randint(0, height - _length(height, setting)))
            for _ in range(height * width // setting.area)
        ]
        columns, rows = np.array(pairs, np.int64).reshape(-1, 2).T
        target[...] = rain(image[None], (columns[None], rows[None]), setting)[0]
    return out


def _mask(columns: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], side: int, length: int) -> Floats:
    """The drops of one frame, (H, H): each from (x, y) to (x - 1, y + length), one pixel wide, as OpenCV draws it.

    Half of its rows lie in the column x, the others left of it. What starts left of the frame is not seen; of a drop
    in the first column only the first pixel is left, since the line is cut before it is drawn.
    """
    step = np.arange(length + 1)
    x = columns[:, None] - (step >= (length + 1) // 2)
    y = rows[:, None] + step
    seen = (x >= 0) & ((columns[:, None] > 0) | (step == 0))
    mask = np.zeros((side, side))
    mask[y[seen], x[seen]] = _BRIGHT
    return mask


def _blurred(image: Images) -> Floats:
    """Mean of 3 x 3 pixels, rounded to whole numbers, edges mirrored without their pixel; (H, W, 3)."""
    wide = np.pad(image, ((1, 1), (1, 1), (0, 0)), "reflect").astype(np.int64)
    rows = wide[:-2] + wide[1:-1] + wide[2:]
    total = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    blurred: Floats = ((2 * total + 9) // 18).astype(np.float64)
    return blurred


def rain(images: Images, draws: tuple[Integers, Integers], setting: Rain) -> Images:
    """Rain on frames (N, H, H, 3) from the drops' columns and rows (N, D)."""
    out = np.empty_like(images)
    side = images.shape[1]
    for image, target, columns, rows in zip(images, out, *draws, strict=True):
        mask = _mask(columns, rows, side, _length(side, setting))[:, :, None]
        lit = image + (mask * (1 - image / 255.0) * (1 - np.mean(image) / 255.0)).astype(np.uint8)
        wet = (_blurred(lit) * mask / 255.0 + image * (1 - mask / 255.0)) / 255.0
        mean = np.add.reduce(wet.reshape(-1, 3), axis=0) / (side * side)
        target[...] = to_bytes((wet - mean) * setting.darken + mean)
    return out


RAIN = Corruption(
    name="rain",
    family="weather",
    source=YI,
    draw=draw_rain,
    apply=rain,
    replay=_replay,
    settings={
        "imagenet": (Rain(770, 10, 0.8), Rain(770, 30, 0.8), Rain(770, 60, 0.7), Rain(500, 60, 0.6), Rain(400, 80, 0.5))
    },
)
