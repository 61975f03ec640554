"""The local engine: one subprocess a run, N side by side; a crash of one run is a crash of that run alone."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from regrow.study.engines import process
from regrow.study.engines.engine import Event
from regrow.study.recipe import Resources


def default_jobs(resources: Resources | None = None) -> int:
    """Runs side by side: as many as the accelerators hold, else one for each processor core that a run takes."""
    wanted, n_accelerators = resources or Resources(), _accelerators()
    if n_accelerators and wanted.gpus != 0:
        return int(n_accelerators / (wanted.gpus or 1))
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(n_cores / wanted.cpus))


def _accelerators() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


class LocalEngine:
    """Runs as processes of this machine.

    Args:
        jobs: side by side; None = as many as the machine holds.
    """

    def __init__(self, jobs: int | None = None) -> None:
        self._jobs = jobs

    def slots(self, resources: Resources) -> int:
        """Runs side by side."""
        return self._jobs or default_jobs(resources)

    @contextlib.contextmanager
    def pool(self, study: Path, resources: Resources, data_root: Path | None) -> Iterator[_Processes]:
        """As many processes as there are slots; on leaving, those that run are killed."""
        pool = _Processes(self.slots(resources), resources, data_root)
        try:
            yield pool
        finally:
            pool.end()


class _Processes:
    def __init__(self, size: int, resources: Resources, data_root: Path | None) -> None:
        self.size = size
        self._resources, self._data_root = resources, data_root
        self._news: queue.Queue[Event] = queue.Queue()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._slots: dict[str, int] = {}
        self._ending = threading.Event()

    def start(self, run: Path) -> None:
        self._news.put(Event(run.name, "started", {}))
        self._slots[run.name] = min(set(range(self.size)) - set(self._slots.values()))
        started = process.start(run, self._data_root, self._devices(self._slots[run.name]))
        self._running[run.name] = started
        threading.Thread(target=self._follow, args=(run, started), daemon=True).start()

    def news(self) -> Event:
        event = self._news.get()
        if event.kind in ("done", "failed"):
            process.close(self._running.pop(event.run))
            del self._slots[event.run]
        return event

    def end(self) -> None:
        """Kill what still runs: only after an interruption."""
        self._ending.set()
        for running in self._running.values():
            running.kill()
            process.close(running)

    def _devices(self, slot: int) -> dict[str, str]:
        """The accelerator that the run in a slot sees."""
        if self._resources.gpus == 0:
            return {"CUDA_VISIBLE_DEVICES": ""}
        n = _accelerators()
        if n < 2:
            return {}
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(str(i) for i in range(n))).split(",")
        return {"CUDA_VISIBLE_DEVICES": visible[slot % n]}

    def _follow(self, run: Path, started: subprocess.Popen[bytes]) -> None:
        """Pass a run's news on; whatever happens, its end is told."""
        event = Event(run.name, "failed", {}, "its output could not be followed.")
        try:
            code, last = process.follow(run, started, lambda news: self._news.put(Event(run.name, "progress", news)))
            if code == 0:
                event = Event(run.name, "done", {})
            elif not self._ending.is_set():
                event = Event(run.name, "failed", {}, process.fault(run, code, last))
        except OSError as error:
            event = Event(run.name, "failed", {}, f"{error.strerror or error}: {error.filename or run}")
        finally:
            self._news.put(event)
