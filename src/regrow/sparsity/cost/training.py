"""Operations of training: the formula of a kind of method, and the sum over the steps of a run."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from regrow.errors import InputError


class Described(Protocol):
    """What is asked of a method record here."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    def describe(self) -> dict[str, Any]:
        """Its parts as plain values."""
        ...


def training_flops(
    dense: float,
    sparse: float,
    *,
    interval: int = 0,
    needs_gradient: bool = False,
    window: int = 1,
    every_step: bool = False,
) -> float:
    """Operations per training sample: forward once and backward twice the forward's.

    ====================================  ==============================================
    dense                                 ``3 dense``
    static, SET, SNIP, CHT, MEST          ``3 sparse``
    momentum growth (SNFS)                ``2 sparse + dense``
    RigL, SRigL and other gradient growth ``(3 sparse T + n (2 sparse + dense)) / (T + n)``
    GMP, GraNet, CHTss                    the mean over the run: see `training_cost`
    ====================================  ==============================================

    with T the interval and n the window. This is Evci et al. 2020, arXiv:1911.11134, appendix H, whose updates replace
    a step. Drop and growth criteria, the sorting of scores (a few comparisons per weight and update, against products
    per weight, sample and step) and the optimiser are not counted.

    Args:
        dense: forward operations per sample of the dense model.
        sparse: the same with the masks.
        interval: steps from update to update; 0 for none.
        needs_gradient: whether growth needs dense weight gradients: those steps cost ``2 sparse + dense``.
        window: number of steps whose dense gradients an update uses.
        every_step: whether every step needs them (momentum growth).

    Example:
        >>> training_flops(100.0, 10.0), training_flops(100.0, 10.0, every_step=True)
        (30.0, 120.0)
        >>> training_flops(100.0, 10.0, interval=8, needs_gradient=True)
        40.0
    """
    if every_step:
        return 2 * sparse + dense
    if interval and needs_gradient:
        return (3 * sparse * interval + window * (2 * sparse + dense)) / (interval + window)
    return 3 * sparse


def training_cost(
    per_layer_flops: Mapping[str, float],
    sizes: Mapping[str, int],
    initial_counts: Mapping[str, int],
    history: Iterable[Mapping[str, Any]],
    *,
    total_steps: int,
    other: float = 0.0,
    window: int = 0,
    every_step: bool = False,
) -> dict[str, Any]:
    """Operations of a run, per sample of its batches, summed over its steps with the masks of each step.

    A step costs forward ``f_S`` and backward ``2 f_S``; one whose dense weight gradient is used costs ``f_D - f_S``
    more. In a layer that is still dense the two are equal, so gradual methods (GraNet, CHTss) pay for a dense gradient
    only once they have pruned. The input gradient of the first layer, which nobody needs, is counted as is usual.

    Args:
        per_layer_flops: dense forward operations per sample by weight (the rows of `flops`).
        sizes: number of weights by name. Layers that are not named are dense.
        initial_counts: active weights at the start, of the same names.
        history: rows with ``step``, ``layer`` and ``n_active``, as a run stores them (`regrow.sparsity.history.Row`):
            after completed step ``step`` the layer has ``n_active`` active weights, until its next row. Any order. The
            counts of a plan (a density schedule) serve as well.
        total_steps: steps made; rows of later steps are ignored.
        other: forward operations per sample that belong to no weight (attention products); dense.
        window: number of steps, up to and including the update's, whose dense gradient an update uses: 0 for random and
            link-predicting growth and mere pruning, 1 for RigL, more where gradients are averaged over steps.
        every_step: whether every step of the run needs the dense gradient (momentum growth).

    Returns:
        ``steps``; ``dense_gradient_steps``; ``dense`` and ``sparse``: sums over the steps, times the batch they are the
        run's operations; ``ratio``: sparse over dense; ``per_sample``: mean of a step; ``layers``: rows with name,
        dense, sparse.

    Raises:
        InputError: a row or count that does not fit the sizes.

    Example:
        >>> rows = [{"step": 10, "layer": "a", "n_active": 25}]
        >>> training_cost({"a": 200}, {"a": 100}, {"a": 50}, rows, total_steps=20)["sparse"]
        4500.0
    """
    changes = _changes(sizes, initial_counts, history, total_steps)
    marked = _dense_gradient_steps(changes, total_steps, window, every_step)
    rows: list[dict[str, Any]] = []
    for name in [*per_layer_flops, *(n for n in sizes if n not in per_layer_flops)]:
        forward = per_layer_flops.get(name, 0.0)
        steps, extra = 1.0 * total_steps, 0.0
        if name in sizes:
            steps, extra = _shares(sizes[name], initial_counts[name], changes[name], marked, total_steps)
        rows.append({"name": name, "dense": 3 * forward * total_steps, "sparse": forward * (3 * steps + extra)})
    rest = 3 * other * total_steps
    dense, sparse = (sum(row[key] for row in rows) + rest for key in ("dense", "sparse"))
    return {
        "steps": total_steps,
        "dense_gradient_steps": len(marked),
        "dense": dense,
        "sparse": sparse,
        "ratio": sparse / dense if dense else 1.0,
        "per_sample": sparse / total_steps if total_steps else 0.0,
        "layers": rows,
    }


