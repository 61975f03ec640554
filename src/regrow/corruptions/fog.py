"""Fog: a cloud from the diamond-square algorithm, laid over the image."""

from __future__ import annotations

import numpy as np

from regrow.corruptions.draws import Stream
from regrow.corruptions.pixels import Floats, to_bytes, to_unit
from regrow.corruptions.registry import Corruption, Draws, Images, Shape

_SOURCE = "Hendrycks and Dietterich 2019, arXiv:1903.12261, section 4"


def map_side(side: int) -> int:
    """Side of the cloud for images of ``side`` pixels: the smallest power of two that covers them."""
    return 1 << (side - 1).bit_length()


def draw_fog(stream: Stream, shape: Shape, _: tuple[float, float]) -> Draws:
    """All uniform numbers of a cloud of side M in the order of its making, (n, M * M - 1)."""
    return stream.uniform((map_side(shape[0]) ** 2 - 1,))


def clouds(uniform: Floats, side: int, decay: float) -> Floats:
    """Plasma clouds by the diamond-square algorithm on a torus, scaled to 0..1 each.

    Args:
        uniform: (N, M * M - 1) in [0, 1).
        side: M, a power of two.
        decay: divisor of the roughness at each level.

    Returns:
        (N, M, M). The amplitude of a level is its roughness squared, as in the published generator.
    """
    n = len(uniform)
    cloud = np.zeros((n, side, side))
    rough, step, at = 100.0, side, 0
    while step >= 2:
        half, k = step // 2, side // step

        def noise(k: int = k, rough: float = rough) -> Floats:
            nonlocal at
            part = uniform[:, at : at + k * k].reshape(n, k, k)
            at += k * k
            return rough * (-rough + 2 * rough * part)

        corners = cloud[:, ::step, ::step]
        square = corners + np.roll(corners, -1, 1)
        square += np.roll(square, -1, 2)
        square /= 4
        square += noise()
        cloud[:, half::step, half::step] = square
        rows = square + np.roll(square, 1, 1)
        rows += corners + np.roll(corners, -1, 2)
        cloud[:, ::step, half::step] = rows / 4 + noise()
        columns = square + np.roll(square, 1, 2)
        columns += corners + np.roll(corners, -1, 1)
        cloud[:, half::step, ::step] = columns / 4 + noise()
        step, rough = half, rough / decay
    cloud -= cloud.min((1, 2), keepdims=True)
    cloud /= cloud.max((1, 2), keepdims=True)
    return cloud


def fog(images: Images, uniform: Floats, params: tuple[float, float]) -> Images:
    """Add a cloud of strength ``params[0]``, then scale back to the image's own maximum; (N, H, H, 3)."""
    return lay(images, clouds(uniform, map_side(images.shape[1]), params[1]), params[0])


def lay(images: Images, cloud: Floats, strength: float) -> Images:
    """Lay clouds, (N, M, M) or one for all (1, M, M), over images (N, H, H, 3)."""
    side = images.shape[1]
    cloud = cloud[:, :side, :side, None]
    unit = to_unit(images)
    high = unit.max((1, 2, 3), keepdims=True)
    unit += strength * cloud
    unit *= high
    unit /= high + strength
    return to_bytes(unit)


FOG = Corruption(
    name="fog",
    family="weather",
    source=_SOURCE,
    draw=draw_fog,
    apply=fog,
    settings={
        "cifar": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        "tiny": ((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)),
        "imagenet": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        "inception": ((1.5, 2), (2, 2), (2.5, 1.8), (2.5, 1.6), (3, 1.5)),
    },
)
