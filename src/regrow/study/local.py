"""The local engine: one subprocess a run, N side by side; a crash of one run is a crash of that run alone."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow.study.store import get_state, set_state


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


def default_jobs() -> int:
    """Runs side by side: one an accelerator, else one a processor core that this process may use."""
    import torch

    if torch.cuda.is_available():
        return _accelerators()
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _accelerators() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def execute_all(
    runs: Sequence[Path],
    *,
    jobs: int,
    data_root: Path | None,
    on_event: Callable[[Event], None],
    sources: Mapping[str, str] | None = None,
) -> list[str]:
    """Execute runs, ``jobs`` at a time, in order; one that starts from another waits for it, and fails with it.

    Args:
        runs: folders of the runs.
        jobs: processes side by side.
        data_root: passed on to the runs.
        on_event: called in this thread for every piece of news.
        sources: name of a run -> name of the run that it starts from; those not in ``runs`` are done.

    Returns:
        Names of the runs that failed.
    """
    waiting, failed, sources = list(runs), list[str](), sources or {}
    news: queue.Queue[Event] = queue.Queue()
    running: dict[str, subprocess.Popen[bytes]] = {}
    slots: dict[str, int] = {}
    stopping = threading.Event()
    try:
        while waiting or running:
            while doomed := [run for run in waiting if sources.get(run.name) in failed]:
                waiting.remove(doomed[0])
                failed.append(doomed[0].name)
                on_event(_failed_with_its_source(doomed[0], sources[doomed[0].name]))
            while len(running) < jobs:
                run = _next(waiting, sources, running)
                if run is None:
                    break
                waiting.remove(run)
                on_event(Event(run.name, "started", {}))
                slots[run.name] = min(set(range(jobs)) - set(slots.values()))
                running[run.name] = _start(run, data_root, news, stopping, slots[run.name])
            if not running:  # what was left has just failed with its source
                break
            event = news.get()
            if event.kind in ("done", "failed"):
                _close(running.pop(event.run))
                del slots[event.run]
            if event.kind == "failed":
                failed.append(event.run)
            on_event(event)
    finally:
        stopping.set()
        for process in running.values():  # only after an interruption: a run goes on from its checkpoint next time
            process.kill()
            _close(process)
    return failed


def _next(waiting: Sequence[Path], sources: Mapping[str, str], running: Collection[str]) -> Path | None:
    """The first run whose source, if it has one, is neither waiting nor running."""
    busy = {run.name for run in waiting} | set(running)
    return next((run for run in waiting if sources.get(run.name) not in busy), None)


def _failed_with_its_source(run: Path, source: str) -> Event:
    reason = f"{source}, which it starts from, failed."
    set_state(run, "failed", reason)
    return Event(run.name, "failed", {}, reason)


def _close(process: subprocess.Popen[bytes]) -> None:
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _start(
    run: Path, data_root: Path | None, news: queue.Queue[Event], stopping: threading.Event, slot: int
) -> subprocess.Popen[bytes]:
    # one thread each: N runs side by side share the cores, and bits depend on the number of threads
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    n_accelerators = _accelerators()
    if n_accelerators > 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(str(i) for i in range(n_accelerators))).split(",")
        environment["CUDA_VISIBLE_DEVICES"] = visible[slot % n_accelerators]
    command = [sys.executable, "-m", "regrow.study.worker", str(run), *([str(data_root)] if data_root else [])]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    threading.Thread(target=_follow, args=(run, process, news, stopping), daemon=True).start()
    return process


def _follow(run: Path, process: subprocess.Popen[bytes], news: queue.Queue[Event], stopping: threading.Event) -> None:
    """Pass a worker's news on; whatever happens, its end is told."""
    event = Event(run.name, "failed", {}, "its output could not be followed.")
    try:
        event = _until_end(run, process, news, stopping)
    except OSError as error:
        event = Event(run.name, "failed", {}, f"{error.strerror or error}: {error.filename or run}")
    finally:
        news.put(event)


def _until_end(
    run: Path, process: subprocess.Popen[bytes], news: queue.Queue[Event], stopping: threading.Event
) -> Event:
    errors: list[bytes] = []
    assert process.stderr is not None
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
    reader.start()
    for line in process.stdout:
        try:
            news.put(Event(run.name, "progress", json.loads(line)))
        except ValueError:  # a library printed something
            errors.append(line)
    code = process.wait()
    reader.join()
    log = b"".join(errors)
    if log:
        (run / "log.txt").write_bytes(log)
    if code == 0:
        return Event(run.name, "done", {})
    reason: str = get_state(run)["reason"]
    if not reason and not stopping.is_set():
        last = log.decode(errors="replace").strip().splitlines()[-1:] or [""]
        how = f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        reason = f"{how}. {last[0]}".strip()
        set_state(run, "failed", reason)
    return Event(run.name, "failed", {}, reason)
