"""Where a layer keeps its weights: non-zeros per kernel, and how unevenly they are spread.

A kernel is the weights between one input and one output channel: k x k of a convolution, one weight of a linear layer.
Counts are taken per output filter, per input channel and per kernel, and compared with what the same number of
weights in uniformly random places would give.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from regrow import seeds
from regrow.errors import InputError
from regrow.statistics.distributions import chi2_tail

Counts = npt.NDArray[np.int64]
Grouping = Literal["output", "input", "kernel"]

#: Fewest random masks that a z-value may rest on.
FEWEST_NULL_MASKS = 200


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
    if tensor.ndim < 2:
        raise InputError(
            f"a kernel map needs a weight or mask of at least 2 dimensions, got the shape {tuple(tensor.shape)}.",
            "leave biases and normalisation out.",
        )
    counts = torch.count_nonzero(tensor.detach().reshape(*tensor.shape[:2], -1), dim=2)
    return counts.cpu().numpy().astype(np.int64)


def kernel_maps(tensors: Mapping[str, Tensor]) -> dict[str, Counts]:
    """`kernel_map` of every tensor of two or more dimensions: of masks by layer name, or of a state dict."""
    return {name: kernel_map(tensor) for name, tensor in tensors.items() if tensor.ndim >= 2}


def kernel_sizes(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Weights in a full kernel of every tensor that `kernel_maps` takes: 9 for 3 x 3, 1 for a linear layer."""
    return {name: math.prod(tensor.shape[2:]) for name, tensor in tensors.items() if tensor.ndim >= 2}


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


def _as_counts(counts: npt.ArrayLike) -> npt.NDArray[np.float64]:
    array = np.asarray(counts, dtype=np.float64).reshape(-1)
    if array.size == 0 or not np.isfinite(array).all() or array.min() < 0:
        raise InputError("counts must be a non-empty list of numbers >= 0.", "give one count for each group.")
    return array


def gini(counts: npt.ArrayLike) -> float | None:
    """Gini coefficient of the counts: 0 if all are equal, (O - 1) / O if one group has everything.

    sum_j (2j - O - 1) x_(j) / (O sum x) over the counts x sorted ascending, j = 1 .. O. None if all are 0.

    Example:
        >>> gini([0, 0, 2, 6])
        0.625
    """
    x = np.sort(_as_counts(counts))
    if x.sum() == 0:
        return None
    ranks = 2 * np.arange(1, x.size + 1) - x.size - 1
    return float((ranks * x).sum() / (x.size * x.sum()))


def effective_number(counts: npt.ArrayLike) -> float | None:
    """exp(entropy) of the counts' shares: how many equally filled groups would be as even. None if all are 0.

    Example:
        >>> round(effective_number([0, 0, 2, 6]), 6)
        1.754765
    """
    x = _as_counts(counts)
    if x.sum() == 0:
        return None
    share = x[x > 0] / x.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


@dataclass(frozen=True)
class Dispersion:
    """Spread of the counts of O groups of K weights against random places.

    Attributes:
        ratio: D, mean squared deviation from K d over its expectation under random places; above 1 = concentrated.
        chi2: X2, the sum of squared deviations in units that make it chi-squared with O - 1 degrees of freedom.
        df: O - 1.
        p: P(chi-squared >= X2), the one-sided p-value of "no more concentrated than random places".
    """

    ratio: float
    chi2: float
    df: int
    p: float


def _variance(size: int, n_groups: int, n_active: float) -> float:
    """Variance of one group's count when ``n_active`` of all places are drawn without replacement."""
    total, density = size * n_groups, n_active / (size * n_groups)
    return size * density * (1 - density) * (total - size) / (total - 1) if total > 1 else 0.0


def _ratio(counts: npt.NDArray[np.float64], size: int) -> float | None:
    variance = _variance(size, counts.size, float(counts.sum()))
    return float(np.mean((counts - counts.mean()) ** 2)) / variance if variance > 0 else None


def dispersion(counts: npt.ArrayLike, size: int) -> Dispersion | None:
    """Dispersion of active weights over groups of equal size.

    With N = O K weights of density d, the count of a group has variance K d (1 - d) (N - K) / (N - 1) if places are
    drawn without replacement; D is the mean squared deviation over that, X2 = D O (N - K) / N.

    Args:
        counts: active weights of each group, shape (O,).
        size: weights of a group, K >= 1.

    Returns:
        The figures; None where nothing can vary (one group, density 0 or 1).

    Raises:
        InputError: counts outside 0 .. K.

    Example:
        >>> found = dispersion([2, 9, 9, 16], 18)
        >>> f"{found.ratio:.5f} {found.chi2:.5f} {found.p:.3e}"
        '7.15844 21.47531 8.386e-05'
    """
    x = _as_counts(counts)
    if size < 1 or x.max() > size:
        raise InputError(f"a group of {size} weights cannot hold {x.max():g} active ones.", "correct the group size.")
    ratio = _ratio(x, size)
    if ratio is None:
        return None
    total = x.size * size
    chi2 = ratio * x.size * (total - size) / total
    return Dispersion(ratio, chi2, x.size - 1, chi2_tail(chi2, x.size - 1))


