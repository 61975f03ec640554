"""``regrow watch``: what it shows, how it ends, and that leaving it is no error."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import pytest
from rich.console import Console

from regrow.cli import run, watch
from regrow.cli.watch import Lines, Pages, duration, follow, overall, picture, rows_shown
from regrow.errors import DataError, RegrowError
from regrow.study import recipe as recipes
from regrow.study.snapshots import RunSnapshot, StudySnapshot
from regrow.study.store import Store, set_state
from regrow.study.watching import snapshot
from regrow.training.settings import Precision

RECIPE = {
    "schema": 1,
    "name": "tiny",
    "data": {"name": "cues", "train_images": 64, "test_images": 20},
    "model": {"name": "resnet8", "width": 4},
    "methods": ["dense", "set"],
    "training": {"steps": 20, "batch": 8},
}


def of(*runs: RunSnapshot, **more: object) -> StudySnapshot:
    return StudySnapshot("runs/tiny", "tiny", "", 5, 8, runs, 1000.0, **more)


def planned(n: int, **states: str) -> list[RunSnapshot]:
    return [RunSnapshot(f"r{k}", states.get(f"r{k}", "planned")) for k in range(n)]


def drawn(study: StudySnapshot, width: int = 160, height: int | None = None) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(picture(study, width, height))
    return console.file.getvalue()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A planned study of two runs, one of which has failed."""
    store = Store(tmp_path / "study")
    store.create(recipes.parse(RECIPE, "tiny"), Precision(), {"reason": "test", "step_s": {}}, {})
    store.prepare()
    set_state(store.run("set-s0.5-seed0"), "running")
    set_state(store.run("set-s0.5-seed0"), "failed", "the loss is nan at step 3 [bold]of 20[/bold].")
    return store.folder


def test_once_prints_every_run_with_what_happened_and_ends(study: Path, capsys) -> None:
    assert run(["watch", str(study), "--once"]) == 0
    text = capsys.readouterr().out
    assert "tiny: 2 runs, 1 planned, 1 failed; " in text
    assert "dense-s0-seed0" in text
    assert "set-s0.5-seed0  failed" in text
    assert "FAILED  set-s0.5-seed0: the loss is nan at step 3 [bold]of 20[/bold]." in text


