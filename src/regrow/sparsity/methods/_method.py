"""The record that a method is: its parts, frozen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from typing import Any, Literal, cast

from regrow.errors import InputError, UnknownNameError
from regrow.sparsity.densities import ERK, Allocation, exact_density
from regrow.sparsity.drop import Magnitude
from regrow.sparsity.growth import GradientGrowth
from regrow.sparsity.initial import Initial, RandomMask
from regrow.sparsity.schedules import Cosine, Schedule, Timing, Updates, percent_hint
from regrow.sparsity.update import Criterion


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

    def __post_init__(self) -> None:
        """Check the values."""
        value = self.sparsity
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(f"sparsity must be a number in [0, 1), got {value!r}.")
        if not 0 <= value < 1:
            raise InputError(f"sparsity must be in [0, 1), got {value:g}.{percent_hint(value)}")
        if self.returned not in ("keep", "reset"):
            raise InputError(f"returned must be 'keep' or 'reset', got {self.returned!r}.")

    @property
    def target_density(self) -> Fraction:
        """Share of active weights, exactly as written: ``1 - sparsity``."""
        return exact_density(self.sparsity)

    @property
    def needs_gradient(self) -> bool:
        """Whether updates look at dense gradients."""
        return self.drop.needs_gradient or self.grow.needs_gradient

    def describe(self) -> dict[str, Any]:
        """Name, sparsity and all parts as plain values, to print, to store and to compare.

        Example:
            >>> from regrow.sparsity import RigL
            >>> RigL(0.5).describe()["timing"]
            'Updates(n=48, stop=0.75, start=0.0)'
        """
        return {one.name: _plain(getattr(self, one.name)) for one in fields(self)}


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
    known = [one.name for one in fields(Method) if one.name not in ("name", "sparsity")]
    for part in parts:
        if part not in known:
            raise UnknownNameError("part", part, known, f"choose among the parts of method {method.name}.")
    return replace(method, **cast(dict[str, Any], parts))
