"""Recipes that test the networks of another recipe: nothing is trained twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from regrow import files
from regrow.corruptions import stand_ins
from regrow.errors import DataError, InputError
from regrow.report.write import write_report
from regrow.study import recipe as recipes
from regrow.study.load import load_study
from regrow.study.run import plan_lines, plan_study, run_study, take_over
from regrow.study.store import Store

OTHER = {
    "schema": 1,
    "name": "other",
    "runs_of": "tiny.yaml",
    "evaluation": {
        "corruptions": ["plasma_noise"],
        "severities": [2],
        "stand_ins": ["near_focus", "z_motion_blur"],
    },
}


@pytest.fixture
def written(tmp_path: Path, tiny) -> Path:
    """A recipe that trains, and one beside it that tests its networks."""
    values = {key: value for key, value in tiny.resolved().items() if value is not None}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(values))
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(OTHER))
    return tmp_path


@pytest.mark.system
def test_networks_are_taken_over_and_tested_on_other_cells(written: Path, finished: Path, quiet) -> None:
    shutil.move(finished, written / "runs-of-tiny")
    recipe = recipes.load(str(written / "other.yaml"))
    store = run_study(recipe, written / "other", quiet, jobs=2, trained=written / "runs-of-tiny")
    source = Store(written / "runs-of-tiny")
    assert store.precision() == source.precision()
    for run in store.planned():
        ours, theirs = (folder.run(run.name) / "model.safetensors" for folder in (store, source))
        assert files.file_digest(ours) == files.file_digest(theirs)
    view = load_study(store.folder)
    cells = {("clean", 0), *((name, 2) for name in ("plasma_noise", "near_focus", "z_motion_blur"))}
    assert all(run.state == "done" and set(run.scores) == cells for run in view.runs)
    assert view.common == ["plasma_noise"]  # stand-ins are part of no mean
    assert view.families["near_focus"] == "stand-in"
    assert any("nothing was trained here" in note for note in view.notes)
    assert stand_ins.NOTE in view.notes
    write_report(store.folder)
    assert "stand-in" in store.report.read_text()


@pytest.mark.slow
def test_the_other_study_is_run_first_and_goes_on_where_it_was(written: Path, quiet) -> None:
    recipe = recipes.load(str(written / "other.yaml"))
    store = run_study(recipe, written / "out" / "other", quiet, jobs=2)
    trained = Store(written / "out" / "tiny")
    assert trained.exists()
    events = [kind for kind in quiet.kinds if kind[1] == "started"]
    assert len(events) == 2 * len(store.planned())
    assert [run.name for run in store.planned()] == [run.name for run in trained.planned()]


def test_what_trains_is_settled_by_the_other_recipe(written: Path) -> None:
    recipe, other = recipes.load(str(written / "other.yaml")), recipes.load(str(written / "tiny.yaml"))
    assert all(recipe.resolved()[key] == other.resolved()[key] for key in recipes.TRAINED)
    (written / "other.yaml").write_text(yaml.safe_dump({**OTHER, "seeds": [3]}))
    with pytest.raises(InputError, match=r"seeds is settled by runs_of"):
        recipes.load(str(written / "other.yaml"))
    (written / "third.yaml").write_text(yaml.safe_dump({**OTHER, "runs_of": "other.yaml"}))
    (written / "other.yaml").write_text(yaml.safe_dump(OTHER))
    with pytest.raises(InputError, match="trains nothing itself"):
        recipes.load(str(written / "third.yaml"))


def test_networks_of_other_settings_are_refused(finished: Path, tmp_path: Path) -> None:
    source, run = Store(finished), tmp_path / "run"
    name = source.planned()[0].name
    files.write_json(run / "run.json", {"fingerprint": "of others"})
    with pytest.raises(DataError, match="other settings"):
        take_over(source.run(name), run)
    with pytest.raises(DataError, match="no trained network"):
        take_over(tmp_path / "nowhere", run)
    assert not (run / "model.safetensors").exists()


def test_a_plan_says_that_nothing_is_trained(written: Path) -> None:
    plan = plan_study(recipes.load(str(written / "other.yaml")))
    assert plan.cost["training_flops"] == 0
    assert any("nothing is trained" in line for line in plan_lines(plan))


def test_an_unknown_stand_in_is_refused_with_the_nearest(written: Path) -> None:
    wrong = {**OTHER, "evaluation": {**OTHER["evaluation"], "stand_ins": ["near_fokus"]}}
    (written / "other.yaml").write_text(yaml.safe_dump(wrong))
    with pytest.raises(InputError, match="near_focus"):
        plan_study(recipes.load(str(written / "other.yaml")))
