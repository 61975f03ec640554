"""The edge of this room: reads a study's folder and sends its runs, all at once or as the study goes on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from regrow.errors import DataError, RegrowError
from regrow.study.cells import CellSet, open_cells
from regrow.study.load import load_run, load_study
from regrow.study.plan import PlannedRun
from regrow.study.store import Store
from regrow.study.view import RunView, StudyView
from regrow.tracking.content import TrackedRun, TrackedStudy, tracked_run, tracked_study
from regrow.tracking.target import Target, without_secrets

#: Seconds between two looks at the logs of the runs that are going on.
EVERY_S = 30.0
#: Longest time that a study waits at its end until all is sent.
FINISH_S = 60.0


class Tracker(Protocol):
    """An adaptor to a tool of tracking; sending again what is there changes nothing."""

    def send(self, run: TrackedRun) -> None:
        """Send what is not there yet of a run."""

    def send_page(self, study: TrackedStudy, page: Path) -> None:
        """Send the report page of a study."""


def open_tracker(target: Target, folder: Path) -> Tracker:
    """The tracker of a target; nothing is sent or reached yet.

    Args:
        target: which, and where.
        folder: the study, for event files that have no folder of their own.

    Raises:
        InputError: its library is not installed.
    """
    if target.kind == "tensorboard":
        from regrow.tracking.event_files import EventFiles

        return EventFiles(Path(target.place) if target.place else folder / "tensorboard")
    from regrow.tracking.mlflow_server import MlflowServer

    return MlflowServer(target.place)


def send_study(folder: Path, target: Target) -> int:
    """Send all runs of a study that were begun, and its page.

    Args:
        folder: the study, or its published summaries.
        target: where to.

    Returns:
        How many runs were sent.

    Raises:
        InputError: no study in the folder, or the tracker's library is not installed.
        RegrowError: the server cannot be reached, or refuses.
    """
    tracker, view = open_tracker(target, folder), load_study(folder)
    try:
        return _send_all(tracker, view)
    except Exception as error:
        if isinstance(error, RegrowError):
            raise
        raise RegrowError(
            f"{target} took not everything ({_reason(error)}).",
            "check the address and that the server runs, then the same command again: nothing is sent twice.",
        ) from error


def _send_all(tracker: Tracker, view: StudyView) -> int:
    begun = [run for run in view.runs if run.state != "planned"]
    for run in begun:
        tracker.send(_tracked(view, run))
    page = Store(view.folder).report
    if page.exists():
        tracker.send_page(tracked_study(view), page)
    return len(begun)


def _tracked(view: StudyView, run: RunView) -> TrackedRun:
    log = Store(view.folder).run(run.name) / "metrics.jsonl"
    return tracked_run(view, run, (log if log.exists() else Store(view.folder).study_file).stat().st_mtime)


def _reason(error: Exception) -> str:
    """An error of whatever library in a few words, without passwords: what the system said, where it said something."""
    deepest: BaseException | None = error
    while deepest is not None:
        if isinstance(deepest, OSError) and deepest.strerror:
            return f"{deepest.strerror}: {deepest.filename}" if deepest.filename else deepest.strerror
        deepest = deepest.__cause__ or deepest.__context__
    return without_secrets(" ".join(str(error).split()))[:200] or type(error).__name__


class BestEffort:
    """A tracker that fails at most once: then it says so in one line and does nothing any more.

    Args:
        tracker: the tracker.
        target: what it is called.
        warn: takes the line.
        folder: the study, for the command that sends it later.
    """

    def __init__(self, tracker: Tracker, target: Target, warn: Callable[[str], None], folder: Path) -> None:
        self._tracker, self._target, self._warn, self._folder = tracker, target, warn, folder
        self.given_up = False

    def send(self, run: TrackedRun) -> None:
        """As of the tracker, or nothing."""
        self._try(lambda: self._tracker.send(run))

    def send_page(self, study: TrackedStudy, page: Path) -> None:
        """As of the tracker, or nothing."""
        self._try(lambda: self._tracker.send_page(study, page))

    def _try(self, work: Callable[[], None]) -> None:
        if self.given_up:
            return
        try:
            work()
        except Exception as error:  # noqa: BLE001 (whatever a library raises, no study may end for it)
            self.given_up = True
            self._warn(
                f"Tracking to {self._target} has ended ({_reason(error)}); the study goes on. "
                f"Later: regrow track {self._folder} --to {self._target}"
            )


class Following:
    """Tracks a study while it runs, from a thread of its own: the study's engine never waits for it.

    Args:
        folder: the study; need not be planned yet.
        trackers: where to; none of them may raise.
        warn: takes a line when the study's own files cannot be read, or not all was sent in time.
        every_s: seconds between two looks at the logs of the runs that are going on.
    """

    def __init__(
        self,
        folder: Path,
        trackers: Sequence[BestEffort],
        warn: Callable[[str], None],
        every_s: float = EVERY_S,
    ) -> None:
        self._folder, self._trackers, self._warn, self._every_s = folder, list(trackers), warn, every_s
        self._news: queue.Queue[tuple[str, str] | None] = queue.Queue()
        self._study: _Study | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def tell(self, run: str, kind: str) -> None:
        """News of a run: ``started``, ``done`` or ``failed``. Returns at once."""
        self._news.put((run, kind))

    def finish(self, wait_s: float = FINISH_S) -> None:
        """Send what is left, and the page; wait for it no longer than so."""
        self._news.put(None)
        self._thread.join(wait_s)
        if self._thread.is_alive():
            self._stopped.set()
            self._warn(f"Not everything was sent in time. Later: regrow track {self._folder} --to TRACKER")

    def abandon(self) -> None:
        """Send nothing more."""
        self._stopped.set()
        self._news.put(None)

    def _work(self) -> None:
        running: dict[str, None] = {}
        while not self._stopped.is_set():
            try:
                news = self._news.get(timeout=self._every_s)
            except queue.Empty:
                self._send(running)
                continue
            if news is None:
                break
            name, kind = news
            if kind == "started":
                running[name] = None
            else:
                running.pop(name, None)
                self._send([name])
        if not self._stopped.is_set():
            self._careful(self._send_rest)

    def _send(self, names: Iterable[str]) -> None:
        self._careful(lambda: self._send_runs(names))

    def _careful(self, work: Callable[[], None]) -> None:
        if all(tracker.given_up for tracker in self._trackers) or not Store(self._folder).exists():
            return
        try:
            work()
        except (RegrowError, OSError) as error:
            self._trackers.clear()
            self._warn(f"Tracking has ended: {error}")

    def _send_runs(self, names: Iterable[str]) -> None:
        self._study = self._study or _Study(self._folder)
        for name in names:
            if self._stopped.is_set():
                return
            run = self._study.run(name)
            if run is not None:
                for tracker in self._trackers:
                    tracker.send(run)

    def _send_rest(self) -> None:
        view = load_study(self._folder)
        for tracker in self._trackers:
            _send_all(tracker, view)


class _Study:
    """A study of which single runs are read."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self.view = replace(load_study(folder), runs=(), examples={}, films={}, analyses={})
        self.planned: dict[str, PlannedRun] = {run.name: run for run in self.store.planned()}

    def run(self, name: str) -> TrackedRun | None:
        """One run as it is now; None where the study has no such run, or it was not begun."""
        if name not in self.planned:  # of the study whose networks this one tests
            return None
        found = load_run(self.store.run(name), self.planned[name], self._cells())
        return None if found.state == "planned" else _tracked(self.view, found)

    def _cells(self) -> CellSet | None:
        try:
            return open_cells(self.store.cells, str(self.view.data["name"]))
        except DataError:
            return None