def _grouped(kernels: Counts, size: int) -> dict[Grouping, tuple[npt.NDArray[np.float64], int]]:
    """Counts and weights per group of the three groupings of a kernel map."""
    n_out, n_in = kernels.shape
    counts = kernels.astype(np.float64)
    return {
        "output": (counts.sum(axis=1), n_in * size),
        "input": (counts.sum(axis=0), n_out * size),
        "kernel": (counts.reshape(-1), size),
    }


def _random_maps(shape: tuple[int, int], size: int, n_active: int, n_masks: int, seed: int) -> Iterator[Counts]:
    """Kernel maps of masks with ``n_active`` uniformly random places, from raw words of the stream "mask"."""
    total = shape[0] * shape[1] * size
    for index in range(n_masks):
        words = seeds.raw(seed, "mask", seeds.name_key("analysis.spatial.null"), index, n=total)
        mask = np.zeros(total, dtype=bool)
        mask[np.argpartition(words, n_active - 1)[:n_active]] = True
        yield mask.reshape(*shape, size).sum(axis=2)


def _z(value: float | None, null: list[float | None]) -> float | None:
    drawn = np.array([math.nan if x is None else x for x in null])
    if value is None or not math.isfinite(value) or not np.isfinite(drawn).all():
        return None
    sd = float(drawn.std(ddof=1))
    return (value - float(drawn.mean())) / sd if sd > 1e-12 else None


def _log(ratio: float | None) -> float | None:
    return math.log(ratio) if ratio is not None and ratio > 0 else None


def spatial_rows(kernels: Counts, size: int, *, null_masks: int = 0, seed: int = 0) -> list[dict[str, Any]]:
    """The spread of one layer's active weights over output filters, input channels and kernels.

    Args:
        kernels: kernel map of the layer, shape (out, in).
        size: weights in a full kernel.
        null_masks: number of random masks of the same count for the z-values; 0 (no z) or at least 200. Evenness
            measures are not 0 for random masks, so a figure without its z says little.
        seed: seed of those masks.

    Returns:
        One row each for ``by`` = output, input, kernel: groups, group_size, n_active, density, dispersion,
        log_dispersion, chi2, df, p, gini, effective_number, z_log_dispersion, z_gini, null_masks. What is not defined
        (density 0 or 1, one group) is None.

    Raises:
        InputError: counts outside 0 .. size, or too few random masks.
    """
    if kernels.ndim != 2 or kernels.size == 0 or size < 1 or kernels.min() < 0 or kernels.max() > size:
        raise InputError(
            f"a kernel map must have two dimensions and counts in 0 .. {size}, got the shape {kernels.shape}.",
            "make it by `kernel_map`, and the size by `kernel_sizes`.",
        )
    if null_masks and null_masks < FEWEST_NULL_MASKS:
        raise InputError(
            f"z-values need at least {FEWEST_NULL_MASKS} random masks, got {null_masks}.", "give 0 or 200 and more."
        )
    n_active = int(kernels.sum())
    shape = (kernels.shape[0], kernels.shape[1])
    total = shape[0] * shape[1] * size
    drawn: dict[Grouping, list[tuple[float | None, float | None]]] = {"output": [], "input": [], "kernel": []}
    if null_masks and 0 < n_active < total:
        for random in _random_maps(shape, size, n_active, null_masks, seed):
            for by, (counts, group_size) in _grouped(random, size).items():
                drawn[by].append((_log(_ratio(counts, group_size)), gini(counts)))
    rows: list[dict[str, Any]] = []
    for by, (counts, group_size) in _grouped(kernels, size).items():
        found = dispersion(counts, group_size)
        log, evenness, null = _log(found.ratio if found else None), gini(counts), drawn[by]
        rows.append(
            {
                "by": by,
                "groups": counts.size,
                "group_size": group_size,
                "n_active": n_active,
                "density": n_active / total,
                "dispersion": found.ratio if found else None,
                "log_dispersion": log,
                "chi2": found.chi2 if found else None,
                "df": found.df if found else None,
                "p": found.p if found else None,
                "gini": evenness,
                "effective_number": effective_number(counts),
                "z_log_dispersion": _z(log, [pair[0] for pair in null]) if null else None,
                "z_gini": _z(evenness, [pair[1] for pair in null]) if null else None,
                "null_masks": len(null),
            }
        )
    return rows


def concentration(kernels: Mapping[str, Counts], sizes: Mapping[str, int]) -> dict[Grouping, float | None]:
    """Mean of log D over a network's sparse layers, weighted by their number of weights.

    Args:
        kernels: layer name -> kernel map.
        sizes: layer name -> weights in a full kernel.

    Returns:
        One figure for each grouping; None where no layer has one. Dense layers do not count, nor do layers whose
        weights are spread so evenly that D is 0. Linear layers have no say per kernel, where D is 1 by definition.
    """
    parts: dict[Grouping, list[tuple[float, int]]] = {"output": [], "input": [], "kernel": []}
    for name, layer in kernels.items():
        for by, (counts, group_size) in _grouped(layer, sizes[name]).items():
            log = _log(_ratio(counts, group_size))
            if log is not None and group_size > 1:
                parts[by].append((log, layer.size * sizes[name]))
    return {
        by: sum(log * n for log, n in found) / sum(n for _, n in found) if found else None
        for by, found in parts.items()
    }
