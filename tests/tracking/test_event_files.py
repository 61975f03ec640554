"""TensorBoard's own reader reads back what was written, once, however often it was sent."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from regrow.tracking.content import TrackedRun
from regrow.tracking.event_files import EventFiles

pytest.importorskip("tensorboard", reason="tensorboard is not installed (extra regrow[tensorboard])")


def read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (run,) = {path.parent for path in folder.rglob("events.out.tfevents.*")}
    reader = EventAccumulator(str(run), size_guidance={"scalars": 0, "tensors": 0})
    reader.Reload()
    return reader


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    reader = read(folder)
    return {tag: [(event.step, event.value) for event in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def expected(run: TrackedRun) -> dict[str, list[tuple[int, float]]]:
    series = {
        name: [(point.step, pytest.approx(point.value)) for point in points] for name, points in run.series.items()
    }
    return series | {name: [(run.last_step, pytest.approx(value))] for name, value in run.scores.items()}


def test_every_value_is_read_back_at_its_step_and_time(sent_of, tmp_path: Path) -> None:
    run = sent_of(0.5, 0.25, 0.125)
    EventFiles(tmp_path).send(run)
    assert scalars(tmp_path) == expected(run)
    times = [event.wall_time for event in read(tmp_path).Scalars("train/loss")]
    assert times == pytest.approx([run.began + 2, run.began + 4, run.began + 6])


def test_settings_and_scores_are_hyperparameters_of_the_run(sent_of, tmp_path: Path) -> None:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    run = sent_of(0.5)
    EventFiles(tmp_path).send(run)
    data = read(tmp_path).SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    found = HParamsPluginData.FromString(data).session_start_info.hparams
    assert {name: value.number_value or value.string_value for name, value in found.items()} == {
        "training.batch": 4.0,
        "training.lr": 0.1,
        "method.name": "rigl",
    }


@pytest.mark.parametrize("same_process", [True, False])
def test_sent_again_nothing_is_there_twice(sent_of, tmp_path: Path, same_process: bool) -> None:
    log = EventFiles(tmp_path)
    for run in (sent_of(0.5, state="running", result=None), sent_of(0.5, 0.25), sent_of(0.5, 0.25)):
        (log if same_process else EventFiles(tmp_path)).send(run)
    assert scalars(tmp_path) == expected(sent_of(0.5, 0.25))
    assert len(list(tmp_path.rglob("events.out.tfevents.*"))) <= 2


def test_what_has_not_changed_is_not_written(sent_of, tmp_path: Path) -> None:
    log = EventFiles(tmp_path)
    log.send(sent_of(0.5))
    (file,) = tmp_path.rglob("events.out.tfevents.*")
    before = file.stat().st_mtime_ns
    log.send(sent_of(0.5))
    assert file.stat().st_mtime_ns == before


def test_a_reader_that_follows_sees_each_step_once(sent_of, tmp_path: Path, monkeypatch) -> None:
    """A TensorBoard that is open while the files of a run are replaced."""
    log = EventFiles(tmp_path)
    log.send(sent_of(0.5, 0.25, state="running", result=None))
    reader = read(tmp_path)
    now = time.time()
    for later, losses in enumerate([(0.5, 0.25, 0.125), (0.5, 0.25, 0.125, 0.1)], 1):
        monkeypatch.setattr(time, "time", lambda later=later: now + 30 * later)  # files are read by their times
        log.send(sent_of(*losses))
        reader.Reload()
        assert [event.step for event in reader.Scalars("train/loss")] == [10 * k for k in range(1, len(losses) + 1)]


def test_runs_and_studies_have_folders_of_their_own(sent_of, tmp_path: Path) -> None:
    log = EventFiles(tmp_path)
    runs = [sent_of(0.5), sent_of(0.5, seed=1)]
    for run in runs:
        log.send(run)
    (study,) = tmp_path.iterdir()
    assert study.name.startswith("small-")
    assert {path.name for path in study.iterdir()} == {run.name for run in runs}
