"""What a method will do to a model, before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from torch import nn

from regrow.errors import InputError
from regrow.sparsity.densities import counts
from regrow.sparsity.exploration import expected_itop_rate
from regrow.sparsity.growth import RandomGrowth
from regrow.sparsity.layers import Choice, Chosen, choose
from regrow.sparsity.methods._method import Method
from regrow.sparsity.schedules import Window
from regrow.sparsity.steps import DropGrow


@dataclass(frozen=True)
class Plan:
    """Layers, their numbers of active weights over time, and the steps of the updates.

    Attributes:
        method: the method, fitted to the model.
        layers: the chosen parameters.
        n_active: active weights of each at the start.
        n_final: the same after the last update, by the allocation (a ranking of all layers together may shift them).
        window: when updates are due.
        settled: the step at whose update the final density is reached; 0 where it never changes.
    """

    method: Method
    layers: list[Chosen]
    n_active: list[int]
    n_final: list[int]
    window: Window
    settled: int

    @property
    def falling(self) -> bool:
        """Whether the density changes over time."""
        return self.settled > 0

    def density(self, step: int) -> Fraction:
        """Density that is due after the update at ``step`` (0: at the start)."""
        final = self.method.target_density
        if not self.falling or step >= self.settled:
            return final  # also where the only update is the window's first
        begun = self.window.start  # a fall that begins later is as steep as one that begins at once
        return self.method.density(max(Fraction(0), (step - begun) / (self.settled - begun)), final)

    def planned(self, step: int) -> list[int]:
        """Active weights of each layer by the allocation at that density."""
        if step >= self.settled:
            return self.n_final
        return _allocated(self.method, self.layers, self.density(step))

    def may_be_sparse(self, i: int) -> bool:
        """Whether layer ``i`` has inactive weights at any time."""
        one = self.layers[i]
        if one.kept_dense or (self._keeps_last and i == len(self.layers) - 1):
            return False
        if self.falling and self.method.step.global_counts:
            return True
        if getattr(self.method.initial, "scope", "layer") == "global":
            return self.method.target_density < 1
        return min(self.n_active[i], self.n_final[i]) < one.size

    @property
    def n_end(self) -> list[int]:
        """Active weights of each layer once updates are over: ``n_final``, but for steps that hold more."""
        return self.method.step.held(self.n_final, [one.size for one in self.layers], 0.0)

    @property
    def _keeps_last(self) -> bool:
        return bool(getattr(self.method.step, "keeps_last", False))

    def rows(self) -> list[dict[str, Any]]:
        """A row per layer, at the end: name, shape, n_weights, n_active, density, kept_dense."""
        return [
            row(one, active, kept_dense=not self.may_be_sparse(i))
            for i, (one, active) in enumerate(zip(self.layers, self.n_end, strict=True))
        ]


def row(one: Chosen, n_active: int, *, kept_dense: bool) -> dict[str, Any]:
    """What tables say of a layer."""
    return {
        "name": one.name,
        "shape": list(one.shape),
        "n_weights": one.size,
        "n_active": n_active,
        "density": n_active / one.size,
        "kept_dense": kept_dense,
    }


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
        optional = what == "steps_per_epoch" and value is None
        if not optional and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise InputError(f"{what} must be a whole number >= 1, got {value}.")
    chosen = choose(model, layers, keep_dense)
    window = method.timing.window(total_steps, steps_per_epoch)
    if method.window > window.interval > 0:
        raise InputError(
            f"growth averages gradients of {method.window} steps, but an update is due every {window.interval}.",
            "give a shorter window, or a longer interval.",
        )
    if not chosen:
        if method.sparsity > 0:
            raise InputError(
                "no layer to make sparse: the model has no trainable Linear or Conv weight, or none is chosen.",
                "look at `layers`, or train with Dense().",
            )
        return Plan(method, [], [], [], window, 0)
    final = method.target_density
    sizes = [c.size for c in chosen]
    if final == 1 and method.start_density == 1:
        return Plan(method, chosen, sizes, sizes, window, 0)
    method = method.bound(model, [c.name for c in chosen])
    settled = _settled(method, window, total_steps)
    given = _given_counts(method, chosen)
    n_final = given or _allocated(method, chosen, final)
    start = n_final if settled == 0 else _allocated(method, chosen, method.start_density)
    margin = method.drop_fraction(0.0) if window.count() else 0.0
    n_start = start if given else method.step.held(start, sizes, margin)  # a given mask is what it is until an update
    return Plan(method, chosen, n_start, n_final, window, settled)


def _settled(method: Method, window: Window, total_steps: int) -> int:
    if method.start_density == method.target_density:
        return 0
    settled = window.last(method.density.until)
    if settled == 0:
        raise InputError(
            f"{method.name} has to come from density {float(method.start_density):g} down to "
            f"{float(method.target_density):g}, but a run of {total_steps} steps has no update in that time.",
            "train longer, or give a timing with a shorter interval.",
        )
    return settled


def _given_counts(method: Method, chosen: Sequence[Chosen]) -> list[int] | None:
    """Counts that an existing mask dictates; its total must be that of the sparsity."""
    counting = getattr(method.initial, "counts", None)
    if counting is None:
        return None
    given: list[int] = counting([(c.name, c.parameter) for c in chosen])
    total = sum(c.size for c in chosen)
    if abs(sum(given) - method.target_density * total) > Fraction(1, 2) + len(chosen):
        raise InputError(
            f"the given masks have sparsity {1 - sum(given) / total:.6g}, the method asks for {method.sparsity:g}.",
            f"ask for {1 - sum(given) / total:.6g}.",
        )
    return given


def _allocated(method: Method, chosen: Sequence[Chosen], density: Fraction) -> list[int]:
    """Active weights of each layer at a density, in numbers that the structure can hold."""
    if density == 1:
        return [c.size for c in chosen]
    if getattr(method.step, "keeps_last", False):
        return [*_spread(method, chosen[:-1], density), chosen[-1].size]
    return _spread(method, chosen, density)


def _spread(method: Method, chosen: Sequence[Chosen], density: Fraction) -> list[int]:
    if not chosen:
        return []
    sizes, shapes = [c.size for c in chosen], [c.shape for c in chosen]
    dense = [i for i, c in enumerate(chosen) if c.kept_dense]
    planned = counts(method.allocation(shapes, density, dense), sizes)
    rest = [i for i, c in enumerate(chosen) if not c.kept_dense]
    fitted = method.step.fit([shapes[i] for i in rest], [planned[i] for i in rest], [chosen[i].name for i in rest])
    for i, n in zip(rest, fitted, strict=True):
        planned[i] = n
    return planned


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
        ``layers`` (rows, at the end of the run: name, shape, n_weights, n_active, density, kept_dense), ``n_weights``,
        ``n_active``, ``density``, ``start_density``, ``updates`` (their number), ``interval`` (steps; 0 when there are
        none) and ``expected_itop_rate`` (share of weights ever active at the end; None where it is not known before).

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
    n_weights, n_active = sum(one.size for one in made.layers), sum(made.n_end)
    return {
        "layers": made.rows(),
        "n_weights": n_weights,
        "n_active": n_active,
        "density": n_active / n_weights if n_weights else 1.0,
        "start_density": sum(made.n_active) / n_weights if n_weights else 1.0,
        "updates": made.window.count(),
        "interval": made.window.interval,
        "expected_itop_rate": _expected_itop_rate(made, method),
    }


def _expected_itop_rate(made: Plan, method: Method) -> float | None:
    """Over all layers; None where growth is not uniformly random at a density that stays, unless all begin active."""
    n_weights = sum(one.size for one in made.layers)
    if sum(made.n_active) == n_weights:
        return 1.0
    plain = isinstance(method.grow, RandomGrowth) and type(method.step) is DropGrow and not made.falling
    if not n_weights or (made.window.count() and not plain):
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
