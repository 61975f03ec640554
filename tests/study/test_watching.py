"""Where a study stands, by its files: against closed forms, the report's reader, and a study that runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from regrow import files
from regrow.errors import DataError, InputError
from regrow.study import recipe as recipes
from regrow.study.analyses import analyses
from regrow.study.flops import DataSize
from regrow.study.load import load_study
from regrow.study.recipe import Recipe
from regrow.study.run import run_study
from regrow.study.store import Store, set_state
from regrow.study.watching import RECENT, Watcher, last_rows, snapshot
from regrow.training.settings import Precision

DENSE, RIGL = "dense-s0-seed0", "rigl-s0.5-seed0"
CELLS = [("clean", 0), ("contrast", 1), ("contrast", 5), ("gaussian_noise", 1), ("gaussian_noise", 5)]
BEGAN = 1_700_000_000.0


@pytest.fixture
def store(tiny: Recipe, folder: Path) -> Store:
    """The tiny study, planned, with the index of its cells, and not begun."""
    made = Store(folder)
    made.create(tiny, Precision(), {"reason": "test", "step_s": {}}, {}, DataSize(64, 4, (3, 32, 32)))
    made.prepare()
    names = {f"cues.{name}.{severity}.npy": "0" for name, severity in CELLS}
    files.write_json(made.cells / "index.json", {"digests": {"labels.npy": "0", **names}})
    return made


def trained(run: Path, wall_s: float = 48.0, steps: int = 24) -> None:
    """What the training of a run leaves, as far as it is looked at."""
    (run / "model.safetensors").write_bytes(b"weights")
    files.write_json(run / "result.json", {"steps": steps, "wall_s": wall_s})


def records(run: Path, n: int, seconds: float, pause_after: int = 0, pause: float = 0.0) -> float:
    """Records of the first n cells, so many seconds apart; returns when the last was written."""
    now = BEGAN
    (run / "records").mkdir(exist_ok=True)
    for place, (name, severity) in enumerate(CELLS[:n]):
        now += seconds + (pause if place == pause_after else 0.0)
        path = run / "records" / f"cues.{name}.{severity}.npz"
        path.write_bytes(b"record")
        os.utime(path, (now, now))
    return now


def analysed(run: Path, n: int | None = None) -> None:
    found = [one.name for one in analyses()]
    files.write_json(run / "analysis" / "made_from.json", {"versions": dict.fromkeys(found[:n], 1)})


def log(run: Path, *rates: float) -> None:
    """A line every six steps."""
    rows = [
        {"step": 6 * k, "loss": 1 / k, "accuracy": k / 10, "lr": 0.1, "density": 0.5, "images_per_s": rate}
        for k, rate in enumerate(rates, 1)
    ]
    files.append_lines(run / "metrics.jsonl", rows)


def test_of_a_planned_study_all_is_left_and_nothing_is_touched(store: Store) -> None:
    def tree() -> dict[str, int]:
        return {str(p): p.stat().st_mtime_ns for p in sorted(store.folder.rglob("*"))}

    before = tree()
    study = snapshot(store.folder)
    assert tree() == before
    assert [(run.name, run.state, run.steps, run.share, run.stage) for run in study.runs] == [
        (DENSE, "planned", 24, 0.0, ""),
        (RIGL, "planned", 24, 0.0, ""),
    ]
    assert (study.n_cells, study.counts, study.ended, study.left_s) == (5, {"planned": 2}, False, None)


def test_of_a_finished_study_it_says_what_the_report_reads(finished: Path) -> None:
    study, view = snapshot(finished), load_study(finished)
    assert study.ended
    assert study.share == 1.0
    assert (study.name, study.n_analyses) == (view.name, len(analyses()))
    for run in study.runs:
        (seen,) = [r for r in view.runs if r.name == run.name]
        assert (run.state, run.attempts, run.reason) == (seen.state, seen.attempts, "")
        assert (run.step, run.cells) == (seen.result["steps"], len(seen.scores))
        assert run.analyses == study.n_analyses
        for key in ("loss", "accuracy", "density", "images_per_s"):
            assert getattr(run, key) == seen.metrics[-1][key]
        assert run.left_s == 0.0
    json.dumps(study.as_json(), allow_nan=False)


def test_time_left_while_training_is_steps_by_the_time_of_a_step(store: Store) -> None:
    run = store.run(DENSE)
    set_state(run, "running")
    log(run, 16.0, 8.0)  # of batches of 8: half a second a step, then a whole one
    study = snapshot(store.folder)
    first, second = study.runs
    assert (first.stage, first.step, first.steps, first.loss, first.images_per_s) == ("train", 12, 24, 0.5, 8.0)
    assert first.share == pytest.approx((12 / 24 + 0 + 0) / 3)
    assert first.pace.step == pytest.approx(0.75)
    assert first.left_s == pytest.approx(12 * 0.75)
    assert second.left_s == pytest.approx(24 * 0.75)  # by the pace of the other
    assert study.left_s == pytest.approx(36 * 0.75)
    assert not study.left_is_whole  # no run has been tested yet


def test_what_is_to_come_takes_as_long_as_it_took_others(store: Store) -> None:
    done, running = store.run(DENSE), store.run(RIGL)
    set_state(done, "running")
    trained(done, wall_s=48.0)
    last = records(done, 5, seconds=3.0)
    analysed(done)
    set_state(done, "done")
    os.utime(done / "state.json", (last + 40, last + 40))
    set_state(running, "running")
    trained(running)
    records(running, 2, seconds=7.0)
    study = snapshot(store.folder, now=last + 50)
    first, second = study.runs
    assert (first.pace.step, first.pace.cell, first.pace.analyses) == (2.0, 3.0, 40.0)
    assert (first.state, first.left_s) == ("done", 0.0)
    assert (second.stage, second.cells, second.pace.cell) == ("evaluate", 2, 7.0)
    assert second.left_s == pytest.approx(3 * 7.0 + 40.0)
    assert study.left_s == second.left_s
    assert study.left_is_whole


def test_runs_side_by_side_share_what_is_left(store: Store) -> None:
    for name, rate in ((DENSE, 8.0), (RIGL, 80.0)):
        set_state(store.run(name), "running")
        log(store.run(name), rate)
    study = snapshot(store.folder)
    slow, fast = (run.left_s for run in study.runs)
    assert (slow, fast) == (pytest.approx(18.0), pytest.approx(1.8))
    assert study.left_s == pytest.approx(18.0)  # not below the longest


def test_a_pause_between_two_attempts_is_no_pace(store: Store) -> None:
    run = store.run(DENSE)
    set_state(run, "running")
    trained(run)
    records(run, 4, seconds=2.0, pause_after=2, pause=3600.0)
    assert snapshot(store.folder).runs[0].pace.cell == pytest.approx(2.0)


def test_stages_follow_what_is_there(store: Store) -> None:
    run = store.run(DENSE)
    set_state(run, "running")
    seen = [snapshot(store.folder).runs[0].stage]
    trained(run)
    seen.append(snapshot(store.folder).runs[0].stage)
    records(run, 5, seconds=1.0)
    analysed(run, 2)
    now = snapshot(store.folder).runs[0]
    assert [*seen, now.stage] == ["train", "evaluate", "analyse"]
    assert now.analyses == 2
    assert now.share == pytest.approx((1 + 1 + 2 / len(analyses())) / 3)
    set_state(run, "failed", "the disk is full")
    failed = snapshot(store.folder).runs[0]
    assert (failed.state, failed.reason, failed.stage) == ("failed", "the disk is full", "analyse")


def test_records_of_other_cells_do_not_count(store: Store) -> None:
    run = store.run(DENSE)
    set_state(run, "running")
    trained(run)
    records(run, 1, seconds=1.0)
    for name in ("cues.fog.3.npz", ".cues.contrast.1.npz.x1.tmp", "cifar10.contrast.1.npz"):
        (run / "records" / name).write_bytes(b"")
    assert snapshot(store.folder).runs[0].cells == 1


def test_it_ends_when_no_run_is_left(store: Store) -> None:
    set_state(store.run(DENSE), "done")
    assert not snapshot(store.folder).ended
    set_state(store.run(RIGL), "failed", "diverged")
    study = snapshot(store.folder)
    assert study.ended
    assert study.counts == {"done": 1, "failed": 1}


@pytest.mark.parametrize("content", ["{", "[]", '{"state": "resting", "attempts": 1}', '{"state": "done"}'])
def test_a_damaged_state_is_said_and_harms_no_other_run(store: Store, content: str) -> None:
    set_state(store.run(RIGL), "running")
    log(store.run(RIGL), 8.0)
    (store.run(DENSE) / "state.json").write_text(content)
    damaged, other = snapshot(store.folder).runs
    assert damaged.state == "damaged"
    assert "state.json" in damaged.reason
    assert (other.state, other.step) == ("running", 6)


@pytest.mark.parametrize("file", ["run.json", "metrics.jsonl", "plan.json"])
def test_what_cannot_be_read_is_not_known(store: Store, file: str) -> None:
    run = store.run(DENSE)
    set_state(run, "running")
    (run / file).write_bytes(b"\x00{]\n")
    seen = snapshot(store.folder).runs[0]
    assert (seen.state, seen.step, seen.loss) == ("running", 0, None)
    assert seen.steps == (None if file == "run.json" else 24)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"digests": {"cues.fog": "a"}}', '{"digests": null}'])
def test_without_an_index_the_number_of_cells_is_not_known(store: Store, content: str) -> None:
    (store.cells / "index.json").write_text(content)
    study = snapshot(store.folder)
    assert study.n_cells == 0
    assert study.runs[0].share == 0.0


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 400])
@pytest.mark.parametrize("cut", ["", '{"step": 99'])
def test_the_end_of_a_log_is_that_of_the_whole_log(tmp_path: Path, n: int, cut: str) -> None:
    path = tmp_path / "metrics.jsonl"
    rows = [{"step": k, "loss": 1 / (k + 1), "images_per_s": 100.5} for k in range(n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + cut)
    assert last_rows(path) == files.read_lines(path)[-RECENT:]


def test_what_is_done_is_read_once(store: Store) -> None:
    run, watcher = store.run(DENSE), Watcher(store.folder)
    log(run, 8.0)
    set_state(run, "running")
    assert watcher.look().runs[0].step == 6
    trained(run)
    records(run, 5, seconds=1.0)
    set_state(run, "done")
    done = watcher.look().runs[0]
    (run / "metrics.jsonl").unlink()
    assert watcher.look().runs[0] == done
    os.utime(run / "state.json", (BEGAN, BEGAN))  # somebody has run the study's command again
    assert watcher.look().runs[0].loss is None


def test_five_hundred_runs(tiny: Recipe, folder: Path) -> None:
    many = recipes.parse({**tiny.resolved(), "seeds": list(range(250))}, "many")
    store = Store(folder)
    store.create(many, Precision(), {"reason": "test", "step_s": {}}, {}, DataSize(64, 4, (3, 32, 32)))
    names = store.load()["runs"]
    for name in names[:300]:
        set_state(store.run(name), "done")
    set_state(store.run(names[300]), "running")
    study = snapshot(folder)
    assert [run.name for run in study.runs] == names
    assert study.counts == {"done": 300, "running": 1, "planned": 199}
    assert study.share == pytest.approx(300 / 500)


@pytest.mark.system
def test_a_study_that_runs_is_seen_to_go_on(tiny: Recipe, folder: Path, quiet) -> None:
    seen: dict[str, list[float]] = {}
    stages: set[str] = set()

    class Looking(type(quiet)):
        def event(self, event) -> None:
            study = snapshot(folder)
            for run in study.runs:
                seen.setdefault(run.name, []).append(run.share)
                stages.add(run.stage)
                if run.name == event.run and event.kind == "done":
                    assert (run.state, run.share) == ("done", 1.0)

    values = tiny.resolved()
    values["analysis"] |= {name: {"images": 0} for name in ("heat_map", "gradients", "sharpness", "aliasing")}
    run_study(recipes.parse(values, "tiny"), folder, Looking(), jobs=2)
    assert snapshot(folder).ended
    for shares in seen.values():
        assert shares == sorted(shares)
    assert {"train", "evaluate", "analyse"} & stages


def test_where_no_study_is_there_is_nothing_to_watch(tmp_path: Path, finished: Path) -> None:
    with pytest.raises(InputError, match="holds no study"):
        Watcher(tmp_path)
    files.write_json(finished / "study.json", {})
    with pytest.raises(InputError, match="published results"):
        Watcher(finished)
    (tmp_path / "study.yaml").write_text("recipe: [")
    with pytest.raises(DataError, match="damaged"):
        Watcher(tmp_path)
