"""3D ResNet-18 learns clips by heart, dense and with masks of Conv3d that hold exactly what is planned, and is tested
on their corrupted twins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regrow import clips
from regrow.study import execute as execution
from regrow.study import recipe as recipes
from regrow.study.load import load_study
from regrow.study.making import make_cells
from regrow.study.run import plan_study
from regrow.study.store import Store
from regrow.training.loop import Trainer

pytest.importorskip("av", reason="PyAV is not installed (extra regrow[video])")


class Watched(Trainer):
    """Training that looks at its masks after every step."""

    planned: dict[str, int]
    updates: int

    def one_step(self) -> Any:
        before = self.sparsifier.masks
        result = super().one_step()
        masks = self.sparsifier.masks
        assert {name: int(mask.sum()) for name, mask in masks.items()} == self.planned
        for name, mask in masks.items():
            weight = self.network.get_parameter(name).detach()
            assert weight.shape == mask.shape
            assert not weight[~mask].any(), name
            assert weight[mask].count_nonzero() > 0
        Watched.updates += any(not torch.equal(before[name], mask) for name, mask in masks.items())
        return result


def learn(
    values: dict[str, Any], folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, tuple[float, dict[tuple[str, int], float]]]:
    """Run a study in this process; accuracy in training and on every cell, by method."""
    recipe = recipes.parse(values, "learnt")
    plan = plan_study(recipe, data_root=root)
    store = Store(folder)
    store.create(recipe, plan.precision, plan.probe, {})
    monkeypatch.setattr(execution, "Trainer", Watched)
    runs = store.prepare()
    make_cells(recipe, store.cells, root)
    for run in runs:
        rows = plan.details[run.name]["layers"]
        Watched.planned = {row["name"]: row["n_active"] for row in rows}
        Watched.updates = 0
        if run.label != "dense":
            sparse = [row for row in rows if not row["kept_dense"]]
            assert len([row for row in sparse if len(row["shape"]) == 5]) >= 5  # kernels of three dimensions
            assert sum(row["n_active"] for row in sparse) < 0.7 * sum(row["n_weights"] for row in sparse)
        execution.execute(store.run(run.name), root)
        assert Watched.updates == plan.details[run.name]["updates"]
        assert (Watched.updates > 2) == (run.label in ("set", "rigl"))
    view = load_study(folder)
    for run in view.runs:
        if run.method != "dense":  # and what is stored is so too
            planned = {row["name"]: row["n_active"] for row in run.plan["layers"]}
            assert {name: int(kernel.sum()) for name, kernel in run.kernels.items()} == {
                name: planned[name] for name in run.kernels
            }
    return {
        run.method: (run.result["train_accuracy"], {cell: score.accuracy for cell, score in run.scores.items()})
        for run in view.runs
        if run.result is not None
    }


def recipe_of(paths: Sequence[str], steps: int, width: int, batch: int, **options: Any) -> dict[str, Any]:
    """Every video a class; trained on and tested on its own frames."""
    return {
        "schema": 1,
        "name": "learnt",
        "data": {
            "name": "video_folder",
            "options": {"paths": list(paths), "class_by": "file", "size": 64, "frames": 8, "held": 73, **options},
        },
        "model": {"name": "resnet3d18", "width": width},
        "methods": ["dense", "set", "rigl"],
        "sparsity": [0.5],
        "sparse": {"updates": 5},
        "training": {
            "steps": steps,
            "batch": batch,
            "lr": 0.02,
            "precision": "fp32",
            "channels_last": "no",
            "augment": {"flip": False},
        },
        "evaluation": {"corruptions": ["contrast", "shot_noise", "packet_loss"], "severities": [1, 5]},
        "analysis": {"attenuation": {"low": [16.0], "high": [8.0]}},
    }


def check_learnt(found: dict[str, tuple[float, dict[tuple[str, int], float]]]) -> None:
    assert set(found) == {"dense", "set", "rigl"}
    for method, (in_training, scores) in found.items():
        assert in_training == 1.0, method
        assert scores["clean", 0] == 1.0, method
        assert set(scores) == {
            ("clean", 0),
            *((n, s) for n in ("contrast", "shot_noise", "packet_loss") for s in (1, 5)),
        }
        assert all(0 <= accuracy <= 1 for accuracy in scores.values())
        assert np.mean([scores[name, 1] for name in ("contrast", "shot_noise", "packet_loss")]) > 1 / 2


@pytest.mark.system
def test_clips_are_learnt_by_heart(shoot: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(4):
        shoot(tmp_path / f"films/{i}.mp4", 12, i, height=64, width=72)
    check_learnt(learn(recipe_of(["films"], 60, 8, 4), tmp_path / "study", tmp_path, monkeypatch))


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.timeout(1500)
def test_real_clips_are_learnt_by_heart(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [data_root / name for name in ("clips", "ucf101", "video")]
    paths = [str(f) for place in places for f in sorted(place.rglob("*")) if f.suffix in clips.SUFFIXES]
    if len(paths) < 4:
        pytest.skip("there are no real clips below REGROW_DATA")
    recipe = recipe_of(paths, 120, 16, 8)
    check_learnt(learn(recipe, tmp_path / "study", data_root, monkeypatch))
