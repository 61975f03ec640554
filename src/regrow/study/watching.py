"""What a study is doing, read from its files alone while another process works on it: nothing is written or locked."""

from __future__ import annotations

import itertools
import json
import os
import pkgutil
import statistics
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from regrow import files
from regrow.errors import DataError, InputError
from regrow.evaluation.records import record_path
from regrow.study.cell_index import listed
from regrow.study.snapshots import Pace, RunSnapshot, StudySnapshot, part, with_time_left
from regrow.study.store import Store, get_state
from regrow.study.summaries import is_published
from regrow.study.view import at
from regrow.training.length import length_of
from regrow.training.settings import RunSettings

#: Bytes at the end of a log that are read; they hold more than `RECENT` rows.
TAIL_BYTES = 8192
#: Rows of the log that a rate is taken over.
RECENT = 8


class Watcher:
    """Looks at a study again and again; what no longer changes is read once.

    Args:
        folder: the study.

    Raises:
        InputError: no study in the folder, or published results, in which nothing goes on.
        DataError: ``study.yaml`` is damaged.
    """

    def __init__(self, folder: Path) -> None:
        if is_published(folder):
            raise InputError(f"{folder} holds published results: nothing runs there.", f"`regrow verdict {folder}`.")
        self.store = Store(folder)
        content = self.store.load()
        names = content["runs"]
        if not isinstance(names, list):
            raise DataError(f"{self.store.study_file} is damaged (runs).", "choose another --out and start again.")
        self.names = [str(name) for name in names]
        self._name, self._dataset = str(at(content, "recipe.name")), str(at(content, "recipe.data.name"))
        self._title = str(at(content, "recipe.title") or "")
        self._n_images = at(content, "data.n_images")
        self._n_analyses = _count_analyses()
        self._lengths: dict[str, tuple[int, int]] = {}
        self._done: dict[str, tuple[float | None, RunSnapshot]] = {}

    def look(self, now: float | None = None) -> StudySnapshot:
        """The study as its files are now.

        Args:
            now: seconds since the epoch; None = the clock's.
        """
        now = time.time() if now is None else now
        cells = self._cell_files()
        runs = tuple(self._run(name, cells) for name in self.names)
        return with_time_left(
            StudySnapshot(str(self.store.folder), self._name, self._title, len(cells), self._n_analyses, runs, now)
        )

    def _cell_files(self) -> frozenset[str]:
        """Names of the records of a run that is tested on all cells."""
        try:
            cells = listed(files.read_json(self.store.cells / "index.json"), self._dataset)
        except (DataError, AttributeError, KeyError, TypeError, ValueError):  # not made yet, or damaged
            return frozenset()
        return frozenset(record_path(Path(), self._dataset, *cell).name for cell in cells)

    def _run(self, name: str, cells: frozenset[str]) -> RunSnapshot:
        folder = self.store.run(name)
        changed = _changed(folder / "state.json")
        if name in self._done and self._done[name][0] == changed:
            return self._done[name][1]
        found = self._read(folder, cells)
        if found.state == "done" and cells:
            self._done[name] = changed, found
        return found

    def _read(self, folder: Path, cells: frozenset[str]) -> RunSnapshot:
        try:
            state = get_state(folder)
            trained = (folder / "model.safetensors").exists() and (folder / "result.json").exists()
            result = files.read_json(folder / "result.json") if trained else {}
            versions = _versions(folder)
        except DataError as error:
            return RunSnapshot(folder.name, "damaged", error.message)
        rows = last_rows(folder / "metrics.jsonl")
        steps, batch = self._length(folder)
        records = _changes(folder / "records", cells)
        last = rows[-1] if rows else {}
        step = (steps or 0) if trained else int(last.get("step", 0))
        stage = "train" if not trained else "evaluate" if len(records) < len(cells) else "analyse"
        pace = Pace(
            step=_step_seconds(rows, batch, result),
            cell=_between(records),
            analyses=_after(records, folder) if state["state"] == "done" and state["attempts"] == 1 else None,
        )
        analyses = min(len(versions), self._n_analyses)
        parts = (part(step, steps), part(len(records), len(cells) or None), part(analyses, self._n_analyses))
        return RunSnapshot(
            name=folder.name,
            **state,
            stage=stage if state["state"] in ("running", "failed") else "",
            step=step,
            steps=steps,
            cells=len(records),
            analyses=analyses,
            share=1.0 if state["state"] == "done" else sum(parts) / len(parts),
            loss=_number(last.get("loss")),
            accuracy=_number(last.get("accuracy")),
            density=_number(last.get("density")),
            images_per_s=_number(last.get("images_per_s")),
            changed_at=_last_change(folder),
            pace=pace,
        )

    def _length(self, folder: Path) -> tuple[int | None, int | None]:
        """The last step of a run and the examples a step; None where its settings cannot be read."""
        if folder.name not in self._lengths:
            try:
                settings = RunSettings.model_validate(files.read_json(folder / "run.json")["settings"])
                n_images = settings.data.train_images or self._n_images
                if n_images is None:  # of studies of before the plan held it
                    n_images = files.read_json(folder / "plan.json")["n_images"]
                self._lengths[folder.name] = length_of(settings, int(n_images)).last, settings.training.batch
            except (DataError, KeyError, TypeError, ValueError):
                return None, None
        return self._lengths[folder.name]


