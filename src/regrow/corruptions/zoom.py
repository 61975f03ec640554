"""Zooming into the centre of an image (``clipped_zoom``), and the blur made of many such zooms."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from regrow.corruptions import kernel
from regrow.corruptions.pixels import Floats, to_bytes32, to_unit32
from regrow.corruptions.registry import Corruption, Images

_SOURCE = "Hendrycks and Dietterich 2019, arXiv:1903.12261, section 4"


class Zoom(NamedTuple):
    """Where an output row or column lies between two input ones; the same for both axes of a square image."""

    first: npt.NDArray[np.intp]  # (side,)
    second: npt.NDArray[np.intp]  # (side,)
    share: Floats  # (side,) weight of `second`


@functools.lru_cache(maxsize=256)
def zoom_map(side: int, factor: float) -> Zoom:
    """The map of one axis for a zoom by ``factor`` >= 1, cropped to the middle ``side`` pixels."""
    crop = math.ceil(side / factor)
    top = (side - crop) // 2
    enlarged = round(crop * factor)
    trim = (enlarged - side) // 2
    place = np.arange(trim, trim + side) * ((crop - 1) / (enlarged - 1) if enlarged > 1 else 0.0)
    first = np.floor(place).astype(np.intp)
    return Zoom(top + first, top + np.minimum(first + 1, crop - 1), place - first)


def zoomed(values: npt.NDArray[Any], factor: float) -> npt.NDArray[Any]:
    """Zoom into the centre of square images, linearly between pixels.

    Args:
        values: float64 or float32 (N, H, H) or (N, H, H, C).
        factor: at least 1.

    Returns:
        New array of the same shape and type; sums are in float64, over the four taps in raster order.
    """
    first, second, share = zoom_map(values.shape[1], factor)
    tail = (1,) * (values.ndim - 3)
    low, high = (1.0 - share).reshape(-1, *tail), share.reshape(-1, *tail)
    above = values.take(first, axis=1) * low[:, None]
    below = values.take(second, axis=1) * high[:, None]
    total = above.take(first, axis=2) * low
    total += above.take(second, axis=2) * high
    total += below.take(first, axis=2) * low
    total += below.take(second, axis=2) * high
    return total.astype(values.dtype, copy=False)


@functools.lru_cache(maxsize=256)
def _matrix(side: int, factor: float) -> Any:
    """The zoom of one axis as a sparse matrix with two entries a row."""
    from scipy.sparse import csr_matrix

    first, second, share = zoom_map(side, factor)
    entries = np.stack([1.0 - share, share], axis=1).ravel()
    places = np.stack([first, second], axis=1).ravel()
    return csr_matrix((entries, places, np.arange(0, 2 * side + 1, 2)), shape=(side, side))


def factors(params: tuple[float, float]) -> list[float]:
    """The zoom factors of a setting (end, step), as ``numpy.arange(1, end, step)`` rounds them."""
    found: list[float] = np.arange(1, *params).tolist()
    return found


def zoom_blur(images: Images, _: None, params: tuple[float, float]) -> Images:
    """Mean of the image and of zooms into it; (N, H, H, 3). Layers are added in float32, in order."""
    side, zooms = images.shape[1], factors(params)
    if (lib := kernel.library()) is not None:
        return lib.zoom_blur(images, [zoom_map(side, factor) for factor in zooms])
    # columns first: (W, N * H * 3); a layer is then a sparse product, a transposition and another sparse product
    n, unit = len(images), to_unit32(images)
    flat = np.ascontiguousarray(unit.transpose(2, 0, 1, 3)).reshape(side, -1)
    wide = flat.astype(np.float64)
    total = np.zeros((side, side * n * 3), np.float32)  # rows first in the end
    for factor in zooms:
        across = _matrix(side, factor)
        columns = (across @ wide).reshape(side, n, side, 3).transpose(2, 1, 0, 3)
        total += (across @ np.ascontiguousarray(columns).reshape(side, -1)).astype(np.float32)
    total += unit.transpose(1, 0, 2, 3).reshape(side, -1)
    total /= np.float32(len(zooms) + 1)
    return np.ascontiguousarray(to_bytes32(total).reshape(side, n, side, 3).transpose(1, 0, 2, 3))


_COARSE = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))
_FINE = ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01))

ZOOM_BLUR = Corruption(
    name="zoom_blur",
    family="blur",
    source=_SOURCE,
    apply=zoom_blur,
    settings={"cifar": _FINE, "tiny": _FINE, "imagenet": _COARSE, "inception": _COARSE},
)
