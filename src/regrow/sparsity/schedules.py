"""When masks change, and by how much: timings and schedules.

``t`` counts completed optimiser steps, so the first step gives ``t = 1``. An update is due at ``t`` when
``t % interval == 0 and start <= t < stop``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from regrow.errors import InputError


class Schedule(Protocol):
    """A value that follows the progress of the updates."""

    def __call__(self, progress: float) -> float:
        """Value at ``progress`` in [0, 1], the share of the time until updates stop."""
        ...


@dataclass(frozen=True)
class Constant:
    """The same value always.

    Attributes:
        value: a share, in [0, 1].
    """

    value: float

    def __post_init__(self) -> None:
        """Check the values."""
        _share("drop fraction", self.value)

    def __call__(self, progress: float) -> float:
        """See `Schedule`."""
        return self.value


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from ``start`` down to ``end``.

    Attributes:
        start: value at progress 0, in [0, 1].
        end: value at progress 1 and after it.

    Example:
        >>> [round(Cosine(0.3)(t / 750), 6) for t in (100, 200, 375, 700, 750)]
        [0.287032, 0.25037, 0.15, 0.003278, 0.0]
    """

    start: float = 0.3
    end: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        _share("drop fraction", self.start)
        _share("drop fraction", self.end)

    def __call__(self, progress: float) -> float:
        """See `Schedule`."""
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


@dataclass(frozen=True)
class Linear:
    """A straight line from ``start`` to ``end``.

    Example:
        >>> Linear(0.3)(0.5)
        0.15
    """

    start: float = 0.3
    end: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        _share("drop fraction", self.start)
        _share("drop fraction", self.end)

    def __call__(self, progress: float) -> float:
        """See `Schedule`."""
        return self.start + (self.end - self.start) * min(progress, 1.0)


@dataclass(frozen=True)
class Power:
    """``start * (1 - progress) ** power`` (the exponential schedule of RigL's code, arXiv:1911.11134, appendix).

    Example:
        >>> Power(0.4, 2.0)(0.5)
        0.1
    """

    start: float = 0.3
    power: float = 3.0

    def __post_init__(self) -> None:
        """Check the values."""
        _share("drop fraction", self.start)
        if not self.power > 0:
            raise InputError(f"the power of a schedule must be > 0, got {self.power}.")

    def __call__(self, progress: float) -> float:
        """See `Schedule`."""
        return float(self.start * (1.0 - min(progress, 1.0)) ** self.power)


@dataclass(frozen=True)
class Stages:
    """Constant pieces: the value of the last stage that has begun (MEST's mutation ratios, arXiv:2110.14032).

    Attributes:
        stages: pairs of (progress from which it holds, value), the first from 0.

    Example:
        >>> [Stages(((0, 0.02), (0.75, 0.01)))(p) for p in (0.0, 0.74, 0.75)]
        [0.02, 0.02, 0.01]
    """

    stages: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        """Check the values."""
        starts = [start for start, _ in self.stages]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)):
            raise InputError(f"stages must begin at progress 0 and rise, got {starts}.")
        for _, value in self.stages:
            _share("drop fraction", value)

    def __call__(self, progress: float) -> float:
        """See `Schedule`."""
        return next(value for start, value in reversed(self.stages) if start <= progress or start == 0)


@dataclass(frozen=True)
class Value:
    """A number that goes in a straight line from ``start`` to ``end``: no share, so without bounds (a temperature)."""

    start: float
    end: float

    def __call__(self, progress: float) -> float:
        """See `Schedule`."""
        return self.start + (self.end - self.start) * min(progress, 1.0)


@dataclass(frozen=True)
class Window:
    """The steps at which updates are due: multiples of ``interval`` in ``[start, stop)``.

    Attributes:
        interval: steps from update to update; 0 means no update ever.
        start: first step that may have one.
        stop: the first step from which there are no more; exact, may lie between two steps.
    """

    interval: int
    start: Fraction
    stop: Fraction

    def due(self, t: int) -> bool:
        """Whether an update follows completed step ``t``."""
        return self.interval > 0 and t > 0 and t % self.interval == 0 and self.open(t)

    def open(self, t: int) -> bool:
        """Whether updates are allowed at step ``t`` at all."""
        return self.interval > 0 and self.start <= t < self.stop

    def progress(self, t: int) -> float:
        """Share of the time until the updates stop, in [0, 1]."""
        return float(min(Fraction(1), t / self.stop)) if self.stop else 1.0

    def last(self, until: float = 1.0) -> int:
        """The last step with an update in the first ``until`` of the time until the updates stop; 0 without one."""
        first, last = self._numbers()
        if until < 1:
            last = min(last, math.floor(self.stop * Fraction(str(until)) / self.interval)) if self.interval else 0
        return self.interval * last if last >= first else 0  # asked at every step: nothing is counted through

    def steps(self) -> list[int]:
        """The completed steps that an update follows."""
        first, last = self._numbers()
        return [self.interval * i for i in range(first, last + 1)]

    def count(self) -> int:
        """Number of updates in the whole run."""
        first, last = self._numbers()
        return max(0, last - first + 1)

    def _numbers(self) -> tuple[int, int]:
        """Which multiples of the interval are the first and the last update; the last before the first without one."""
        if self.interval == 0:
            return 1, 0
        return max(1, math.ceil(self.start / self.interval)), (math.ceil(self.stop) - 1) // self.interval


