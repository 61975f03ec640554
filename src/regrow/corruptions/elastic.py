"""Elastic transform: a random affine map in OpenCV's fixed point, then a smooth random displacement."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from regrow.corruptions import kernel
from regrow.corruptions.draws import Stream
from regrow.corruptions.gaussian import gaussian, gaussian_weights
from regrow.corruptions.pixels import Floats, Singles, single, to_bytes32, to_unit32
from regrow.corruptions.registry import Corruption, Draws, Images, Shape

_SOURCE = "Hendrycks and Dietterich 2019, arXiv:1903.12261, section 4"


_FEW_TAPS = 16  # radius up to which a filter beats a matrix product


class Elastic(NamedTuple):
    """A setting, in pixels."""

    strength: float  # of the displacement
    sigma: float  # of its smoothing
    affine: float  # largest shift of the three points of the affine map


def draw_elastic_transform(stream: Stream, shape: Shape, params: Elastic) -> Draws:
    """Shifts of three points (n, 3, 2), and the raw displacements in x and y (n, 2, H, W) in -1..1."""
    points = -params.affine + 2 * params.affine * stream.uniform((3, 2))
    return points, -1 + 2 * stream.uniform((2, *shape[:2]))


@functools.lru_cache(maxsize=32)
def smoothing_matrix(side: int, sigma: float) -> Floats:
    """A gaussian filter of one axis (3 sigma wide, mirrored borders) as a matrix (side, side)."""
    matrix = np.zeros((side, side))
    weights = gaussian_weights(sigma, 3.0)
    for tap in range(-len(weights) + 1, len(weights)):
        place = (np.arange(side) + tap) % (2 * side)
        place = np.where(place >= side, 2 * side - 1 - place, place)
        matrix[np.arange(side), place] += weights[abs(tap)]
    matrix.flags.writeable = False
    return matrix


def displacement(raw: Floats, params: Elastic) -> Singles:
    """Smooth displacements float32 (N, 2, H, W) from raw ones."""
    if params.sigma <= 1e-15:
        return single(params.strength * raw)
    side = raw.shape[-1]
    if int(3.0 * params.sigma + 0.5) <= _FEW_TAPS:
        return single(params.strength * gaussian(raw.reshape(-1, side, side), params.sigma, "reflect", 3.0)).reshape(
            raw.shape
        )
    matrix = smoothing_matrix(side, params.sigma)
    return single(params.strength * (matrix @ raw @ matrix.T))


def inverse_affine(shifts: Floats, side: int) -> Floats:
    """Inverse of the map that moves three points about the centre by ``shifts``; (N, 2, 3).

    The points are float32, as OpenCV takes them, and the map is solved for in float64.
    """
    centre, reach = side // 2, side // 3
    start = np.array(
        [[centre + reach, centre + reach], [centre + reach, centre - reach], [centre - reach, centre - reach]],
        np.float32,
    )
    end = (start + shifts.astype(np.float32)).astype(np.float64)
    corners = np.concatenate([start.astype(np.float64), np.ones((3, 1))], axis=1)
    forward = np.linalg.solve(corners, end).transpose(0, 2, 1)  # (N, 2, 3)
    (a, b, c), (d, e, f) = (forward[:, row].T for row in (0, 1))
    scale = 1.0 / (a * e - b * d)
    m0, m1, m3, m4 = e * scale, -b * scale, -d * scale, a * scale
    return np.stack([np.stack([m0, m1, -m0 * c - m1 * f], 1), np.stack([m3, m4, -m3 * c - m4 * f], 1)], 1)


def fixed_point(inverse: Floats, side: int) -> npt.NDArray[np.int32]:
    """Source coordinates in 1/32 pixel of every output pixel, int32 (N, 2, H, W) as (x, y)."""
    x, y = np.arange(side), np.arange(side)[:, None]
    rows = [[part[:, None, None] for part in inverse[:, k].T] for k in (0, 1)]
    along = [np.rint(m0 * x * 1024.0) for m0, _, _ in rows]
    down = [np.rint((m1 * y + shift) * 1024.0) for _, m1, shift in rows]
    place = np.stack([a + d for a, d in zip(along, down, strict=True)], 1).astype(np.int64)
    return ((place + 16) >> 5).astype(np.int32)


def mirror(place: npt.NDArray[np.int64], side: int) -> npt.NDArray[np.int64]:
    """Reflect whole coordinates into 0..side-1 without repeating the edge."""
    period = max(2 * side - 2, 1)
    place = np.abs(place) % period
    return np.where(place >= side, period - place, place)


def _planes(unit: Singles) -> Singles:
    """The channels of (N, H, W, 3) as rows, (N, 3, H * W): gathers from short rows are the quickest."""
    return np.ascontiguousarray(unit.reshape(len(unit), -1, 3).transpose(0, 2, 1))


def warp(planes: Singles, place: npt.NDArray[np.int32]) -> Singles:
    """Take float32 (N, 3, H * W) at fixed-point places; four taps in float32, left to right."""
    side = place.shape[-1]
    whole, share = place.astype(np.int64) >> 5, single(place & 31) / np.float32(32)
    x0, y0 = mirror(whole[:, 0], side), mirror(whole[:, 1], side) * side
    x1, y1 = mirror(whole[:, 0] + 1, side), mirror(whole[:, 1] + 1, side) * side
    right, down = share[:, 0], share[:, 1]
    left, up = 1 - right, 1 - down
    taps = ((y0 + x0, up * left), (y0 + x1, up * right), (y1 + x0, down * left), (y1 + x1, down * right))
    total = np.empty_like(planes)
    for k, image in enumerate(planes):
        at = [(place[k].ravel(), weight[k].ravel()) for place, weight in taps]
        for plane, out in zip(image, total[k], strict=True):
            np.multiply(plane.take(at[0][0]), at[0][1], out=out)
            for where, weight in at[1:]:
                out += plane.take(where) * weight
    return total


def fold(place: Floats, side: int) -> Floats:
    """Bring coordinates into the image as scipy 1.1's mode ``reflect`` did."""
    n = float(side)
    low = np.where(place < -2 * n, place + 2 * n * np.floor(-place / (2 * n)), place)
    low = np.where(low < -n, low + 2 * n, -low - 1)
    high = place - 2 * n * np.floor(place / (2 * n))
    high = np.where(high >= n, 2 * n - high - 1, high)
    return np.where(place < 0, low, np.where(place > n - 1, high, place))


