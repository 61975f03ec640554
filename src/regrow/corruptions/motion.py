"""Motion blur as ImageMagick 6 computes it: a one-sided kernel along a line, in 16-bit quanta."""

from __future__ import annotations

import functools
import math
from typing import Any

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
    for image, target, path in zip(images, out, steps, strict=True):
        _blur(image, target, weights, path)
    return out


#: Rows summed at a time, so that they stay in a processor's cache.
_ROWS = 32

#: A sum of n products by fused operations is nearer to the plain sum than this: n <= 45 roundings of values < 2**16.
_FUSED_ERROR = 1e-8


def _blur(image: npt.NDArray[np.uint8], out: npt.NDArray[np.uint8], weights: Floats, path: npt.NDArray[Any]) -> None:
    """Blur one image; ``path`` (width, 2) holds the row and column offset of each tap.

    BLAS adds a multiple of a vector in one pass, but rounds once where the published program rounds twice. Sums that
    are so near to a change of byte that this could matter are taken again, operation by operation.
    """
    from scipy.linalg.blas import daxpy

    height, width, channels = image.shape
    (top, left), (below, right) = np.maximum(-path.min(0), 0), np.maximum(path.max(0), 0)
    padded = np.pad(image, ((top, below + 1), (left, right), (0, 0)), mode="edge") * 257.0
    across = padded.shape[1] * channels
    flat = padded.ravel()
    # whole padded rows are summed, as one vector: what lies right of the image is thrown away
    taps = [
        (weight, int((top + down) * across + (left + step) * channels))
        for weight, (down, step) in zip(weights.tolist(), path.tolist(), strict=True)
    ]
    for start in range(0, height, _ROWS):
        rows = min(_ROWS, height - start)
        total = np.zeros(rows * across)
        for weight, offset in taps:
            daxpy(flat, total, n=len(total), a=weight, offx=start * across + offset)
        total += 0.5
        levels = total.astype(np.int32) // 257
        rest = total - levels * 257.0
        if rest.min() < _FUSED_ERROR or rest.max() > 257 - _FUSED_ERROR:
            for at in np.flatnonzero((rest < _FUSED_ERROR) | (rest > 257 - _FUSED_ERROR)).tolist():
                exact = 0.0
                for weight, offset in taps:
                    exact += weight * float(flat[start * across + offset + at])
                levels[at] = int(exact + 0.5) // 257
        out[start : start + rows] = levels.reshape(rows, -1, channels)[:, :width]


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
