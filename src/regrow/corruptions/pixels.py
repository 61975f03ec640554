"""Between bytes and float64, as the published generators go: divide by 255, clip, multiply, cut off."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

#: ``k / 255`` for every byte ``k``; looked up in place of dividing (never multiply by 1/255: other bits).
UNIT: Floats = np.arange(256) / 255.0
UNIT.flags.writeable = False
UNIT32: Singles = np.arange(256, dtype=np.float32) / np.float32(255)
UNIT32.flags.writeable = False


def to_unit(images: npt.NDArray[np.uint8]) -> Floats:
    """Bytes as float64 in [0, 1]; same shape."""
    return UNIT.take(images)


def to_unit32(images: npt.NDArray[np.uint8]) -> Singles:
    """Bytes as float32 in [0, 1]: the float32 quotient, which is not always the rounded float64 one."""
    return UNIT32.take(images)


def single(values: npt.ArrayLike) -> Singles:
    """Values rounded to float32; same shape."""
    return np.asarray(values, np.float32)


def to_bytes32(values: Singles) -> npt.NDArray[np.uint8]:
    """As ``to_bytes``, in float32. ``values`` is used up as the workspace."""
    np.clip(values, 0, 1, out=values)
    values *= np.float32(255)
    return values.astype(np.uint8)


def to_bytes(values: Floats) -> npt.NDArray[np.uint8]:
    """Clip to [0, 1], multiply by 255 and cut off (not round) to bytes. ``values`` is used up as the workspace.

    Example:
        >>> to_bytes(np.array([-0.5, 0.5, 0.999, 2.0])).tolist()
        [0, 127, 254, 255]
    """
    np.maximum(values, 0.0, out=values)
    np.minimum(values, 1.0, out=values)
    values *= 255.0
    return values.astype(np.uint8)


def planes(images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Red, green and blue of (N, H, W, 3) as float64 arrays of N*H*W values in [0, 1]."""
    flat = images.reshape(-1, 3)
    return UNIT.take(flat[:, 0]), UNIT.take(flat[:, 1]), UNIT.take(flat[:, 2])
