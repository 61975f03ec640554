"""Studies of plain values for the tests of trackers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regrow.study.view import CLEAN, CellScore, RunView, StudyView
from regrow.tracking.content import TrackedRun, tracked_run

CORRUPTIONS = ("fog", "contrast", "speckle_noise")


@pytest.fixture
def view(tmp_path: Path) -> StudyView:
    """A study of two common types and one extra at two severities, without runs."""
    return StudyView(
        folder=tmp_path / "study",
        name="small",
        title="two arms",
        tier="T0",
        recipe={"name": "small", "training": {"lr": 0.1}},
        precision={},
        environment={},
        data={"name": "cues"},
        runs=(),
        corruptions=CORRUPTIONS,
        severities=(1, 5),
        families={},
        common=CORRUPTIONS[:2],
    )


def rows(*losses: float) -> list[dict[str, Any]]:
    """A line every ten steps; 20 images a second in batches of four, so two seconds a line."""
    return [
        {"step": 10 * k, "loss": loss, "accuracy": k / 10, "lr": 0.1, "density": 0.5, "images_per_s": 20.0}
        for k, loss in enumerate(losses, 1)
    ]


@pytest.fixture
def run_of() -> Callable[..., RunView]:
    """A run by its losses, done unless told otherwise."""

    def make(*losses: float, seed: int = 0, **more: Any) -> RunView:
        scores = {CLEAN: CellScore(0.75, 8)}
        scores |= {(name, s): CellScore((k + s) / 10, 8) for k, name in enumerate(CORRUPTIONS) for s in (1, 5)}
        known: dict[str, Any] = {
            "state": "done",
            "settings": {"training": {"batch": 4, "lr": 0.1, "ema": None}, "method": {"name": "rigl"}},
            "result": {"train_accuracy": 0.875, "itop_rate": None, "flops": {"forward_dense": 3.0}},
            "scores": scores,
            "metrics": rows(*losses),
        }
        return RunView(f"rigl-s0.5-seed{seed}", "rigl", 0.5, seed, {}, **(known | more))

    return make


@pytest.fixture
def sent_of(view: StudyView, run_of: Callable[..., RunView]) -> Callable[..., TrackedRun]:
    """The same as trackers are told of it; its training ended at a time that is known."""

    def make(*losses: float, **more: Any) -> TrackedRun:
        return tracked_run(view, run_of(*losses, **more), logged_at=1_700_000_000.0)

    return make
