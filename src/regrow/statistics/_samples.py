"""Checks of what the statistics take: finite numbers, one per run."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from regrow.errors import InputError

Sample: TypeAlias = npt.NDArray[np.float64]

#: Fewer runs than this give no interval and no p-value.
FEWEST = 3
#: A spread below this share of the largest value is rounding, not variation.
ROUNDING = 1e-12


def sample(values: npt.ArrayLike, name: str) -> Sample:
    """Values as a float64 vector.

    Raises:
        InputError: not numbers, not one-dimensional, empty, or not finite.
    """
    return _numbers(values, name, 1, "list of numbers", "give one number for each run.")


def table(values: npt.ArrayLike, name: str) -> Sample:
    """Values as a float64 matrix.

    Raises:
        InputError: not numbers, not two-dimensional, empty, or not finite.
    """
    return _numbers(values, name, 2, "table of numbers", "give one row for each run, all of one length.")


def _numbers(values: npt.ArrayLike, name: str, ndim: int, kind: str, next_step: str) -> Sample:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be a {kind}: {error}.", next_step) from error
    if array.ndim != ndim or array.size == 0:
        raise InputError(f"{name} must be a non-empty {kind}, got the shape {array.shape}.", next_step)
    if not np.isfinite(array).all():
        place = ", ".join(str(index) for index in np.argwhere(~np.isfinite(array))[0])
        raise InputError(
            f"{name} holds a value that is not finite (position {place}).",
            "leave failed runs out of both sides, or give them their worst value.",
        )
    return array


def pair(a: npt.ArrayLike, b: npt.ArrayLike, names: tuple[str, str] = ("a", "b")) -> tuple[Sample, Sample]:
    """Two samples of one length, run by run.

    Raises:
        InputError: as for `sample`, or the lengths differ.
    """
    first, second = sample(a, names[0]), sample(b, names[1])
    if first.size != second.size:
        raise InputError(
            f"paired samples must have one length, got {first.size} and {second.size}.",
            "use the seeds that both have, or `welch`.",
        )
    return first, second


def probability(value: float, name: str, such_as: float = 0.95) -> float:
    """A number strictly between 0 and 1."""
    if not 0 < value < 1:
        raise InputError(f"{name} must lie between 0 and 1, got {value!r}.", f"give {name} such as {such_as}.")
    return float(value)


def finite(value: float, name: str) -> float:
    """A finite number."""
    if not math.isfinite(value):
        raise InputError(f"{name} must be a finite number, got {value!r}.", f"correct {name}.")
    return float(value)


def positive(value: float, name: str) -> float:
    """A finite number above 0."""
    if not finite(value, name) > 0:
        raise InputError(f"{name} must be greater than 0, got {value!r}.", f"correct {name}.")
    return float(value)


def at_least(value: int, least: int, name: str) -> int:
    """A whole number that is not below ``least``."""
    if not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name} must be a whole number from {least} up, got {value!r}.", f"correct {name}.")
    return int(value)


def spread(values: Sample, *origins: Sample) -> float:
    """Standard deviation with n - 1 in the denominator; 0 where it is rounding of ``origins`` (or of ``values``)."""
    if values.size < 2:
        return 0.0
    sd = float(values.std(ddof=1))
    largest = max(float(np.abs(origin).max()) for origin in (values, *origins))
    return 0.0 if sd <= ROUNDING * largest else sd
