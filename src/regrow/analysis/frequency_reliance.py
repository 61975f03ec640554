"""Low or high spatial frequencies: what four analyses say of the same networks, and whether they agree.

Each analysis gives two sides of one network, how much it goes by low and how much by high frequencies:

* ``cue_splits``: share of the answers that follow the low and the high cue where the two conflict (data set ``cues``);
* ``radius_curves``: accuracy lost without the low and without the high frequencies, mean over radii (`radius_summary`);
* ``heat_map``: mean error under noise of the low and of the high band (`heat_map_summary`; Yin et al. 2019);
* ``input_gradient``: share of the loss gradient's power at rho <= H/4 and above (`input_gradients`).

The balance of a network is low minus high: above 0 it goes by low frequencies more. Where 0 lies is a convention of
each measure, in the last two above all, so two ways of training are compared as well. Intervals are those of single
measures, without correction for their number: they describe, and judge no registered claim.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args

from regrow.analysis.attenuation import Convention
from regrow.analysis.heat_map import heat_map_summary
from regrow.analysis.radius import radius_summary
from regrow.errors import InputError, UnknownNameError
from regrow.statistics import compare_by_seed, mean_interval

Statement = Literal["low", "high", "undecided"]
#: Analysis (reliance, radius_curves, heat_map, gradients) -> its output, as a run of a study keeps it.
Outputs = Mapping[str, Mapping[str, Any]]


class Sides(NamedTuple):
    """How much a network goes by low and by high frequencies, both in the unit of their measure, in [-1, 1]."""

    low: float
    high: float

    @property
    def balance(self) -> float:
        """Low minus high."""
        return self.low - self.high


def _cue_splits(found: Mapping[str, Any], convention: Convention) -> Sides:
    return Sides(found["low"], found["high"])


def _radius_curves(found: Mapping[str, Any], convention: Convention) -> Sides | None:
    style = {"convention": convention, "edge": "hard", "clip": False}
    curve = next((one for one in found["curves"] if all(one[key] == value for key, value in style.items())), None)
    if curve is None:
        return None
    low, high = ([row["radius"] for row in curve[side]] for side in ("low", "high"))
    lost = radius_summary(curve, found["clean_accuracy"], (low, high))
    return Sides(-lost["low_removed"], -lost["high_removed"])


def _heat_map(found: Mapping[str, Any], convention: Convention) -> Sides | None:
    bands = heat_map_summary(found)["error"]
    low, high = (bands[band]["mean"] for band in ("low", "high"))
    return None if low is None or high is None else Sides(low, high)


def _input_gradient(found: Mapping[str, Any], convention: Convention) -> Sides | None:
    share = found["input_gradient"]["share"]
    return None if share is None else Sides(1 - share, share)


#: Measure -> the analysis it reads, and its two sides.
MEASURES: Mapping[str, tuple[str, Callable[[Mapping[str, Any], Convention], Sides | None]]] = {
    "cue_splits": ("reliance", _cue_splits),
    "radius_curves": ("radius_curves", _radius_curves),
    "heat_map": ("heat_map", _heat_map),
    "input_gradient": ("gradients", _input_gradient),
}


def frequency_sides(outputs: Outputs, *, convention: Convention = "follow") -> dict[str, Sides]:
    """The two sides of one network by every measure that was made of it.

    Args:
        outputs: analysis -> output; analyses that were not made may be left out.
        convention: of the radius curves (hard edge, pixels not clipped); see `radius_curves`.

    Returns:
        Measure -> sides. A measure is missing where its analysis is, or has no value (as of a gradient that is flat).

    Example:
        >>> frequency_sides({"reliance": {"low": 0.75, "high": 0.125, "other": 0.125, "n": 400}})
        {'cue_splits': Sides(low=0.75, high=0.125)}
    """
    found = {
        measure: sides(outputs[analysis], convention)
        for measure, (analysis, sides) in MEASURES.items()
        if analysis in outputs
    }
    return {measure: one for measure, one in found.items() if one is not None}


def reliance_report(
    arms: Mapping[str, Mapping[int, Outputs]], *, convention: Convention = "follow", level: float = 0.95
) -> dict[str, Any]:
    """By which frequencies networks go: a statement of each measure, of every arm alone and of every two arms.

    A statement is "low" or "high" where the confidence interval of the mean balance over runs excludes 0, otherwise
    "undecided", as it is for fewer than three runs.

    Args:
        arms: ways of training -> seed -> outputs of the analyses of that network.
        convention: of the radius curves.
        level: confidence level of each interval, in (0, 1).

    Returns:
        - arms: name -> {"measures": {measure: {"low", "high": means over runs, "balance", "interval", "n",
          "statement"}}, "agreement"}.
        - pairs: of every two arms {"first", "second", "measures": {measure: {"difference": of the balances, first minus
          second, "interval", "n", "test": "paired" over common seeds or "welch", "statement"}}, "agreement"}. "low":
          the first goes by low frequencies more than the second.

        "agreement" holds the lists "low", "high" and "undecided" of measures, and a "statement": "low" or "high" where
        some measure says so and none the contrary, "mixed" where they contradict each other, else "undecided".
        Intervals are [low, high], None where there is none.

    Raises:
        InputError: no arms, or an arm without runs.
    """
    if not arms or not all(arms.values()):
        raise InputError(
            "a report of reliance needs arms with one network or more each.", "give arm -> seed -> outputs."
        )
    sides = {
        arm: {seed: frequency_sides(outputs, convention=convention) for seed, outputs in runs.items()}
        for arm, runs in arms.items()
    }
    return {
        "convention": convention,
        "level": level,
        "arms": {arm: _alone(runs, level) for arm, runs in sides.items()},
        "pairs": [
            {"first": first, "second": second, **_against(sides[first], sides[second], level)}
            for first, second in itertools.combinations(sides, 2)
        ],
    }


def unseen(report: Mapping[str, Any], truth: Mapping[str, Literal["low", "high"]]) -> dict[str, list[str]]:
    """Measures that do not see a truth that is known.

    Args:
        report: what `reliance_report` gives.
        truth: arm -> the only frequencies by which its networks can go.

    Returns:
        Arm -> measures that say of it anything but the truth; "FIRST against SECOND" -> measures that do not put two
        arms of different truth in their order.

    Raises:
        UnknownNameError: an arm that is not in the report.

    Example:
        >>> outputs = [{"reliance": {"low": low, "high": 0.1}} for low in (0.8, 0.9, 0.7)]
        >>> unseen(reliance_report({"a": dict(enumerate(outputs))}), {"a": "high"})
        {'a': ['cue_splits']}
    """
    for arm in truth:
        if arm not in report["arms"]:
            raise UnknownNameError("arm", arm, report["arms"], "name the arms of the report.")
    expected = [(arm, report["arms"][arm], side) for arm, side in truth.items()]
    for pair in report["pairs"]:
        first, second = pair["first"], pair["second"]
        if truth.get(first, "") != truth.get(second, "") and first in truth and second in truth:
            expected.append((f"{first} against {second}", pair, truth[first]))
    return {
        name: [measure for measure, row in found["measures"].items() if row["statement"] != side]
        for name, found, side in expected
    }


Runs = Mapping[int, Mapping[str, Sides]]


def _alone(runs: Runs, level: float) -> dict[str, Any]:
    rows: dict[str, dict[str, Any]] = {}
    for measure in MEASURES:
        found = [run[measure] for run in runs.values() if measure in run]
        if found:
            mean = mean_interval([one.balance for one in found], level=level)
            low, high = (sum(side) / len(found) for side in zip(*found, strict=True))
            rows[measure] = {"low": low, "high": high, "balance": mean.mean, **_stated(mean.n, mean.low, mean.high)}
    return {"measures": rows, "agreement": _agreement(rows)}


def _against(first: Runs, second: Runs, level: float) -> dict[str, Any]:
    rows: dict[str, dict[str, Any]] = {}
    for measure in MEASURES:
        a, b = (
            {seed: run[measure].balance for seed, run in runs.items() if measure in run} for runs in (first, second)
        )
        if a and b:
            found = compare_by_seed(a, b, level=level)
            each = found.difference
            n = len(found.common) if found.test == "paired" else min(len(a), len(b))
            rows[measure] = {"difference": each.mean, "test": found.test, **_stated(n, each.low, each.high)}
    return {"measures": rows, "agreement": _agreement(rows)}


def _stated(n: int, low: float | None, high: float | None) -> dict[str, Any]:
    """Number of runs, interval, and the statement that follows from it."""
    if low is None or high is None:
        return {"interval": None, "n": n, "statement": "undecided"}
    statement: Statement = "low" if low > 0 else "high" if high < 0 else "undecided"
    return {"interval": [low, high], "n": n, "statement": statement}


def _agreement(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    def which(statement: Statement) -> list[str]:
        return [measure for measure, row in rows.items() if row["statement"] == statement]

    sides = {side: which(side) for side in get_args(Statement)}
    said = [side for side in ("low", "high") if sides[side]]
    return {"statement": "mixed" if len(said) == 2 else said[0] if said else "undecided", **sides}
