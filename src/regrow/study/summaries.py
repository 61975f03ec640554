"""A study as summaries: what others need to check its numbers, without checkpoints and images.

``study.yaml`` holds recipe, precision and registration, ``study.json`` what was evaluated and the analyses of the study
as a whole, and ``runs/NAME.json`` settings, result, topology history and analyses of a run, and for each cell the
accuracy, the number of images and the correct answers as packed bits (``numpy.packbits``, base64): about 0.2 MB a run.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from regrow import files
from regrow.errors import DataError, InputError
from regrow.evaluation.records import load_record, record_path
from regrow.study.plan import PlannedRun
from regrow.study.store import Store
from regrow.study.view import Cell, CellScore, RunView, StudyView

SCHEMA = 2
#: What ``study.json`` holds, each value of its kind.
_OF_STUDY: Mapping[str, Any] = {
    "name": str,
    "title": str,
    "tier": str,
    "environment": dict,
    "data": dict,
    "corruptions": list,
    "severities": list,
    "families": dict,
    "common": list,
    "common_words": str,
    "notes": list,
    "started": int,
    "analyses": dict,
    "problems": list,
}
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
    "registration",
)

#: What a value of a run must be for the verdict to go on.
_KINDS: Mapping[str, Any] = {
    "method": str,
    "sparsity": int | float,
    "seed": int,
    "axes": dict,
    "state": str,
    "plan": dict,
    "result": dict | None,
    "analyses": dict,
    "damaged": list,
}


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
            **({"images": run.images[name, severity]} if (name, severity) in run.images else {}),
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

    A run whose summary cannot be read is ``damaged``, says why, and counts as missing.

    Raises:
        InputError: the folder holds no summaries.
        DataError: study.yaml or study.json is damaged.
    """
    if not is_published(folder):
        raise InputError(f"{folder} holds no published study (no study.json).", "`regrow report STUDY --publish DIR`.")
    whole = files.read_json(folder / "study.json")
    if not isinstance(whole, dict) or whole.get("schema") != SCHEMA:
        raise DataError(f"{folder / 'study.json'} has another schema.", "publish the study again.")
    if missing := [key for key in _OF_STUDY if key not in whole]:
        raise DataError(f"{folder / 'study.json'} is damaged: {missing[0]} is missing.", "publish the study again.")
    if wrong := [key for key, kind in _OF_STUDY.items() if not isinstance(whole[key], kind)]:
        said = f"{wrong[0]} is {whole[wrong[0]]!r:.60}"
        raise DataError(f"{folder / 'study.json'} is damaged: {said}.", "publish the study again.")
    store = Store(folder)
    content, problems = store.load(), list(whole["problems"])
    for key in ("name", "tier"):  # the recipe has a digest, and what a study may say hangs on its tier
        if whole[key] != content["recipe"].get(key):
            raise DataError(
                f"{folder / 'study.json'} says {key} {whole[key]}, the recipe {content['recipe'][key]}.",
                "publish the study again.",
            )
    planned = cache(lambda: _planned(store))
    runs = [_read(store, str(name), planned) for name in content["runs"]]
    strange = sorted({path.stem for path in (folder / "runs").glob("*.json")} - {run.name for run in runs})
    if strange:
        problems.append(f"Summaries of runs that the study did not plan are left out: {', '.join(strange)}.")
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


def _planned(store: Store) -> dict[str, PlannedRun]:
    """The runs of a study's recipe by their names."""
    return {run.name: run for run in store.planned()}


def _read(store: Store, name: str, planned: Callable[[], Mapping[str, PlannedRun]]) -> RunView:
    """A planned run from its summary; where that cannot be read, or is not there, what was planned."""
    path = files.inside(store.folder / "runs", f"{name}.json")
    if not path.exists():
        return _as_planned(store, name, planned(), "planned")
    try:
        return read_summary(path, name)
    except DataError as error:
        return _as_planned(store, name, planned(), "damaged", [error.message])


def read_summary(path: Path, name: str) -> RunView:
    """One run from its summary.

    Raises:
        DataError: it cannot be read, or is of another run.
    """
    try:
        return _run(files.read_json(path), name)
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError, binascii.Error) as error:
        raise DataError(f"{path} cannot be read ({_said(error)}).", "publish the study again.") from None


def _said(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error) or type(error).__name__


def _run(stored: Mapping[str, Any], name: str) -> RunView:
    if stored.get("schema") != SCHEMA:
        raise ValueError("another schema")
    if stored["name"] != name:
        raise ValueError(f"it is of {stored['name']}")
    for key, kind in _KINDS.items():
        if not isinstance(stored[key], kind):
            raise ValueError(f"{key} is {stored[key]!r:.60}")
    scores: dict[Cell, CellScore] = {}
    correct: dict[Cell, Any] = {}
    images: dict[Cell, str] = {}
    for key, cell in stored["cells"].items():
        corruption, severity = key.rsplit(".", 1)
        where = corruption, int(severity)
        scores[where] = _score(cell, key)
        if "correct" in cell:
            correct[where] = _bits(cell, key)
        if "images" in cell:
            images[where] = str(cell["images"])
    known = {key: stored[key] for key in _OF_RUN if key != "registration"}
    return RunView(
        **known, scores=scores, correct=correct, images=images, registration=str(stored.get("registration") or "")
    )


def _score(cell: Mapping[str, Any], key: str) -> CellScore:
    score = CellScore(float(cell["accuracy"]), int(cell["n"]))
    if not 0 <= score.accuracy <= 1 or score.n < 1:
        raise ValueError(f"{key}: accuracy {score.accuracy} of {score.n} images")
    return score


def _bits(cell: Mapping[str, Any], key: str) -> Any:
    """The packed answers of a cell, which must be as many as its images and give its accuracy."""
    bits, n = np.frombuffer(base64.b64decode(cell["correct"], validate=True), np.uint8), int(cell["n"])
    if len(bits) != (n + 7) // 8 or abs(np.unpackbits(bits, count=n).mean() - float(cell["accuracy"])) > 1e-9:
        raise ValueError(f"{key}: the answers do not give the accuracy")
    return bits


def _as_planned(
    store: Store, name: str, planned: Mapping[str, PlannedRun], state: str, damaged: Sequence[str] = ()
) -> RunView:
    """A run as the recipe says, of which nothing else is known."""
    if name not in planned:
        raise DataError(f"{store.study_file} lists {name}, which is no run of its recipe.", "publish the study again.")
    run = planned[name]
    return RunView(
        name=name,
        method=run.label,
        sparsity=run.settings.sparsity,
        seed=int(name.rpartition("-seed")[2]),
        axes=dict(run.axes),
        state=state,
        damaged=damaged,
    )


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
        if store is not None and store.uses_taken(run.name):
            files.write_bytes(out / "runs" / f"{run.name}.json", store.taken(run.name).read_bytes())
            continue
        cells = None if store is None else cell_figures(store, view.data["name"], run)
        files.write_json(out / "runs" / f"{run.name}.json", run_summary(run, cells))
