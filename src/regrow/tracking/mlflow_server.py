"""MLflow: an experiment of every study name, in it a run of the study with the page, and below it the study's runs."""

from __future__ import annotations

import importlib
import itertools
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regrow import extras, files
from regrow.tracking.content import Point, TrackedRun, TrackedStudy, run_key

#: What the client is told where the user has not: give up soon, tell nobody, print nothing.
_MANNERS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
#: The tag by which a run is found again.
KEY = "regrow.key"
_PARENT = "mlflow.parentRunId"
#: Series by which a training is known; sent in one request with the others of its step.
_LOSS = "train/loss"
_STATUS = {"running": "RUNNING", "done": "FINISHED", "failed": "FAILED", "damaged": "FAILED"}
#: Limits of a request to MLflow's server.
MOST_METRICS, MOST_PARAMETERS, MOST_CHARACTERS = 1000, 100, 500


@dataclass
class _Known:
    """What the server has of a run."""

    id: str
    step: int = -1
    status: str = "RUNNING"
    parameters: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class MlflowServer:
    """Sends runs to an MLflow server: what is there already is not sent again.

    Args:
        address: tracking URI.

    Raises:
        InputError: mlflow is not installed.
    """

    def __init__(self, address: str) -> None:
        for name, value in _MANNERS.items():
            os.environ.setdefault(name, value)
        self._mlflow = extras.library("mlflow", "runs on an MLflow server")
        self._entities: Any = importlib.import_module("mlflow.entities")
        self.address = address
        self._connected: Any = None
        self._experiments: dict[str, str] = {}
        self._known: dict[str, _Known] = {}

    @property
    def _client(self) -> Any:
        if self._connected is None:  # a database is opened here, and may not be there
            self._connected = self._mlflow.MlflowClient(tracking_uri=self.address)
        return self._connected

    def send(self, run: TrackedRun) -> None:
        """Send what the server does not have of a run.

        A run of the same key whose losses or settings are others was another training: it is deleted (the server keeps
        deleted runs until they are purged) and a new one takes its place.
        """
        known = self._known.get(run.key) or self._find(run)
        self._known[run.key] = known
        last = max((points[-1].seconds for points in run.series.values() if points), default=0.0)
        for rows in _in_parts(_by_step(run.series, known.step), MOST_METRICS // max(1, len(run.series))):
            self._log(known, metrics=[self._metric(run, *value) for row in rows for value in row])
            known.step = rows[-1][0][1].step
        scores = {_named(name): value for name, value in run.scores.items()}
        new = {name: value for name, value in scores.items() if known.metrics.get(name) != value}
        end = [self._metric(run, name, Point(run.last_step, last, value)) for name, value in new.items()]
        for part in _in_parts(end, MOST_METRICS):
            self._log(known, metrics=part)
        known.metrics |= new
        parameters = {name: text for name, text in _parameters(run).items() if name not in known.parameters}
        for names in _in_parts(parameters, MOST_PARAMETERS):
            self._log(known, params=[self._entities.Param(name, parameters[name]) for name in names])
        known.parameters |= parameters
        self._send_result(known, run)
        self._tag(known, {**run.tags, "state": run.state, "reason": run.reason[:MOST_CHARACTERS]})
        self._end(known, _STATUS[run.state], _milliseconds(run.began + last))

    def send_page(self, study: TrackedStudy, page: Path) -> None:
        """Send the page of a study to the run of the study as a whole, unless it is there as it is."""
        known, digest = self._study(study), files.file_digest(page)
        if known.tags.get("regrow.page") != digest:
            self._client.log_artifact(known.id, str(page))
            self._tag(known, {"regrow.page": digest})

    def _send_result(self, known: _Known, run: TrackedRun) -> None:
        if run.result is None:
            return
        digest = files.value_digest(dict(run.result))
        if known.tags.get("regrow.result") != digest:
            text = json.dumps(run.result, indent=1, sort_keys=True) + "\n"
            self._client.log_text(known.id, text, "result.json")
            self._tag(known, {"regrow.result": digest})

    def _find(self, run: TrackedRun) -> _Known:
        """What the server has of a run; one is begun where there is none, or none of this training."""
        parent = self._study(run.study)
        found = self._search(run.study, run.key)
        if found is not None:
            losses = sorted((m.step, m.value) for m in self._client.get_metric_history(found.id, _LOSS))
            if _same_training(losses, run) and _agree(found.parameters, _parameters(run)):
                found.step = losses[-1][0] if losses else -1
                return found
            self._client.delete_run(found.id)
        return self._begin(run.study, run.key, run.name, run.began, {_PARENT: parent.id})

    def _study(self, study: TrackedStudy) -> _Known:
        """The run of a study as a whole."""
        key = run_key(study, "")
        if key not in self._known:
            known = self._search(study, key)
            if known is None:
                known = self._begin(study, key, study.label, None, {"title": study.title, "tier": study.tier})
                self._end(known, "FINISHED", None)  # it is a folder; nothing runs in it
            self._known[key] = known
        return self._known[key]

    def _search(self, study: TrackedStudy, key: str) -> _Known | None:
        found = self._client.search_runs([self._experiment(study)], f"tags.`{KEY}` = '{key}'", max_results=1)
        if not found:
            return None
        (run,) = found
        data = run.data
        return _Known(run.info.run_id, -1, run.info.status, dict(data.params), dict(data.metrics), dict(data.tags))

    def _begin(self, study: TrackedStudy, key: str, name: str, began: float | None, tags: Mapping[str, str]) -> _Known:
        tags = {**tags, KEY: key, "regrow.study": study.digest}
        start = None if began is None else _milliseconds(began)
        run = self._client.create_run(self._experiment(study), start_time=start, tags=tags, run_name=name)
        return _Known(run.info.run_id, tags=dict(tags))

    def _experiment(self, study: TrackedStudy) -> str:
        if study.name not in self._experiments:
            found = self._client.get_experiment_by_name(study.name)
            made = self._client.create_experiment(study.name) if found is None else found.experiment_id
            self._experiments[study.name] = str(made)
        return self._experiments[study.name]

    def _metric(self, run: TrackedRun, name: str, point: Point) -> Any:
        return self._entities.Metric(_named(name), point.value, _milliseconds(run.began + point.seconds), point.step)

    def _log(self, known: _Known, **what: Any) -> None:
        self._client.log_batch(known.id, **what)

    def _tag(self, known: _Known, tags: Mapping[str, str]) -> None:
        new = {name: text for name, text in tags.items() if known.tags.get(name, "") != text}
        if new:
            self._log(known, tags=[self._entities.RunTag(name, text) for name, text in new.items()])
            known.tags |= new

    def _end(self, known: _Known, status: str, at: int | None) -> None:
        if known.status != status and status == "RUNNING":
            self._client.update_run(known.id, status=status)
        elif known.status != status:
            self._client.set_terminated(known.id, status, at)
        known.status = status


def _by_step(series: Mapping[str, Sequence[Point]], after: int) -> list[list[tuple[str, Point]]]:
    """The values of each step after one, in order of steps: those of one step are sent together or not at all."""
    rows: dict[int, list[tuple[str, Point]]] = {}
    for name, points in series.items():
        for point in points:
            if point.step > after:
                rows.setdefault(point.step, []).append((name, point))
    return [rows[step] for step in sorted(rows)]


def _in_parts(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(values)
    while part := list(itertools.islice(rest, size)):
        yield part


def _same_training(losses: Sequence[tuple[int, float]], run: TrackedRun) -> bool:
    """Whether the server's losses are those of the run, as far as both go."""
    own = {point.step: point.value for point in run.series.get(_LOSS, ())}
    return all(step not in own or math.isclose(own[step], value, rel_tol=1e-9) for step, value in losses)


def _agree(there: Mapping[str, str], here: Mapping[str, str]) -> bool:
    return all(there.get(name, text) == text for name, text in here.items())


def _parameters(run: TrackedRun) -> dict[str, str]:
    return {_named(name): text[:MOST_CHARACTERS] for name, text in run.parameters.items()}


def _named(name: str) -> str:
    """A name that MLflow takes."""
    return re.sub(r"[^\w.\-/ ]", "_", name)


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
