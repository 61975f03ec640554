"""TensorBoard: an event file of every run, ``FOLDER/STUDY-DIGEST/RUN``."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regrow import extras, files
from regrow.tracking.content import TrackedRun, TrackedStudy

#: What the files of TensorBoard are called.
_PATTERN = "events.out.tfevents.*"


class EventFiles:
    """Writes runs as event files. A run's file is written whole and tells readers to forget that of before.

    Args:
        folder: the log folder, for ``tensorboard --logdir``.

    Raises:
        InputError: tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        extras.library("tensorboard", "logs for TensorBoard")
        self.folder = folder
        self._written: dict[str, str] = {}

    def send(self, run: TrackedRun) -> None:
        """Write a run, unless it was written before as it is now."""
        content = files.value_digest(dataclasses.asdict(run))
        if self._written.get(run.key) == content:
            return
        folder = self.folder / run.study.label / run.name
        before = sorted(folder.glob(_PATTERN))
        _write(run, folder)
        for path in before[:-1]:  # a TensorBoard that is open may be reading the last
            path.unlink(missing_ok=True)
        self._written[run.key] = content

    def send_page(self, study: TrackedStudy, page: Path) -> None:
        """Nothing: TensorBoard keeps no files, and the page lies in the study's folder."""


def _write(run: TrackedRun, folder: Path) -> None:
    tensorboard: Any = importlib.import_module("torch.utils.tensorboard")
    summary: Any = importlib.import_module("torch.utils.tensorboard.summary")
    writer = tensorboard.SummaryWriter(str(folder), purge_step=0)  # whoever has read the files of before forgets them
    try:
        for name, points in run.series.items():
            for point in points:
                writer.add_scalar(name, point.value, point.step, walltime=run.began + point.seconds)
        for name, value in run.scores.items():
            writer.add_scalar(name, value, run.last_step)
        facts = {"state": run.state, "reason": run.reason, **run.tags}
        writer.add_text("run", _table({name: value for name, value in facts.items() if value}))
        if run.result is not None:
            writer.add_text("result", f"```\n{json.dumps(run.result, indent=1, sort_keys=True)}\n```")
        parameters = {name: _value(text) for name, text in run.parameters.items()}
        for part in summary.hparams(parameters, dict(run.scores)):  # add_hparams would begin a second file
            writer.file_writer.add_summary(part)
    finally:
        writer.close()


def _value(text: str) -> str | float:
    """A setting as a number where it is one, so that TensorBoard can draw it on an axis."""
    try:
        return float(text)
    except ValueError:
        return text


def _table(values: Mapping[str, str]) -> str:
    rows = [f"| {name} | {value.replace('|', '&#124;')} |" for name, value in values.items()]
    return "\n".join(["| name | value |", "| --- | --- |", *rows])
