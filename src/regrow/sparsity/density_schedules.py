"""Density over time: constant, or falling to the method's final density, which the last update meets exactly.

A density schedule is a function of progress x in [0, 1], counted in steps until the update at which the final density
is due, so it does not depend on the run's length: ``x = 1`` is that update.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from regrow.errors import InputError


class DensitySchedule(Protocol):
    """Share of active weights by progress."""

    def __call__(self, progress: Fraction, final: Fraction) -> Fraction:
        """Density at ``progress`` in [0, 1]; at 1 it is ``final``, exactly."""
        ...

    @property
    def until(self) -> float:
        """Share of the time until updates stop after which the density stays."""
        ...


@dataclass(frozen=True)
class Hold:
    """The final density, always."""

    until: float = 1.0

    def __call__(self, progress: Fraction, final: Fraction) -> Fraction:
        """See `DensitySchedule`."""
        return final


@dataclass(frozen=True)
class Cubic:
    """``final + (start - final) (1 - x)**3``: fast at first, then ever more slowly (arXiv:1710.01878, equation 1).

    Attributes:
        start: density at the start, in (0, 1]; None takes 0.8 when the final one is at most that, else 1.
        until: share of the time until updates stop after which the density stays, in (0, 1].

    Example:
        >>> [float(Cubic(0.5)(Fraction(t, 1000), Fraction(1, 10))) for t in (100, 500, 1000)]
        [0.3916, 0.15, 0.1]
    """

    start: float | None = None
    until: float = 1.0

    def __post_init__(self) -> None:
        """Check the values."""
        _check(self.start, self.until)

    def __call__(self, progress: Fraction, final: Fraction) -> Fraction:
        """See `DensitySchedule`."""
        return final + (_start(self.start, final) - final) * (1 - progress) ** 3


@dataclass(frozen=True)
class Sigmoid:
    """An S-shaped fall (CHTss, Zhang et al. 2025, arXiv:2501.19107).

    Attributes:
        start: density at the start, in (0, 1]; None takes 0.8 when the final one is at most that, else 1.
        steepness: of the curve, > 0.
        until: share of the time until updates stop after which the density stays, in (0, 1].

    Example:
        >>> [round(float(Sigmoid(0.5)(Fraction(t, 1000), Fraction(1, 10))), 6) for t in (100, 500, 900)]
        [0.497713, 0.3, 0.102287]
    """

    start: float | None = None
    steepness: float = 6.0
    until: float = 1.0

    def __post_init__(self) -> None:
        """Check the values."""
        _check(self.start, self.until)
        if not self.steepness > 0:
            raise InputError(f"steepness must be > 0, got {self.steepness}.")

    def __call__(self, progress: Fraction, final: Fraction) -> Fraction:
        """See `DensitySchedule`."""
        start = _start(self.start, final)
        if progress in (0, 1):
            return final if progress else start
        low, here, high = (1 / (1 + math.exp(-self.steepness * (2 * x - 1))) for x in (0.0, float(progress), 1.0))
        return start + (final - start) * Fraction((here - 0.5) / (high - low) + 0.5)


def _start(start: float | None, final: Fraction) -> Fraction:
    if start is None:
        return max(Fraction(4, 5), final) if final <= Fraction(4, 5) else Fraction(1)
    exact = Fraction(str(start))
    if exact < final:
        raise InputError(
            f"the density starts at {start:g} and would have to rise to {float(final):g}.",
            f"start at a density of {float(final):g} or more, or ask for a higher sparsity.",
        )
    return exact


def _check(start: float | None, until: float) -> None:
    if start is not None and not 0 < start <= 1:
        raise InputError(f"the density at the start must be in (0, 1], got {start}.")
    if not 0 < until <= 1:
        raise InputError(f"until must be in (0, 1], got {until}.")
