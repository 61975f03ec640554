"""Shared by the families: strengths, pixel coordinates, and sampling between pixels."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from regrow.corruptions.draws import Stream
from regrow.corruptions.pixels import Floats

SOURCE = "Mintun, Kirillov and Xie 2021, arXiv:2102.11273"


def strength(severity: float, largest: float) -> float:
    """A parameter that grows with severity and is ``largest`` at severity 10."""
    return severity * largest / 10.0


def between(stream: Stream, low: float, high: float, shape: tuple[int, ...] = ()) -> Floats:
    """Uniform numbers of each image in [low, high)."""
    return low + (high - low) * stream.uniform(shape)


@functools.lru_cache(maxsize=8)
def coordinates(side: int) -> tuple[Floats, Floats]:
    """Rows (side, 1) and columns (1, side) of the pixels as float64."""
    line = np.arange(side, dtype=np.float64)
    return line[:, None], line[None, :]


def clipped(level: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Grey levels cut to 0..255 and then to bytes, as a cast cuts."""
    result: npt.NDArray[np.uint8] = np.clip(level, 0, 255).astype(np.uint8)
    return result


def sample(image: npt.NDArray[Any], rows: Floats, columns: Floats) -> npt.NDArray[Any]:
    """An image between its pixels, linearly, and zero outside.

    Args:
        image: (H, W, C); sums are made in its type if it is float32, else in float64.
        rows: where to look, (h, w).
        columns: likewise.

    Returns:
        (h, w, C).
    """
    kind = np.float32 if image.dtype == np.float32 else np.float64
    top, left = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    bottom, right = top + 1, left + 1
    w_left, w_right = ((1.0 - columns + left).astype(kind), (1.0 - right + columns).astype(kind))
    w_top, w_bottom = ((1.0 - rows + top).astype(kind), (1.0 - bottom + rows).astype(kind))
    height, width, channels = image.shape
    framed = np.zeros((height + 2, width + 2, channels), kind)  # a rim of zeros stands for all that lies outside
    framed[1:-1, 1:-1] = image
    flat = framed.reshape(-1, channels)
    ups, downs = (np.clip(k + 1, 0, height + 1) * (width + 2) for k in (top, bottom))
    lefts, rights = (np.clip(k + 1, 0, width + 1) for k in (left, right))
    upper = flat[ups + lefts] * w_left[..., None] + flat[ups + rights] * w_right[..., None]
    lower = flat[downs + lefts] * w_left[..., None] + flat[downs + rights] * w_right[..., None]
    result: npt.NDArray[Any] = upper * w_top[..., None] + lower * w_bottom[..., None]
    return result
