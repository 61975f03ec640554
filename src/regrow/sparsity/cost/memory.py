"""Bytes of a sparse model, and a model of the memory that its training needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

#: Bytes per weight of a mask kept as bits.
BITS = 0.125


def model_bytes(sizes: Mapping[str, int], counts: Mapping[str, int], *, rest: int = 0, itemsize: int = 4) -> int:
    """Bytes of a model stored compactly: values of active weights, a bitmask per layer that is not dense, the rest.

    This is the rule of the MicroNet challenge by which RigL's model sizes were published.

    Args:
        sizes: number of weights by name.
        counts: active weights, of the same names.
        rest: number of all other values (biases, norms).
        itemsize: bytes of a value.

    Example:
        >>> model_bytes({"a": 800, "b": 100}, {"a": 80, "b": 100}, rest=10)
        860
    """
    masks = sum(_mask_bytes(size) for name, size in sizes.items() if counts[name] < size)
    return itemsize * (sum(counts[name] for name in sizes) + rest) + masks


def _mask_bytes(size: int, each: float = BITS) -> int:
    return -int(-size * each // 1)


def memory(
    sizes: Mapping[str, int],
    initial_counts: Mapping[str, int],
    history: Iterable[Mapping[str, Any]] = (),
    *,
    rest: int = 0,
    n_states: int = 1,
    dense_gradient: bool = False,
    mask_bytes_per_weight: float = BITS,
    itemsize: int = 4,
) -> dict[str, int]:
    """A model of training memory: weights, gradients, optimiser state and masks; activations are not in it.

    Args:
        sizes: number of weights by name.
        initial_counts: active weights at the start, of the same names.
        history: rows of the updates so far (step, layer, n_active).
        rest: number of all other parameters; dense.
        n_states: tensors that the optimiser keeps per weight: 1 for SGD with momentum, 2 for Adam.
        dense_gradient: whether growth looks at dense gradients.
        mask_bytes_per_weight: of the masks in memory: 1/8 as bits, 1 as bytes, 4 as integers.
        itemsize: bytes of a value.

    Returns:
        ``dense_bytes`` (weights of the dense model), ``compact_bytes`` (`model_bytes` now), ``mask_bytes`` (masks in
        memory; dense layers need none), ``peak_active`` (the most weights active at once: between updates MEST's EM&S
        holds d + m_0 of them, arXiv:2110.14032) and three peaks: ``peak_dense_bytes`` of dense training,
        ``peak_bytes`` of this library, which stores weights densely and keeps a float32 gradient for growth, and
        ``peak_sparse_bytes`` of a sparse implementation, which stores values and bits of active weights alone but holds
        a dense gradient where growth needs one.

    Example:
        >>> rows = [{"step": 5, "layer": "a", "n_active": 60}]
        >>> memory({"a": 100}, {"a": 70}, rows)["peak_active"]
        70
    """
    counts, peak, masked = _follow(sizes, initial_counts, history)
    total, held = sum(sizes.values()), sum(sizes[name] for name in masked)
    masks = sum(_mask_bytes(sizes[name], mask_bytes_per_weight) for name in masked)
    gradients = total if dense_gradient and masked else peak
    return {
        "dense_bytes": itemsize * (total + rest),
        "compact_bytes": model_bytes(sizes, counts, rest=rest, itemsize=itemsize),
        "mask_bytes": masks,
        "peak_active": peak,
        "peak_dense_bytes": itemsize * (2 + n_states) * (total + rest),
        "peak_bytes": itemsize * (2 + n_states) * (total + rest) + masks + (4 * held if dense_gradient else 0),
        "peak_sparse_bytes": itemsize * ((1 + n_states) * (peak + rest) + gradients + rest)
        + sum(_mask_bytes(sizes[name]) for name in masked),
    }


def _follow(
    sizes: Mapping[str, int], initial_counts: Mapping[str, int], history: Iterable[Mapping[str, Any]]
) -> tuple[dict[str, int], int, list[str]]:
    """Counts after the last row, the largest total between updates, and the layers that were ever not dense."""
    counts = {name: initial_counts[name] for name in sizes}
    peak = sum(counts.values())
    masked = {name for name, size in sizes.items() if counts[name] < size}
    for _, rows in groupby(sorted(history, key=lambda row: int(row["step"])), key=lambda row: int(row["step"])):
        counts |= {row["layer"]: row["n_active"] for row in rows}
        peak = max(peak, sum(counts.values()))
        masked |= {name for name, size in sizes.items() if counts[name] < size}
    return counts, peak, [name for name in sizes if name in masked]
