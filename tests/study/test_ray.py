"""A Ray cluster of three nodes on this machine: a study ends there with the bits of the local engine, whatever dies."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml

from regrow import files
from regrow.cli import run as command
from regrow.errors import RunFailedError
from regrow.study.engines.choice import opened
from regrow.study.engines.engine import Event
from regrow.study.execute import execute
from regrow.study.recipe import Recipe
from regrow.study.run import run_study
from regrow.study.store import get_state

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed (extra regrow[ray])", allow_module_level=True)

pytestmark = pytest.mark.system

#: Three nodes in processes of their own, with one core each, until standard input closes; Ray itself is noisy.
CLUSTER = """
import json, sys, threading
from ray import _raylet
from ray._private import services
from ray.cluster_utils import Cluster

# A node aborts where its agents (of a dashboard, of runtime environments) have not named their ports after 15 seconds:
# that happens on a busy machine, for each imports all of Ray. Nothing here asks them anything, so they are not started.
PORTS = {"metrics_agent_port": -1, "metrics_export_port": -1, "dashboard_agent_listen_port": -1,
         "runtime_env_agent_port": 9}
AGENTS = ("--dashboard_agent_command", "--runtime_env_agent_command")
start_process = services.start_ray_process

def start(command, *others, **options):
    said = dict(word.split("=", 1) for word in command if "=" in word)
    if said.keys() >= set(AGENTS):
        for name, port in PORTS.items():
            _raylet.persist_port(said["--session_dir"], said["--node_id"], name, port)
        command = [f"{name}=sleep infinity" if (name := word.split("=")[0]) in AGENTS else word for word in command]
    return start_process(command, *others, **options)

if hasattr(_raylet, "persist_port"):  # younger than the lowest version of Ray
    services.start_ray_process = start
    services.start_api_server = lambda *others, **options: (None, None)

cluster = Cluster()
for _ in range(3):
    cluster.add_node(num_cpus=1, include_dashboard=False, include_log_monitor=False, no_monitor=True,
                     object_store_memory=80 * 2**20)
raylets = {node.unique_id: node.all_processes["raylet"][0].process for node in cluster.list_all_nodes()}
for raylet in raylets.values():  # a dead one that nobody has waited for looks alive to its workers
    threading.Thread(target=raylet.wait, daemon=True).start()
pids = {node: raylet.pid for node, raylet in raylets.items()}
print(json.dumps({"address": cluster.address, "pids": pids}), flush=True)
sys.stdin.read()
cluster.shutdown()
"""

#: What makes Ray see a lost node soon; a slow one keeps its time to answer.
SOON = {
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "2",
    "RAY_health_check_timeout_ms": "60000",
}

#: `regrow study` without its page, to be killed.
DRIVER = """
import json, sys
from pathlib import Path
from regrow.study import recipe as recipes
from regrow.study.engines.choice import opened
from regrow.study.run import run_study
class Console:
    def say(self, text): pass
    def stage(self, text, done, total): pass
    def event(self, event): pass
recipe, out, address = sys.argv[1:]
with opened("ray", address=address) as engine:
    import ray
    print(json.dumps(ray.get_runtime_context().get_node_id()), flush=True)
    run_study(recipes.load(recipe), Path(out), Console(), engine=engine)
