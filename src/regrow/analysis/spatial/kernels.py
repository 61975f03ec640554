"""What lies in each kernel: active weights, sums of |w|; and a dense network cut to a sparse one's counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from regrow.errors import InputError

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def kernel_map(tensor: Tensor) -> Counts:
    """Non-zero entries of each kernel.

    Args:
        tensor: mask (bool) or weight of one layer, shape (out, in, ...); (out, in) for a linear layer, and
            in / groups input channels for a grouped convolution.

    Returns:
        Integers of shape (out, in), each from 0 to the kernel's size. Give the mask where there is one: a weight that
        has just been grown is active and still 0.

    Raises:
        InputError: fewer than two dimensions.

    Example:
        >>> kernel_map(torch.tensor([[[[1.0, 0.0], [2.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]])).tolist()
        [[2, 0]]
    """
    counts = torch.count_nonzero(_by_kernel(tensor), dim=2)
    return counts.cpu().numpy().astype(np.int64)


def _by_kernel(tensor: Tensor) -> Tensor:
    if tensor.ndim < 2:
        raise InputError(
            f"a kernel map needs a weight or mask of at least 2 dimensions, got the shape {tuple(tensor.shape)}.",
            "leave biases and normalisation out.",
        )
    return tensor.detach().reshape(*tensor.shape[:2], -1)


def kernel_maps(tensors: Mapping[str, Tensor]) -> dict[str, Counts]:
    """`kernel_map` of every tensor of two or more dimensions: of masks by layer name, or of a state dict."""
    return {name: kernel_map(tensor) for name, tensor in tensors.items() if tensor.ndim >= 2}


def kernel_sizes(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Weights in a full kernel of every tensor that `kernel_maps` takes: 9 for 3 x 3, 1 for a linear layer."""
    return {name: math.prod(tensor.shape[2:]) for name, tensor in tensors.items() if tensor.ndim >= 2}


@dataclass(frozen=True)
class KernelMass:
    """Magnitudes of one layer's active weights.

    Attributes:
        map: sum of |w| in each kernel, float64 (out, in).
        powers: sums of |w|, |w|^2, |w|^3 and |w|^4 over the layer: what the chance law of the sums needs.
    """

    map: Floats
    powers: tuple[float, float, float, float]


def kernel_mass(weight: Tensor, mask: Tensor | None = None) -> KernelMass:
    """Sums of |w| over the active weights of each kernel.

    Args:
        weight: weights of one layer, shape (out, in, ...).
        mask: bool of the same shape; None where inactive weights are 0.

    Raises:
        InputError: fewer than two dimensions, another shape of the mask, or weights that are not finite.

    Example:
        >>> kernel_mass(torch.tensor([[1.0, -2.0], [0.0, 3.0]])).map.tolist()
        [[1.0, 2.0], [0.0, 3.0]]
    """
    if mask is not None and mask.shape != weight.shape:
        raise InputError(
            f"a mask of shape {tuple(mask.shape)} is not that of a weight of shape {tuple(weight.shape)}.",
            "give the mask and the weight of one layer.",
        )
    size = _by_kernel(weight).cpu().double().abs()
    if mask is not None:
        size = size * _by_kernel(mask).cpu()
    square = size * size
    powers = (size.sum(), square.sum(), (square * size).sum(), (square * square).sum())
    first, second, third, fourth = (float(x) for x in powers)
    if not math.isfinite(fourth):
        raise InputError("the weights are not all finite.", "leave this run out: its training diverged.")
    return KernelMass(size.sum(dim=2).numpy(), (first, second, third, fourth))


def largest(weight: Tensor, n_active: int) -> Tensor:
    """Mask of the ``n_active`` weights of largest magnitude: a dense layer brought to a sparse layer's budget.

    Args:
        weight: weights of one layer, any shape.
        n_active: number of weights to keep, 0 <= n_active <= number of weights. Among equals the first by flat
            index stay.

    Returns:
        Bool tensor of the same shape on the same device.

    Raises:
        InputError: an impossible number.
    """
    if not 0 <= n_active <= weight.numel():
        raise InputError(
            f"n_active must lie in 0 .. {weight.numel()}, got {n_active}.", "give the sparse layer's own count."
        )
    order = torch.argsort(weight.detach().abs().reshape(-1), descending=True, stable=True)
    mask = torch.zeros(weight.numel(), dtype=torch.bool, device=weight.device)
    mask[order[:n_active]] = True
    return mask.reshape(weight.shape)


def magnitude_masks(
    weights: Mapping[str, Tensor], n_active: Mapping[str, int], *, scope: Literal["layer", "global"] = "layer"
) -> dict[str, Tensor]:
    """Masks of the largest weights of a dense network, with as many active weights as a sparse network has.

    The control of every statement about where sparse training puts its weights: a threshold |w| > tau does as much to a
    trained dense network.

    Args:
        weights: layer name to weight; may hold more (a state dict).
        n_active: layer name to the sparse network's number of active weights.
        scope: "layer": each layer keeps its number (tau of its own); "global": all layers of ``n_active`` are ranked
            together, and the sum of the numbers is kept (one tau). Among equals the first in order stay.

    Returns:
        Layer name to bool mask, for the layers of ``n_active``.

    Raises:
        InputError: a layer that is not there, or an impossible number.

    Example:
        >>> dense = {"a": torch.tensor([[3.0, -4.0]]), "b": torch.tensor([[1.0, 2.0]])}
        >>> {n: m.tolist() for n, m in magnitude_masks(dense, {"a": 1, "b": 1}).items()}
        {'a': [[False, True]], 'b': [[False, True]]}
        >>> {n: m.tolist() for n, m in magnitude_masks(dense, {"a": 1, "b": 1}, scope="global").items()}
        {'a': [[True, True]], 'b': [[False, False]]}
    """
    if missing := [name for name in n_active if name not in weights]:
        raise InputError(f"the dense network has no layer {missing[0]}.", "compare runs of one architecture.")
    if scope == "layer":
        return {name: largest(weights[name], n) for name, n in n_active.items()}
    ranked = torch.cat([weights[name].detach().reshape(-1).abs() for name in n_active])
    parts = torch.split(largest(ranked, sum(n_active.values())), [weights[name].numel() for name in n_active])
    return {name: part.reshape(weights[name].shape) for name, part in zip(n_active, parts, strict=True)}
