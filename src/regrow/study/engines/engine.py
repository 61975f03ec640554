"""What an engine is, and the one loop that drives any of them: each run in its turn, none before its source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from regrow.study.recipe import Resources
from regrow.study.store import set_state


@dataclass(frozen=True)
class Event:
    """News of a run.

    Attributes:
        run: its name.
        kind: ``started``, ``progress``, ``done`` or ``failed``.
        progress: fields of a Progress (with kind ``progress``).
        reason: why it failed.
    """

    run: str
    kind: str
    progress: dict[str, Any]
    reason: str = ""


class Pool(Protocol):
    """Places for runs, held while a study is executed.

    Attributes:
        size: runs that are given to it at once.
    """

    size: int

    def start(self, run: Path) -> None:
        """Take a run; returns at once."""

    def news(self) -> Event:
        """Wait for the next piece of news: of each run ``started``, progress, then ``done`` or ``failed``, once."""


class Engine(Protocol):
    """Executes runs, by :func:`regrow.study.execute.execute` in a process of their own each."""

    def slots(self, resources: Resources) -> int:
        """How many runs that take ``resources`` it holds side by side.

        Raises:
            InputError: not even one, ever.
        """

    def pool(self, study: Path, resources: Resources, data_root: Path | None) -> AbstractContextManager[Pool]:
        """Places for runs of a study; on leaving, what still runs is ended, and goes on from its checkpoint next time.

        Args:
            study: its folder, which this process owns.
            resources: what each run takes.
            data_root: where data sets lie; None = the usual places.

        Raises:
            InputError: the study cannot be executed there.
        """


class Order:
    """Which run comes next: in the order given, but none while the run that it starts from is not done.

    Args:
        runs: their folders.
        sources: name of a run -> name of the run that it starts from; those not in ``runs`` are done.

    Attributes:
        running: names of the runs that were given out and have not ended.
        failed: names of those that failed.
    """

    def __init__(self, runs: Sequence[Path], sources: Mapping[str, str]) -> None:
        self._waiting, self._sources = list(runs), sources
        self.running: set[str] = set()
        self.failed: list[str] = []

    def next(self) -> Path | None:
        """Give out the first run that may start; None when there is none now."""
        busy = {run.name for run in self._waiting} | self.running
        run = next((run for run in self._waiting if self._sources.get(run.name) not in busy), None)
        if run is not None:
            self._waiting.remove(run)
            self.running.add(run.name)
        return run

    def end(self, run: str, *, failed: bool) -> None:
        """A run has ended."""
        self.running.remove(run)
        if failed:
            self.failed.append(run)

    def doomed(self) -> Iterator[tuple[Path, str]]:
        """Give up the runs whose source failed, one after the other, each with the name of its source."""
        while run := next((run for run in self._waiting if self._sources.get(run.name) in self.failed), None):
            self._waiting.remove(run)
            self.failed.append(run.name)
            yield run, self._sources[run.name]


def execute_all(
    runs: Sequence[Path],
    *,
    engine: Engine,
    data_root: Path | None,
    on_event: Callable[[Event], None],
    resources: Resources | None = None,
    sources: Mapping[str, str] | None = None,
) -> list[str]:
    """Execute runs of one study in order; one that starts from another waits for it, and fails with it.

    Args:
        runs: folders of the runs.
        engine: where they are executed.
        data_root: passed on to the runs.
        on_event: called in this thread for every piece of news.
        resources: what each run takes; None = the usual.
        sources: name of a run -> name of the run that it starts from; those not in ``runs`` are done.

    Returns:
        Names of the runs that failed.

    Raises:
        InputError: they cannot be executed there.
    """
    if not runs:
        return []
    order = Order(runs, sources or {})
    with engine.pool(runs[0].parent.parent, resources or Resources(), data_root) as pool:
        while True:
            for doomed, source in order.doomed():
                reason = f"{source}, which it starts from, failed."
                set_state(doomed, "failed", reason)
                on_event(Event(doomed.name, "failed", {}, reason))
            while len(order.running) < pool.size and (run := order.next()) is not None:
                pool.start(run)
            if not order.running:
                return order.failed
            event = pool.news()
            if event.kind in ("done", "failed"):
                order.end(event.run, failed=event.kind == "failed")
            on_event(event)
