"""What a command prints: lines, tables, progress bars; plain lines where there is no terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from regrow.study.engines.engine import Event

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

#: Seconds between two lines of progress where there is no terminal.
QUIET_SECONDS = 15.0


def print_error(text: str) -> None:
    """One line on standard error."""
    err.print(f"[bold red]error:[/] {escape(text)}")


def print_json(value: object) -> None:
    """A value for machines."""
    out.print(json.dumps(value, indent=1, sort_keys=True), markup=False)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table for people."""
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(value)) for value in row))
    out.print(table)


class StudyConsole:
    """Progress of a study: a bar for every running run with loss, accuracy, density, images/s and time left."""

    def __init__(self) -> None:
        self.live = out.is_terminal
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(compact=True),
            TextColumn("[dim]{task.fields[facts]}"),
            console=out,
            disable=not self.live,
        )
        self.tasks: dict[str, TaskID] = {}
        self.last = 0.0
        self.stage_task: TaskID | None = None

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def say(self, text: str) -> None:
        """One line of news."""
        self.bars.console.print(escape(text))

    def stage(self, text: str, done: int, total: int) -> None:
        """Progress of a stage before the runs."""
        if not self.live:
            if done == 0:
                self.say(f"{text}: {total} ...")
            return
        if self.stage_task is None:
            self.stage_task = self.bars.add_task(text, total=total, facts="")
        self.bars.update(self.stage_task, completed=done)
        if done == total:
            self.bars.remove_task(self.stage_task)
            self.stage_task = None

    def event(self, event: Event) -> None:
        """News of a run."""
        if event.kind == "started":
            if self.live:
                self.tasks[event.run] = self.bars.add_task(f"{event.run} start", total=1, facts="")
            return
        if event.kind == "progress":
            self._progress(event.run, event.progress)
            return
        task = self.tasks.pop(event.run, None)
        if task is not None:
            self.bars.remove_task(task)
        self.say(f"done    {event.run}" if event.kind == "done" else f"FAILED  {event.run}: {event.reason}")

    def _progress(self, run: str, progress: dict[str, Any]) -> None:
        facts = ""
        if progress["stage"] == "train":
            facts = (
                f"loss {progress['loss']:.3f}  acc {progress['accuracy']:.1%}  "
                f"density {progress['density']:.2f}  {progress['images_per_s']:.0f} img/s"
            )
        if self.live:
            self.bars.update(
                self.tasks[run],
                description=f"{run} {progress['stage']}",
                completed=progress["done"],
                total=progress["total"],
                facts=facts,
            )
        elif time.monotonic() - self.last > QUIET_SECONDS:
            self.last = time.monotonic()
            self.say(f"{run} {progress['stage']} {progress['done']}/{progress['total']}  {facts}".rstrip())
