"""The real Fourier basis of Yin et al. 2019 (arXiv:1906.08988): one image for each pair of mirrored frequencies.

A cell (row, column) of the shifted plane has the frequency u = row - H // 2, v = column - W // 2; its mirror is
(-u, -v) modulo the sides, so that -H/2 of an even side mirrors itself. Basis image of a pair: sqrt(HW) times the real
part of the inverse transform of a plane that holds (1 + i)/2 at the cell which comes first in row-major order,
(1 - i)/2 at its mirror (1 at a cell that is its own mirror), and 0 elsewhere. With theta = 2 pi (u y / H + v x / W) of
that first cell this is

    B[y, x] = (cos theta - sin theta) / sqrt(HW) = sqrt(2 / (HW)) cos(theta + pi / 4),

also for a cell that is its own mirror, where sin theta = 0. Its L2 norm is 1.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Whole = npt.NDArray[np.int64]


def distinct_frequencies(rows: int, columns: int) -> tuple[Whole, Whole]:
    """The frequencies that stand for all cells of a plane, one of each pair of mirrored cells.

    Args:
        rows: H for the whole plane; or an odd number below it, for its middle.
        columns: W likewise.

    Returns:
        frequencies: int64 (n, 2), u and v of the first cell of every pair, in row-major order.
        place: int64 (rows, columns), which of them each cell shows.

    Example:
        >>> frequencies, place = distinct_frequencies(3, 3)
        >>> frequencies.tolist(), place.tolist()
        ([[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 0]], [[0, 1, 2], [3, 4, 3], [2, 1, 0]])
        >>> len(distinct_frequencies(32, 32)[0])
        514
    """

    def mirrored(side: int) -> Whole:
        index = np.arange(side)
        return np.asarray((side - index) % side if side % 2 == 0 else side - 1 - index, np.int64)

    cell = np.arange(rows * columns, dtype=np.int64).reshape(rows, columns)
    mirror = mirrored(rows)[:, None] * columns + mirrored(columns)
    firsts, place = np.unique(np.minimum(cell, mirror), return_inverse=True)
    frequencies = np.stack([firsts // columns - rows // 2, firsts % columns - columns // 2], axis=1)
    return frequencies, place.reshape(rows, columns).astype(np.int64)


def basis_images(frequencies: npt.ArrayLike, height: int, width: int) -> npt.NDArray[np.float64]:
    """Basis images of frequencies that `distinct_frequencies` gives.

    The image of a mirrored frequency is another one (its phase is -pi/4): take the first of the pair.

    Args:
        frequencies: whole numbers (n, 2), u and v in cycles per image.
        height: rows of the images.
        width: their columns.

    Returns:
        float64 (n, height, width), each of L2 norm 1.

    Example:
        >>> image = basis_images([[-3, -5]], 32, 32)[0]
        >>> round(float(image[0, 0]), 12), round(float(image.max()), 7), round(float((image**2).sum()), 12)
        (0.03125, 0.0441942, 1.0)
    """
    u, v = np.asarray(frequencies, np.int64).reshape(-1, 2).T
    down = 2 * math.pi * (np.outer(u, np.arange(height)) % height) / height
    along = 2 * math.pi * (np.outer(v, np.arange(width)) % width) / width + math.pi / 4
    # cos(a + b) = cos a cos b - sin a sin b: two outer products, and H + W cosines for an image in place of H W
    left = np.stack([np.cos(down), -np.sin(down)], axis=2)
    right = np.stack([np.cos(along), np.sin(along)], axis=1)
    images: npt.NDArray[np.float64] = np.matmul(left, right) * math.sqrt(2 / (height * width))
    return images
