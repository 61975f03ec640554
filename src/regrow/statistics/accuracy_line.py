"""Robust beyond accuracy: how far runs lie above the line that dense runs draw, corrupted against clean accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from regrow.errors import InputError
from regrow.statistics._samples import Sample, pair, sample, spread
from regrow.statistics.paired import PairedDifference, paired

#: A line over fewer dense runs than this is not one to judge by.
FEWEST_RUNS = 6


@dataclass(frozen=True)
class EffectiveRobustness:
    """The line logit(corrupted) = intercept + slope logit(clean) of dense runs.

    Attributes:
        n: number of dense runs.
        slope: slope of the line.
        intercept: its value at a clean accuracy of 1/2.
        sd: standard deviation of the dense runs about it, on the logit scale (n - 2).
    """

    n: int
    slope: float
    intercept: float
    sd: float

    def expected(self, clean: npt.ArrayLike) -> Sample:
        """Corrupted accuracy on the line, in (0, 1), of runs with these clean accuracies; shape (m,)."""
        return np.asarray(1 / (1 + np.exp(-self.intercept - self.slope * _logit(clean, "clean"))), np.float64)

    def residual(self, clean: npt.ArrayLike, corrupted: npt.ArrayLike) -> Sample:
        """Effective robustness: logit(corrupted) minus the line; above 0 is more robust than accuracy tells.

        Args:
            clean: clean accuracies in (0, 1), shape (m,).
            corrupted: the same runs' corrupted accuracies in (0, 1), shape (m,).
        """
        pair(clean, corrupted, ("clean", "corrupted"))
        return _logit(corrupted, "corrupted") - self.intercept - self.slope * _logit(clean, "clean")


def effective_robustness(clean: npt.ArrayLike, corrupted: npt.ArrayLike) -> EffectiveRobustness | None:
    """Least-squares line of dense runs on the logit scale (Taori et al. 2020, arXiv:2007.00644).

    Args:
        clean: clean accuracies of dense runs that differ in width or length, in (0, 1); shape (n,).
        corrupted: their corrupted accuracies in (0, 1), shape (n,).

    Returns:
        The line; None for fewer than six runs or clean accuracies that do not vary.

    Raises:
        InputError: lengths that differ, or an accuracy outside (0, 1).

    Example:
        >>> line = effective_robustness([0.6, 0.65, 0.7, 0.75, 0.8, 0.85], [0.3, 0.35, 0.4, 0.45, 0.5, 0.55])
        >>> [round(float(above), 3) for above in line.residual([0.7], [0.5])]
        [0.444]
    """
    pair(clean, corrupted, ("clean", "corrupted"))
    x, y = _logit(clean, "clean"), _logit(corrupted, "corrupted")
    slope = _slope(x, y)
    if slope is None:
        return None
    rest = y - y.mean() - slope * (x - x.mean())
    return EffectiveRobustness(
        x.size, slope, float(y.mean() - slope * x.mean()), float(np.sqrt(rest @ rest / (x.size - 2)))
    )


@dataclass(frozen=True)
class ResidualGain:
    """Gain in corrupted accuracy beyond what the gain in clean accuracy brings along.

    Attributes:
        slope: corrupted points per clean point, over dense runs; its own error is not in the interval.
        difference: gain minus slope times clean gain, over seeds.
    """

    slope: float
    difference: PairedDifference


def residual_gain(
    gain: npt.ArrayLike,
    clean_gain: npt.ArrayLike,
    *,
    clean: npt.ArrayLike,
    corrupted: npt.ArrayLike,
    level: float = 0.95,
) -> ResidualGain | None:
    """Residual gain G - b (clean gain), b the least-squares slope of corrupted on clean accuracy over dense runs.

    A gain that lies on the line of the dense runs is better accuracy and no more.

    Args:
        gain: sparse minus dense, corrupted accuracy in points, one per seed; shape (n,).
        clean_gain: the same of clean accuracy, shape (n,).
        clean: clean accuracies of dense runs that differ in width or length, in points; shape (m,).
        corrupted: their corrupted accuracies in points, shape (m,).
        level: confidence level in (0, 1).

    Returns:
        The gain; None for fewer than six dense runs or clean accuracies that do not vary.

    Raises:
        InputError: lengths that differ, values that are not finite, a level outside (0, 1).

    Example:
        >>> dense = {"clean": [90, 91, 92, 93, 94, 95], "corrupted": [60, 62, 64, 66, 68, 70]}
        >>> residual_gain([3.0, 3.1, 2.9], [1.0, 1.0, 1.0], **dense).difference.mean
        1.0
    """
    x, y = pair(clean, corrupted, ("clean", "corrupted"))
    gains, clean_gains = pair(gain, clean_gain, ("gain", "clean_gain"))
    slope = _slope(x, y)
    return None if slope is None else ResidualGain(slope, paired(gains, slope * clean_gains, level=level))


def _slope(x: Sample, y: Sample) -> float | None:
    if x.size < FEWEST_RUNS or spread(x) == 0:
        return None
    centred = x - x.mean()
    return float(centred @ y / (centred @ centred))


def _logit(values: npt.ArrayLike, name: str) -> Sample:
    share = sample(values, name)
    if share.min() <= 0 or share.max() >= 1:
        raise InputError(f"{name} must lie between 0 and 1.", "give accuracies as shares: points over 100.")
    return np.log(share / (1 - share))
