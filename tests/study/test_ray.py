"""A Ray cluster of three nodes on this machine: a study ends there with the bits of the local engine, whatever dies."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml

from regrow import files
from regrow.study.recipe import Recipe
from regrow.study.run import run_study
from regrow.study.store import get_state

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed (extra regrow[ray])", allow_module_level=True)

pytestmark = pytest.mark.system

#: Long enough to be killed in mid-run.
STEPS = 2500

#: Three nodes in processes of their own, with one core each, until standard input closes; Ray itself is noisy.
CLUSTER = """
import json, socket, sys
from ray.cluster_utils import Cluster
PORTS = ("metrics_agent_port", "metrics_export_port", "runtime_env_agent_port", "dashboard_agent_listen_port")

def node():
    # with ports of ours a node does not wait for those that its agents find, on a busy machine in vain
    held = [socket.create_server(("", 0)) for _ in PORTS]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 * 2**20, **dict(zip(PORTS, ports))}

cluster = Cluster(initialize_head=True, head_node_args=node())
for _ in range(2):
    cluster.add_node(**node())
pids = {node.unique_id: node.all_processes["raylet"][0].process.pid for node in cluster.list_all_nodes()}
print(json.dumps({"address": cluster.address, "pids": pids}), flush=True)
sys.stdin.read()
cluster.shutdown()
"""

#: `regrow study` without its page: the news of the runs on standard output.
DRIVER = """
import json, sys
from pathlib import Path
from regrow.errors import RegrowError
from regrow.study import recipe as recipes
from regrow.study.engines.choice import opened
from regrow.study.run import run_study
class Console:
    def say(self, text): pass
    def stage(self, text, done, total): pass
    def event(self, event): print(json.dumps([event.run, event.kind, event.progress]), flush=True)
recipe, out, address = sys.argv[1:]
try:
    with opened("ray", address=address) as engine:
        import ray
        print(json.dumps(ray.get_runtime_context().get_node_id()), flush=True)
        run_study(recipes.load(recipe), Path(out), Console(), engine=engine)
except RegrowError as error:
    sys.exit(str(error))
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
    """Four runs."""
    return light(steps=STEPS, seeds=[0, 1])


class Silent:
    """A console that nobody looks at."""

    def say(self, text: str) -> None: ...

    def stage(self, text: str, done: int, total: int) -> None: ...

    def event(self, event: object) -> None: ...


