"""Where a study and its runs stand, as plain values, and how long what is left of them takes."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

#: States of a run that its engine has left behind.
ENDED = ("done", "failed", "damaged")


@dataclass(frozen=True)
class Pace:
    """How long the work of a run takes, in seconds; None where none of it was done yet.

    Attributes:
        step: an optimiser step.
        cell: the test on one cell, the median of those made.
        analyses: all analyses of the run.
    """

    step: float | None = None
    cell: float | None = None
    analyses: float | None = None


@dataclass(frozen=True)
class RunSnapshot:
    """Where one run stands.

    Attributes:
        name: its folder's name.
        state: ``planned``, ``running``, ``done``, ``failed``, or ``damaged`` where its files cannot be read.
        reason: why it failed or what is damaged; else empty.
        attempts: how many times it was started.
        stage: of a run that is running or failed: ``train``, ``evaluate`` or ``analyse``; else empty.
        step: optimiser steps in its log; those behind the weights that it started from are counted.
        steps: the step after which training stops; None where its settings cannot be read.
        cells: cells that it has a record of.
        analyses: analyses that were made.
        share: of its work, the mean of the shares of training, tests and analyses, in [0, 1].
        loss: the last training loss; None before the first.
        accuracy: share of right answers to the last training batches, in [0, 1].
        density: share of active weights.
        images_per_s: of training, over the last line of the log.
        changed_at: when a file of it last changed, in seconds since the epoch; None where none is there.
        pace: how long its parts take.
        left_s: seconds until it is done, by its own pace and else that of the others; None where nothing is known.
    """

    name: str
    state: str
    reason: str = ""
    attempts: int = 0
    stage: str = ""
    step: int = 0
    steps: int | None = None
    cells: int = 0
    analyses: int = 0
    share: float = 0.0
    loss: float | None = None
    accuracy: float | None = None
    density: float | None = None
    images_per_s: float | None = None
    changed_at: float | None = None
    pace: Pace = Pace()
    left_s: float | None = None


@dataclass(frozen=True)
class StudySnapshot:
    """Where a study stands.

    Attributes:
        folder: where it lies.
        name: the recipe's name.
        title: what is compared.
        n_cells: cells that each run is tested on; 0 while they are being made.
        n_analyses: analyses of each run.
        runs: all runs, in the order in which they are started.
        at: when it was looked at, in seconds since the epoch.
        left_s: seconds until no run is left, with as many side by side as there are now; None where nothing is known.
        left_is_whole: whether the time of every part that is left is known; if not, ``left_s`` is a lower bound.
    """

    folder: str
    name: str
    title: str
    n_cells: int
    n_analyses: int
    runs: Sequence[RunSnapshot]
    at: float
    left_s: float | None = None
    left_is_whole: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """State -> number of runs, of the states that there are."""
        return dict(Counter(run.state for run in self.runs))

    @property
    def share(self) -> float:
        """Share of all work, each run counted alike and an ended one as a whole, in [0, 1]."""
        return statistics.fmean(1.0 if run.state in ENDED else run.share for run in self.runs) if self.runs else 1.0

    @property
    def ended(self) -> bool:
        """Whether no run is left to be made: all are done, failed or damaged."""
        return all(run.state in ENDED for run in self.runs)

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {**asdict(self), "counts": self.counts, "share": self.share, "ended": self.ended}


def with_time_left(study: StudySnapshot) -> StudySnapshot:
    """The snapshot with the time left, of each run and of the study.

    A part that a run has not begun takes as long as the median of the runs that have made it. The study takes the sum
    over its runs divided by those that run side by side now, and not less than the longest of them.
    """
    paces = [run.pace for run in study.runs]
    usual = Pace(
        step=_median(pace.step for pace in paces),
        cell=_median(pace.cell for pace in paces),
        analyses=_median(pace.analyses for pace in paces),
    )
    found = [_left(run, usual, study) for run in study.runs]
    runs = tuple(replace(run, left_s=seconds) for run, (seconds, _) in zip(study.runs, found, strict=True))
    busy = [run.left_s for run in runs if run.state == "running" and run.left_s is not None]
    if not busy:
        return replace(study, runs=runs)
    left = max(*busy, sum(run.left_s or 0.0 for run in runs) / len(busy))
    return replace(study, runs=runs, left_s=left, left_is_whole=all(whole for _, whole in found))


def _left(run: RunSnapshot, usual: Pace, study: StudySnapshot) -> tuple[float | None, bool]:
    """Seconds that are left of a run, and whether all its parts are in them."""
    if run.state in ENDED:
        return 0.0, True
    parts = (
        (None if run.steps is None else max(0, run.steps - run.step), _first(run.pace.step, usual.step)),
        (study.n_cells - run.cells if study.n_cells else None, _first(run.pace.cell, usual.cell)),
        (1 - part(run.analyses, study.n_analyses), usual.analyses),
    )
    known = [amount * seconds for amount, seconds in parts if amount is not None and seconds is not None]
    whole = all(amount == 0 or (amount is not None and seconds is not None) for amount, seconds in parts)
    return (sum(known), whole) if known else (None, False)


def part(done: int, total: int | None) -> float:
    """Share that is done; 0 where the whole is not known, 1 where it is nothing."""
    if total is None:
        return 0.0
    return min(1.0, done / total) if total else 1.0


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)
