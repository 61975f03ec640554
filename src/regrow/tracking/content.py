"""What a tracker is told of a study and its runs: pure functions from the views that the report reads."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from regrow import files
from regrow.study.view import RunView, StudyView
from regrow.verdict.arms import clean, mean_name, over

#: Fields of a line of the log that are sent over steps.
SERIES = ("loss", "accuracy", "lr", "density", "images_per_s")


class Point(NamedTuple):
    """A value at a step.

    Attributes:
        step: optimiser steps made.
        seconds: of training, at that step.
        value: finite.
    """

    step: int
    seconds: float
    value: float


@dataclass(frozen=True)
class TrackedStudy:
    """A study as trackers know it.

    Attributes:
        name: the recipe's name.
        title: what is compared.
        tier: how much it may say.
        digest: of its resolved recipe.
    """

    name: str
    title: str
    tier: str
    digest: str

    @property
    def label(self) -> str:
        """A name that no other recipe has, fit for a folder."""
        return f"{self.name}-{self.digest[:8]}"


@dataclass(frozen=True)
class TrackedRun:
    """A run as trackers are told of it.

    Attributes:
        study: whose it is.
        name: its name within the study.
        state: ``running``, ``done``, ``failed`` or ``damaged``.
        reason: why it failed.
        tags: facts to find it by: arm, method, seed.
        parameters: dotted name of a setting -> value as text.
        series: name -> values over training, in order of steps.
        scores: final accuracies in [0, 1] on the test images: ``test/clean``, the mean over the common types, and each
            type over its severities; figures of the training as ``result/NAME``. Only of a run that is done.
        result: content of its ``result.json``; None before the end of its training.
        began: when its training began, in seconds since the epoch; pauses between two attempts are left out.
    """

    study: TrackedStudy
    name: str
    state: str
    reason: str
    tags: Mapping[str, str]
    parameters: Mapping[str, str]
    series: Mapping[str, Sequence[Point]]
    scores: Mapping[str, float]
    result: Mapping[str, Any] | None
    began: float

    @property
    def key(self) -> str:
        """What the run is known by, wherever its study lies: 32 hexadecimal digits."""
        return run_key(self.study, self.name)

    @property
    def last_step(self) -> int:
        """The step of the last value; 0 before the first."""
        return max((points[-1].step for points in self.series.values() if points), default=0)


def run_key(study: TrackedStudy, name: str) -> str:
    """Key of a run; of the study as a whole with an empty name."""
    return files.value_digest([study.digest, name])[:32]


def tracked_study(view: StudyView) -> TrackedStudy:
    """What is said of a study as a whole."""
    return TrackedStudy(view.name, view.title, view.tier, files.value_digest(view.recipe))


def tracked_run(view: StudyView, run: RunView, logged_at: float) -> TrackedRun:
    """What is said of a run.

    Args:
        view: its study; its runs are not looked at.
        run: the run.
        logged_at: when the last line of its log was written, in seconds since the epoch.
    """
    batch = (run.settings.get("training") or {}).get("batch", 0)
    seconds = training_seconds(run.metrics, batch)
    series = {f"train/{name}": points for name in SERIES if (points := [*_points(run.metrics, seconds, name)])}
    return TrackedRun(
        study=tracked_study(view),
        name=run.name,
        state=run.state,
        reason=run.reason or "; ".join(run.damaged if run.state == "damaged" else ()),
        tags={"arm": run.arm, "method": run.method, "seed": str(run.seed)},
        parameters=flattened(run.settings),
        series=series,
        scores=final_scores(view, run) if run.state == "done" else {},
        result=run.result,
        began=logged_at - (seconds[-1] if seconds else 0.0),
    )


def final_scores(view: StudyView, run: RunView) -> dict[str, float]:
    """Final figures of a run; one of which a cell is missing is left out, and so is what is not finite."""
    found: dict[str, float | None] = {"test/clean": clean(run)}
    if view.common:
        found[f"test/{mean_name(view)}"] = over(view, view.common)(run)
    found |= {f"corruption/{name}": over(view, [name])(run) for name in view.corruptions}
    numbers = {f"result/{name}": value for name, value in (run.result or {}).items() if _is_number(value)}
    return {name: float(value) for name, value in (found | numbers).items() if value is not None and _is_number(value)}


def training_seconds(metrics: Sequence[Mapping[str, Any]], batch: int) -> list[float]:
    """Seconds of training behind each line of a log, by the rates that it states.

    Args:
        metrics: lines with step and images_per_s.
        batch: examples a step.

    Example:
        >>> training_seconds([{"step": 50, "images_per_s": 100}, {"step": 100, "images_per_s": 50}], 2)
        [1.0, 3.0]
    """
    found: list[float] = []
    before, elapsed = 0, 0.0
    between = min((b["step"] - a["step"] for a, b in itertools.pairwise(metrics)), default=None)
    for row in metrics:
        steps = row["step"] - before
        if not found and between is not None:  # a run that started from early weights begins at a later step
            steps = min(steps, between)
        rate = row.get("images_per_s") or 0.0
        elapsed += steps * batch / rate if rate else 0.0
        found.append(elapsed)
        before = row["step"]
    return found


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted names and texts; those that are not set are left out.

    Example:
        >>> flattened({"training": {"lr": 0.1, "ema": None, "milestones": [0.5, 0.75]}})
        {'training.lr': '0.1', 'training.milestones': '[0.5, 0.75]'}
    """
    found: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flattened(value, f"{prefix}{name}.")
        elif value is not None:
            found[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value)
    return found


def _points(metrics: Sequence[Mapping[str, Any]], seconds: Sequence[float], name: str) -> Iterator[Point]:
    for row, at in zip(metrics, seconds, strict=True):
        if _is_number(row.get(name)):
            yield Point(int(row["step"]), at, float(row[name]))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