@pytest.fixture(scope="module")
def _reference(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_study(recipe, tmp_path_factory.mktemp("reference") / "study", Silent(), jobs=2).folder


@pytest.fixture
def reference(_reference: Path, tmp_path: Path) -> Path:
    """The study as the local engine leaves it."""
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

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def end(self) -> tuple[int, list[tuple[str, str]], str]:
        """Exit code, (run, kind) of all news in their order, and what went wrong."""
        said, errors = self.process.communicate()
        news = [json.loads(line) for line in said.splitlines() if line.startswith("[")]
        return self.process.returncode, [(run, kind) for run, kind, _ in news], errors

    def training(self, nodes: Collection[str]) -> tuple[str, Path]:
        """Wait for a run of one of these nodes that has left a checkpoint: its node, and its folder."""
        while self.process.poll() is None:
            for node in nodes:
                for run in processes_of(self.nodes.pids[node]):
                    if self.out in run.parents and (run / "checkpoint.pt").exists():
                        return node, run
            time.sleep(0.02)
        raise AssertionError(self.end())


def processes_of(raylet: int) -> Iterator[Path]:
    """Folders of the runs whose processes are below that of a node."""
    for process in psutil.Process(raylet).children(recursive=True):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if "regrow.study.engines.worker" in words:
            yield Path(words[words.index("regrow.study.engines.worker") + 1])


def checkpointed(run: Path) -> list[str]:
    """Lines of a run's log up to its checkpoint: with speeds in them, no two trainings write the same."""
    step = torch.load(run / "checkpoint.pt", weights_only=True)["step"]
    return [line for line in (run / "metrics.jsonl").read_text().splitlines() if json.loads(line)["step"] <= step]


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


def require_whole(driver: Driver, reference: Path) -> dict[str, int]:
    """Let a study end: every run once, with the bits of the local engine and no half of a file; attempts of each."""
    code, news, errors = driver.end()
    assert code == 0, errors
    names = {path.name for path in (reference / "runs").iterdir()}
    ends = [run for run, kind in news if kind == "done"]
    assert len(ends) == len(set(ends))
    for run in ends:
        kinds = [kind for name, kind in news if name == run]
        assert (kinds[0], kinds.count("started"), kinds[-1]) == ("started", 1, "done")
    expected, found = bits(reference), bits(driver.out)
    assert len([name for name in expected if name.endswith("model.safetensors")]) == len(names)
    assert found.keys() == expected.keys()
    assert {name for name in expected if expected[name] != found[name]} == set()
    assert not list(driver.out.rglob("*.tmp"))
    return {name: get_state(driver.out / "runs" / name)["attempts"] for name in names}


def lose_a_node(driver: Driver) -> tuple[Path, list[str]]:
    """Kill a node in mid-run, neither the head nor the driver's; the run, and its log up to the checkpoint."""
    node, run = driver.training([node for node in list(driver.nodes.pids)[1:] if node != driver.home])
    lines = checkpointed(run)
    os.kill(driver.nodes.pids.pop(node), signal.SIGKILL)
    return run, lines


@pytest.mark.slow  # on a busy machine its end was not always seen in time
def test_a_node_is_killed(nodes: Nodes, recipe: Recipe, reference: Path, tmp_path: Path) -> None:
    driver = Driver(nodes, recipe, tmp_path / "study")
    run, lines = lose_a_node(driver)
    attempts = require_whole(driver, reference)
    # the run's own process may outlive its node here, where nodes share a machine: the second attempt then waits for it
    assert attempts.pop(run.name) in (1, 2)
    assert set(attempts.values()) == {1}
    assert lines
    assert (run / "metrics.jsonl").read_text().splitlines()[: len(lines)] == lines  # it went on from its checkpoint


def test_the_driver_is_killed_and_started_again(nodes: Nodes, recipe: Recipe, reference: Path, tmp_path: Path) -> None:
    killed = Driver(nodes, recipe, tmp_path / "study")
    _, run = killed.training(nodes.pids)
    lines = checkpointed(run)
    killed.kill()
    attempts = require_whole(Driver(nodes, recipe, tmp_path / "study"), reference)
    assert attempts[run.name] == 2
    assert (run / "metrics.jsonl").read_text().splitlines()[: len(lines)] == lines


def test_a_run_that_fails_says_why_and_leaves_the_others(
    nodes: Nodes, recipe: Recipe, reference: Path, tmp_path: Path
) -> None:
    run = reference / "runs" / "dense-s0-seed0"
    content = files.read_json(run / "run.json")
    files.write_json(run / "run.json", {**content, "fingerprint": "0"})
    (run / "state.json").unlink()
    code, news, errors = Driver(nodes, recipe, reference).end()
    assert code == 1
    assert news == [(run.name, "started"), (run.name, "failed")]
    assert "1 of 4 runs failed (dense-s0-seed0: " in errors
    assert "run.json was altered" in errors
    assert "altered" in get_state(run)["reason"]


def test_what_no_node_holds_is_refused_before_anything_is_made(nodes: Nodes, recipe: Recipe, tmp_path: Path) -> None:
    path, out = tmp_path / "large.yaml", tmp_path / "study"
    path.write_text(yaml.safe_dump({**recipe.resolved(), "resources": {"cpus": 64}}))
    call = [sys.executable, "-c", "from regrow.cli import main; main()", "study", str(path), "--out", str(out)]
    done = subprocess.run([*call, "--engine", "ray", "--address", nodes.address], capture_output=True, text=True)
    assert done.returncode == 2
    assert "a run takes 64 CPU, and no node of the cluster has that (at most 1 CPU)" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twelve_runs_lose_a_node_and_their_driver(light: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = light(steps=STEPS, methods=["dense", "static", "set", "rigl"], seeds=[0, 1, 2])
    reference = run_study(recipe, tmp_path / "reference", Silent(), jobs=2).folder
    with three_nodes(tmp_path / "cache") as nodes:
        driver = Driver(nodes, recipe, tmp_path / "study")
        lose_a_node(driver)
        driver.training(nodes.pids)
        driver.kill()
        attempts = require_whole(Driver(nodes, recipe, tmp_path / "study"), reference)
    assert len(attempts) == 12