def test_json_is_the_snapshot(study: Path, capsys) -> None:
    assert run(["watch", str(study), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = json.loads(json.dumps(snapshot(study, now=printed["at"]).as_json()))
    assert printed == expected
    assert printed["counts"] == {"planned": 1, "failed": 1}


@pytest.mark.parametrize("arguments", [["--once"], ["--json"], []])
def test_no_study_is_one_line_and_exit_code_two(tmp_path: Path, capsys, arguments: list[str]) -> None:
    assert run(["watch", str(tmp_path / "none"), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "holds no study" in captured.err


def test_leaving_it_is_no_error(study: Path, capsys, monkeypatch) -> None:
    def leave(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", leave)
    assert run(["watch", str(study)]) == 0
    assert capsys.readouterr().err == ""


def test_it_ends_with_the_study(study: Path, capsys, monkeypatch) -> None:
    store, waits = Store(study), []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        set_state(store.run("dense-s0-seed0"), "running" if len(waits) == 1 else "done")

    monkeypatch.setattr(watch.time, "sleep", wait)
    assert run(["watch", str(study), "--every", "0.5"]) == 0
    assert waits == [0.5, 0.5]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if "tiny" not in line] == [
        "failed   set-s0.5-seed0",
        "running  dense-s0-seed0",
        "done     dense-s0-seed0",
    ]
    assert lines[-1] == "tiny: 2 runs, 1 done, 1 failed; 100% of the work."


def test_in_a_terminal_the_picture_stays_within_it(monkeypatch, tmp_path: Path) -> None:
    store = Store(tmp_path / "study")
    many = recipes.parse({**RECIPE, "seeds": list(range(30))}, "many")
    store.create(many, Precision(), {"reason": "test", "step_s": {}}, {})
    names = store.load()["runs"]
    set_state(store.run(names[50]), "running")
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120, height=12)
    monkeypatch.setattr(watch, "out", terminal)

    def wait(seconds: float) -> None:
        for name in names:
            set_state(store.run(name), "done")

    monkeypatch.setattr(watch.time, "sleep", wait)
    assert run(["watch", str(store.folder)]) == 0
    first = terminal.file.getvalue().split("\x1b[1A")[0]
    assert names[50] in first
    assert first.count("\n") <= 12
    assert "60 runs, 1 running, 59 planned" in first
    assert "60 runs, 60 done" in terminal.file.getvalue()


@pytest.mark.parametrize("room", [1, 3, 6, 7, 100])
def test_where_not_all_fit_what_runs_and_what_failed_comes_first(room: int) -> None:
    runs = planned(7, r1="done", r3="failed", r5="running", r6="running")
    shown = rows_shown(runs, room)
    assert [r.name for r in shown] == sorted(r.name for r in shown)
    assert len(shown) == min(room, 7)
    wanted = ["r5", "r6", "r3", "r0", "r2", "r4", "r1"]
    assert {r.name for r in shown} == set(wanted[:room])


def test_a_row_says_what_a_run_is_at() -> None:
    training = RunSnapshot(
        "a", "running", "", 2, "train", 12, 24, 0, 0, 1 / 6, 0.25, 0.5, 0.4, 80.0, 999.0, left_s=90.0
    )
    testing = RunSnapshot("b", "running", "", 1, "evaluate", 24, 24, 3, 0, changed_at=400.0)
    unknown = RunSnapshot("c", "running", "", 1, "train", 3, None, changed_at=1500.0)  # by a clock that is ahead
    rows = {line.split()[0]: line for line in drawn(of(training, testing, unknown)).splitlines()[2:]}
    for words in ("17%", "12 of 24 steps", "0.250", "50.0%", "0.40", "80", " 2 ", "90 s"):
        assert words in rows["a"]
    assert "3 of 5 cells" in rows["b"]
    assert "no news for 10 min" in rows["b"]
    assert "no news" not in rows["a"] + rows["c"]
    assert "3 of ? steps" in rows["c"]


def test_the_line_over_all_says_how_sure_the_time_is() -> None:
    runs = planned(2, r0="running")
    assert "left" not in overall(of(*runs))
    assert "about 10 min left" in overall(of(*runs, left_s=600.0, left_is_whole=True))
    assert "at least 10 min left" in overall(of(*runs, left_s=600.0))


def test_durations_are_whole_and_rise() -> None:
    assert [duration(s) for s in (0, 99.4, 100, 5999, 48 * 3600)] == ["0 s", "99 s", "2 min", "1 h 40 min", "2 d 0 h"]


def test_lines_tell_each_change_once_and_the_whole_now_and_then() -> None:
    said: list[str] = []
    now = [0.0]
    lines = Lines(said.append, clock=lambda: now[0])
    states = [of(*planned(2)), of(*planned(2)), of(*planned(2, r0="running")), of(*planned(2, r0="running"))]
    for study in states:
        lines(study)
        now[0] += 1
    assert [line.split(";")[0] for line in said] == [
        "tiny: 2 runs, 2 planned",
        "running  r0",
        "tiny: 2 runs, 1 running, 1 planned",
    ]
    now[0] += 60
    lines(states[-1])
    assert len(said) == 4


def test_follow_looks_until_all_have_ended() -> None:
    looks = iter([of(*planned(2)), of(*planned(2, r0="done")), of(*planned(2, r0="done", r1="damaged"))])
    seen, waits = [], []
    last = follow(lambda: next(looks), seen.append, lambda: waits.append(1))
    assert (len(seen), len(waits)) == (3, 2)
    assert last is seen[-1]


def test_pages_are_made_as_runs_end_and_never_two_at_once() -> None:
    made, gate, now = [], threading.Event(), [0.0]

    def make() -> None:
        assert gate.wait(30)
        now[0] += 10.0  # a page takes ten seconds
        made.append(now[0])

    pages = Pages(make, clock=lambda: now[0])
    pages.tell(0)
    assert pages._thread is None  # nothing has ended
    pages.tell(1)
    first = pages._thread
    pages.tell(2)
    assert pages._thread is first  # it is busy
    gate.set()
    first.join()
    pages.tell(2)
    assert made == [10.0]  # and rests for nine times as long
    now[0] = 100.0
    pages.tell(2)
    pages._thread.join()
    assert made == [10.0, 110.0]
    pages.tell(2)
    pages.finish(2)
    assert len(made) == 2  # nothing has ended since
    pages.finish(3)
    assert len(made) == 3


def test_a_page_that_cannot_be_made_is_said_and_tried_again() -> None:
    outcomes = iter([DataError("study.json is damaged."), None])

    def make() -> None:
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome

    pages = Pages(make, clock=lambda: 0.0)
    pages.tell(1)
    pages._thread.join()
    assert "study.json is damaged" in pages.problem
    with pytest.raises(RegrowError, match=r"study\.json is damaged"):
        pages.finish(1)
    pages.finish(2)
    assert pages.problem == ""


def test_report_makes_the_page(study: Path, monkeypatch, capsys) -> None:
    set_state(Store(study).run("dense-s0-seed0"), "done")
    made = []
    monkeypatch.setattr(watch, "_write", lambda folder, network: made.append(folder))
    assert run(["watch", str(study)]) == 0
    assert made == []
    assert run(["watch", str(study), "--report"]) == 0
    assert made == [study]


@pytest.mark.parametrize("width", [60, 80, 100, 160])
@pytest.mark.parametrize("height", [8, 24, None])
@pytest.mark.parametrize("n", [1, 6, 30])
def test_the_picture_fits_any_terminal(width: int, height: int | None, n: int) -> None:
    long = "the disk is full " * 20
    states = ("running", "failed", "planned", "done", "damaged", "running")
    runs = [
        RunSnapshot(
            f"rigl-s0.5-seed{k}", state, long if state == "failed" else "", 1, "train", 1200, 24000, left_s=90.0
        )
        for k, state in zip(range(n), 5 * states, strict=False)
    ]
    lines = drawn(of(*runs), width, height).splitlines()
    assert all(len(line) <= width for line in lines)
    assert any("rigl-s0.5-seed0" in line and "running" in line and "90 s" in line for line in lines)
    if height is not None:
        assert len(lines) < height
    else:
        assert "".join(lines).replace(" ", "").count("thediskisfull") == 20 * sum(run.state == "failed" for run in runs)
