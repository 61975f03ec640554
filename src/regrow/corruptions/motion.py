"""Motion blur as ImageMagick 6 computes it: a one-sided kernel along a line, in 16-bit quanta."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from regrow.corruptions import kernel
from regrow.corruptions.draws import Stream
from regrow.corruptions.pixels import Floats
from regrow.corruptions.registry import Corruption, Draws, Images, Shape

_SOURCE = "Hendrycks and Dietterich 2019, arXiv:1903.12261, section 4"


@functools.lru_cache(maxsize=64)
def motion_weights(radius: float, sigma: float) -> Floats:
    """Weights of the taps 0, 1, ... ``2 * ceil(radius)``, with sum 1."""
    width = 2 * math.ceil(radius) + 1
    weights = np.array([math.exp(-i * i / (2.0 * sigma * sigma)) for i in range(width)])
    weights /= sum(weights.tolist())
    weights.flags.writeable = False
    return weights


def motion_steps(angles: Floats, width: int) -> npt.NDArray[np.int32]:
    """Offsets in pixels, int32 (N, width, 2) as (row, column), of the taps along each angle in degrees."""
    theta = np.radians(angles)
    taps = np.arange(width)
    steps = np.stack([np.sin(theta)[:, None] * taps, np.cos(theta)[:, None] * taps], axis=2)
    whole: npt.NDArray[np.int32] = np.ceil(steps - 0.5).astype(np.int32)
    return whole


def motion(images: npt.NDArray[np.uint8], radius: float, sigma: float, angles: Floats) -> npt.NDArray[np.uint8]:
    """Blur every image along its own angle, edge pixels repeated.

    Sums are of 16-bit values (257 per byte) in float64 in the order of the taps, rounded to 16 bits and then cut
    off, not rounded, to bytes.

    Args:
        images: uint8 (N, H, W, C).
        radius: half the kernel's length in pixels.
        sigma: standard deviation of its one-sided gaussian in pixels.
        angles: degrees, (N,).

    Returns:
        New array of the same shape.
    """
    weights = motion_weights(radius, sigma)
    steps = motion_steps(angles, len(weights))
    if (lib := kernel.library()) is not None:
        return lib.motion(images, weights, steps)
    out = np.empty_like(images)
    height, width = images.shape[1:3]
    margin = len(weights) - 1
    for image, target, path in zip(images, out, steps.tolist(), strict=True):
        padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="edge") * 257.0
        for start in range(0, height, _ROWS):
            band = target[start : start + _ROWS]
            total = np.zeros(band.shape)
            term = np.empty_like(total)
            for weight, (down, right) in zip(weights.tolist(), path, strict=True):
                top, left = margin + down + start, margin + right
                np.multiply(padded[top : top + len(band), left : left + width], weight, out=term)
                total += term
            total += 0.5
            band[...] = total.astype(np.int32) // 257
    return out


_ROWS = 32  # summed at a time, so that they stay in a processor's cache


def draw_motion_blur(stream: Stream, shape: Shape, params: tuple[float, float]) -> Draws:
    """Angles in degrees, (n,)."""
    return -45 + 90 * stream.uniform()


def motion_blur(images: Images, angles: Floats, params: tuple[float, float]) -> Images:
    """Blur along a random direction within 45 degrees of the horizontal; (N, H, W, 3)."""
    return motion(images, *params, angles)


MOTION_BLUR = Corruption(
    name="motion_blur",
    family="blur",
    source=_SOURCE,
    draw=draw_motion_blur,
    apply=motion_blur,
    settings={
        "cifar": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        "tiny": ((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)),
        "imagenet": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        "inception": ((12, 4), (17, 6), (17, 9), (17, 13), (22, 16)),
    },
)