def sample(planes: Singles, shift: Singles) -> Singles:
    """Take float32 (N, 3, H * W) at each pixel's place plus ``shift`` (N, 2, H, W), linearly, in float64."""
    side = shift.shape[-1]
    line, shift64 = np.arange(side, dtype=np.float64), shift.astype(np.float64)
    x, y = fold(line + shift64[:, 0], side), fold(line[:, None] + shift64[:, 1], side)
    x_first, y_first = np.floor(x), np.floor(y)
    right, down = x - x_first, y - y_first
    left, up = 1.0 - right, 1.0 - down
    x0, y0 = x_first.astype(np.int64), y_first.astype(np.int64)
    x1, y1 = mirror(x0 + 1, side), mirror(y0 + 1, side) * side
    x0, y0 = mirror(x0, side), mirror(y0, side) * side
    taps = ((y0 + x0, up, left), (y0 + x1, up, right), (y1 + x0, down, left), (y1 + x1, down, right))
    total = np.empty_like(planes)
    for k, image in enumerate(planes):
        at = [(place[k].ravel(), wy[k].ravel(), wx[k].ravel()) for place, wy, wx in taps]
        for plane, out in zip(image, total[k], strict=True):
            level = plane.take(at[0][0]) * at[0][1]
            level *= at[0][2]
            for where, wy, wx in at[1:]:
                term = plane.take(where) * wy
                term *= wx
                level += term
            out[:] = level
    return total


def elastic_transform(images: Images, draws: tuple[Floats, Floats], params: Elastic) -> Images:
    """Map the image by a random affine map, then displace its pixels smoothly; (N, H, H, 3)."""
    shifts, raw = draws
    side = images.shape[1]
    place = fixed_point(inverse_affine(shifts, side), side)
    shift = displacement(raw, params)
    if (lib := kernel.library()) is not None:
        return lib.elastic(images, place, shift)
    result = to_bytes32(sample(warp(_planes(to_unit32(images)), place), shift))
    return np.ascontiguousarray(result.transpose(0, 2, 1)).reshape(images.shape)


def _times(side: int, *rows: tuple[float, float, float]) -> tuple[Elastic, ...]:
    return tuple(Elastic(*(side * part for part in row)) for row in rows)


_LARGE = ((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02))

ELASTIC_TRANSFORM = Corruption(
    name="elastic_transform",
    family="digital",
    source=_SOURCE,
    draw=draw_elastic_transform,
    apply=elastic_transform,
    settings={
        "cifar": _times(32, (0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        "tiny": _times(64, (0, 0, 0.08), (0.05, 0.3, 0.06), (0.1, 0.08, 0.06), (0.1, 0.03, 0.03), (0.16, 0.03, 0.02)),
        "imagenet": _times(244, *_LARGE),  # 244 in place of 224 is the published program's
        "inception": _times(360, *_LARGE),
    },
)