def snapshot(folder: Path, now: float | None = None) -> StudySnapshot:
    """Where a study stands, from its files alone; see `Watcher` for looking again and again."""
    return Watcher(folder).look(now)


def last_rows(path: Path, n: int = RECENT) -> list[dict[str, Any]]:
    """The last whole rows of a log of JSON lines, which may be long and may be growing; damaged ones are left out."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().split(b"\n")[1 if start else 0 :]  # the first may have been cut
    except OSError:
        return []
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return rows[-n:]


def _step_seconds(rows: Sequence[Mapping[str, Any]], batch: int | None, result: Mapping[str, Any]) -> float | None:
    """Seconds of a step: of a trained run over all its steps, else over the last rows of its log."""
    steps, seconds = _number(at(result, "steps")), _number(at(result, "wall_s"))
    if steps and seconds:
        return seconds / steps
    rates = [rate for row in rows if (rate := _number(row.get("images_per_s")))]
    return statistics.fmean(batch / rate for rate in rates) if rates and batch else None


def _versions(folder: Path) -> Mapping[str, Any]:
    """The analyses of a run that are there, by name."""
    path = folder / "analysis" / "made_from.json"
    made = at(files.read_json(path), "versions") if path.exists() else {}
    return made if isinstance(made, Mapping) else {}


def _count_analyses() -> int:
    """How many analyses there are: each file of the folder is one. Listed, as importing them would load torch."""
    return sum(1 for _ in pkgutil.iter_modules([str(Path(__file__).parent / "analyses")]))


def _changed(path: Path) -> float | None:
    """When a file or folder last changed, in seconds since the epoch; None where it is not there."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _changes(folder: Path, names: Collection[str]) -> list[float]:
    """When each of some files of a folder was written, in order; those that are not there are left out."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.stat().st_mtime for entry in entries if entry.name in names)
    except OSError:
        return []


def _between(times: Sequence[float]) -> float | None:
    """The median time between two files: a pause between two attempts does not move it."""
    return statistics.median(b - a for a, b in itertools.pairwise(times)) if len(times) > 1 else None


def _after(records: Sequence[float], folder: Path) -> float | None:
    """Seconds between the last record and the end of a run."""
    end = _changed(folder / "state.json")
    return max(0.0, end - records[-1]) if records and end is not None else None


def _last_change(folder: Path) -> float | None:
    places = ("state.json", "metrics.jsonl", "checkpoint.pt", "model.safetensors", "records", "analysis")
    times = [changed for place in places if (changed := _changed(folder / place)) is not None]
    return max(times, default=None)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
