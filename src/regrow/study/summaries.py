"""A study as summaries: what others need to check its numbers, without checkpoints and images.

``study.yaml`` holds recipe, precision and registration, ``study.json`` what was evaluated and the analyses of the study
as a whole, and ``runs/NAME.json`` settings, result, topology history and analyses of a run, and for each cell the
accuracy, the number of images and the correct answers as packed bits (``numpy.packbits``, base64): about 0.1 MB a run.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from regrow import files
from regrow.errors import DataError, InputError
from regrow.evaluation.records import load_record, record_path
from regrow.study.store import Store
from regrow.study.view import Cell, CellScore, RunView, StudyView

SCHEMA = 2
_OF_STUDY = (
    "name",
    "title",
    "tier",
    "environment",
    "data",
    "corruptions",
    "severities",
    "families",
    "common",
    "common_words",
    "notes",
    "started",
    "analyses",
    "problems",
)
_OF_RUN = (
    "name",
    "method",
    "sparsity",
    "seed",
    "axes",
    "state",
    "reason",
    "attempts",
    "settings",
    "result",
    "plan",
    "history",
    "attenuation",
    "reliance",
    "analyses",
    "damaged",
)


def is_published(folder: Path) -> bool:
    """Whether a folder holds a study as summaries."""
    return (folder / "study.json").exists()


def study_summary(view: StudyView) -> dict[str, Any]:
    """What ``study.json`` holds of a study."""
    return {"schema": SCHEMA, **{key: _plain(getattr(view, key)) for key in _OF_STUDY}}


def run_summary(run: RunView, cells: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """What ``runs/NAME.json`` holds of a run.

    Args:
        run: the run.
        cells: further figures of a cell by ``CORRUPTION.SEVERITY``, e.g. its mean loss.
    """
    more = cells or {}
    scores = {
        f"{name}.{severity}": {
            "accuracy": score.accuracy,
            "n": score.n,
            **({"correct": _packed(run, (name, severity))} if (name, severity) in run.correct else {}),
            **more.get(f"{name}.{severity}", {}),
        }
        for (name, severity), score in sorted(run.scores.items())
    }
    return {"schema": SCHEMA, **{key: _plain(getattr(run, key)) for key in _OF_RUN}, "cells": scores}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _packed(run: RunView, cell: Cell) -> str:
    return base64.b64encode(run.correct[cell].tobytes()).decode()


def cell_figures(store: Store, dataset: str, run: RunView) -> dict[str, dict[str, float]]:
    """Mean confidence, loss and Brier score of every cell of a run."""
    figures = {}
    for corruption, severity in run.scores:
        record, _ = load_record(record_path(store.run(run.name) / "records", dataset, corruption, severity))
        figures[f"{corruption}.{severity}"] = {
            "mean_confidence": float(record.confidence.mean()),
            "mean_loss": float(record.loss.mean()),
            "mean_brier": float(record.brier.mean()),
        }
    return figures


def load_summaries(folder: Path) -> StudyView:
    """A study from its summaries.

    A file that cannot be read is named among the problems, and its run counts as missing.

    Raises:
        InputError: the folder holds no summaries.
        DataError: study.yaml or study.json is damaged.
    """
    if not is_published(folder):
        raise InputError(f"{folder} holds no published study (no study.json).", "`regrow report STUDY --publish DIR`.")
    whole = files.read_json(folder / "study.json")
    if not isinstance(whole, dict) or whole.get("schema") != SCHEMA:
        raise DataError(f"{folder / 'study.json'} has another schema.", "publish the study again.")
    content = Store(folder).load()
    runs, problems = [], list(whole["problems"])
    for name in content["runs"]:
        path = folder / "runs" / f"{name}.json"
        try:
            runs.append(_run(files.read_json(path)) if path.exists() else _absent(content, name))
        except (DataError, KeyError, TypeError, ValueError, binascii.Error) as error:
            problems.append(f"{path} cannot be read ({type(error).__name__}): the run counts as missing.")
            runs.append(_absent(content, name))
    return StudyView(
        folder=folder,
        **{key: whole[key] for key in _OF_STUDY if key != "problems"},
        recipe=content["recipe"],
        precision={**content["precision"], "probe": content["probe"]},
        runs=sorted(runs, key=lambda run: run.method != "dense"),
        registration=content.get("registration"),
        registered_at=str(content.get("planned_at", "")) if content.get("registration") else "",
        problems=problems,
    )


def _run(stored: Mapping[str, Any]) -> RunView:
    if stored.get("schema") != SCHEMA:
        raise ValueError("another schema")
    scores: dict[Cell, CellScore] = {}
    correct: dict[Cell, Any] = {}
    for key, cell in stored["cells"].items():
        name, severity = key.rsplit(".", 1)
        scores[name, int(severity)] = CellScore(float(cell["accuracy"]), int(cell["n"]))
        if "correct" in cell:
            bits = np.frombuffer(base64.b64decode(cell["correct"], validate=True), np.uint8)
            if abs(np.unpackbits(bits, count=int(cell["n"])).mean() - float(cell["accuracy"])) > 1e-9:
                raise ValueError(f"{key}: the answers do not give the accuracy")
            correct[name, int(severity)] = bits
    return RunView(**{key: stored[key] for key in _OF_RUN}, scores=scores, correct=correct)


def _absent(content: Mapping[str, Any], name: str) -> RunView:
    """A planned run of which there is no summary."""
    label, sparsity, seed = _parts(name)
    return RunView(name=name, method=label, sparsity=sparsity, seed=seed, axes={}, state="planned")


def _parts(name: str) -> tuple[str, float, int]:
    """Label, sparsity and seed of a run's name."""
    rest, _, seed = name.rpartition("-seed")
    label, _, sparsity = rest.rpartition("-s")
    return label, float(sparsity.partition("-")[0]), int(seed)


def write_summaries(view: StudyView, content: Mapping[str, Any], out: Path, store: Store | None = None) -> None:
    """Write ``study.yaml``, ``study.json`` and ``runs/NAME.json``.

    Args:
        view: the study.
        content: of its ``study.yaml``.
        out: where to.
        store: of the study, where further figures of its cells are to be read from.
    """
    files.write_text(out / "study.yaml", yaml.safe_dump(dict(content), sort_keys=False))
    files.write_json(out / "study.json", study_summary(view))
    for run in view.runs:
        cells = None if store is None else cell_figures(store, view.data["name"], run)
        files.write_json(out / "runs" / f"{run.name}.json", run_summary(run, cells))
