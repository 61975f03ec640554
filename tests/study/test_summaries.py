"""A study as summaries: what is written comes back, and what cannot be read is named and never taken for a number."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regrow import files
from regrow.errors import DataError, InputError
from regrow.study.load import load_study
from regrow.study.summaries import is_published, load_summaries, run_summary
from regrow.study.view import CLEAN, CellScore, RunView
from regrow.verdict import judge
from regrow.verdict.simulated import SimulatedStudy, recipe_of

CELL = ("gaussian_noise", 3)
NAME = "a-s0.5-seed1"


@pytest.fixture
def study(tmp_path: Path) -> SimulatedStudy:
    """Three seeds of dense training and of one arm, with answers to 13 images a cell."""
    made = SimulatedStudy(tmp_path / "study", recipe_of(["a"], 3, {}))
    rng = np.random.default_rng(0)
    made.fill_answers({label: rng.random((3, 13)) < 0.6 for label in made.labels})
    return made


@pytest.fixture
def path(study: SimulatedStudy) -> Path:
    """The summary of one of its runs."""
    return study.folder / "runs" / f"{NAME}.json"


def change(path: Path, **values: Any) -> None:
    files.write_json(path, {**files.read_json(path), **values})


def said_of(folder: Path) -> tuple[str, tuple[int, ...]]:
    """All problems as one text, and the seeds that the claim still rests on."""
    found = judge(load_study(folder))
    return " ".join(found.problems), found.claims[0].arms[0].comparisons[0].seeds


def test_a_run_comes_back_as_it_was(study: SimulatedStudy, path: Path) -> None:
    answers = np.random.default_rng(1).random(21) < 0.5
    run = next(run for run in study.runs if run.name == NAME)
    study.write_answers(
        run,
        {CLEAN: answers, CELL: ~answers},
        analyses={"spatial": {"concentration": {"output": 0.25}}},
        history=[{"step": 3, "layer": "conv", "dropped": 2}],
        images={CLEAN: "ab", CELL: "cd"},
        damaged=["a line"],
        attempts=2,
    )
    (found,) = [run for run in load_study(study.folder).runs if run.name == NAME]
    assert found.scores == {CLEAN: CellScore(float(answers.mean()), 21), CELL: CellScore(float((~answers).mean()), 21)}
    np.testing.assert_array_equal(np.unpackbits(found.correct[CELL], count=21), ~answers)
    assert (found.method, found.sparsity, found.seed, found.state, found.attempts) == ("a", 0.5, 1, "done", 2)
    assert found.analyses == {"spatial": {"concentration": {"output": 0.25}}}
    assert found.history == [{"step": 3, "layer": "conv", "dropped": 2}]
    assert (found.images, found.damaged) == ({CLEAN: "ab", CELL: "cd"}, ["a line"])
    assert len(found.registration) == 64
    assert run_summary(found) == files.read_json(path)


def test_a_summary_is_small(tmp_path: Path) -> None:
    """0.1 MB for 75 cells of 1,000 images and the clean ones."""
    answers = np.packbits(np.random.default_rng(2).random(1000) < 0.5)
    cells = {("t", k): CellScore(0.5, 1000) for k in range(76)}
    run = RunView("r", "set", 0.5, 0, {}, "done", scores=cells, correct=dict.fromkeys(cells, answers))
    files.write_json(tmp_path / "r.json", run_summary(run))
    assert (tmp_path / "r.json").stat().st_size < 100_000


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"schema": 1}, "another schema"),
        ({"name": "a-s0.5-seed0"}, "it is of a-s0.5-seed0"),
        ({"seed": "1"}, "seed is '1'"),
        ({"axes": None}, "axes is None"),
        ({"analyses": None}, "analyses is None"),
        ({"result": [1]}, "result is [1]"),
        ({"state": None}, "state is None"),
        ({"cells": None}, "cannot be read"),
        ({"cells": {"clean.0": {"accuracy": 1.5, "n": 24}}}, "clean.0: accuracy 1.5"),
        ({"cells": {"clean.0": {"accuracy": 0.5, "n": 0}}}, "of 0 images"),
        ({"cells": {"clean.0": {"accuracy": "half", "n": 2}}}, "'half'"),
        ({"cells": {"clean": {"accuracy": 0.5, "n": 9}}}, "cannot be read"),
        ({"cells": {"clean.0": {"accuracy": 0.5}}}, "'n' is missing"),
        ({"cells": {"clean.0": {"accuracy": 0.25, "n": 8, "correct": "8A=="}}}, "the answers do not give the accuracy"),
        ({"cells": {"clean.0": {"accuracy": 0.25, "n": 16, "correct": "8A=="}}}, "the answers do not give"),
        ({"cells": {"clean.0": {"accuracy": 0.5, "n": 8, "correct": "8A==?"}}}, "cannot be read"),
    ],
)
def test_a_summary_that_cannot_be_taken_counts_as_missing(study, path: Path, values, why: str) -> None:
    change(path, **values)
    said, seeds = said_of(study.folder)
    assert f"1 run of 6 damaged: {NAME}. They count as missing." in said
    assert f"{NAME}: {path} cannot be read" in said
    assert why in said
    assert seeds == (0, 2)


@pytest.mark.parametrize("content", [b"{", b"[]", b"7", b"\xff", b""])
def test_a_summary_that_is_no_json_object_counts_as_missing(study, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    said, seeds = said_of(study.folder)
    assert f"1 run of 6 damaged: {NAME}." in said
    assert str(path) in said
    assert seeds == (0, 2)


def test_one_wrong_answer_is_found(study, path: Path) -> None:
    """A bit of the packed answers was changed, and the accuracy beside them was not."""
    stored = files.read_json(path)
    cell = stored["cells"]["clean.0"]
    bits = bytearray(base64.b64decode(cell["correct"]))
    bits[0] ^= 128
    cell["correct"] = base64.b64encode(bits).decode()
    files.write_json(path, stored)
    assert "clean.0: the answers do not give the accuracy" in said_of(study.folder)[0]


def test_summaries_that_are_missing_or_too_many_are_named(study, path: Path) -> None:
    path.rename(path.with_name("a-s0.5-seed7.json"))
    said, seeds = said_of(study.folder)
    assert f"1 run of 6 not started: {NAME}." in said
    assert "Summaries of runs that the study did not plan are left out: a-s0.5-seed7." in said
    assert seeds == (0, 2)


def test_problems_that_were_known_when_it_was_published_stay(study) -> None:
    change(study.folder / "study.json", problems=["The disk was full."])
    assert said_of(study.folder)[0].startswith("The disk was full.")


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("study.json", lambda p: p.write_text("{")),
        ("study.json", lambda p: p.write_text("[]")),
        ("study.json", lambda p: change(p, schema=0)),
        ("study.json", lambda p: files.write_json(p, {"schema": 2})),
        ("study.json", lambda p: change(p, tier="T3")),
        ("study.json", lambda p: change(p, name="other")),
        ("study.yaml", lambda p: p.write_text("runs: [")),
        ("study.yaml", lambda p: p.write_text(p.read_text().replace("steps: 1\n", "steps: 2\n"))),
        ("study.yaml", lambda p: p.write_text(p.read_text().replace(f"- {NAME}", "- other-s0.5-seed1"))),
    ],
)
def test_a_damaged_file_of_the_study_as_a_whole_is_one_line(study, name: str, how) -> None:
    how(study.folder / name)
    with pytest.raises(DataError) as error:
        load_study(study.folder)
    assert name in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.next_step


def test_a_folder_without_summaries_is_refused(tmp_path: Path) -> None:
    assert not is_published(tmp_path)
    with pytest.raises(InputError, match="holds no published study"):
        load_summaries(tmp_path)
