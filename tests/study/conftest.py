"""A recipe small enough to run whole in a test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import pytest

from regrow.study import recipe as recipes
from regrow.study.recipe import Recipe

TINY = {
    "schema": 1,
    "name": "tiny",
    "data": {"name": "cues", "train_images": 64, "test_images": 20},
    "model": {"name": "resnet8", "width": 4},
    "methods": ["dense", "rigl"],
    "seeds": [0],
    "sparse": {"updates": 5},
    "training": {
        "steps": 24,
        "batch": 8,
        "lr": 0.05,
        "precision": "fp32",
        "channels_last": "no",
        "log_every": 6,
        "checkpoint_seconds": 0.05,
    },
    "evaluation": {"corruptions": ["contrast", "gaussian_noise"], "severities": [1, 5]},
}

#: Seconds instead of minutes: a network that trains fast, and no analysis of its inputs.
LIGHT: dict[str, Any] = {
    "schema": 1,
    "name": "light",
    "data": {"name": "cues", "train_images": 64, "test_images": 10},
    "model": {"name": "mlp", "width": 32},
    "methods": ["dense", "rigl"],
    "sparse": {"updates": 20},
    "training": {
        "steps": 200,
        "batch": 8,
        "lr": 0.01,
        "precision": "fp32",
        "channels_last": "no",
        "log_every": 50,
        "checkpoint_seconds": 0.1,
    },
    "evaluation": {"corruptions": ["contrast"], "severities": [1]},
    "analysis": {
        "attenuation": {"images": 4},
        "heat_map": {"images": 0},
        "gradients": {"images": 0},
        "sharpness": {"images": 0},
        "aliasing": {"images": 0},
    },
}


class Quiet:
    """A console that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.kinds: list[tuple[str, str]] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def stage(self, text: str, done: int, total: int) -> None:
        self.lines.append(f"{text} {done}/{total}")

    def event(self, event) -> None:
        self.kinds.append((event.run, event.kind))


@pytest.fixture
def tiny() -> Recipe:
    return recipes.parse(TINY, "tiny")


@pytest.fixture(scope="session")
def light() -> Callable[..., Recipe]:
    """The light recipe, with changes."""

    def of(*, steps: int = 200, **changes: Any) -> Recipe:
        training = {**LIGHT["training"], "steps": steps}
        return recipes.parse({**LIGHT, "training": training, **changes}, "light")

    return of


@pytest.fixture
def quiet() -> Quiet:
    return Quiet()


@pytest.fixture(scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    from regrow.study.run import run_study

    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "finished" / "study"  # one of all workers
    folder.parent.mkdir(exist_ok=True)
    with filelock.FileLock(folder.parent / "lock"):
        run_study(recipes.parse(TINY, "tiny"), folder, Quiet(), jobs=2)
    return folder


@pytest.fixture
def finished(_finished: Path, tmp_path: Path) -> Path:
    """A copy of the tiny study, run to its end once for all tests."""
    return Path(shutil.copytree(_finished, tmp_path / "finished"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "study"
