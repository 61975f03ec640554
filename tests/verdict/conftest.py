"""Studies of known numbers, written as summaries and judged as any other."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regrow import files
from regrow.study.load import load_study
from regrow.verdict import ClaimVerdict, Verdict, judge
from regrow.verdict.simulated import SimulatedStudy, recipe_of

Made = Callable[..., SimulatedStudy]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Make a study of one claim; ``arms`` are judged, ``controls`` static, ``more`` goes into the recipe."""
    count = iter(range(1000))

    def make(
        arms: Sequence[str] = ("a",),
        seeds: int = 5,
        claim: Mapping[str, Any] | None = None,
        controls: Sequence[str] = (),
        **more: Any,
    ) -> SimulatedStudy:
        values = recipe_of(arms, seeds, claim or {}, controls, **more)
        return SimulatedStudy(tmp_path / f"study{next(count)}", values)

    return make


@pytest.fixture
def verdict() -> Callable[[SimulatedStudy], Verdict]:
    return lambda study: judge(load_study(study.folder))


@pytest.fixture
def claim_of(verdict) -> Callable[[SimulatedStudy], ClaimVerdict]:
    """The verdict on a study's only claim."""
    return lambda study: verdict(study).claims[0]


@pytest.fixture
def around() -> Callable[[float, float, int], np.ndarray]:
    """Values with exactly this mean and this standard deviation."""

    def draw(mean: float, sd: float, n: int = 5, seed: int = 0) -> np.ndarray:
        x = np.random.default_rng([seed, n]).normal(size=n)
        return mean + sd * (x - x.mean()) / x.std(ddof=1)

    return draw


@pytest.fixture
def filled(made, around) -> Callable[..., SimulatedStudy]:
    """A study whose arms differ from dense training by (mean, sd) over the seeds."""

    def fill(effects: Mapping[str, tuple[float, float]], seeds: int = 5, **how: Any) -> SimulatedStudy:
        study = made([name for name in effects if name not in how.get("controls", ())], seeds, **how)
        dense = 60 + around(0, 0.4, seeds, 99)
        points = {name: dense + around(*effect, seeds, k) for k, (name, effect) in enumerate(effects.items())}
        study.fill({"dense": dense, **points})
        return study

    return fill


@pytest.fixture
def edit() -> Callable[..., None]:
    """Change a JSON file by a function of its values."""

    def change(path: Path, how: Callable[[dict[str, Any]], Any]) -> None:
        values = files.read_json(path)
        files.write_json(path, how(values) or values)

    return change


#: What the paper's claims ask for, as small as it goes: three seeds, 24 updates, fifteen types, five severities.
WHOLE = {
    "schema": 1,
    "name": "whole",
    "tier": "T0",
    "data": {"name": "cues", "train_images": 64, "test_images": 16},
    "model": {"name": "resnet8", "width": 4},
    "methods": ["dense", "set", "static"],
    "sparsity": [0.5],
    "seeds": [0, 1, 2],
    "sparse": {"updates": 24},
    "training": {
        "steps": 60,
        "batch": 8,
        "lr": 0.05,
        "precision": "fp32",
        "channels_last": "no",
        "augment": {"flip": False},
    },
    "evaluation": {"corruptions": ["common"]},
    "analysis": {
        "heat_map": {"images": 2, "size": 19},
        "gradients": {"images": 8},
        "sharpness": {"images": 0},
        "aliasing": {"images": 0},
    },
}


class Quiet:
    def say(self, text: str) -> None: ...

    def stage(self, text: str, done: int, total: int) -> None: ...

    def event(self, event: object) -> None: ...


@pytest.fixture(scope="session")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from regrow.study import recipe, run
    from regrow.study.execute import execute

    def here(runs: Sequence[Path], **how: object) -> list[str]:
        """All runs in this process: starting one for each takes longer than the runs."""
        for folder in runs:
            execute(folder)
        return []

    folder = tmp_path_factory.mktemp("whole") / "study"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "execute_all", here)
        run.run_study(recipe.parse(WHOLE, "whole"), folder, Quiet(), jobs=1)
    return folder


@pytest.fixture
def whole(_whole: Path, tmp_path: Path) -> Path:
    """A copy of a real study, run once for all tests."""
    return Path(shutil.copytree(_whole, tmp_path / "whole"))
