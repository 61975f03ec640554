"""Digital: contrast, saturate, pixelate."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from regrow.corruptions import colour
from regrow.corruptions.pixels import UNIT, to_bytes
from regrow.corruptions.registry import Corruption, Images

_SOURCE = "Hendrycks and Dietterich 2019, arXiv:1903.12261, section 4"


def contrast(images: Images, _: None, factor: float) -> Images:
    """Draw every value towards the mean of its image and channel: ``(x - mean) * factor + mean``; (N, H, W, 3).

    The mean is a sum in float64, pixel after pixel in raster order, as the published files need it: another
    order moves bytes. An image then has 256 results a channel, which are tabled and looked up.
    """
    n, height, width, _channels = images.shape
    pixels = np.ascontiguousarray(images.reshape(n, -1, 3).transpose(1, 0, 2))
    mean = np.add.reduce(UNIT.take(pixels), axis=0) / (height * width)  # (n, 3); rows are added one by one
    table = UNIT - mean[:, :, None]
    table *= factor
    table += mean[:, :, None]
    start = 256 * np.arange(3 * n, dtype=np.int32).reshape(n, 1, 1, 3)
    result: Images = to_bytes(table).ravel().take(images + start)
    return result


CONTRAST = Corruption(
    name="contrast",
    family="digital",
    source=_SOURCE,
    apply=contrast,
    settings={
        "cifar": (0.75, 0.5, 0.4, 0.3, 0.15),
        "tiny": (0.4, 0.3, 0.2, 0.1, 0.05),
        "imagenet": (0.4, 0.3, 0.2, 0.1, 0.05),
        "inception": (0.4, 0.3, 0.2, 0.1, 0.05),
    },
)


def saturate(images: Images, _: None, params: tuple[float, float]) -> Images:
    """Multiply and shift the saturation, clipped to [0, 1]: ``s * params[0] + params[1]``; (N, H, W, 3)."""
    return colour.change(images, saturation=params)


SATURATE = Corruption(
    name="saturate",
    family="digital",
    source=_SOURCE + " (extra type)",
    apply=saturate,
    extra=True,
    settings={
        "cifar": ((0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2)),
        "tiny": ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (30.0, 0.2)),
        "imagenet": ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2)),
        "inception": ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2)),
    },
)


class Box(NamedTuple):
    """A box filter from one length to another: output ``i`` is the sum over ``t`` of ``weight[t, i] * x[at[t, i]]``."""

    at: npt.NDArray[np.intp]  # (taps, n_out)
    weight: npt.NDArray[np.int32]  # (taps, n_out), in units of 2**-22


_BITS = 22


@functools.lru_cache(maxsize=64)
def box_weights(n_in: int, n_out: int) -> Box:
    """The box filter between two lengths, as Pillow rounds it."""
    scale = n_in / n_out
    filter_scale = max(scale, 1.0)
    support = filter_scale / 2
    rows: list[list[tuple[int, int]]] = []
    for i in range(n_out):
        centre = (i + 0.5) * scale
        low, high = max(int(centre - support + 0.5), 0), min(int(centre + support + 0.5), n_in)
        inside = [j for j in range(low, high) if -0.5 < (j - centre + 0.5) / filter_scale <= 0.5]
        rows.append([(j, int(0.5 + 2**_BITS / len(inside))) for j in inside])
    taps = max(len(row) for row in rows)
    padded = np.array([row + [(0, 0)] * (taps - len(row)) for row in rows])
    return Box(padded[:, :, 0].T.astype(np.intp), padded[:, :, 1].T.astype(np.int32))


def _resize(images: Images, box: Box, axis: int) -> Images:
    if len(box.at) == 1:  # enlarging: every output is one input
        chosen: Images = images.take(box.at[0], axis=axis)
        return chosen
    shape = [1, 1, 1, 1]
    shape[axis] = -1
    total = images.take(box.at[0], axis=axis) * box.weight[0].reshape(shape)
    total += np.int32(1 << (_BITS - 1))
    for at, weight in zip(box.at[1:], box.weight[1:], strict=True):
        total += images.take(at, axis=axis) * weight.reshape(shape)
    total >>= _BITS
    result: Images = np.clip(total, 0, 255).astype(np.uint8)
    return result


def box_resize(images: Images, side: int) -> Images:
    """Resize square images by a box filter in Pillow's fixed-point arithmetic, to the byte.

    Rows are filtered along their width, rounded to bytes, then columns.

    Args:
        images: uint8 (N, H, H, 3).
        side: new height and width.

    Returns:
        uint8 (N, side, side, 3), equal to ``Image.resize((side, side), Image.BOX)`` of Pillow 13.
    """
    box = box_weights(images.shape[1], side)
    return _resize(_resize(images, box, 2), box, 1)


def pixelate(images: Images, _: None, factor: float) -> Images:
    """Shrink to ``int(side * factor)`` pixels by a box filter and enlarge again; (N, H, H, 3)."""
    side = images.shape[1]
    return box_resize(box_resize(images, int(side * factor)), side)


PIXELATE = Corruption(
    name="pixelate",
    family="digital",
    source=_SOURCE,
    apply=pixelate,
    settings={
        "cifar": (0.95, 0.9, 0.85, 0.75, 0.65),
        "tiny": (0.9, 0.8, 0.7, 0.6, 0.5),
        "imagenet": (0.6, 0.5, 0.4, 0.3, 0.25),
        "inception": (0.5, 0.4, 0.3, 0.25, 0.2),
    },
)
