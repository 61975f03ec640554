"""What holds of every engine: order, resources, ownership of a run; and of Ray's what needs no cluster."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from regrow import files
from regrow.cli import run as command
from regrow.cli.app import app
from regrow.errors import BusyError, InputError, UnknownNameError
from regrow.study import execute as execution
from regrow.study import recipe as recipes
from regrow.study.engines import cluster, process, worker
from regrow.study.engines.choice import opened
from regrow.study.engines.engine import Event, execute_all
from regrow.study.engines.local import default_jobs
from regrow.study.execute import execute
from regrow.study.making import make_cells
from regrow.study.recipe import Recipe, Resources
from regrow.study.run import plan_study, run_study
from regrow.study.store import Store, get_state, set_state
from regrow.training.loop import Progress

# ---- order


class Instant:
    """An engine whose runs end at once, last begun first; those named ``broken`` fail."""

    def __init__(self, size: int, broken: str) -> None:
        self.size, self.broken = size, broken
        self.most, self.open = 0, False
        self.news_of: list[Event] = []
        self.running: list[str] = []

    def slots(self, resources: Resources) -> int:
        return self.size

    @contextlib.contextmanager
    def pool(self, study: Path, resources: Resources, data_root: Path | None) -> Iterator[Instant]:
        self.open = True
        yield self
        self.open = False

    def start(self, run: Path) -> None:
        assert self.open
        self.running.append(run.name)
        self.most = max(self.most, len(self.running))
        self.news_of.append(Event(run.name, "started", {}))

    def news(self) -> Event:
        if self.news_of:
            return self.news_of.pop(0)
        name = self.running.pop()
        return Event(name, *(("failed", {}, "crashed") if name == self.broken else ("done", {})))


@pytest.mark.parametrize("size", [1, 2, 9])
@pytest.mark.parametrize(("broken", "expected"), [("", ""), ("a", "abc"), ("b", "bc"), ("c", "c"), ("free", "free")])
def test_dependants_wait_for_their_sources_and_fail_with_them(
    tmp_path: Path, size: int, broken: str, expected: str
) -> None:
    engine, events = Instant(size, broken), list[Event]()
    sources = {"c": "b", "b": "a", "free": "done before"}
    runs = [tmp_path / "runs" / name for name in ("c", "b", "a", "free")]
    failed = execute_all(runs, engine=engine, data_root=None, on_event=events.append, sources=sources)
    assert set(failed) == ({"free"} if expected == "free" else set(expected))
    assert not engine.open
    assert engine.most == min(size, 2)  # a and free; b and c wait
    kinds = [(event.run, event.kind) for event in events]
    for run, source in (("b", "a"), ("c", "b")):
        if (run, "started") in kinds:
            assert kinds.index((source, "done")) < kinds.index((run, "started"))
        else:
            assert source in failed
            assert get_state(tmp_path / "runs" / run)["reason"] == f"{source}, which it starts from, failed."
    assert sorted(run for run, kind in kinds if kind in ("done", "failed")) == ["a", "b", "c", "free"]


def test_nothing_is_opened_for_nothing() -> None:
    assert execute_all([], engine=Instant(1, ""), data_root=None, on_event=lambda event: None) == []


# ---- resources


def test_resources_are_no_part_of_a_study(tiny: Recipe, folder: Path) -> None:
    """Neither its digest, nor its runs, nor what is stored; a study goes on with others."""
    other = recipes.parse({**tiny.resolved(), "resources": {"cpus": 2, "gpus": 0.25}}, "tiny")
    assert other.resources == Resources(cpus=2, gpus=0.25)
    assert other.resolved() == tiny.resolved()
    assert other.digest == tiny.digest
    assert [run.settings for run in plan_study(other).runs] == [run.settings for run in plan_study(tiny).runs]
    prepared(other, folder)
    assert "resources" not in Store(folder).study_file.read_text()
    Store(folder).require_recipe(tiny)


@pytest.mark.parametrize("wrong", [{"cpus": 0}, {"gpus": -1}, {"gpus": 2}, {"cpus": ".inf"}, {"ram": 1}])
def test_impossible_resources_are_refused(tiny: Recipe, wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"resources\."):
        recipes.parse({**tiny.resolved(), "resources": wrong}, "tiny")


def test_jobs_are_as_many_as_the_machine_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: range(6), raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [default_jobs(Resources(cpus=n)) for n in (0.5, 1, 2, 4, 9)] == [12, 6, 3, 1, 1]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [default_jobs(Resources(gpus=share)) for share in (None, 1, 0.5, 0.1, 0)] == [2, 2, 4, 20, 6]


def test_a_run_fits_on_one_node_or_not_at_all() -> None:
    nodes = [{"CPU": 4.0, "GPU": 2.0}, {"CPU": 3.0}, {"GPU": 1.0}]
    assert cluster.room(nodes, {"CPU": 1, "GPU": 0}) == 7
    assert cluster.room(nodes, {"CPU": 2, "GPU": 0}) == 3
    assert cluster.room(nodes, {"CPU": 1, "GPU": 0.1}) == 4
    assert cluster.room(nodes, {"CPU": 0.1, "GPU": 0.1}) == 20
    with pytest.raises(InputError, match=r"a run takes 5 CPU, and no node .* \(at most 4 CPU\)"):
        cluster.room(nodes, {"CPU": 5, "GPU": 0})
    with pytest.raises(InputError, match="no node"):
        cluster.room([{"CPU": 3.0}, {"GPU": 1.0}], {"CPU": 1, "GPU": 1})


# ---- ownership


def prepared(recipe: Recipe, folder: Path) -> list[Path]:
    """The folders of a study's runs, with all that they start from."""
    plan, store = plan_study(recipe), Store(folder)
    store.create(recipe, plan.precision, plan.probe, {})
    make_cells(recipe, store.cells, None)
    return [store.run(run.name) for run in store.prepare()]


