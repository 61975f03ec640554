"""Gaussian filters with the published generators' arithmetic (that of scipy 1.1), to the last bit."""

from __future__ import annotations

import functools
import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from regrow.corruptions import kernel
from regrow.corruptions.pixels import Floats

Edges = Literal["nearest", "reflect"]
AnyFloats = npt.NDArray[Any]  # float64 or float32

_FEW_TAPS = 6  # radius up to which sums of slices beat scipy's line by line filter


@functools.lru_cache(maxsize=64)
def gaussian_weights(sigma: float, truncate: float = 4.0) -> Floats:
    """Half of a gaussian kernel: the weight at distance 0, 1, ... ``int(truncate * sigma + 0.5)``.

    Exponentials are libm's, and the sum they are divided by is numpy's, for the last bit of a weight moves bytes.

    Example:
        >>> gaussian_weights(0.4).round(4).tolist()
        [0.9192, 0.0404, 0.0]
    """
    radius = int(truncate * sigma + 0.5)
    whole = np.array([math.exp(-0.5 / (sigma * sigma) * k * k) for k in range(-radius, radius + 1)])
    half = np.array((whole / whole.sum())[radius:])
    half.flags.writeable = False
    return half


def gaussian(values: AnyFloats, sigma: float, edges: Edges = "nearest", truncate: float = 4.0) -> AnyFloats:
    """Filter the two axes after the first: each pair of taps is added before it is weighted, from the outermost in.

    Args:
        values: float64 or float32 (N, H, W) or (N, H, W, C).
        sigma: standard deviation in pixels; 0 leaves the values.
        edges: beyond the border: the edge pixel repeated, or the image mirrored with its edge pixel.
        truncate: radius of the kernel in units of sigma.

    Returns:
        A new array of the same shape and type; sums are in float64, and rounded to the type after each axis.
    """
    if sigma <= 1e-15:
        return values.copy()
    weights = gaussian_weights(sigma, truncate)
    lib = kernel.library()
    if lib is not None and values.dtype == np.float64 and len(weights) <= min(values.shape[1:3]):
        return lib.gaussian(values, weights, edges == "reflect")
    return _along(_along(values, weights, 1, edges), weights, 2, edges)


def _along(values: AnyFloats, weights: Floats, axis: int, edges: Edges) -> AnyFloats:
    radius, n = len(weights) - 1, values.shape[axis]
    if radius > _FEW_TAPS or values.dtype != np.float64 or edges == "reflect":
        from scipy.ndimage import correlate1d

        whole = np.concatenate([weights[:0:-1], weights])
        filtered: AnyFloats = correlate1d(values, whole, axis=axis, mode=edges)
        return filtered
    widths = [(0, 0)] * values.ndim
    widths[axis] = (radius, radius)
    padded = np.pad(values, widths, mode="edge")

    def shifted(by: int) -> AnyFloats:
        part = [slice(None)] * values.ndim
        part[axis] = slice(radius + by, radius + by + n)
        return padded[tuple(part)]

    total: AnyFloats = shifted(0) * weights[0]
    pair = np.empty_like(total)
    for distance in range(radius, 0, -1):
        np.add(shifted(-distance), shifted(distance), out=pair)
        pair *= weights[distance]
        total += pair
    return total
