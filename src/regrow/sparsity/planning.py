"""What a method will do to a model, before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from regrow.errors import InputError
from regrow.sparsity.densities import counts
from regrow.sparsity.exploration import expected_itop_rate
from regrow.sparsity.growth import RandomGrowth
from regrow.sparsity.layers import Choice, Chosen, choose
from regrow.sparsity.methods._method import Method
from regrow.sparsity.schedules import Window


@dataclass(frozen=True)
class Plan:
    """Layers, their numbers of active weights, and the steps of the updates.

    Attributes:
        layers: the chosen parameters.
        n_active: active weights of each.
        window: when updates are due.
    """

    layers: list[Chosen]
    n_active: list[int]
    window: Window

    def rows(self) -> list[dict[str, Any]]:
        """A row per layer: name, shape, n_weights, n_active, density, kept_dense."""
        return [
            {
                "name": one.name,
                "shape": list(one.shape),
                "n_weights": one.size,
                "n_active": active,
                "density": active / one.size,
                "kept_dense": active == one.size,
            }
            for one, active in zip(self.layers, self.n_active, strict=True)
        ]


def make_plan(
    model: nn.Module,
    method: Method,
    total_steps: int,
    layers: Choice | None,
    keep_dense: Iterable[str],
    steps_per_epoch: int | None,
) -> Plan:
    """Choose layers and their counts; see `plan` for the arguments and errors."""
    for what, value in (("total_steps", total_steps), ("steps_per_epoch", steps_per_epoch)):
        if value is not None and (value < 1 or int(value) != value):
            raise InputError(f"{what} must be a whole number >= 1, got {value}.")
    chosen = choose(model, layers, keep_dense)
    window = method.timing.window(total_steps, steps_per_epoch)
    if not chosen:
        if method.sparsity > 0:
            raise InputError(
                "no layer to make sparse: the model has no trainable Linear or Conv weight, or none is chosen.",
                "look at `layers`, or train with Dense().",
            )
        return Plan([], [], window)
    density = method.target_density
    if density == 1:
        return Plan(chosen, [c.size for c in chosen], window)
    dense = [i for i, c in enumerate(chosen) if c.kept_dense]
    densities = method.allocation([c.shape for c in chosen], density, dense)
    return Plan(chosen, counts(densities, [c.size for c in chosen], density), window)


def plan(
    model: nn.Module,
    method: Method,
    *,
    total_steps: int,
    layers: Choice | None = None,
    keep_dense: Iterable[str] = (),
    steps_per_epoch: int | None = None,
) -> dict[str, Any]:
    """What `regrow.sparsity.attach` with the same arguments will do; the model is left as it is.

    Args:
        model: the model; only names and shapes are read, so it may live on the meta device.
        method: the method.
        total_steps: optimiser steps of the whole run.
        layers: see `regrow.sparsity.attach`.
        keep_dense: see `regrow.sparsity.attach`.
        steps_per_epoch: see `regrow.sparsity.attach`.

    Returns:
        ``layers`` (rows: name, shape, n_weights, n_active, density, kept_dense), ``n_weights``, ``n_active``,
        ``density``, ``updates`` (their number), ``interval`` (steps; 0 when there are none) and ``expected_itop_rate``
        (share of weights ever active at the end; None where growth is not random).

    Raises:
        InputError: as `regrow.sparsity.attach`.

    Example:
        >>> from torch import nn
        >>> from regrow.sparsity import RigL
        >>> p = plan(nn.Linear(30, 20), RigL(0.9), total_steps=6400)
        >>> p["n_active"], p["updates"], p["interval"]
        (60, 47, 100)
    """
    made = make_plan(model, method, total_steps, layers, keep_dense, steps_per_epoch)
    n_weights, n_active = sum(one.size for one in made.layers), sum(made.n_active)
    return {
        "layers": made.rows(),
        "n_weights": n_weights,
        "n_active": n_active,
        "density": n_active / n_weights if n_weights else 1.0,
        "updates": made.window.count(),
        "interval": made.window.interval,
        "expected_itop_rate": _expected_itop_rate(made, method),
    }


def _expected_itop_rate(made: Plan, method: Method) -> float | None:
    """Over all layers; None where growth is not random, since gradients decide it then."""
    n_weights = sum(one.size for one in made.layers)
    if not n_weights or (made.window.count() and not isinstance(method.grow, RandomGrowth)):
        return None
    fractions = [method.drop_fraction(made.window.progress(t)) for t in made.window.steps()]
    rates = (
        expected_itop_rate(active / one.size, fractions, regrow_dropped=method.regrow_dropped) * one.size
        for one, active in zip(made.layers, made.n_active, strict=True)
    )
    return sum(rates) / n_weights


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of a plan or report as an aligned text table."""
    cells = [("layer", "shape", "weights", "active", "density", "")]
    for row in rows:
        shape = "x".join(str(n) for n in row["shape"])
        note = "dense" if row["kept_dense"] else ""
        cells.append((row["name"], shape, f"{row['n_weights']}", f"{row['n_active']}", f"{row['density']:.4f}", note))
    widths = [max(len(line[i]) for line in cells) for i in range(6)]
    lines = []
    for line in cells:
        left = "  ".join(cell.ljust(width) for cell, width in zip(line[:2], widths[:2], strict=True))
        right = "  ".join(cell.rjust(width) for cell, width in zip(line[2:5], widths[2:5], strict=True))
        lines.append(f"{left}  {right}  {line[5]}".rstrip())
    return "\n".join(lines)
