"""Small pixel pictures as data addresses: mask maps and example images. Pillow is imported where it is used."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image

#: Anchors of the colour scale of mask maps, dark to light (even steps of lightness; safe for colour-blind readers).
_ANCHORS = ((38, 24, 74), (58, 76, 138), (42, 120, 142), (34, 163, 133), (122, 209, 81), (253, 231, 37))
#: Larger maps and images are thinned or reduced to this many pixels a side.
MAP_SIDE = 192
IMAGE_SIDE = 96


@dataclass(frozen=True)
class Picture:
    """One picture of the page.

    Attributes:
        src: a ``data:`` address.
        alt: what it shows, in words.
        width: in its own pixels.
        height: in its own pixels.
    """

    src: str
    alt: str
    width: int
    height: int


def scale_colours(k: int) -> list[tuple[int, int, int]]:
    """``k + 1`` colours for the counts 0..k.

    Example:
        >>> scale_colours(1)
        [(38, 24, 74), (253, 231, 37)]
    """
    steps = len(_ANCHORS) - 1
    colours = []
    for i in range(k + 1):
        at = steps * i / max(1, k)
        j = min(int(at), steps - 1)
        low, high = _ANCHORS[j], _ANCHORS[j + 1]
        red, green, blue = (round(a + (at - j) * (b - a)) for a, b in zip(low, high, strict=True))
        colours.append((red, green, blue))
    return colours


def map_picture(counts: npt.NDArray[np.integer[Any]], k: int, alt: str) -> Picture:
    """A map of counts 0..k, one pixel a kernel: shape (out, in) becomes (height, width).

    Args:
        counts: integers of shape (out, in); values are clipped to 0..k.
        k: weights of a full kernel; fixes the colour scale.
        alt: description.

    Returns:
        PNG with a palette of k + 1 colours. Maps above ``MAP_SIDE`` keep evenly spaced rows and columns.
    """
    image = map_image(thinned(counts), k)
    return Picture(_png(image), alt, image.width, image.height)


def map_image(counts: npt.NDArray[np.integer[Any]], k: int) -> Image.Image:
    """A map as a palette image of ``min(k, 255) + 1`` colours; see `map_picture`."""
    from PIL import Image

    k = min(k, 255)
    shown = np.ascontiguousarray(np.clip(counts, 0, k).astype(np.uint8))
    image = Image.frombytes("P", (shown.shape[1], shown.shape[0]), shown.tobytes())
    image.putpalette([channel for colour in scale_colours(k) for channel in colour])
    return image


def thinned(counts: npt.NDArray[np.integer[Any]], side: int = MAP_SIDE) -> npt.NDArray[np.integer[Any]]:
    """At most ``side`` evenly spaced rows and columns of a map."""
    rows, columns = (np.unique(np.linspace(0, n - 1, min(n, side)).round().astype(int)) for n in counts.shape)
    chosen: npt.NDArray[np.integer[Any]] = counts[np.ix_(rows, columns)]
    return chosen


def sorted_map(counts: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.integer[Any]]:
    """Rows and columns by falling sums (ties by position), so that uneven use of channels is seen."""
    rows = np.argsort(-counts.sum(axis=1), kind="stable")
    columns = np.argsort(-counts.sum(axis=0), kind="stable")
    return counts[rows][:, columns]


def image_picture(pixels: npt.NDArray[np.uint8], alt: str) -> Picture:
    """An image of shape (H, W, 3): PNG to the pixel up to ``IMAGE_SIDE``, above it reduced and packed as JPEG."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    if max(image.size) <= IMAGE_SIDE:
        return Picture(_png(image), alt, image.width, image.height)
    factor = IMAGE_SIDE / max(image.size)
    image = image.resize(
        (max(1, round(image.width * factor)), max(1, round(image.height * factor))), Image.Resampling.BOX
    )
    out = io.BytesIO()
    image.save(out, format="JPEG", quality=92)
    return Picture(_address(out.getvalue(), "jpeg"), alt, image.width, image.height)


def _png(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True)
    return _address(out.getvalue(), "png")


def _address(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
