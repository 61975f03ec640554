"""Sending is best effort: a tracker that fails is left alone after one line, and a study never waits for it."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from regrow.cli import run
from regrow.errors import InputError, RegrowError
from regrow.study import recipe as recipes
from regrow.study.load import load_study
from regrow.study.run import run_study
from regrow.tracking import sending
from regrow.tracking.content import TrackedRun, TrackedStudy, final_scores
from regrow.tracking.sending import BestEffort, Following, open_tracker, send_study
from regrow.tracking.target import Target

TINY = {
    "schema": 1,
    "name": "tiny",
    "data": {"name": "cues", "train_images": 64, "test_images": 20},
    "model": {"name": "resnet8", "width": 4},
    "methods": ["dense", "rigl"],
    "sparse": {"updates": 5},
    "training": {"steps": 12, "batch": 8, "precision": "fp32", "channels_last": "no", "log_every": 3},
    "evaluation": {"corruptions": ["contrast"], "severities": [1]},
    "analysis": {name: {"images": 0} for name in ("heat_map", "gradients", "sharpness", "aliasing")},
}


class Told:
    """A tracker that keeps what it is told, and may fail."""

    def __init__(self, failing: bool = False) -> None:
        self.runs: list[TrackedRun] = []
        self.pages: list[Path] = []
        self.asked, self.failing = 0, failing

    def send(self, run: TrackedRun) -> None:
        self.asked += 1
        if self.failing:
            raise ConnectionRefusedError("connection to https://me:secret@host refused\nby the host")
        self.runs.append(run)

    def send_page(self, study: TrackedStudy, page: Path) -> None:
        self.send_nothing = study
        self.pages.append(page)


class Quiet:
    def __init__(self, following: Following | None = None) -> None:
        self.following = following

    def say(self, text: str) -> None:
        pass

    def stage(self, text: str, done: int, total: int) -> None:
        pass

    def event(self, event: Any) -> None:
        if self.following is not None and event.kind != "progress":
            self.following.tell(event.run, event.kind)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Told]:
    """A study that was tracked as it ran, and what the tracker was told."""
    folder, told = tmp_path_factory.mktemp("tracked") / "study", Told()
    following = Following(folder, [BestEffort(told, Target("told"), pytest.fail, folder)], pytest.fail)
    run_study(
        recipes.parse(TINY, "tiny"),
        folder,
        Quiet(following),
        jobs=2,
        after=lambda store: store.report.write_text("<!doctype html>") and None,
    )
    following.finish()
    return folder, told


@pytest.fixture
def study(tracked: tuple[Path, Told], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tracked[0], tmp_path / "study"))


@pytest.mark.system
def test_a_study_is_told_as_its_runs_end_and_whole_at_its_end(tracked: tuple[Path, Told]) -> None:
    folder, told = tracked
    view = load_study(folder)
    names = [run.name for run in view.runs]
    assert sorted({run.name for run in told.runs[:2]}) == sorted(names)  # each as it ended
    assert told.pages == [folder / "report.html"]
    for one in view.runs:
        last = [sent for sent in told.runs if sent.name == one.name][-1]
        assert last.state == "done"
        assert last.scores == final_scores(view, one)
        assert last.result == one.result
        losses = [(row["step"], row["loss"]) for row in one.metrics]
        assert [(point.step, point.value) for point in last.series["train/loss"]] == losses
        assert len(losses) == 4


def test_a_study_that_is_there_is_sent_whole(study: Path, monkeypatch) -> None:
    told = Told()
    monkeypatch.setattr(sending, "open_tracker", lambda target, folder: told)
    assert send_study(study, Target("told")) == 2
    assert [run.state for run in told.runs] == ["done", "done"]
    shutil.rmtree(study / "runs" / "dense-s0-seed0")
    assert send_study(study, Target("told")) == 1  # what was not begun is no run


def test_a_failing_tracker_is_said_once_and_left_alone(sent_of, tmp_path: Path) -> None:
    said: list[str] = []
    told = Told(failing=True)
    tracker = BestEffort(told, Target("mlflow", "https://me:secret@host"), said.append, tmp_path / "study")
    for _ in range(3):
        tracker.send(sent_of(0.5))
    tracker.send_page(sent_of(0.5).study, tmp_path)
    assert told.asked == 1
    assert len(said) == 1
    assert "\n" not in said[0]
    assert "refused by the host" in said[0]
    assert f"regrow track {tmp_path / 'study'} --to mlflow:https://host" in said[0]
    assert "secret" not in said[0]


def test_a_study_goes_on_without_waiting_for_a_tracker_that_hangs(study: Path) -> None:
    said: list[str] = []
    reached, gate = threading.Event(), threading.Event()

    class Hanging(Told):
        def send(self, run: TrackedRun) -> None:
            reached.set()
            gate.wait(60)
            super().send(run)

    told = Hanging()
    following = Following(study, [BestEffort(told, Target("told"), said.append, study)], said.append)
    following.tell("dense-s0-seed0", "done")
    assert reached.wait(60)
    following.tell("rigl-s0.5-seed0", "done")  # returns while the tracker hangs
    following.finish(wait_s=0.01)
    assert len(said) == 1
    assert "regrow track" in said[0]
    gate.set()
    following._thread.join(60)
    assert [run.name for run in told.runs] == ["dense-s0-seed0"]  # and nothing more


def test_the_log_of_a_run_that_goes_on_is_sent_now_and_then(study: Path) -> None:
    (study / "runs" / "dense-s0-seed0" / "state.json").write_text('{"state": "running", "reason": "", "attempts": 1}')
    seen = threading.Event()

    class Waiting(Told):
        def send(self, run: TrackedRun) -> None:
            super().send(run)
            seen.set()

    told = Waiting()
    following = Following(study, [BestEffort(told, Target("told"), pytest.fail, study)], pytest.fail, every_s=0.01)
    following.tell("dense-s0-seed0", "started")
    assert seen.wait(60)
    following.abandon()
    following._thread.join(60)
    assert {(run.name, run.state) for run in told.runs} == {("dense-s0-seed0", "running")}


def test_runs_of_another_study_and_damaged_files_harm_nothing(study: Path, tmp_path: Path) -> None:
    told, said = Told(), []
    following = Following(study, [BestEffort(told, Target("told"), pytest.fail, study)], said.append)
    following.tell("of-the-study-whose-networks-are-tested", "done")
    following.finish()
    assert len(told.runs) == 2
    nothing = Following(tmp_path / "none", [BestEffort(told, Target("told"), pytest.fail, study)], said.append)
    nothing.tell("dense-s0-seed0", "done")
    nothing.finish()
    assert said == []
    (study / "study.yaml").write_text("recipe: [")
    damaged = Following(study, [BestEffort(told, Target("told"), pytest.fail, study)], said.append)
    damaged.tell("dense-s0-seed0", "done")
    damaged.finish()
    assert len(said) == 1
    assert "damaged" in said[0]


def test_a_library_that_is_not_installed_is_said_before_anything_begins(tmp_path: Path, monkeypatch, capsys) -> None:
    import sys

    monkeypatch.chdir(tmp_path)
    for name in ("tensorboard", "mlflow"):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(InputError, match=rf"regrow\[{name}\]"):
            open_tracker(Target(name, "x"), tmp_path)
        assert run(["study", "quick/cues", "--track", f"{name}:x"]) == 2
        assert f"regrow[{name}]" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_track_sends_a_study_to_event_files_beside_it(study: Path, capsys) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed (extra regrow[tensorboard])")
    assert run(["track", str(study), "--to", "tensorboard"]) == 0
    assert capsys.readouterr().out == "2 runs sent to tensorboard\n"
    assert len(list((study / "tensorboard").rglob("events.out.tfevents.*"))) == 2


@pytest.mark.parametrize("arguments", [["--to", "wandb"], ["--to", "mlflow"], []])
def test_a_wrong_target_is_one_line_and_exit_code_two(study: Path, capsys, arguments: list[str]) -> None:
    assert run(["track", str(study), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "Next:" in captured.err


def test_track_says_in_one_line_that_a_server_takes_nothing(study: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sending, "open_tracker", lambda target, folder: Told(failing=True))
    assert run(["track", str(study), "--to", "mlflow:http://host"]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "refused by the host" in captured.err
    with pytest.raises(RegrowError):
        send_study(study, Target("told"))
