"""Worker processes: a function applied to many tasks, side by side.

They are subprocesses of ours and not those of ``concurrent.futures``, because those run the caller's script again
(which needs a guard), and outlive a caller that is killed.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from regrow.errors import InputError, RegrowError

Task = TypeVar("Task")

#: Tasks that wait beside those being worked on, so that no worker waits for the caller.
_AHEAD = 2


def usable_cpus() -> int:
    """Processor cores that this process may use."""
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def run(
    work: Callable[[Task], Any], tasks: Iterable[Task], jobs: int, fill: Callable[[Task], Task] = lambda task: task
) -> Generator[tuple[Task, Any]]:
    """Apply ``work`` to tasks.

    Args:
        work: function of a task; with several processes it is pickled once for each.
        tasks: taken in order, one by one.
        jobs: processes; 1 works in this one.
        fill: gives a task what it needs just before it is sent.

    Yields:
        Tasks and their results, in the order of their ends.

    Raises:
        RegrowError: a process died.
        Exception: what ``work`` raised.
    """
    if jobs == 1:
        for task in tasks:
            yield task, work(fill(task))
        return
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()

    def ask(task: Task) -> Any:
        worker = idle.get()
        try:
            return worker.ask(fill(task))
        finally:
            idle.put(worker)

    with ThreadPoolExecutor(jobs) as threads, contextlib.ExitStack() as workers:
        for _ in range(jobs):
            idle.put(workers.enter_context(_Worker(work)))
        pending: dict[Future[Any], Task] = {}
        try:
            for task in tasks:
                pending[threads.submit(ask, task)] = task
                if len(pending) == jobs + _AHEAD:
                    yield from _ended(pending)
            while pending:
                yield from _ended(pending)
        finally:
            for future in pending:
                future.cancel()


def _ended(pending: dict[Future[Any], Task]) -> Iterator[tuple[Task, Any]]:
    for future in wait(pending, return_when=FIRST_COMPLETED).done:
        yield pending.pop(future), future.result()


class _Worker:
    """A process that holds ``work``. It is killed at the end, whatever it does: what it had finished is noted."""

    def __init__(self, work: object) -> None:
        # one thread each: the processes share the cores
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self._work: object | None = work
        self._process = subprocess.Popen(
            [sys.executable, "-m", "regrow.corruptions.writer.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **threads},
            process_group=0,  # Ctrl-C reaches this process alone
        )

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def ask(self, task: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            for message in [self._work, task] if self._work is not None else [task]:
                self._process.stdin.write(_pickled(message))
            self._work = None
            self._process.stdin.flush()
            is_result, answer = pickle.load(self._process.stdout)  # noqa: S301 (from a process started here)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            code = self._process.wait()
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise RegrowError(
                f"a process of the writer ended early ({how}).",
                "run the same command again, it goes on where it was; if memory was short, with --jobs 1.",
            ) from None
        if is_result:
            return answer
        raise answer


def _pickled(message: object) -> bytes:
    try:
        return pickle.dumps(message, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(
            f"the pictures cannot be sent to another process ({error}).",
            "make them of a class that can be pickled, or give jobs=1.",
        ) from None
