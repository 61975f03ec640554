"""Linear filters of both axes as matrix products in float64: exact enough for every byte, and quick on accelerators."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from regrow.corruptions.gaussian import gaussian_weights
from regrow.corruptions.zoom import zoom_map


def unit(images: Tensor) -> Tensor:
    """Bytes as float64 in [0, 1]."""
    return images.double().div_(255)


def to_bytes(values: Tensor) -> Tensor:
    """Clip to [0, 1], times 255, cut off; ``values`` is used up."""
    return values.clamp_(0, 1).mul_(255).to(torch.uint8)


def both_axes(matrix: Tensor, planes: Tensor) -> Tensor:
    """``matrix @ plane @ matrix.T`` of every plane (..., H, H)."""
    return torch.matmul(torch.matmul(matrix, planes), matrix.T)


@functools.lru_cache(maxsize=256)
def _on_device(kind: str, side: int, number: float, device: torch.device) -> Tensor:
    build = {"gaussian": _gaussian, "zoom": _zoom}[kind]
    return torch.from_numpy(build(side, number)).to(device)


#: Radius in pixels up to which a gaussian is summed tap by tap, in the exact form's order.
FEW_TAPS = 8


def gaussian(planes: Tensor, sigma: float) -> Tensor:
    """Gaussian filter of both axes of float64 (..., H, W), edge pixels repeated.

    Small kernels are summed in the exact form's order, so that flat colours, whose filtered value lies on the edge
    between two bytes, come out the same.
    """
    weights = gaussian_weights(sigma).tolist()
    if len(weights) - 1 > FEW_TAPS:
        return both_axes(gaussian_matrix(planes.shape[-1], sigma, planes.device), planes)
    for axis in (-2, -1):
        size = planes.shape[axis]
        place = torch.arange(size, device=planes.device)
        total = planes * weights[0]
        for distance in range(len(weights) - 1, 0, -1):
            before = planes.index_select(axis, (place - distance).clamp_(min=0))
            after = planes.index_select(axis, (place + distance).clamp_(max=size - 1))
            total = total + (before + after) * weights[distance]
        planes = total
    return planes


def gaussian_matrix(side: int, sigma: float, device: torch.device) -> Tensor:
    """A gaussian filter of one axis, edge pixels repeated, as a matrix (side, side)."""
    return _on_device("gaussian", side, float(sigma), device)


def zoom_matrix(side: int, factor: float, device: torch.device) -> Tensor:
    """A zoom of one axis as a matrix (side, side)."""
    return _on_device("zoom", side, float(factor), device)


def _gaussian(side: int, sigma: float) -> npt.NDArray[np.float64]:
    weights = gaussian_weights(sigma)
    matrix = np.zeros((side, side))
    for tap in range(-len(weights) + 1, len(weights)):
        matrix[np.arange(side), np.clip(np.arange(side) + tap, 0, side - 1)] += weights[abs(tap)]
    return matrix


def _zoom(side: int, factor: float) -> npt.NDArray[np.float64]:
    first, second, share = zoom_map(side, factor)
    matrix = np.zeros((side, side))
    matrix[np.arange(side), first] += 1.0 - share
    matrix[np.arange(side), second] += share
    return matrix