def _changes(
    sizes: Mapping[str, int], initial_counts: Mapping[str, int], history: Iterable[Mapping[str, Any]], total_steps: int
) -> dict[str, list[tuple[int, int]]]:
    """(step, active weights after it) of each layer, in the order of the steps; those at one step as given."""
    for name, size in sizes.items():
        if name not in initial_counts:
            raise InputError(f"layer {name!r} has a size but no initial count.", "give both of the same layers.")
        _check(name, initial_counts[name], size)
    result: dict[str, list[tuple[int, int]]] = {name: [] for name in sizes}
    for row in history:
        name, step, n_active = row["layer"], row["step"], row["n_active"]
        if name not in sizes:
            raise InputError(f"the history names layer {name!r}, which has no size.", "give sizes of the same run.")
        _check(name, n_active, sizes[name])
        if step <= total_steps:
            result[name].append((step, n_active))
    return {name: sorted(steps, key=lambda change: change[0]) for name, steps in result.items()}


def _check(name: str, n_active: int, size: int) -> None:
    if not 0 <= n_active <= size or size < 1:
        raise InputError(
            f"layer {name!r} cannot have {n_active} of {size} weights active.", "give counts and sizes of the same run."
        )


def _dense_gradient_steps(
    changes: Mapping[str, Sequence[tuple[int, int]]], total_steps: int, window: int, every_step: bool
) -> Sequence[int]:
    """The steps, counted from 1, whose dense weight gradients are used, in order."""
    if every_step:
        return range(1, total_steps + 1)
    updates = {step for steps in changes.values() for step, _ in steps}
    return sorted({t for step in updates for t in range(max(1, step - window + 1), step + 1)})


def _shares(
    size: int, n_active: int, changes: Sequence[tuple[int, int]], marked: Sequence[int], total_steps: int
) -> tuple[float, float]:
    """Of one layer: the sum over the steps of its density, and over the marked steps of 1 - density."""
    active = inactive = done = 0
    for step, after in [*changes, (total_steps, 0)]:
        active += n_active * (step - done)
        inactive += (size - n_active) * (bisect_right(marked, step) - bisect_right(marked, done))
        done, n_active = step, after
    return active / size, inactive / size


def gradient_steps(method: Any) -> tuple[int, bool]:
    """``window`` and ``every_step`` of `training_cost` as a method's record has them.

    A criterion that reads the optimiser's gradient (MEST, Taylor) needs none of inactive weights, so it adds nothing.
    """
    every_step = getattr(method, "decay", None) is not None
    return (0 if every_step or not method.needs_gradient else getattr(method, "window", 1)), every_step


def topology_flops(method: str | Described, shapes: Iterable[Sequence[int]]) -> int:
    """Operations of link prediction in one update of all layers; not per sample, so to be reported apart.

    Cannistraci-Hebb growth in node form (CH2 or CH3-L3n) takes two sets of dense products of the mask M of shape (out,
    in): the common neighbours ``M M^T`` and ``M^T M``, then ``Q M`` and ``Q' M^T``; each set costs ``2 (out^2 in +
    in^2 out)``. Convolutions are seen as (out, in * kernel). The path form, meant for small layers, is booked as if it
    were the node form. Every other method only ranks scores: comparisons, taken as 0.

    Args:
        method: the method's record or name.
        shapes: full weight shapes of the layers that an update changes.

    Example:
        >>> topology_flops("cht", [(3, 4)]), topology_flops("rigl", [(3, 4)])
        (336, 0)
    """
    text = method if isinstance(method, str) else f"{method.name} {method.describe().get('grow', '')}"
    if not re.search("^cht|CannistraciHebb", text):
        return 0
    sides = [(shape[0], math.prod(shape[1:])) for shape in shapes]
    return sum(2 * 2 * (out * out * in_ + in_ * in_ * out) for out, in_ in sides)