@pytest.fixture(scope="module")
def prepared_once(light: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(light(), tmp_path_factory.mktemp("prepared") / "study")[0]


def contents(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize("stage", ["train", "evaluate", "analyse"])
def test_a_run_that_was_taken_over_is_left_to_its_new_owner(prepared_once: Path, tmp_path: Path, stage: str) -> None:
    """As after a node was cut off: its lock lapses, another process does the run, and then the first comes back."""
    study = Path(shutil.copytree(prepared_once.parents[1], tmp_path / "study"))
    run, left = study / "runs" / prepared_once.name, dict[str, bytes]()

    def come_back_late(progress: Progress) -> None:
        if progress.stage == stage and not left:
            (run / ".lock").unlink()
            execute(run)
            left.update(contents(run))

    with pytest.raises(BusyError, match="taken over"):
        execute(run, report=come_back_late)
    assert get_state(run) == {"state": "done", "reason": "", "attempts": 2}
    now = contents(run)
    changed = {name for name in now.keys() | left.keys() if now.get(name) != left.get(name)}
    assert changed <= {"checkpoint.pt"}  # of an earlier step of the same way
    steps = [row["step"] for row in files.read_lines(run / "metrics.jsonl")]
    assert steps == [50, 100, 150, 200]


def test_a_run_that_another_process_works_on_keeps_its_state(
    prepared_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As when a node was given up while a run's process goes on there: the second does not get hold of the run."""
    study = Path(shutil.copytree(prepared_once.parents[1], tmp_path / "study"))
    run = study / "runs" / prepared_once.name
    monkeypatch.setattr(execution, "LAPSE_S", 0.0)
    monkeypatch.setattr(worker, "_end_with_parent", lambda: None)
    set_state(run, "running")
    before = get_state(run)
    with files.owned(run, "run"):
        code = worker.main([str(run)])
    said = capsys.readouterr().err.strip()
    assert "worked on by another process" in said
    assert process.fault(run, code, said) == said
    assert get_state(run) == before
    monkeypatch.setattr(process, "start", lambda *arguments: subprocess.Popen(["true"]))
    monkeypatch.setattr(process, "follow", lambda *arguments: (code, said))
    monkeypatch.setattr(cluster, "require_shared", lambda *arguments: None)
    call = cluster._Call({}, None, tmp_path, {}, {})
    board = SimpleNamespace(tell=SimpleNamespace(remote=lambda *arguments: None))
    with pytest.raises(cluster.ProcessLostError, match="another process"):  # which Ray tries again
        cluster._execute(run, call, board)


def test_a_run_goes_on_among_the_halves_of_what_was_being_written(light: Callable[..., Recipe], folder: Path) -> None:
    run = prepared(light(), folder)[0]
    (run / ".checkpoint.pt.abc.tmp").write_bytes(b"half")
    execute(run)
    assert not list(run.rglob("*.tmp"))


def test_a_node_must_share_the_folder_its_locks_and_the_versions(tiny: Recipe, folder: Path) -> None:
    with pytest.raises(InputError, match="does not see"):
        cluster.require_shared(folder, cluster.software())
    assert not folder.exists()
    Store(folder).create(tiny, plan_study(tiny).precision, plan_study(tiny).probe, {})
    with pytest.raises(InputError, match="another folder, or locks"):  # nobody seems to own it
        cluster.require_shared(folder, cluster.software())
    with files.owned(folder, "study"):
        cluster.require_shared(folder, cluster.software())
        with pytest.raises(InputError, match=r"has torch .*, this machine 0\.1"):
            cluster.require_shared(folder, {**cluster.software(), "torch": "0.1"})


# ---- commands


def test_names_of_engines_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'ray'"), opened("rai"):
        pass
    with pytest.raises(InputError, match="add --engine ray"), opened("local", address="head:6379"):
        pass


@pytest.mark.parametrize("address", ["head", "head:", ":6379", "ray://127.0.0.1:10001", "head:63a", "http://head:1"])
def test_what_is_no_address_of_a_cluster_is_refused(address: str) -> None:
    with pytest.raises(InputError, match=r"is no address of a Ray cluster.*HOST:PORT"):
        cluster._require_listener(address)


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "[127.0.0.1]:{}", "nowhere.invalid:{}", "127.0.0.1:99999"])
def test_where_nobody_listens_it_says_so_at_once(address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        cluster._require_listener(f"127.0.0.1:{port}")
    with pytest.raises(InputError, match=r"no Ray cluster at .*\. Next: start one there"):
        cluster._require_listener(address.format(port))


class Refusing:
    """A library whose cluster refuses a token, and says so on the terminal alone."""

    exceptions = SimpleNamespace(RayError=Exception)

    def init(self, **_: object) -> None:
        os.write(2, b"InvalidAuthToken: Authentication token is missing or incorrect\n")
        raise ConnectionError("Failed to connect to Ray cluster")


def test_a_wrong_token_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cluster, "_require_listener", lambda address: None)
    with pytest.raises(InputError, match="wants its token, and was given none or another"):
        cluster._join(Refusing(), "head:6379")
    os.write(2, b"heard again")
    assert capfd.readouterr() == ("", "heard again")


@pytest.mark.parametrize("name", ["", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_a_token_is_found_where_ray_keeps_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(one, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not cluster._has_token()
    if name:
        monkeypatch.setenv(name, "x")
    else:
        files.write_text(tmp_path / ".ray" / "auth_token", "x")
    assert cluster._has_token()


@pytest.mark.system
def test_an_array_of_jobs_does_what_one_command_does(
    light: Callable[..., Recipe], folder: Path, quiet: Any, tmp_path: Path
) -> None:
    """Prepare, one `regrow run` for each run, and the study's command again, which then has nothing left to train."""
    run_study(light(), folder, quiet, jobs=1, only_prepare=True)
    assert quiet.kinds == []
    here = Path(shutil.copytree(folder, tmp_path / "here"))
    for run in (folder / "runs").iterdir():
        done = CliRunner().invoke(app, ["run", str(run)])
        assert done.exit_code == 0, done.output
        execute(here / "runs" / run.name)
    run_study(light(resources={"cpus": 0.5}), folder, quiet, jobs=1)
    assert quiet.kinds == []
    expected = [*here.glob("runs/*/model.safetensors"), *here.glob("runs/*/records/*.npz")]
    assert len(expected) == 2 * (1 + 2)
    for path in expected:
        assert (folder / path.relative_to(here)).read_bytes() == path.read_bytes()


@pytest.mark.system
def test_a_run_that_cannot_be_executed_says_why(
    light: Callable[..., Recipe], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = prepared(light(), folder)[0]
    assert command(["run", str(folder)]) == 2
    assert "holds no run" in capsys.readouterr().err
    files.write_json(run / "run.json", {**files.read_json(run / "run.json"), "fingerprint": "0"})
    assert command(["run", str(run)]) == 1
    assert "run.json was altered" in capsys.readouterr().err.replace("\n", "")


@pytest.mark.system
def test_ray_is_loaded_for_its_engine_alone() -> None:
    code = """
import sys
sys.modules["ray"] = None  # its import fails
import regrow, regrow.cli.app, regrow.study.run, regrow.study.engines.cluster
from regrow.cli import run
sys.exit(run(["study", "quick/cues", "--dry-run", "--engine", "ray"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'regrow[ray]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
