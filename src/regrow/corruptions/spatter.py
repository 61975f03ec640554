"""Spatter: drops of water or splashes of mud."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from regrow.corruptions import edges
from regrow.corruptions.draws import Stream
from regrow.corruptions.gaussian import gaussian
from regrow.corruptions.pixels import Floats, Singles, single, to_bytes32, to_unit32
from regrow.corruptions.registry import Corruption, Draws, Images, Shape

_SOURCE = "Hendrycks and Dietterich 2019, arXiv:1903.12261, section 4 (extra type)"

WATER = np.array([175, 238, 238]) / 255.0
MUD = np.array([63, 42, 20]) / 255.0


class Spatter(NamedTuple):
    """A setting of spatter."""

    mean: float
    std: float
    sigma: float  # smoothness of the liquid, in pixels
    threshold: float  # less liquid than that is none
    strength: float  # of water; for mud the sigma of its rim
    is_mud: bool


def draw_spatter(stream: Stream, shape: Shape, params: Spatter) -> Draws:
    """Amount of liquid before it is smoothed, (n, H, W)."""
    return params.mean + params.std * stream.normal(shape[:2])


def drops(liquid: Floats, strength: float) -> Singles:
    """Brightness that water adds, float32 (N, H, W); NaN for an image without any liquid."""
    layer: Images = (255 * liquid).astype(np.int64).astype(np.uint8)  # wraps beyond 255, as the published cast
    near = np.minimum(edges.chamfer(edges.canny(layer)), np.float32(20))
    soft: Images = single(edges.box_sum(near) * (1.0 / 9)).astype(np.uint8)
    carved = edges.relief(edges.equalise(soft))
    shine = single(np.rint(edges.box_sum(carved) / 9))
    shine *= layer
    with np.errstate(invalid="ignore"):
        shine /= shine.max((1, 2), keepdims=True)
    shine *= np.float32(strength)
    return shine


def spatter(images: Images, field: Floats, params: Spatter) -> Images:
    """Lay drops of water, or mud, over the image; (N, H, H, 3). Without any liquid the picture is black.

    That black is the published program's 0 / 0, which processors turn into the byte 0.
    """
    liquid = gaussian(field, params.sigma)
    liquid[liquid < params.threshold] = 0
    unit = to_unit32(images)
    if params.is_mud:
        cover = gaussian((liquid > params.threshold).astype(np.float32), params.strength)
        cover[cover < np.float32(0.8)] = 0
        unit *= (1 - cover)[..., None]
        unit += single(MUD) * cover[..., None]
    else:
        unit += drops(liquid, params.strength)[..., None] * single(WATER)
    return to_bytes32(np.nan_to_num(unit, copy=False))


def _rows(*rows: tuple[float, float, float, float, float, int]) -> tuple[Spatter, ...]:
    return tuple(Spatter(*row[:5], bool(row[5])) for row in rows)


SPATTER = Corruption(
    name="spatter",
    family="weather",
    source=_SOURCE,
    draw=draw_spatter,
    apply=spatter,
    extra=True,
    settings={
        "cifar": _rows(
            (0.62, 0.1, 0.7, 0.7, 0.5, 0),
            (0.65, 0.1, 0.8, 0.7, 0.5, 0),
            (0.65, 0.3, 1, 0.69, 0.5, 0),
            (0.65, 0.1, 0.7, 0.69, 0.6, 1),
            (0.65, 0.1, 0.5, 0.68, 0.6, 1),
        ),
        "tiny": _rows(
            (0.62, 0.1, 0.7, 0.7, 0.6, 0),
            (0.65, 0.1, 0.8, 0.7, 0.6, 0),
            (0.65, 0.3, 1, 0.69, 0.6, 0),
            (0.65, 0.1, 0.7, 0.68, 0.6, 1),
            (0.65, 0.1, 0.5, 0.67, 0.6, 1),
        ),
        "imagenet": _rows(
            (0.65, 0.3, 4, 0.69, 0.6, 0),
            (0.65, 0.3, 3, 0.68, 0.6, 0),
            (0.65, 0.3, 2, 0.68, 0.5, 0),
            (0.65, 0.3, 1, 0.65, 1.5, 1),
            (0.67, 0.4, 1, 0.65, 1.5, 1),
        ),
        "inception": _rows(
            (0.65, 0.3, 4, 0.69, 0.9, 0),
            (0.65, 0.3, 3.5, 0.68, 0.9, 0),
            (0.65, 0.3, 3, 0.68, 0.8, 0),
            (0.65, 0.3, 1.2, 0.65, 1.8, 1),
            (0.67, 0.4, 1.2, 0.65, 1.8, 1),
        ),
    },
)
