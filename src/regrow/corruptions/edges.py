"""Classical image operations of OpenCV that spatter is made of, to the bit: Canny, distances, equalisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from regrow.corruptions import kernel
from regrow.corruptions.pixels import single

Bytes = npt.NDArray[np.uint8]

_LOW, _HIGH = 50, 150
_STRAIGHT, _DIAGONAL, _KNIGHT = 65536, 91750, 143976  # lengths of steps, in 1/65536 pixel
_FAR = 1 << 29


def _window(values: npt.NDArray[Any], mode: Any) -> list[list[npt.NDArray[Any]]]:
    """The nine shifted copies (as views) of (N, H, W), by row and column."""
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)), mode=mode)
    height, width = values.shape[1:]
    return [[padded[:, i : i + height, j : j + width] for j in range(3)] for i in range(3)]


def canny(images: Bytes) -> npt.NDArray[np.bool_]:
    """Edges with thresholds 50 and 150 and the L1 norm; (N, H, W) in and out."""
    from scipy.ndimage import label

    (a, b, c), (d, _, f), (g, h, i) = _window(images.astype(np.int32), "edge")
    gx, gy = c + 2 * f + i - a - 2 * d - g, g + 2 * h + i - a - 2 * b - c
    strength = np.abs(gx) + np.abs(gy)
    (nw, n, ne), (w, _, e), (sw, s, se) = _window(strength, "constant")
    across, along = np.abs(gx), np.abs(gy) << 15
    flat = 13573 * across
    steep = flat + (across << 16)
    same = (gx ^ gy) >= 0
    is_peak = np.where(
        along < flat,
        (strength > w) & (strength >= e),
        np.where(
            along > steep,
            (strength > n) & (strength >= s),
            np.where(same, (strength > nw) & (strength > se), (strength > ne) & (strength > sw)),
        ),
    )
    candidate = is_peak & (strength > _LOW)
    linked = np.zeros((3, 3, 3), bool)
    linked[1] = True
    groups, count = label(candidate, linked)
    keep = np.zeros(count + 1, bool)
    keep[groups[candidate & (strength > _HIGH)]] = True
    keep[0] = False
    edges: npt.NDArray[np.bool_] = keep[groups]
    return edges


def chamfer(edges: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Distance in pixels to the nearest edge by the 5 x 5 chamfer of OpenCV; float32 (N, H, W), 8192 where none is."""
    if (lib := kernel.library()) is not None:
        return lib.chamfer(edges)
    far = np.where(edges, 0, _FAR).transpose(1, 2, 0)  # the batch last, so that short rows make long vectors
    distance = _downwards(far)
    distance = _downwards(distance[::-1, ::-1])[::-1, ::-1].transpose(2, 0, 1)
    return single(np.minimum(distance, _FAR)) / np.float32(65536)


def _downwards(start: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    height, width, n = start.shape
    rows = np.full((height + 2, width + 4, n), _FAR)
    rows[2:, 2:-2] = start
    ramp = _STRAIGHT * np.arange(width)[:, None]
    for y in range(2, height + 2):
        two, one, row = rows[y - 2], rows[y - 1], rows[y, 2:-2]
        nearest = np.minimum(two[1:-3], two[3:-1])
        np.minimum(nearest, np.minimum(one[:-4], one[4:]), out=nearest)
        nearest += _KNIGHT
        np.minimum(nearest, np.minimum(one[1:-3], one[3:-1]) + _DIAGONAL, out=nearest)
        np.minimum(nearest, one[2:-2] + _STRAIGHT, out=nearest)
        np.minimum(nearest, row, out=nearest)
        row[:] = np.minimum.accumulate(nearest - ramp, axis=0) + ramp
    return rows[2:, 2:-2]


def box_sum(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Sum over 3 x 3 neighbours, mirrored at the border, in float64; (N, H, W)."""
    padded = np.pad(values.astype(np.float64), ((0, 0), (1, 1), (1, 1)), mode="reflect")  # few bits: any order is exact
    columns = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    total: npt.NDArray[np.float64] = columns[:, :, :-2] + columns[:, :, 1:-1] + columns[:, :, 2:]
    return total


def equalise(images: Bytes) -> Bytes:
    """Histogram equalisation of each image; (N, H, W)."""
    n, total = len(images), images[0].size if len(images) else 0
    places = images.reshape(n, -1).astype(np.int64) + 256 * np.arange(n)[:, None]
    counts = np.bincount(places.ravel(), minlength=256 * n).reshape(n, 256)
    tables = np.empty((n, 256), np.uint8)
    for table, count in zip(tables, counts, strict=True):
        first = int(np.flatnonzero(count)[0])
        if count[first] == total:
            table[:] = np.arange(256)
            continue
        scale = np.float32(255) / np.float32(total - count[first])
        cumulative = np.cumsum(count)
        table[:] = np.rint(np.float32(np.maximum(cumulative - cumulative[first], 0)) * scale).astype(np.uint8)
    return tables.ravel().take(places).reshape(images.shape)


_RELIEF = ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))


def relief(images: Bytes) -> Bytes:
    """Emboss towards the lower right, cut off to bytes; (N, H, W), mirrored at the border."""
    window = _window(images.astype(np.int32), "reflect")
    pairs = (
        (w, v) for weights, views in zip(_RELIEF, window, strict=True) for w, v in zip(weights, views, strict=True)
    )
    total = np.zeros(images.shape, np.int32)
    for weight, view in pairs:
        if weight:
            total += weight * view
    return total.clip(0, 255).astype(np.uint8)
