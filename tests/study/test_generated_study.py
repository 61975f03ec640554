"""A study on generated pictures in an official layout: its page says so, and it is never continued on real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from regrow import files
from regrow.data import generated
from regrow.errors import DataError, InputError
from regrow.report.write import write_report
from regrow.study import recipe as recipes
from regrow.study.execute import execute
from regrow.study.run import run_study

RECIPE = {
    "schema": 1,
    "name": "tiny",
    "data": {"name": "cifar10", "train_images": 40, "test_images": 10},
    "model": {"name": "resnet8", "width": 4},
    "methods": ["dense"],
    "seeds": [0],
    "training": {"steps": 4, "batch": 8, "lr": 0.05, "precision": "fp32", "channels_last": "no"},
    "evaluation": {"corruptions": ["contrast"], "severities": [3]},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return generated.write("cifar10", tmp_path / "data", train=50, test=10).parent


@pytest.mark.slow
def test_the_page_says_that_the_pictures_were_generated(root: Path, folder: Path, quiet) -> None:
    recipe = recipes.parse(RECIPE, "tiny")
    run_study(recipe, folder, quiet, jobs=1, data_root=root)
    said = "generated pictures in the official layout of CIFAR-10, not CIFAR-10: numbers say nothing of CIFAR-10"
    assert said in files.read_json(folder / "cells" / "index.json")["notes"]
    assert said in write_report(folder).read_text()
    # as if real images had come to the place of the generated ones
    index = folder / "cells" / "index.json"
    stored = files.read_json(index)
    stored["spec"]["caveat"] = ""
    files.write_json(index, stored)
    (run,) = (folder / "runs").iterdir()
    (run / "state.json").unlink()
    with pytest.raises(DataError, match="not both of real or both of generated data"):
        execute(run, root)


def test_too_few_generated_images_are_told(root: Path, folder: Path, quiet) -> None:
    recipe = recipes.parse({**RECIPE, "data": {"name": "cifar10", "train_images": 60, "test_images": 10}}, "tiny")
    with pytest.raises(InputError, match="from 1 to 50"):
        run_study(recipe, folder, quiet, jobs=1, data_root=root)