"""


@dataclass
class Nodes:
    """A cluster: where it is, and of each node, the head first, the process that all others of it hang from."""

    address: str
    pids: dict[str, int]


@contextlib.contextmanager
def three_nodes(cache: Path) -> Iterator[Nodes]:
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # paths of sockets must be short
    token = folder / "token"
    token.write_text("ab" * 32)
    token.chmod(0o600)
    with pytest.MonkeyPatch.context() as patch:  # for the drivers, too
        for name, value in SOON.items():
            patch.setenv(name, value)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_TMPDIR", str(folder))
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_worker_niceness", "0")  # else the tests beside this one come first
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        patch.setenv("XDG_CACHE_HOME", str(cache))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = next((line for line in process.stdout if line.startswith(b"{")), b"")
            assert line, (folder / "log").read_text()
            yield Nodes(**json.loads(line))
        finally:
            process.stdin.close()
            process.stdout.read()
            process.wait()
            process.stdout.close()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with three_nodes(tmp_path_factory.getbasetemp().parent / "cache") as nodes:
        yield nodes


@pytest.fixture(scope="module")
def recipe(light: Callable[..., Recipe]) -> Recipe:
    """A run for each node."""
    return light(steps=400, methods=["dense", "rigl", "set"])


class Console:
    """Keeps the news of the runs."""

    def __init__(self) -> None:
        self.news: list[tuple[str, str]] = []

    def say(self, text: str) -> None: ...

    def stage(self, text: str, done: int, total: int) -> None: ...

    def event(self, event: Event) -> None:
        self.news.append((event.run, event.kind))


@pytest.fixture(scope="module")
def _reference(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = run_study(recipe, tmp_path_factory.mktemp("reference") / "study", Console(), only_prepare=True)
    for run in study.runs.iterdir():
        execute(run)
    return study.folder


@pytest.fixture
def reference(_reference: Path, tmp_path: Path) -> Path:
    """The study without an engine, one run after another in this process."""
    return Path(shutil.copytree(_reference, tmp_path / "reference"))


class Driver:
    """A driver that has been started and has joined the cluster; on one machine it may belong to any node."""

    def __init__(self, nodes: Nodes, recipe: Recipe, out: Path) -> None:
        file = out.with_suffix(".yaml")
        file.write_text(yaml.safe_dump(recipe.resolved()))
        self.out, self.nodes = out, nodes
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(file), str(out), nodes.address],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.home = json.loads(self.process.stdout.readline() or "null")

    def close(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.communicate()

    def lose_a_node(self) -> Lost:
        """Kill all processes of a node in mid-run, neither of the head nor of the driver's; the run that they took."""
        node, lost = self._stop_a_run([node for node in list(self.nodes.pids)[1:] if node != self.home])
        raylet = psutil.Process(self.nodes.pids.pop(node))
        for process in [raylet, *raylet.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return lost

    def lose_itself(self, lost: Lost) -> Lost:
        """Kill the driver once a run that was lost before has gone on elsewhere, in mid-run again."""
        _, again = self._stop_a_run(list(self.nodes.pids), lost)
        worker = again.process.parent()
        self.close()
        assert worker is not None
        worker.wait()  # the cluster ends it
        again.process.resume()
        again.process.wait()
        assert get_state(again.run)["state"] == "running"
        return again

    def _stop_a_run(self, nodes: list[str], before: Lost | None = None) -> tuple[str, Lost]:
        """Wait until a run of one of these nodes (or the one that was lost) has something to go on from; stop it there.

        A process that is stopped is in mid-run, however long it takes on a busy machine to kill it.
        """
        runs, known = (None, 0) if before is None else ([before.run], len(before.log))
        while self.process.poll() is None:
            for run in runs or self.out.glob("runs/*"):
                if len(checkpointed(run)) <= known:
                    continue
                for node in nodes:
                    process = process_of(run, self.nodes.pids[node])
                    if process is not None:
                        process.suspend()
                        if get_state(run)["state"] == "running":
                            return node, Lost(run, process, checkpointed(run))
                        process.resume()
            time.sleep(0.02)
        raise AssertionError(self.process.communicate())


@dataclass
class Lost:
    """A run whose process was stopped: its folder, the process, and its log up to its checkpoint."""

    run: Path
    process: psutil.Process
    log: list[str]

    def went_on(self) -> bool:
        """Whether it has gone on from its checkpoint: with speeds in the log, no two trainings write the same."""
        return (self.run / "metrics.jsonl").read_text().splitlines()[: len(self.log)] == self.log


def process_of(run: Path, raylet: int) -> psutil.Process | None:
    """The process of a run, if it is below that of a node."""
    for process in psutil.Process(raylet).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[2:4] == ["regrow.study.engines.worker", str(run)]:
                return process
    return None


def checkpointed(run: Path) -> list[str]:
    """Lines of a run's log up to its checkpoint."""
    if not (run / "checkpoint.pt").exists():
        return []
    step = torch.load(run / "checkpoint.pt", weights_only=True)["step"]
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    return [line.strip() for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]


def bits(folder: Path) -> dict[str, Any]:
    """What must be equal: weights, records, analyses to the byte; logs but for speeds."""
    names = ("model.safetensors", "records/*.npz", "history.jsonl", "plan.json", "analysis/*")
    found: dict[str, Any] = {
        str(path.relative_to(folder)): path.read_bytes() for name in names for path in folder.glob(f"runs/*/{name}")
    }
    for path in folder.glob("runs/*/metrics.jsonl"):
        rows = files.read_lines(path)
        found[str(path.relative_to(folder))] = [{k: v for k, v in row.items() if k != "images_per_s"} for row in rows]
    return found


def finish(nodes: Nodes, recipe: Recipe, out: Path) -> Console:
    """Give the study's command in this process."""
    console = Console()
    with opened("ray", address=nodes.address) as engine:
        run_study(recipe, out, console, engine=engine)
    return console


def require_whole(out: Path, reference: Path) -> dict[str, int]:
    """A study has ended with the bits of another one and no half of a file; attempts of each run."""
    names = {path.name for path in (reference / "runs").iterdir()}
    expected, found = bits(reference), bits(out)
    assert len([name for name in expected if name.endswith("model.safetensors")]) == len(names)
    assert found.keys() == expected.keys()
    assert {name for name in expected if expected[name] != found[name]} == set()
    assert not list(out.rglob("*.tmp"))
    states = {name: get_state(out / "runs" / name) for name in names}
    assert {state["state"] for state in states.values()} == {"done"}
    return {name: state["attempts"] for name, state in states.items()}


def lose_both(nodes: Nodes, recipe: Recipe, out: Path, reference: Path) -> dict[str, int]:
    """A study loses a node, then its driver, and goes on; attempts of each run."""
    with contextlib.closing(Driver(nodes, recipe, out)) as driver:
        lost = driver.lose_a_node()
        again = driver.lose_itself(lost)
    left = [run.name for run in out.glob("runs/*") if get_state(run)["state"] != "done"]
    news = finish(nodes, recipe, out).news
    for run in left:
        kinds = [kind for name, kind in news if name == run]
        assert (kinds[0], kinds.count("started"), kinds.count("done"), kinds[-1]) == ("started", 1, 1, "done")
    assert {run for run, _ in news} == set(left)
    assert lost.went_on()
    assert again.went_on()
    attempts = require_whole(out, reference)
    assert attempts[lost.run.name] == 3
    return attempts


def test_a_study_loses_a_node_and_its_driver(nodes: Nodes, recipe: Recipe, reference: Path, tmp_path: Path) -> None:
    lose_both(nodes, recipe, tmp_path / "study", reference)


def test_a_run_that_fails_says_why_and_leaves_the_others(nodes: Nodes, recipe: Recipe, reference: Path) -> None:
    run = reference / "runs" / "dense-s0-seed0"
    content = files.read_json(run / "run.json")
    files.write_json(run / "run.json", {**content, "fingerprint": "0"})
    (run / "state.json").unlink()
    with pytest.raises(RunFailedError, match=r"1 of 3 runs failed \(dense-s0-seed0: .*run\.json was altered"):
        finish(nodes, recipe, reference)
    assert "altered" in get_state(run)["reason"]
    others = [other for other in run.parent.iterdir() if other != run]
    assert {get_state(other)["attempts"] for other in others} == {1}


def test_what_no_node_holds_is_refused_before_anything_is_made(
    nodes: Nodes, recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "large.yaml", tmp_path / "study"
    path.write_text(yaml.safe_dump({**recipe.resolved(), "resources": {"cpus": 64}}))
    assert command(["study", str(path), "--out", str(out), "--engine", "ray", "--address", nodes.address]) == 2
    said = capsys.readouterr().err
    assert "a run takes 64 CPU, and no node of the cluster has that (at most 1 CPU)" in said
    assert len(said.strip().splitlines()) == 1
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twelve_runs_lose_a_node_and_their_driver(light: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = light(steps=2500, methods=["dense", "static", "set", "rigl"], seeds=[0, 1, 2])
    reference = run_study(recipe, tmp_path / "reference", Console(), jobs=2).folder
    with three_nodes(tmp_path / "cache") as nodes:
        attempts = lose_both(nodes, recipe, tmp_path / "study", reference)
    assert len(attempts) == 12
