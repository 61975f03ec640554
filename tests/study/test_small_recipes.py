"""The nine scenarios in small, cut shorter still, from files to the page; ``make test-studies`` runs them whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from regrow import data
from regrow.errors import DataError
from regrow.report.write import write_report
from regrow.study import recipe as recipes
from regrow.study.load import load_study
from regrow.study.run import run_study

SMALL = [f"small/s{k}" for k in range(1, 10)]
#: What must stand on a scenario's page, since its numbers say nothing of new images.
SAID = {
    "small/s4": ["train and test files are the same", "one file a class"],
    "small/s5": ["train and test files are the same", "nothing was trained here"],
    "small/s6": [
        "train and test files are the same",
        "nothing was trained here",
        "stand-ins are no corruptions of 3DCC",
    ],
    "small/s7": ["train and test files are the same", "one file a class"],
    "small/s8": ["different frames of the same videos", "one file a class", "no split of UCF101"],
    "small/s9": ["different frames of the same videos", "one file a class", "no split of UCF101"],
}


def shortened(name: str) -> recipes.Recipe:
    """One seed, few updates, one severity; of the recipes that train."""
    values: dict[str, Any] = recipes.load(name).resolved()
    steps = 4 * (values["sparse"]["interval"] or 10)
    values["seeds"] = [0]
    values["training"] |= {"steps": steps}
    values["evaluation"] |= {"severities": [5]}
    values["analysis"] = {"attenuation": {"images": 10}}
    if values["data"]["name"] in ("cifar10", "cifar100"):
        values["data"] |= {"test_images": 100}
    return recipes.parse(values, name)


def test_all_are_there_and_keep_two_seeds_24_updates_and_three_severities() -> None:
    assert set(SMALL) | {"small/axes", "small/text", "small/audio"} == {
        name for name in recipes.names() if name.startswith("small/")
    }
    for name in SMALL:
        recipe = recipes.load(name)
        assert (recipe.tier, recipe.seeds, recipe.evaluation.severities) == ("T0", [0, 1], [1, 3, 5])
        assert [method.name for method in recipe.methods] == ["dense", "rigl"]


@pytest.mark.slow
@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("name", [name for name in SMALL if recipes.load(name).runs_of is None])
def test_a_small_recipe_goes_from_files_to_the_page(name: str, data_root: Path, tmp_path: Path, quiet) -> None:
    recipe = shortened(name)
    try:
        data.spec(recipe.data.name, recipe.data.options, data_root)
    except DataError as error:
        pytest.skip(str(error))
    store = run_study(recipe, tmp_path / "study", quiet, jobs=2, data_root=data_root)
    view = load_study(store.folder)
    write_report(store.folder)
    assert [run.state for run in view.runs] == ["done", "done"]
    assert all(run.attenuation and run.kernels for run in view.runs)
    assert len(view.runs[0].scores) == 1 + len(view.corruptions)
    page = store.report.read_text()
    for words in SAID.get(name, []):
        assert words in page
    if name == "small/s4":
        for other in ("small/s5", "small/s6"):
            _test_other(other, shortened(name), store.folder, data_root, tmp_path / other[-2:], quiet)


def _test_other(name: str, trained: recipes.Recipe, folder: Path, data_root: Path, out: Path, quiet) -> None:
    """A recipe that tests the networks of the shortened S4."""
    written = out.parent / f"{out.name}-trained.yaml"
    recipes_text = {key: value for key, value in trained.resolved().items() if value is not None}
    written.write_text(yaml.safe_dump(recipes_text))
    own = recipes.load(name).resolved()
    values = {key: own[key] for key in ("schema", "name", "title", "tier", "evaluation")}
    values["evaluation"] |= {"severities": [5]}
    values |= {"runs_of": str(written), "analysis": {"attenuation": {"images": 10}}}
    (out.parent / f"{out.name}.yaml").write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None}))
    recipe = recipes.load(str(out.parent / f"{out.name}.yaml"))
    store = run_study(recipe, out, quiet, jobs=2, data_root=data_root, trained=folder)
    view = load_study(store.folder)
    write_report(store.folder)
    assert [run.state for run in view.runs] == ["done", "done"]
    assert set(view.common) == set(view.corruptions) - set(recipe.evaluation.stand_ins)
    page = store.report.read_text()
    for words in SAID[name]:
        assert words in page