class Timing(Protocol):
    """When updates are due."""

    def window(self, total_steps: int, steps_per_epoch: int | None) -> Window:
        """The steps of a run that have an update."""
        ...


@dataclass(frozen=True)
class Every:
    """An update after every ``steps`` optimiser steps.

    Attributes:
        steps: the interval, >= 1.
        stop: share of the run after which there are no more updates, in (0, 1].
        start: share of the run before which there are none.

    Example:
        >>> Every(100, stop=0.75).window(6400, None).count()
        47
    """

    steps: int
    stop: float = 0.75
    start: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        _positive("update interval", self.steps)
        _limits(self.start, self.stop)

    def window(self, total_steps: int, steps_per_epoch: int | None) -> Window:
        """See `Timing`."""
        return Window(self.steps, *_bounds(total_steps, self.start, self.stop))


@dataclass(frozen=True)
class Updates:
    """About ``n`` updates, evenly spread: the interval is ``max(1, floor(total_steps * stop / n))``.

    The update that would fall on the stop itself does not happen, so a run whose length divides evenly has ``n - 1``.

    Attributes:
        n: number of updates asked for, >= 1.
        stop: share of the run after which there are no more updates, in (0, 1].
        start: share of the run before which there are none.

    Example:
        >>> Updates(48, stop=0.75).window(6400, None).interval
        100
    """

    n: int = 48
    stop: float = 0.75
    start: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        _positive("number of updates", self.n)
        _limits(self.start, self.stop)

    def window(self, total_steps: int, steps_per_epoch: int | None) -> Window:
        """See `Timing`."""
        start, stop = _bounds(total_steps, self.start, self.stop)
        return Window(max(1, math.floor(stop / self.n)), start, stop)


@dataclass(frozen=True)
class Epochs:
    """An update after every ``n`` epochs; needs ``steps_per_epoch`` in `attach`.

    Attributes:
        n: epochs from update to update, >= 1.
        stop: share of the run after which there are no more updates, in (0, 1].
        start: share of the run before which there are none.
    """

    n: int = 1
    stop: float = 1.0
    start: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        _positive("epochs from update to update", self.n)
        _limits(self.start, self.stop)

    def window(self, total_steps: int, steps_per_epoch: int | None) -> Window:
        """See `Timing`."""
        if steps_per_epoch is None:
            raise InputError("a timing in epochs needs the number of steps of an epoch.", "pass steps_per_epoch=.")
        return Window(self.n * steps_per_epoch, *_bounds(total_steps, self.start, self.stop))


@dataclass(frozen=True)
class Never:
    """No update."""

    def window(self, total_steps: int, steps_per_epoch: int | None) -> Window:
        """See `Timing`."""
        return Window(0, Fraction(0), Fraction(0))


def _bounds(total_steps: int, start: float, stop: float) -> tuple[Fraction, Fraction]:
    return Fraction(str(start)) * total_steps, Fraction(str(stop)) * total_steps


def _share(what: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise InputError(f"{what} must be in [0, 1], got {value}.{percent_hint(value)}")


def _positive(what: str, value: int) -> None:
    if value < 1 or int(value) != value:
        raise InputError(f"{what} must be a whole number >= 1, got {value}.")


def _limits(start: float, stop: float) -> None:
    if not 0 <= start < stop <= 1:
        raise InputError(f"updates must start and stop within the run: 0 <= start < stop <= 1, got {start} and {stop}.")


def percent_hint(value: float) -> str:
    """``" Did you mean 0.5?"`` where 50 was given for a share, else nothing."""
    return f" Did you mean {value / 100:g}?" if 1 < value < 100 else ""
