"""MLflow's own client reads back what was sent, once, from a stand-in of its server and (test-full) from the server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import pytest

from regrow.tracking.content import TrackedRun
from regrow.tracking.mlflow_server import MlflowServer
from regrow.tracking.sending import BestEffort
from regrow.tracking.target import Target

#: Longest time that the real server may take to start; 6 s on an idle machine.
START_S = 400

pytest.importorskip("mlflow", reason="mlflow-skinny is not installed (extra regrow[mlflow])")


class StandIn(ThreadingHTTPServer):
    """The part of MLflow's REST interface that is used here, from its documentation; keeps everything in memory."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.artifacts: dict[str, bytes] = {}
        self.batches: list[dict[str, Any]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def of(self, run: dict[str, Any]) -> dict[str, Any]:
        last = {m["key"]: m for m in sorted(run["metrics"], key=lambda m: (m["step"], m["timestamp"]))}
        data = {name: [{"key": k, "value": v} for k, v in run[name].items()] for name in ("params", "tags")}
        return {"info": run["info"], "data": {**data, "metrics": list(last.values())}, "inputs": {}}

    def answer(self, verb: str, path: str, query: dict[str, Any]) -> Any:
        handler = getattr(self, "on_" + path.replace("/", "_").replace("-", "_"), None)
        return None if handler is None else handler(query)

    def on_experiments_get_by_name(self, query: dict[str, Any]) -> Any:
        found = self.experiments.get(query["experiment_name"])
        return found and {"experiment": self._experiment(found, query["experiment_name"])}

    def _experiment(self, number: str, name: str) -> dict[str, Any]:
        return {"experiment_id": number, "name": name, "lifecycle_stage": "active", "artifact_location": ""}

    def on_experiments_create(self, query: dict[str, Any]) -> Any:
        self.experiments[query["name"]] = str(len(self.experiments) + 1)
        return {"experiment_id": self.experiments[query["name"]]}

    def on_runs_create(self, query: dict[str, Any]) -> Any:
        number = uuid.uuid4().hex  # the client remembers where files of a run go
        experiment = query["experiment_id"]
        info = {
            "run_id": number,
            "run_uuid": number,
            "run_name": query["run_name"],
            "experiment_id": experiment,
            "user_id": "",
            "status": "RUNNING",
            "start_time": query.get("start_time", 0),
            "lifecycle_stage": "active",
            "artifact_uri": f"mlflow-artifacts:/{experiment}/{number}/artifacts",
        }
        tags = {tag["key"]: tag["value"] for tag in query.get("tags", ())}
        self.runs[number] = {"info": info, "params": {}, "tags": tags, "metrics": []}
        return {"run": self.of(self.runs[number])}

    def on_runs_get(self, query: dict[str, Any]) -> Any:
        return {"run": self.of(self.runs[query["run_id"]])}

    def on_runs_search(self, query: dict[str, Any]) -> Any:
        wanted = dict(part.replace("tags.", "").replace("`", "").split(" = ") for part in [query["filter"]] if part)
        found = [
            self.of(run)
            for run in self.runs.values()
            if run["info"]["lifecycle_stage"] == "active"
            and run["info"]["experiment_id"] in query["experiment_ids"]
            and all(run["tags"].get(key) == value.strip("'") for key, value in wanted.items())
        ]
        return {"runs": found[: query.get("max_results", 1000)]}

    def on_runs_log_batch(self, query: dict[str, Any]) -> Any:
        self.batches.append(query)
        run = self.runs[query["run_id"]]
        for param in query.get("params", ()):
            assert run["params"].setdefault(param["key"], param["value"]) == param["value"]
        run["tags"] |= {tag["key"]: tag["value"] for tag in query.get("tags", ())}
        run["metrics"] += query.get("metrics", [])
        return {}

    def on_metrics_get_history(self, query: dict[str, Any]) -> Any:
        metrics = self.runs[query["run_id"]]["metrics"]
        return {"metrics": [metric for metric in metrics if metric["key"] == query["metric_key"]]}

    def on_runs_delete(self, query: dict[str, Any]) -> Any:
        self.runs[query["run_id"]]["info"]["lifecycle_stage"] = "deleted"
        return {}

    def on_runs_update(self, query: dict[str, Any]) -> Any:
        info = self.runs[query["run_id"]]["info"]
        info |= {key: query[key] for key in ("status", "end_time") if key in query}
        return {"run_info": info}


class _Handler(BaseHTTPRequestHandler):
    server: StandIn
    ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"

    def log_message(self, *_: object) -> None:
        pass

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _work(self, verb: str) -> None:
        address = urlparse(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        if address.path.startswith(self.ARTIFACTS):
            self._artifact(verb, unquote(address.path[len(self.ARTIFACTS) + 1 :]), query, body)
            return
        query |= json.loads(body) if body else {}
        found = self.server.answer(verb, address.path.removeprefix("/api/2.0/mlflow/"), query)
        if found is None:
            self._send(404, json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": self.path}).encode())
        else:
            self._send(200, json.dumps(found).encode())

    def _artifact(self, verb: str, path: str, query: dict[str, Any], body: bytes) -> None:
        if verb == "PUT":
            self.server.artifacts[path] = body
            self._send(200, b"{}")
        elif path:
            self._send(200, self.server.artifacts[path])
        else:
            root = query["path"].rstrip("/") + "/"
            found = {p.removeprefix(root): len(b) for p, b in self.server.artifacts.items() if p.startswith(root)}
            files = [{"path": name, "is_dir": False, "file_size": size} for name, size in found.items()]
            self._send(200, json.dumps({"files": files}).encode())

    def do_GET(self) -> None:
        self._work("GET")

    def do_POST(self) -> None:
        self._work("POST")

    def do_PUT(self) -> None:
        self._work("PUT")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def _real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server of the package mlflow on loopback, in the environment that has it."""
    python = os.environ.get("REGROW_MLFLOW_PYTHON", "")
    if not python:
        pytest.skip("REGROW_MLFLOW_PYTHON names no environment with the server of mlflow: make test-full")
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [Path(python).absolute(), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers",
         "1", "--backend-store-uri", f"sqlite:///{folder / 'runs.db'}", "--artifacts-destination", folder / "files"],
        cwd=folder,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        give_up = time.monotonic() + START_S
        while True:
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < give_up, "the server does not answer"
            try:
                with urllib.request.urlopen(f"{address}/health", timeout=0.2):
                    break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(params=["stand-in", pytest.param("real", marks=[pytest.mark.full, pytest.mark.slow])])
def address(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A server on loopback."""
    if request.param == "real":
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")  # its first answers take long where much else runs
        return str(request.getfixturevalue("_real"))
    return str(request.getfixturevalue("stand_in").address)


class Reader:
    """What MLflow's client reads of a study."""

    def __init__(self, address: str) -> None:
        from mlflow import MlflowClient

        self.client = MlflowClient(tracking_uri=address)

    def runs(self, run: TrackedRun) -> list[Any]:
        experiment = self.client.get_experiment_by_name(run.study.name)
        found = self.client.search_runs([experiment.experiment_id], f"tags.`regrow.study` = '{run.study.digest}'")
        return [one for one in found if "mlflow.parentRunId" in one.data.tags]

    def history(self, run_id: str, name: str) -> list[tuple[int, float]]:
        return sorted((m.step, m.value) for m in self.client.get_metric_history(run_id, name))


@pytest.fixture
def reader(address: str) -> Reader:
    return Reader(address)


@pytest.fixture
def fresh(view: Any, request: pytest.FixtureRequest) -> Callable[..., TrackedRun]:
    """Runs of a study that no other test has: the real server serves all of them."""
    import dataclasses

    from regrow.tracking.content import tracked_run

    run_of = request.getfixturevalue("run_of")
    own = dataclasses.replace(view, recipe={"name": request.node.name, "folder": str(view.folder)})

    def make(*losses: float, **more: Any) -> TrackedRun:
        return tracked_run(own, run_of(*losses, **more), 1_700_000_000.0)

    return make


def test_settings_values_over_steps_scores_and_files_are_read_back(fresh, address, reader, tmp_path: Path) -> None:
    run, page = fresh(0.5, 0.25), tmp_path / "report.html"
    page.write_text("<!doctype html>")
    server = MlflowServer(address)
    server.send(run)
    server.send_page(run.study, page)
    (found,) = reader.runs(run)
    assert (found.info.run_name, found.info.status) == (run.name, "FINISHED")
    assert found.data.params == dict(run.parameters)
    assert {name: found.data.metrics[name] for name in run.scores} == pytest.approx(dict(run.scores))
    for name, points in run.series.items():
        assert reader.history(found.info.run_id, name) == [(p.step, pytest.approx(p.value)) for p in points]
    stamps = sorted(m.timestamp for m in reader.client.get_metric_history(found.info.run_id, "train/loss"))
    assert stamps == [1_699_999_998_000, 1_700_000_000_000]
    assert [file.path for file in reader.client.list_artifacts(found.info.run_id)] == ["result.json"]
    stored = Path(reader.client.download_artifacts(found.info.run_id, "result.json", str(tmp_path)))
    assert json.loads(stored.read_text()) == run.result
    parent = reader.client.get_run(found.data.tags["mlflow.parentRunId"])
    assert parent.info.run_name == run.study.label
    assert [file.path for file in reader.client.list_artifacts(parent.info.run_id)] == ["report.html"]


@pytest.mark.parametrize("same_process", [True, False])
def test_sent_again_it_is_updated_and_nothing_is_there_twice(fresh, address, reader, same_process: bool) -> None:
    server = MlflowServer(address)
    stages = [
        fresh(state="running", metrics=[], result=None),
        fresh(0.5, state="running", result=None),
        fresh(0.5, 0.25),
        fresh(0.5, 0.25),
    ]
    statuses = []
    for run in stages:
        (server if same_process else MlflowServer(address)).send(run)
        (found,) = reader.runs(run)
        statuses.append(found.info.status)
    assert statuses == ["RUNNING", "RUNNING", "FINISHED", "FINISHED"]
    for name, points in run.series.items():
        assert reader.history(found.info.run_id, name) == [(p.step, pytest.approx(p.value)) for p in points]
    for name, value in run.scores.items():
        assert reader.history(found.info.run_id, name) == [(run.last_step, pytest.approx(value))]


def test_a_log_that_was_cut_back_to_a_checkpoint_goes_on(fresh, address, reader) -> None:
    MlflowServer(address).send(fresh(0.5, 0.25, 0.125, state="failed"))
    MlflowServer(address).send(fresh(0.5, state="running"))  # started again from its checkpoint
    run = fresh(0.5, 0.25, 0.125, 0.0625)
    MlflowServer(address).send(run)
    (found,) = reader.runs(run)
    assert found.info.status == "FINISHED"
    assert reader.history(found.info.run_id, "train/loss") == [(10, 0.5), (20, 0.25), (30, 0.125), (40, 0.0625)]


def test_another_training_of_the_same_recipe_takes_the_place_of_the_first(fresh, address, reader) -> None:
    MlflowServer(address).send(fresh(0.5, 0.25))
    run = fresh(0.5, 0.375)
    MlflowServer(address).send(run)
    (found,) = reader.runs(run)
    assert reader.history(found.info.run_id, "train/loss") == [(10, 0.5), (20, 0.375)]


def test_long_logs_are_sent_in_parts_of_whole_steps(fresh, stand_in) -> None:
    run = fresh(*(1 / (k + 1) for k in range(500)))
    MlflowServer(stand_in.address).send(run)
    parts = [batch["metrics"] for batch in stand_in.batches if batch.get("metrics")]
    assert all(len(part) <= 1000 for part in parts)
    assert sum(len(part) for part in parts) == 500 * len(run.series) + len(run.scores)
    for part in parts[:-1]:  # the last is the scores
        steps = [metric["step"] for metric in part]
        assert all(steps.count(step) == len(run.series) for step in set(steps))


def test_a_failed_run_says_why(fresh, address, reader) -> None:
    run = fresh(0.5, state="failed", reason="the loss is nan " * 100, result=None)
    MlflowServer(address).send(run)
    (found,) = reader.runs(run)
    assert found.info.status == "FAILED"
    assert found.data.tags["reason"].startswith("the loss is nan")


def test_where_nobody_answers_it_is_said_once(sent_of, tmp_path: Path, capfd) -> None:
    said: list[str] = []
    target = Target("mlflow", f"http://127.0.0.1:{free_port()}")
    tracker = BestEffort(MlflowServer(target.place), target, said.append, tmp_path)
    for _ in range(3):
        tracker.send(sent_of(0.5))
    assert len(said) == 1
    assert "\n" not in said[0]
    assert "the study goes on" in said[0]
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
