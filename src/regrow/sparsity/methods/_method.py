"""The record that a method is: its parts, frozen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from typing import Any, Literal, cast

from torch import nn

from regrow.errors import InputError, UnknownNameError
from regrow.sparsity.densities import ERK, Allocation, Table, exact_density
from regrow.sparsity.density_schedules import DensitySchedule, Hold
from regrow.sparsity.drop import Magnitude
from regrow.sparsity.growth import GradientGrowth
from regrow.sparsity.initial import Initial, RandomMask
from regrow.sparsity.schedules import Constant, Cosine, Never, Schedule, Timing, Updates, percent_hint
from regrow.sparsity.steps import DropGrow
from regrow.sparsity.update import Criterion, Step


@dataclass(frozen=True)
class Method:
    """A sparse training method as parts; ``dataclasses.replace`` makes another method of it.

    Attributes:
        name: its name in tables and files.
        sparsity: share of inactive weights among the chosen layers, in [0, 1).
        paper: where it comes from.
        allocation: density per layer.
        initial: the first mask of a layer.
        drop: score of active weights; the lowest are dropped.
        grow: score of candidates; the highest are grown.
        drop_fraction: share of a layer's active weights that an update drops, by progress.
        timing: when updates are due.
        regrow_dropped: whether weights dropped in an update may grow back in the same update.
        returned: what happens to those that do: ``"keep"`` leaves weight and optimiser state as if never touched,
            ``"reset"`` treats them as fresh.
        density: share of active weights by progress; the method's own, always, unless it falls.
        step: how an update changes the masks; see `regrow.sparsity.steps`, `structures` and `hebb`.
        window: growth looks at the mean dense gradient of the last ``window`` steps.
        grow_init: value of a fresh weight: ``"zeros"``, or ``"fan_in"`` (normal, variance 2 / mean active fan-in).
        state: ``"reset"`` masks gradients, and drops and grows the optimiser's state with the weight. ``"reference"``
            does as the public reference codes do, to measure the difference: gradients of inactive weights reach the
            optimiser, its state is left alone, and the weights are masked after every step.
    """

    name: str
    sparsity: float
    paper: str = ""
    allocation: Allocation = field(default=ERK())
    initial: Initial = field(default=RandomMask())
    drop: Criterion = field(default=Magnitude())
    grow: Criterion = field(default=GradientGrowth())
    drop_fraction: Schedule = field(default=Cosine(0.3))
    timing: Timing = field(default=Updates(48, stop=0.75))
    regrow_dropped: bool = True
    returned: Literal["keep", "reset"] = "keep"
    density: DensitySchedule = field(default=Hold())
    step: Step = field(default=DropGrow())
    window: int = 1
    grow_init: Literal["zeros", "fan_in"] = "zeros"
    state: Literal["reset", "reference"] = "reset"

    def __post_init__(self) -> None:
        """Check the values."""
        value = self.sparsity
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(f"sparsity must be a number in [0, 1), got {value!r}.")
        if not 0 <= value < 1:
            raise InputError(f"sparsity must be in [0, 1), got {value:g}.{percent_hint(value)}")
        for name, known in _CHOICES.items():
            given = getattr(self, name)
            if given not in known:
                raise InputError(f"{name} must be {known[0]!r} or {known[1]!r}, got {given!r}.")
        if isinstance(self.window, bool) or not isinstance(self.window, int) or self.window < 1:
            raise InputError(f"window must be a whole number of steps >= 1, got {self.window!r}.")
        if self.window > 1 and self.decay is not None:
            raise InputError("window and growth by momentum both average gradients.", "leave window at 1.")
        self._refuse_unfit_parts()

    def _refuse_unfit_parts(self) -> None:
        step, drop = type(self.step).__name__, type(self.drop).__name__
        stays = isinstance(self.density, Hold)
        if self.step.fixed_density and not stays:
            raise InputError(f"{step} has one density, and {self.density!r} changes it.", "leave density at Hold().")
        if getattr(self.drop, "depends_on_k", False) and (self.step.ranks_all or not stays):
            raise InputError(
                f"{drop} chooses a number of weights within one layer; it is no order to prune or rank by.",
                "use it with DropGrow or SoftBound and a density that stays, or drop by Magnitude().",
            )
        if self.step.exact_layers and getattr(self.initial, "scope", "layer") == "global":
            raise InputError(
                f"{step} needs the planned number of weights in every layer, and the first mask ranks all together.",
                'give the initial mask scope="layer".',
            )
        if not self.regrow_dropped and getattr(self.step, "needs_regrow_dropped", False):
            raise InputError(
                f"{type(self.step).__name__} fills every row up to its number of weights: it needs those just dropped.",
                "leave regrow_dropped at True.",
            )

    @property
    def target_density(self) -> Fraction:
        """Share of active weights, exactly as written: ``1 - sparsity``."""
        return exact_density(self.sparsity)

    @property
    def rewires(self) -> bool:
        """Whether it is dynamic sparse training: links are dropped while it trains and others grow."""
        at_rest = isinstance(self.drop_fraction, Constant) and self.drop_fraction.value == 0
        return self.step.rewires and not at_rest and not isinstance(self.timing, Never)

    @property
    def needs_gradient(self) -> bool:
        """Whether updates look at dense gradients."""
        return self.drop.needs_gradient or self.grow.needs_gradient or self.step.needs_gradient

    @property
    def needs_step_gradient(self) -> bool:
        """Whether updates look at the gradient that the optimiser's step used."""
        return bool(
            getattr(self.drop, "needs_step_gradient", False) or getattr(self.grow, "needs_step_gradient", False)
        )

    @property
    def needs_history(self) -> bool:
        """Whether growth looks at what was ever active."""
        return bool(getattr(self.grow, "needs_history", False))

    @property
    def decay(self) -> float | None:
        """Factor of the running mean of dense gradients that growth looks at; None without one."""
        value = getattr(self.grow, "decay", None)
        return None if value is None else float(value)

    @property
    def start_density(self) -> Fraction:
        """Share of active weights at the start."""
        return self.density(Fraction(0), self.target_density)

    def bound(self, model: nn.Module, names: Sequence[str]) -> Method:
        """The method with the parts that depend on the model (tables by name, ties, chains) fitted to it."""
        parts: dict[str, Any] = {}
        if isinstance(self.allocation, Table):
            parts["allocation"] = self.allocation.of(names)
        bind = getattr(self.step, "bind", None)
        if bind is not None:
            parts["step"] = bind(model, names)
        return replace(self, **parts)

    def describe(self) -> dict[str, Any]:
        """Name, sparsity and all parts as plain values, to print, to store and to compare.

        Example:
            >>> from regrow.sparsity import RigL
            >>> RigL(0.5).describe()["timing"]
            'Updates(n=48, stop=0.75, start=0.0)'
        """
        return {one.name: _plain(getattr(self, one.name)) for one in fields(self)}


_CHOICES = {"returned": ("keep", "reset"), "grow_init": ("zeros", "fan_in"), "state": ("reset", "reference")}


def _plain(part: object) -> bool | int | float | str:
    if isinstance(part, bool | int | float | str):
        return part
    if dataclasses.is_dataclass(part):
        return repr(part)
    return f"{getattr(part, '__module__', '')}.{getattr(part, '__qualname__', type(part).__qualname__)}"


def with_parts(method: Method, parts: Mapping[str, object]) -> Method:
    """The method with some parts exchanged.

    Raises:
        UnknownNameError: there is no such part.
    """
    known = [one.name for one in fields(Method) if one.name != "sparsity"]
    for part in parts:
        if part not in known:
            raise UnknownNameError("part", part, known, f"choose among the parts of method {method.name}.")
    return replace(method, **cast(dict[str, Any], parts))


def variant_parts(method: str, variants: Mapping[str, Mapping[str, object]], name: str) -> dict[str, object]:
    """The parts that a named variant of a method sets.

    Raises:
        UnknownNameError: there is no such variant.
    """
    if name not in variants:
        raise UnknownNameError("variant", name, variants, f"choose a variant of {method}.")
    return dict(variants[name])
