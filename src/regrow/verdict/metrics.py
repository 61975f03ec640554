"""One number of a run, as a claim names it: in points where it is an accuracy, None where the run does not have it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from regrow import analysis
from regrow.study.claims import MetricSettings, Registration
from regrow.study.view import CLEAN, STAND_IN, Cell, RunView, StudyView, at
from regrow.verdict.arms import accuracy, by_family, complete

Images = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """A metric of runs of one study.

    Attributes:
        words: what it is called in a sentence.
        unit: its unit.
        of_run: run -> value, or None where a part of it is missing.
        of_images: run -> the value on each image, shape (n,), whose mean is the run's value; None where that does not
            exist or the answers are not there.
        missing: what the study must have and has not; empty where it can be computed.
    """

    words: str
    unit: str
    of_run: Callable[[RunView], float | None]
    of_images: Callable[[RunView], Images | None] = lambda run: None
    missing: str = ""


def metric(settings: MetricSettings, view: StudyView, registered: Registration) -> Metric:
    """The metric that settings describe.

    Args:
        settings: the metric.
        view: the study.
        registered: says which types and severities a mean must be over.
    """
    return _KINDS[settings.kind](settings, view, registered)


def _accuracy(settings: MetricSettings, view: StudyView, registered: Registration) -> Metric:
    severities = tuple(settings.severities) or registered.severities
    weights, missing = _weights(settings, view, registered, severities)
    words = _words(settings, registered, severities)
    if missing:
        return Metric(words, "points", lambda run: None, missing=missing)
    return Metric(
        words,
        "points",
        lambda run: _total(weights, {cell: accuracy(run, *cell) for cell in weights}),
        lambda run: _per_image(weights, run),
    )


def _weights(
    settings: MetricSettings, view: StudyView, registered: Registration, severities: tuple[int, ...]
) -> tuple[dict[Cell, float], str]:
    """Cell -> its weight in the metric, and which registered cells the study does not have."""
    weights: dict[Cell, float] = {}
    missing: list[str] = []
    empty: list[str] = []
    for name, factor in _parts(settings):
        if name == "clean":
            weights[CLEAN] = weights.get(CLEAN, 0.0) + factor
            continue
        types = types_of(name, view, registered)
        missing += [corruption for corruption in types if not _is_tested(corruption, view)]
        empty += [] if types else [name]
        for corruption in types:
            for severity in severities:
                cell = (corruption, severity)
                weights[cell] = weights.get(cell, 0.0) + factor / (len(types) * len(severities))
    lacking = [str(s) for s in severities if s not in view.severities and weights.keys() != {CLEAN}]
    said = [f"types {', '.join(dict.fromkeys(missing))}"] if missing else []
    said += [f"any type of {', '.join(empty)}"] if empty else []
    said += [f"severities {', '.join(lacking)}"] if lacking else []
    return weights, "; ".join(said)


def _is_tested(corruption: str, view: StudyView) -> bool:
    return corruption in view.corruptions and view.families.get(corruption) != STAND_IN


def _parts(settings: MetricSettings) -> list[tuple[str, float]]:
    parts = [(name, 1.0 / len(settings.of)) for name in settings.of]
    return parts + [(name, -1.0 / len(settings.minus)) for name in settings.minus]


def types_of(name: str, view: StudyView, registered: Registration) -> tuple[str, ...]:
    """The registered types of a family, of the common mean, or the one of that name."""
    if name == "common":
        return registered.corruptions
    from regrow import corruptions

    known = {one: corruptions.get(one).family for one in corruptions.names(None)}  # also of types not evaluated
    families = by_family(registered.corruptions, {**known, **view.families})
    is_type = name in known or name in view.corruptions or name in registered.corruptions
    return families.get(name) or ((name,) if is_type else ())


def _words(settings: MetricSettings, registered: Registration, severities: tuple[int, ...]) -> str:
    if settings.of == ["clean"] and not settings.minus:
        return "clean accuracy"
    of = [f"acc{len(registered.corruptions)}" if name == "common" else f"{name} accuracy" for name in settings.of]
    words = " and ".join(of).replace("_", " ")
    words += f" minus that of {', '.join(settings.minus)}" if settings.minus else ""
    return words if tuple(severities) == registered.severities else f"{words} at severity {_listed(severities)}"


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))


def _total(weights: Mapping[Cell, float], values: Mapping[Cell, float | None]) -> float | None:
    if any(values[cell] is None for cell in weights):
        return None
    return 100 * math.fsum(weight * float(values[cell] or 0.0) for cell, weight in weights.items())


def _per_image(weights: Mapping[Cell, float], run: RunView) -> Images | None:
    counts = {run.scores[cell].n for cell in weights if cell in run.scores}
    if len(counts) != 1 or any(cell not in run.correct for cell in weights):
        return None
    n = counts.pop()
    total = np.zeros(n)
    for cell, weight in weights.items():
        total += weight * np.unpackbits(run.correct[cell], count=n)
    return 100 * total


def _filtered(settings: MetricSettings, view: StudyView, registered: Registration) -> Metric:
    keep = "low" if settings.kind == "low_pass" else "high"
    radii = analysis.registered_radii(int(view.data["image_size"]))[0 if keep == "low" else 1]
    removed = "high" if keep == "low" else "low"

    def of_run(run: RunView) -> float | None:
        curve = _curve(run, settings.convention)
        if curve is None or curve.get("clean") is None:
            return None
        found = {float(row["radius"]): float(row["accuracy"]) for row in curve[keep]}
        value = complete([found.get(float(r)) for r in radii])
        return None if value is None else 100 * (value - float(curve["clean"]))

    words = f"accuracy without {removed} frequencies minus that on whole images ({_CONVENTIONS[settings.convention]})"
    return Metric(words, "points", of_run)


_CONVENTIONS = {"follow": "the mean follows its side", "keep_dc": "the mean is kept"}


def _curve(run: RunView, convention: str) -> Mapping[str, Any] | None:
    """A run's radius-accuracy curve under a convention, hard edge and not clipped."""
    stored = run.analyses.get("radius_curves") or {}
    for curve in stored.get("curves", ()):
        if curve["convention"] == convention and curve.get("edge", "hard") == "hard" and not curve.get("clip"):
            return {"clean": stored.get("clean_accuracy"), **curve}
    return None


def _concentration(settings: MetricSettings, view: StudyView, registered: Registration) -> Metric:
    def of_run(run: RunView) -> float | None:
        found = (run.analyses.get("spatial") or {}).get("concentration", {}).get(settings.by)
        return None if found is None else float(found)

    by = {"output": "output filters", "input": "input channels", "kernel": "kernels"}[settings.by]
    return Metric(f"weighted mean log D over {by}", "log D", of_run)


def _stored(settings: MetricSettings, view: StudyView, registered: Registration) -> Metric:
    def of_run(run: RunView) -> float | None:
        found = at(run.result if settings.kind == "result" else run.analyses, settings.path)
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        return float(found) if is_number and math.isfinite(found) else None

    return Metric(settings.path.replace(".", " ").replace("_", " "), settings.unit or "its own unit", of_run)


_KINDS: dict[str, Callable[[MetricSettings, StudyView, Registration], Metric]] = {
    "accuracy": _accuracy,
    "low_pass": _filtered,
    "high_pass": _filtered,
    "concentration": _concentration,
    "result": _stored,
    "analysis": _stored,
}
