"""Snow: bright flakes blurred along a direction, over a whitened image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from regrow.corruptions.draws import Stream
from regrow.corruptions.motion import motion
from regrow.corruptions.pixels import UNIT, Floats, Singles, to_bytes, to_unit32
from regrow.corruptions.registry import Corruption, Draws, Images, Shape
from regrow.corruptions.zoom import zoomed

_SOURCE = "Hendrycks and Dietterich 2019, arXiv:1903.12261, section 4"


class Snow(NamedTuple):
    """A setting of snow."""

    mean: float
    std: float
    zoom: float  # size of the flakes
    threshold: float  # less bright ones are left out
    radius: float  # of the motion blur, in pixels
    sigma: float
    keep: float  # share of the image that is not whitened


def draw_snow(stream: Stream, shape: Shape, params: Snow) -> Draws:
    """Brightness of the flakes (n, H, W), and their direction in degrees (n,)."""
    field = params.mean + params.std * stream.normal(shape[:2])
    return field, -135 + 90 * stream.uniform()


def grey(unit: Singles) -> Singles:
    """Luma of float32 (..., 3), weights added left to right in float32."""
    red, green, blue = (np.float32(weight) for weight in (0.299, 0.587, 0.114))
    luma: Singles = unit[..., 0] * red + unit[..., 1] * green + unit[..., 2] * blue
    return luma


def flakes(field: Floats, angles: Floats, params: Snow) -> npt.NDArray[np.uint8]:
    """The layer of snow, uint8 (N, H, W)."""
    layer = field if params.zoom == 1 else zoomed(field, params.zoom)
    layer = to_bytes(np.where(layer < params.threshold, 0.0, layer))
    return motion(layer[..., None], params.radius, params.sigma, angles)[..., 0]


def snow(images: Images, draws: tuple[Floats, Floats], params: Snow) -> Images:
    """Whiten the image, and add the flakes and the flakes turned by 180 degrees; (N, H, H, 3)."""
    layer = UNIT.take(flakes(*draws, params))
    unit = to_unit32(images)
    white = np.maximum(unit, (grey(unit) * np.float32(1.5) + np.float32(0.5))[..., None])
    white *= np.float32(1 - params.keep)
    unit *= np.float32(params.keep)
    unit += white
    return to_bytes(unit + layer[..., None] + layer[:, ::-1, ::-1, None])


_CIFAR = (
    Snow(0.1, 0.2, 1, 0.6, 8, 3, 0.95),
    Snow(0.1, 0.2, 1, 0.5, 10, 4, 0.9),
    Snow(0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
    Snow(0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
    Snow(0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
)
_IMAGENET = (
    Snow(0.1, 0.3, 3, 0.5, 10, 4, 0.8),
    Snow(0.2, 0.3, 2, 0.5, 12, 4, 0.7),
    Snow(0.55, 0.3, 4, 0.9, 12, 8, 0.7),
    Snow(0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
    Snow(0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
)

SNOW = Corruption(
    name="snow",
    family="weather",
    source=_SOURCE,
    draw=draw_snow,
    apply=snow,
    settings={
        "cifar": _CIFAR,
        "tiny": tuple(row._replace(keep=keep) for row, keep in zip(_CIFAR, (0.8, 0.8, 0.7, 0.65, 0.6), strict=True)),
        "imagenet": _IMAGENET,
        "inception": _IMAGENET,
    },
)
