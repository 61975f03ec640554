"""Everything that a model under a sparsifier costs, layer by layer and in total."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from regrow.sparsity.cost.inference import flops
from regrow.sparsity.cost.memory import BITS, memory, model_bytes
from regrow.sparsity.cost.training import gradient_steps, topology_flops, training_cost
from regrow.sparsity.layers import plain_name

if TYPE_CHECKING:
    from regrow.sparsity.sparsifier import Sparsifier


def report(
    model: nn.Module,
    input_shape: Sequence[int],
    sparsifier: Sparsifier,
    *,
    window: int | None = None,
    every_step: bool | None = None,
    steps: int | None = None,
    initial_counts: Mapping[str, int] | None = None,
    n_states: int = 1,
    mask_bytes_per_weight: float = BITS,
) -> dict[str, Any]:
    """Weights, operations and bytes of a model under a sparsifier, as they are now and for the steps made so far.

    Args:
        model: the model that the sparsifier is attached to.
        input_shape: shape of one sample, without the batch.
        sparsifier: what `regrow.sparsity.attach` returned.
        window: steps whose dense gradients an update uses; by default as the method's record says.
        every_step: whether every step needs the dense gradient (momentum growth); by default as the record says.
        steps: optimiser steps made; the sparsifier's own count by default. Give it for `Dense`, which counts none.
        initial_counts: active weights at the start by name; by default worked out from the history.
        n_states: tensors that the optimiser keeps per weight: 1 for SGD with momentum, 2 for Adam.
        mask_bytes_per_weight: see `memory`.

    Returns:
        ``layers``: a row per weight that is sparsified or multiplies: name, n_weights, n_active, density,
        inference_dense and inference_sparse (operations per sample), training_dense and training_sparse (operations per
        sample of a batch, summed over the steps so far), dense_bytes, compact_bytes. ``totals``: n_weights, n_active
        and the four operations over all layers and ``other`` (operations per sample of no weight), ``steps``,
        ``dense_gradient_steps``, ``topology`` (operations of link prediction so far, not per sample), ``n_rest``
        (parameters without a row: biases, norms) and the keys of `memory`, which include these.

    Raises:
        InputError: the model cannot take such an input.

    Example:
        >>> import torch
        >>> from regrow.sparsity import Static, attach
        >>> model = nn.Linear(30, 20)
        >>> sparsifier = attach(model, torch.optim.SGD(model.parameters(), 0.1), Static(0.5), total_steps=9)
        >>> totals = report(model, (30,), sparsifier)["totals"]
        >>> totals["inference_sparse"], totals["compact_bytes"]  # 300 values, 600 bits, 20 biases
        (600.0, 1355)
    """
    chosen = {row["name"]: row for row in sparsifier.report()}
    history: list[Mapping[str, Any]] = [{**row} for row in sparsifier.history]
    own_window, own_every_step = gradient_steps(sparsifier.method)
    window = own_window if window is None else window
    every_step = own_every_step if every_step is None else every_step
    counted = flops(model, input_shape, {name: row["n_active"] / row["n_weights"] for name, row in chosen.items()})
    start = initial_counts or _initial_counts(chosen, history)
    trained = training_cost(
        {row["name"]: row["dense"] for row in counted["layers"]},
        {name: row["n_weights"] for name, row in chosen.items()},
        start,
        history,
        total_steps=sparsifier.step_count if steps is None else steps,
        other=counted["other"],
        window=window,
        every_step=every_step,
    )
    rows = _rows(model, chosen, counted["layers"], trained["layers"])
    sizes = {row["name"]: row["n_weights"] for row in rows}
    n_rest = sum(p.numel() for p in model.parameters()) - sum(sizes.values())
    shapes = [row["shape"] for row in chosen.values() if row["n_active"] < row["n_weights"]]
    totals = {
        **{key: sum(row[key] for row in rows) for key in ("n_weights", "n_active")},
        **{f"inference_{key}": counted[key] for key in ("dense", "sparse")},
        **{f"training_{key}": trained[key] for key in ("dense", "sparse")},
        "other": counted["other"],
        "steps": trained["steps"],
        "dense_gradient_steps": trained["dense_gradient_steps"],
        "topology": len({row["step"] for row in history}) * topology_flops(sparsifier.method, shapes),
        "n_rest": n_rest,
    }
    held = memory(
        sizes,
        {**sizes, **start},
        history,
        rest=n_rest,
        n_states=n_states,
        dense_gradient=window > 0 or every_step,
        mask_bytes_per_weight=mask_bytes_per_weight,
    )
    return {"layers": rows, "totals": totals | held}


def _initial_counts(chosen: Mapping[str, Mapping[str, Any]], history: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Active weights before the first update: those after it, what it grew taken off and what it dropped put back."""
    first: dict[str, int] = {}
    for row in history:
        grown = row.get("returned", 0) + row.get("fresh", 0)
        first.setdefault(row["layer"], row["n_active"] - grown + row.get("dropped", 0))
    return {name: first.get(name, row["n_active"]) for name, row in chosen.items()}


def _rows(
    model: nn.Module,
    chosen: Mapping[str, Mapping[str, Any]],
    counted: Sequence[Mapping[str, Any]],
    trained: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    sizes = {plain_name(name): p.numel() for name, p in model.named_parameters(remove_duplicate=False)}
    forward = {row["name"]: row for row in counted}
    rows = []
    for name, spent in ((row["name"], row) for row in trained):
        n_weights = chosen[name]["n_weights"] if name in chosen else sizes.get(name, 0)
        n_active = chosen[name]["n_active"] if name in chosen else n_weights
        rows.append(
            {
                "name": name,
                "n_weights": n_weights,
                "n_active": n_active,
                "density": n_active / n_weights if n_weights else 1.0,
                **{f"inference_{key}": forward[name][key] if name in forward else 0 for key in ("dense", "sparse")},
                **{f"training_{key}": spent[key] for key in ("dense", "sparse")},
                "dense_bytes": 4 * n_weights,
                "compact_bytes": model_bytes({name: n_weights}, {name: n_active}),
            }
        )
    return rows
