"""Layer by layer: density, empty kernels and dead filters, beside what chance leaves empty."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from regrow.analysis.spatial.kernels import kernel_map
from regrow.sparsity.flow import dead_filters


def empty_groups(n_groups: int, size: int, n_active: int) -> tuple[float, float]:
    """Mean and standard deviation of the number of empty groups when active places are random.

    A group of K of N places is empty with probability prod_j (N - n - j) / (N - j), j < K, close to (1 - d)^K; two
    are with the same product over 2 K.

    Args:
        n_groups: number of groups.
        size: places of a group.
        n_active: active places, of n_groups * size.

    Example:
        >>> mean, sd = empty_groups(2, 2, 2)  # both active places in one of two pairs: 1 of 3 times
        >>> round(mean, 12), round(sd**2, 12)
        (0.333333333333, 0.222222222222)
    """
    total, inactive = n_groups * size, n_groups * size - n_active
    if inactive < size:
        return 0.0, 0.0
    j = np.arange(size, dtype=np.float64)
    log_one = np.log((inactive - j) / (total - j))
    one = float(np.exp(log_one.sum()))
    variance = n_groups * one * (1 - one)
    if n_groups > 1:
        more = 0.0  # P(a second group is empty, given that one is) over P(one is)
        if inactive >= 2 * size:
            more = float(np.exp((np.log((inactive - size - j) / (total - size - j)) - log_one).sum()))
        variance += n_groups * (n_groups - 1) * one * one * (more - 1)
    return n_groups * one, math.sqrt(max(0.0, variance))


def layer_rows(masks: Mapping[str, Tensor], model: nn.Module | None = None) -> list[dict[str, Any]]:
    """Density, empty kernels and dead filters of each layer.

    Args:
        masks: layer name to bool mask of two or more dimensions.
        model: the network, to know which layer reads which filter; nothing is run.

    Returns:
        A row per layer: layer, shape, n_weights, n_active, density, filters, and counts with their chance expectation
        (``_expected``) and, for kernels, its ``_sd`` and ``_z``: ``empty_kernels``; ``filters_without_inputs``, with no
        active weight; ``inputs_unread``, input channels for which the layer has none. With a model that torch.fx can
        trace: ``filters_without_outputs``, for which no later layer has one, and ``filters_dead``, which no path of
        active weights connects with both the network's input and an output; else None.

    Raises:
        InputError: a mask of fewer than two dimensions, or a model that cannot be traced.
    """
    dead = {} if model is None else dead_filters(model, masks)
    rows = []
    for name, mask in masks.items():
        kernels, size = kernel_map(mask), math.prod(mask.shape[2:])
        n_out, n_in, n_active = *kernels.shape, int(kernels.sum())
        empty, (expected, sd) = int((kernels == 0).sum()), empty_groups(kernels.size, size, n_active)
        flags = dead.get(name)
        rows.append(
            {
                "layer": name,
                "shape": list(mask.shape),
                "n_weights": mask.numel(),
                "n_active": n_active,
                "density": n_active / mask.numel(),
                "filters": n_out,
                "empty_kernels": empty,
                "empty_kernels_expected": expected,
                "empty_kernels_sd": sd,
                "empty_kernels_z": (empty - expected) / sd if sd > 1e-9 else None,
                "filters_without_inputs": int((kernels.sum(axis=1) == 0).sum()),
                "filters_without_inputs_expected": empty_groups(n_out, n_in * size, n_active)[0],
                "inputs_unread": int((kernels.sum(axis=0) == 0).sum()),
                "inputs_unread_expected": empty_groups(n_in, n_out * size, n_active)[0],
                "filters_without_outputs": None if flags is None else int(flags.without_outputs.sum()),
                "filters_dead": None if flags is None else int(flags.dead.sum()),
            }
        )
    return rows
