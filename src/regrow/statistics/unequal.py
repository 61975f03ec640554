"""Two arms whose seeds are not the same, or some of whose runs failed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from regrow.errors import InputError
from regrow.statistics._samples import FEWEST
from regrow.statistics.paired import PairedDifference, WelchDifference, paired, welch

Difference: TypeAlias = PairedDifference | WelchDifference


@dataclass(frozen=True)
class SeedComparison:
    """Difference a - b of two arms, by the seeds that they have.

    Attributes:
        test: ``paired`` over the common seeds, or ``welch`` over all where fewer than three are common.
        difference: what that test found.
        common: seeds of which both runs are there.
        only_a: seeds of which the run of a alone is there.
        only_b: the run of b alone.
        failed_a: seeds whose run of a failed.
        failed_b: seeds whose run of b failed.
        least: the difference where failed runs count as the worst for a - b: those of a with the lowest value, those
            of b with the highest. None where no run failed.
        greatest: likewise the other way round. A conclusion that all three share does not hang on the failures.
    """

    test: Literal["paired", "welch"]
    difference: Difference
    common: tuple[int, ...]
    only_a: tuple[int, ...]
    only_b: tuple[int, ...]
    failed_a: tuple[int, ...]
    failed_b: tuple[int, ...]
    least: Difference | None
    greatest: Difference | None


def compare_by_seed(
    a: Mapping[int, float | None],
    b: Mapping[int, float | None],
    *,
    level: float = 0.95,
    extremes: tuple[float, float] | None = None,
) -> SeedComparison:
    """Compare two arms over the common seeds, paired; with fewer than three of them by Welch's test over all runs.

    Runs that failed are missing, are listed, and are put in with the most extreme values as a sensitivity analysis.

    Args:
        a: seed -> value of the run; None or not finite where the run failed.
        b: the same of the other arm.
        level: confidence level in (0, 1).
        extremes: lowest and highest value that a failed run may count with, e.g. the accuracy of chance and 100; the
            lowest and highest of all runs by default.

    Raises:
        InputError: an arm without any finished run, a level outside (0, 1), extremes in the wrong order.

    Example:
        >>> found = compare_by_seed({0: 52.6, 1: 52.4, 2: 52.9, 3: None}, {0: 51.2, 1: 51.9, 2: 51.4, 3: 51.8})
        >>> found.test, found.common, found.failed_a, round(found.difference.mean, 2), round(found.least.mean, 2)
        ('paired', (0, 1, 2), (3,), 1.13, 0.7)
    """
    done_a, done_b = _finished(a), _finished(b)
    for name, done in (("a", done_a), ("b", done_b)):
        if not done:
            raise InputError(f"{name} has no finished run.", "compare arms with runs of their own.")
    test, difference = _compared(done_a, done_b, level)
    failed_a, failed_b = _sorted(a.keys() - done_a.keys()), _sorted(b.keys() - done_b.keys())
    least = greatest = None
    if failed_a or failed_b:
        every = [*done_a.values(), *done_b.values()]
        low, high = extremes or (min(every), max(every))
        if not low <= high:
            raise InputError(f"extremes must be lowest and highest, got {low!r} and {high!r}.", "swap them.")
        least = _compared(_filled(done_a, failed_a, low), _filled(done_b, failed_b, high), level)[1]
        greatest = _compared(_filled(done_a, failed_a, high), _filled(done_b, failed_b, low), level)[1]
    return SeedComparison(
        test,
        difference,
        _sorted(done_a.keys() & done_b.keys()),
        _sorted(done_a.keys() - done_b.keys()),
        _sorted(done_b.keys() - done_a.keys()),
        failed_a,
        failed_b,
        least,
        greatest,
    )


def _finished(arm: Mapping[int, float | None]) -> dict[int, float]:
    return {seed: float(value) for seed, value in arm.items() if value is not None and math.isfinite(value)}


def _filled(done: Mapping[int, float], failed: tuple[int, ...], value: float) -> dict[int, float]:
    return {**done, **dict.fromkeys(failed, value)}


def _sorted(seeds: set[int]) -> tuple[int, ...]:
    return tuple(sorted(seeds))


def _compared(
    a: Mapping[int, float], b: Mapping[int, float], level: float
) -> tuple[Literal["paired", "welch"], Difference]:
    common = sorted(a.keys() & b.keys())
    if len(common) < FEWEST:
        return "welch", welch(list(a.values()), list(b.values()), level=level)
    return "paired", paired([a[s] for s in common], [b[s] for s in common], level=level)
