"""Plans of recipes whose data are not here, what they cost, and the rehearsal of one step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from regrow import data
from regrow.errors import DataError, InputError
from regrow.study import recipe as recipes
from regrow.study.budget import H100_FLOPS, budget
from regrow.study.rehearsal import rehearse
from regrow.study.run import plan_lines, plan_study

PAPER = [name for name in recipes.names() if name.startswith("paper/")]


def changed(name: str, **parts: Any) -> recipes.Recipe:
    values = recipes.load(name).resolved()
    for key, value in parts.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) else value
    return recipes.parse(values, name)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without any data set."""
    monkeypatch.delenv("REGROW_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / "no-data"


def test_all_nine_scenarios_have_a_recipe_with_the_provenance_of_its_keys() -> None:
    assert [f"paper/s{k}" for k in range(1, 10)] == PAPER
    for name in PAPER:
        text, _ = recipes.read_text(name)
        keys = [line for line in text.splitlines() if ":" in line and not line.lstrip().startswith(("#", "- {name"))]
        bare = [
            line
            for line in keys
            if not any(mark in line for mark in ("(a)", "(ar)", "(a2)", "(k)", "(c)"))
            and not line.startswith(("schema:", "name:", "title:"))
            and not line.rstrip().endswith(":")  # a heading: its keys have marks of their own
            and not line.lstrip().startswith(("folder:", "corruptions: [near"))  # under a marked key
        ]
        assert bare == []


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER)
@pytest.mark.usefixtures("libraries")
def test_a_paper_recipe_is_planned_without_its_data(name: str, nowhere: Path) -> None:
    recipe = recipes.load(name)
    with pytest.raises(DataError):
        plan_study(recipe, data_root=nowhere)
    plan = plan_study(recipe, data_root=nowhere, nominal=True)
    text = "\n".join(plan_lines(plan))
    assert "Planned by published facts" in text
    assert "hours on an H100" in text
    assert plan.cost["h100_hours"] > 0


def test_operations_of_a_study_are_those_of_its_steps_and_cells(nowhere: Path) -> None:
    recipe = changed("paper/s1", methods=["dense"], seeds=[0], sparsity=[0.4])
    plan = plan_study(recipe, data_root=nowhere, nominal=True)
    forward = 2 * 313_201_664.0  # VGG-16 on 32 pixels: multiply-adds of its convolutions and its linear layer
    steps = 160 * (50_000 // 128)
    assert plan.cost["training_flops"] == pytest.approx(3 * forward * steps * 128, rel=1e-3)
    assert plan.cost["evaluation_flops"] == pytest.approx(forward * 10_000 * (1 + 19 * 5), rel=1e-3)
    total = plan.cost["training_flops"] + plan.cost["evaluation_flops"]
    assert plan.cost["h100_hours"] == pytest.approx(total / H100_FLOPS / 3600)
    none = budget(plan.runs, plan.details, n_cells=1, n_test=1, trains=False)
    assert none["training_flops"] == 0


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    rng = np.random.Generator(np.random.PCG64(0))
    for k in range(3):
        (tmp_path / "pictures" / f"c{k}").mkdir(parents=True)
        pixels = rng.integers(0, 256, (80, 100, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"c{k}" / "one.png")
    return tmp_path / "pictures"


def test_a_rehearsal_makes_one_step_and_one_update_of_the_whole_batch(nowhere: Path) -> None:
    recipe = changed("paper/s1", model={"name": "resnet8", "width": 8, "options": {}}, training={"batch": 24})
    done = rehearse(recipe, micro_batch=5, data_root=nowhere)
    assert (done.batch, done.done, done.micro_batch, done.updates) == (24, 24, 5, 1)
    assert done.exact
    assert "rigl" in done.run
    assert "random pixels" in done.samples
    assert done.peak_bytes > 2**20


def test_a_rehearsal_repeats_samples_and_takes_some_parts(nowhere: Path, pictures: Path) -> None:
    small = {"name": "imagenet", "options": {"size": 64}}
    recipe = changed("paper/s4", model={"name": "resnet18", "width": 4, "options": {}}, data=small)
    done = rehearse(recipe, micro_batch=3, parts=2, samples=pictures, data_root=nowhere)
    assert (done.batch, done.done, done.updates) == (128, 6, 1)
    assert done.exact
    assert "3 samples" in done.samples


def test_a_rehearsal_needs_a_run_with_updates(nowhere: Path) -> None:
    with pytest.raises(InputError, match="topology updates"):
        rehearse(changed("paper/s1", methods=["dense", "static"]), data_root=nowhere)


@pytest.mark.slow
@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("name", [name for name in PAPER if recipes.load(name).runs_of is None])
def test_two_micro_batches_of_every_paper_recipe_at_full_size(name: str, data_root: Path) -> None:
    recipe = recipes.load(name)
    is_clips = data.nominal_spec(recipe.data.name, recipe.data.options).frames is not None
    samples = {"imagenet": "imagenet-samples/val", "ucf101": "ucf101/UCF-101"}.get(recipe.data.name)
    folder = data_root / samples if samples else None
    if folder is not None and not folder.is_dir():
        pytest.skip(f"{samples} is not here")
    done = rehearse(recipe, micro_batch=1 if is_clips else 4, parts=2, samples=folder, data_root=data_root)
    assert done.updates == 1
    assert done.exact
    assert done.peak_bytes < 20 * 2**30
