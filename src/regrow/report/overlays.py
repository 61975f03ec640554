"""Attribution maps laid over their images, as small pictures of a page."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from regrow.report.pictures import IMAGE_SIDE, Picture, image_picture

#: Colours of what speaks for the class and against it; told apart by colour-blind readers, and on grey.
FOR = (230, 97, 1)
AGAINST = (94, 60, 153)
#: How much of the grey image the strongest place hides.
STRENGTH = 0.8


def overlay(pixels: npt.NDArray[np.uint8], attribution: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """An image in grey under its attribution map.

    Args:
        pixels: (H, W, 3).
        attribution: (H, W); its largest magnitude has full strength.

    Returns:
        (H, W, 3); a map of 0 leaves the grey image.

    Example:
        >>> overlay(np.full((1, 2, 3), 100, np.uint8), np.array([[0.0, 2.0]])).tolist()
        [[[100, 100, 100], [204, 98, 21]]]
    """
    share = attribution.astype(np.float64)
    largest = float(np.abs(share).max())
    if largest > 0:
        share = share / largest
    grey = (pixels.astype(np.float64) @ (0.299, 0.587, 0.114))[..., None]
    colour = np.where(share[..., None] >= 0, np.array(FOR, float), np.array(AGAINST, float))
    hidden = STRENGTH * np.abs(share)[..., None]
    return np.rint((1 - hidden) * grey + hidden * colour).astype(np.uint8)


def overlay_picture(pixels: npt.NDArray[np.uint8], attribution: npt.NDArray[np.floating[Any]], alt: str) -> Picture:
    """`overlay` as a PNG of at most ``IMAGE_SIDE`` pixels a side; larger images are reduced by whole blocks before.

    The same input gives the same bytes with the same Pillow.
    """
    block = math.ceil(max(pixels.shape[:2]) / IMAGE_SIDE)
    reduced = np.rint(_blocks(pixels.astype(np.float64), block)).astype(np.uint8)
    return image_picture(overlay(reduced, _blocks(attribution.astype(np.float64)[..., None], block)[..., 0]), alt)


def _blocks(values: npt.NDArray[np.float64], side: int) -> npt.NDArray[np.float64]:
    """Means over blocks of side x side; what is left at the right and lower edge is cut off."""
    height, width = (n // side * side for n in values.shape[:2])
    parts = values[:height, :width].reshape(height // side, side, width // side, side, -1)
    means: npt.NDArray[np.float64] = parts.mean(axis=(1, 3))
    return means
