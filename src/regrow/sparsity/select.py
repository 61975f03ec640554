"""Choosing the k lowest or highest scores, exactly: order is (score, flat index), whatever the device.

On a CPU the k-th value is found between two brackets that a sample suggests; the sample decides the speed, never the
result: if the brackets miss, all values are partitioned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Values = npt.NDArray[Any]
#: Below this size a plain partition is as fast as brackets.
_SMALL = 1 << 16
_SAMPLE = 1 << 14
_CHUNK = 1 << 15
#: The integer type of a float's size, and positive infinity in it.
_INFINITY: dict[torch.dtype, tuple[Any, int]] = {
    torch.float32: (np.int32, 0x7F800000),
    torch.float64: (np.int64, 0x7FF0000000000000),
}


def count(flags: Tensor) -> int:
    """How many flags are set."""
    if flags.device.type == "cpu":
        return int(np.count_nonzero(flags.numpy()))
    return int(flags.count_nonzero())


def is_finite(values: Tensor) -> bool:
    """Whether no value is infinite or NaN: seen in the sum, which can only be finite then, or else one by one."""
    return bool(values.sum().isfinite()) or bool(values.isfinite().all())


def has_nan(values: Tensor) -> bool:
    """Whether a value is NaN: if so, the sum is; infinities of both signs can make it NaN, too."""
    return bool(values.sum().isnan()) and bool(values.isnan().any())


def lowest(scores: Tensor, where: Tensor, k: int) -> Tensor:
    """Flags of the ``k`` entries of ``where`` with the lowest scores, ties to the lower index.

    Args:
        scores: (N,), or one score for each True entry of ``where``, in flat order; float without NaN, or int64.
        where: bool (N,), the entries that compete.
        k: how many; at most the count of ``where``.

    Returns:
        bool (N,).

    Example:
        >>> where = torch.tensor([True, True, False, True])
        >>> lowest(torch.tensor([2.0, 1.0, 0.0, 1.0]), where, 1).tolist()
        [False, True, False, False]
    """
    return lowest_of_all([scores], [where], k)[0]


def highest(scores: Tensor, where: Tensor, k: int) -> Tensor:
    """Flags of the ``k`` entries of ``where`` with the highest scores, ties to the lower index; see `lowest`."""
    return lowest(_reversed(scores), where, k)


def lowest_of_all(scores: Sequence[Tensor], where: Sequence[Tensor], k: int) -> list[Tensor]:
    """The same over several layers ranked together; ties go to the earlier layer, then to the lower index."""
    available = [count(w) for w in where]
    if k <= 0:
        return [torch.zeros_like(w) for w in where]
    if k >= sum(available):
        return [w.clone() for w in where]
    scores = _of_one_type(scores)
    values = [_full(s, w, n) for s, w, n in zip(scores, where, available, strict=True)]
    if any(v is None for v in values):  # an infinite score, or whole numbers: no value is left to mark the others
        return _plain(scores, where, k)
    return _by_threshold(cast(list[Tensor], values), k)


def _of_one_type(scores: Sequence[Tensor]) -> list[Tensor]:
    """Scores of the widest type among them, so that layers of different types compare."""
    widest = scores[0].dtype
    for one in scores[1:]:
        widest = torch.promote_types(widest, one.dtype)
    return [one.to(widest) for one in scores]


def smallest(values: Tensor, k: int) -> Tensor:
    """Flags of the ``k`` smallest of a 1-d tensor, ties to the lower index.

    Example:
        >>> smallest(torch.tensor([2.0, 1.0, 2.0, 2.0]), 2).tolist()
        [True, True, False, False]
    """
    if k <= 0:
        return torch.zeros_like(values, dtype=torch.bool)
    if k >= values.numel():
        return torch.ones_like(values, dtype=torch.bool)
    return _by_threshold([values], k)[0]


def largest(values: Tensor, k: int) -> Tensor:
    """Flags of the ``k`` largest of a 1-d tensor, ties to the lower index."""
    return smallest(_reversed(values), k)


def spread(chosen: Tensor, where: Tensor) -> Tensor:
    """Put flags of the competing entries back to their places among all N."""
    out = torch.zeros_like(where)
    if where.device.type == "cpu":
        np.place(out.numpy(), where.numpy(), chosen.numpy())
        return out
    return out.masked_scatter_(where, chosen)


def _reversed(values: Tensor) -> Tensor:
    return -values if values.is_floating_point() else ~values


def _full(scores: Tensor, where: Tensor, available: int) -> Tensor | None:
    """Scores with infinity at the entries that do not compete; None where infinity cannot tell them apart."""
    if not scores.is_floating_point() or (scores.numel() == available < where.numel()):
        return None
    if available == where.numel():
        return scores
    if scores.device.type == "cpu" and scores.dtype in _INFINITY:
        full = torch.from_numpy(_with_infinity(scores.detach().numpy(), where.numpy(), *_INFINITY[scores.dtype]))
    else:
        full = scores.masked_fill(~where, torch.inf)
    return None if count(full != torch.inf) < available else full


def _with_infinity(values: Values, where: npt.NDArray[np.bool_], kind: Any, infinity: int) -> Any:
    """Values at ``where``, else infinity: by their bits, in pieces that stay in the cache."""
    bits, flags = np.ascontiguousarray(values).view(kind), where.view(np.uint8)
    out = np.empty_like(bits)
    for start in range(0, bits.size, _CHUNK):
        piece = slice(start, start + _CHUNK)
        outside = np.subtract(flags[piece], 1, dtype=kind)  # 0 at where, else -1
        inside = np.bitwise_and(bits[piece], ~outside)
        outside &= infinity
        np.bitwise_or(inside, outside, out=out[piece])
    return out.view(values.dtype)


def _plain(scores: Sequence[Tensor], where: Sequence[Tensor], k: int) -> list[Tensor]:
    """Selection among the competing entries alone, in flat order."""
    own = [s if s.numel() != w.numel() else s[w] for s, w in zip(scores, where, strict=True)]
    chosen = smallest(torch.cat(own), k)
    sizes = [s.numel() for s in own]
    return [spread(part, w) for part, w in zip(torch.split(chosen, sizes), where, strict=True)]


def _by_threshold(values: list[Tensor], k: int) -> list[Tensor]:
    threshold = _kth_smallest(values, k)
    chosen = [_compared(v, threshold, np.less) for v in values]
    missing = k - sum(count(c) for c in chosen)
    for flags, v in zip(chosen, values, strict=True):
        if missing <= 0:
            break
        ties = _places(_compared(v, threshold, np.equal))[:missing]
        flags[ties] = True
        missing -= ties.numel()
    return chosen


def _compared(values: Tensor, threshold: Tensor, how: np.ufunc) -> Tensor:
    if values.device.type == "cpu" and values.dtype not in (torch.bfloat16, torch.float16):
        return torch.from_numpy(how(values.detach().numpy(), threshold.numpy()))
    threshold = threshold.to(values.device)
    return values < threshold if how is np.less else values == threshold


def _places(flags: Tensor) -> Tensor:
    if flags.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(flags.numpy()))
    return flags.nonzero().flatten()


def _kth_smallest(values: list[Tensor], k: int) -> Tensor:
    if values[0].device.type != "cpu":
        device = values[0].device
        whole = values[0] if len(values) == 1 else torch.cat([v.to(device) for v in values])
        return whole.kthvalue(k).values
    half = values[0].dtype in (torch.bfloat16, torch.float16)
    arrays = [(v.float() if half else v).detach().numpy() for v in values]
    return torch.tensor(_kth(arrays, k), dtype=values[0].dtype)


def _kth(arrays: list[Values], k: int) -> Any:
    """The k-th smallest value, k from 1."""
    n = sum(a.size for a in arrays)
    if n > _SMALL and (found := _between_brackets(arrays, k, n)) is not None:
        return found
    whole = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    return np.partition(whole, k - 1)[k - 1]


def _between_brackets(arrays: list[Values], k: int, n: int) -> Any | None:
    stride = max(1, n // _SAMPLE) | 1  # odd: kernels and rows have even sizes
    sample = np.sort(np.concatenate([a[::stride] for a in arrays]))
    rank = k / n * sample.size
    margin = 5 * (rank * (1 - k / n)) ** 0.5 + 8
    low = sample[max(0, int(rank - margin))]
    high = sample[min(sample.size - 1, int(rank + margin))]
    below, inside = 0, []
    for a in arrays:
        under = a < low
        below += int(np.count_nonzero(under))
        near = np.logical_xor(a <= high, under)
        inside.append(a[np.flatnonzero(near)])
    middle = np.concatenate(inside)
    if not below < k <= below + middle.size:
        return None
    return np.partition(middle, k - below - 1)[k - below - 1]
