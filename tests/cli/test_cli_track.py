"""``--track``: the console of a study tells trackers what begins and ends, and a study's end decides what is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from regrow.cli.console import StudyConsole
from regrow.cli.track import tracked
from regrow.errors import RunFailedError
from regrow.study.engines.engine import Event
from regrow.tracking import sending

PROGRESS = {"stage": "train", "done": 1, "total": 9, "loss": 1.0, "accuracy": 0.5, "density": 1.0, "images_per_s": 9.0}


@pytest.fixture
def told(monkeypatch) -> list[object]:
    """What the tracking of a study is told."""
    heard: list[object] = []

    class Recorder:
        def __init__(self, folder: Path, trackers: list[object], warn: object) -> None:
            heard.append(("begun", folder, len(trackers)))

        def tell(self, run: str, kind: str) -> None:
            heard.append((run, kind))

        def finish(self) -> None:
            heard.append("finished")

        def abandon(self) -> None:
            heard.append("abandoned")

    monkeypatch.setattr(sending, "Following", Recorder)
    monkeypatch.setattr(sending, "open_tracker", lambda target, folder: None)
    return heard


def test_without_a_target_the_console_is_as_it_was(tmp_path: Path, told) -> None:
    console = StudyConsole()
    with tracked(console, tmp_path, []) as same:
        assert same is console
    assert told == []


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (None, "finished"),
        (RunFailedError("1 of 2 runs failed."), "finished"),  # the others, and why it failed, are to be seen too
        (KeyboardInterrupt(), "abandoned"),
        (OSError("the disk is full"), "abandoned"),
    ],
)
def test_trackers_hear_of_begins_and_ends(tmp_path: Path, told, capsys, error, end: str) -> None:
    def study() -> None:
        with tracked(StudyConsole(), tmp_path, ["tensorboard", "mlflow:http://host"]) as console:
            console.say("planned")
            console.stage("Test images", 0, 5)
            for kind in ("started", "progress", "done"):
                console.event(Event("a", kind, PROGRESS))
            console.event(Event("b", "failed", {}, "diverged"))
            if error is not None:
                raise error

    if error is None:
        study()
    else:
        with pytest.raises(type(error)):
            study()
    assert told == [("begun", tmp_path, 2), ("a", "started"), ("a", "done"), ("b", "failed"), end]
    text = capsys.readouterr().out
    for words in ("planned", "Test images: 5", "done    a", "FAILED  b: diverged"):
        assert words in text
