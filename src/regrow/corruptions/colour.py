"""Hue, saturation and value: RGB bytes out, RGB bytes back in, with saturation or value changed on the way."""

from __future__ import annotations

import numpy as np

from regrow.corruptions import kernel
from regrow.corruptions.pixels import planes
from regrow.corruptions.registry import Images

# Of the three bytes (value, lowest, middle), which goes to red, green and blue in each sixth of the hue circle.
_PLACES = np.array([[0, 2, 1], [2, 0, 1], [1, 0, 2], [1, 2, 0], [2, 1, 0], [0, 1, 2]], dtype=np.intp)


def change(images: Images, *, saturation: tuple[float, float] | None = None, value: float = 0.0) -> Images:
    """Change the saturation or the value of every pixel in float64, cut to [0, 1]; hue stays.

    The arithmetic is, operation for operation, that of the usual conversions (scikit-image's ``rgb2hsv`` and
    ``hsv2rgb``); the two thirds of it that would be thrown away are left out.

    Args:
        images: uint8 (N, H, W, 3).
        saturation: (factor, shift): the saturation is multiplied, then shifted.
        value: what is added to the value where the saturation is left.

    Returns:
        Changed images, same shape.
    """
    if (lib := kernel.library()) is not None:
        factor, shift = saturation or (1.0, value)
        return lib.colour(images, 0 if saturation is None else 1, factor, shift)
    red, green, blue = planes(images)
    high = np.maximum(np.maximum(red, green), blue)
    spread = high - np.minimum(np.minimum(red, green), blue)
    is_grey = spread == 0
    blue_leads = (blue == high) & ~is_grey  # a grey has hue 0, as if red led
    green_leads = (green == high) & ~blue_leads & ~is_grey

    # hue in sixths of the circle: an offset for the leading channel, plus the difference of the two others
    rest = np.where(blue_leads, red, np.where(green_leads, blue, green))
    rest -= np.where(blue_leads, green, np.where(green_leads, red, blue))
    safe = np.where(is_grey, 1.0, spread)
    rest /= safe
    rest += blue_leads * 4.0
    rest += green_leads * 2.0
    rest /= 6.0
    rest[rest < 0] += 1.0
    rest *= 6.0
    sixth = np.floor(rest)
    rest -= sixth

    share = np.divide(spread, np.where(is_grey, 1.0, high))
    if saturation is not None:
        share = np.clip(share * saturation[0] + saturation[1], 0.0, 1.0)
    else:
        high = np.clip(high + value, 0.0, 1.0)

    place = sixth.astype(np.intp)
    middle = np.where(place % 2 == 1, rest, 1.0 - rest)
    middle *= share
    triple = np.empty((len(high), 3))
    triple[:, 0] = high
    np.multiply(high, 1.0 - share, out=triple[:, 1])
    np.multiply(high, 1.0 - middle, out=triple[:, 2])
    np.minimum(triple, 1.0, out=triple)
    triple *= 255.0
    source = _PLACES.take(place, axis=0)
    source += np.arange(0, 3 * len(high), 3)[:, None]
    return triple.astype(np.uint8).ravel().take(source).reshape(images.shape)
