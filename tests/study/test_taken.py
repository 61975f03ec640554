"""A study that goes on from the summaries of its first stretch: what was published counts as it is, the rest is run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from regrow import files
from regrow.errors import DataError, InputError
from regrow.report.write import publish_results
from regrow.study import recipe as recipes
from regrow.study.load import load_study
from regrow.study.run import run_study
from regrow.study.store import Store
from regrow.study.taken import still_needed

DENSE, RIGL = "dense-s0-seed0", "rigl-s0.5-seed0"


@pytest.fixture
def first(finished: Path, tmp_path: Path) -> Path:
    """Summaries of a stretch in which the sparse run was not finished."""
    out = tmp_path / "published"
    publish_results(finished, out)
    unfinished = files.read_json(out / "runs" / f"{RIGL}.json")
    files.write_json(out / "runs" / f"{RIGL}.json", {**unfinished, "state": "running", "result": None, "cells": {}})
    return out


@pytest.mark.system
def test_the_rest_is_run_and_all_is_as_if_it_had_been_one_stretch(
    tiny, first, finished, folder, quiet, tmp_path
) -> None:
    summary = files.read_json(first / "runs" / f"{DENSE}.json")
    for part in ("training", "precision"):  # as a regrow wrote it that did not know this setting
        del summary["settings"][part]["compile"]
    files.write_json(first / "runs" / f"{DENSE}.json", summary)
    store = run_study(tiny, folder, quiet, jobs=1, summaries=first)
    assert {run for run, _ in quiet.kinds} == {RIGL}
    assert not (store.run(DENSE) / "model.safetensors").exists()
    whole, grown = load_study(finished), load_study(folder)
    assert grown.registration == whole.registration
    assert grown.registered_at == whole.registered_at
    for mine, theirs in zip(grown.runs, whole.runs, strict=True):
        assert (mine.name, mine.state, mine.scores, mine.registration) == (
            theirs.name,
            "done",
            theirs.scores,
            theirs.registration,
        )
        for cell, bits in theirs.correct.items():
            np.testing.assert_array_equal(mine.correct[cell], bits)
    weights = [files.file_digest(Store(f).run(RIGL) / "model.safetensors") for f in (folder, finished)]
    assert weights[0] == weights[1]
    assert any("1 of 2 runs were trained in an earlier stretch" in note for note in grown.notes)
    publish_results(folder, tmp_path / "second")
    for run in (DENSE, RIGL):
        again, before = (files.read_json(f / "runs" / f"{run}.json") for f in (tmp_path / "second", tmp_path / "all"))
        assert again["cells"] == before["cells"]


@pytest.fixture(autouse=True)
def _everything(finished: Path, tmp_path: Path) -> None:
    publish_results(finished, tmp_path / "all")


@pytest.mark.system
def test_the_same_command_goes_on_and_takes_more(tiny, first, folder, quiet, tmp_path) -> None:
    """A second stretch elsewhere finished the other run: nothing is left to do here."""
    run_study(tiny, folder, quiet, jobs=1, summaries=first)
    shutil.rmtree(folder / "runs" / RIGL)
    before = len(quiet.kinds)
    run_study(tiny, folder, quiet, jobs=1, summaries=tmp_path / "all")
    assert len(quiet.kinds) == before
    assert all(run.state == "done" for run in load_study(folder).runs)


def test_summaries_of_another_recipe_or_of_none_are_refused_and_leave_nothing(
    tiny, first, folder, quiet, tmp_path
) -> None:
    other = recipes.parse({**tiny.resolved(), "seeds": [1]}, "other")
    with pytest.raises(InputError, match="another recipe: seeds"):
        run_study(other, folder, quiet, summaries=first)
    with pytest.raises(InputError, match="no published study"):
        run_study(tiny, folder, quiet, summaries=tmp_path)
    assert not folder.exists()


@pytest.mark.system
def test_runs_of_another_registration_are_refused(tiny, first, folder, quiet) -> None:
    import yaml

    run_study(tiny, folder, quiet, jobs=1, summaries=first)
    content = yaml.safe_load((first / "study.yaml").read_text())
    content["registration"]["digest"] = "0" * 64
    (first / "study.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match="registered under 000000000000"):
        run_study(tiny, folder, quiet, summaries=first)


@pytest.mark.system
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"registration": "1" * 64}, "begun under another registration"),
        ({"damaged": ["a record is damaged."]}, "a record is damaged."),
        ({"schema": 1}, "cannot be read"),
    ],
)
def test_what_does_not_fit_is_named_and_run_here(tiny, first, folder, quiet, change, why) -> None:
    path = first / "runs" / f"{DENSE}.json"
    files.write_json(path, {**files.read_json(path), **change})
    run_study(tiny, folder, quiet, jobs=2, summaries=first)
    assert any(f"{DENSE} is not taken" in line and why in line for line in quiet.lines)
    assert {run for run, kind in quiet.kinds if kind == "done"} == {DENSE, RIGL}


def test_runs_that_were_tested_on_other_images_are_refused(tiny, first, folder, quiet) -> None:
    path = first / "runs" / f"{DENSE}.json"
    summary = files.read_json(path)
    summary["cells"]["contrast.5"]["images"] = "0" * 64
    files.write_json(path, summary)
    with pytest.raises(DataError, match="other images of contrast at severity 5"):
        run_study(tiny, folder, quiet, summaries=first)


def test_a_run_that_others_start_from_is_trained_here(tiny, finished) -> None:
    """final_mask starts from rigl: taken weights are not there, so rigl is needed; through two steps as well."""
    methods = [
        "dense",
        "rigl",
        {"name": "static", "label": "final_mask", "source": {"label": "rigl", "masks": "final"}},
    ]
    recipe = recipes.parse({**tiny.resolved(), "methods": methods}, "three")
    from regrow.study.plan import expand
    from regrow.training.settings import Precision

    planned = expand(recipe, Precision())
    names = {run.label: run.name for run in planned}
    taken = {names["dense"], names["rigl"]}
    assert still_needed(taken, planned, {names["final_mask"]}) == {names["rigl"]}
    assert still_needed(taken, planned, set()) == set()


def test_arms_can_be_finished_one_after_the_other(tiny) -> None:
    from regrow.study.plan import expand
    from regrow.training.settings import Precision

    values = {**tiny.resolved(), "seeds": [0, 1]}
    labels = [
        [
            (run.label, run.settings.seeds.init)
            for run in expand(recipes.parse({**values, "order": order}, "r"), Precision())
        ]
        for order in ("seeds", "arms")
    ]
    assert labels[0] == [("dense", 0), ("rigl", 0), ("dense", 1), ("rigl", 1)]
    assert labels[1] == [("dense", 0), ("dense", 1), ("rigl", 0), ("rigl", 1)]
