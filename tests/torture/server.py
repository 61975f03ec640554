"""Loads regrow once, then forks a process for each command that is asked for, which may be killed at any moment.

A line of JSON on standard input is a question, a line on standard output its answer; see ``Server`` in ``conftest.py``.
What is killed is the whole of regrow: runs of a study are executed in the process itself, and not in workers that would
each have to be started anew. The engine with its workers is killed in ``tests/study/test_kill.py``.

Operations are counted by an audit hook, which Python calls before it opens, renames or removes a file, whoever asks.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import select
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import altair as alt  # noqa: F401 (loaded once, not for each report)
import torch

torch.set_num_threads(1)

from regrow import cli  # noqa: E402
from regrow.cli import corrupt, evaluate, study  # noqa: E402, F401
from regrow.corruptions.writer import blocks  # noqa: E402
from regrow.report import page, write  # noqa: E402
from regrow.study import execute, making, run, score  # noqa: E402
from regrow.study.engines.engine import Event  # noqa: E402

#: What changes a folder.
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.link", "shutil.rmtree"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Shared:
    """What a forked process tells its parent, also when it is killed: operations so far, and the stage."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 128)

    @property
    def operations(self) -> int:
        return int(struct.unpack_from("<q", self.memory)[0])

    @operations.setter
    def operations(self, value: int) -> None:
        struct.pack_into("<q", self.memory, 0, value)

    @property
    def stage(self) -> str:
        return self.memory[8:].split(b"\0")[0].decode()

    @stage.setter
    def stage(self, value: str) -> None:
        self.memory[8:] = value.encode().ljust(120, b"\0")


def in_this_process(
    runs: Sequence[Path],
    *,
    data_root: Path | None,
    on_event: Callable[[Event], None],
    **_: Any,
) -> list[str]:
    """As ``execute_all``: a run that fails is told of and leaves the others alone."""
    failed = []
    for folder in runs:
        on_event(Event(folder.name, "started", {}))
        try:
            execute.execute(folder, data_root)
            on_event(Event(folder.name, "done", {}))
        except Exception as error:  # noqa: BLE001 (a worker would end with any)
            failed.append(folder.name)
            on_event(Event(folder.name, "failed", {}, str(error)))
    return failed


def staged(shared: Shared, module: Any, name: str, stage: str) -> None:
    """Have a function say what is done while it runs."""
    function = getattr(module, name)

    def called(*arguments: Any, **options: Any) -> Any:
        before, shared.stage = shared.stage, stage
        result = function(*arguments, **options)
        shared.stage = before
        return result

    setattr(module, name, called)


def count_operations(shared: Shared, watch: str, at: int, number: int) -> None:
    """Count what changes files below a folder; send a signal to this process just before one of them."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if not isinstance(arguments[2], int) or not arguments[2] & WRITING:
                return
        elif event not in CHANGES:
            return
        if not str(arguments[0]).startswith(watch):
            return
        shared.operations += 1
        if shared.operations == at:
            os.kill(os.getpid(), number)

    sys.addaudithook(hook)


def let_clocks_jump() -> None:
    """The wall clock goes to and fro by years, the other one leaps ahead as after a long sleep."""
    chance, wall, steady, ahead = random.Random(1), time.time, time.monotonic, 0.0

    def jumping() -> float:
        return wall() + chance.uniform(-1e9, 1e9)

    def leaping() -> float:
        nonlocal ahead
        ahead += chance.choice((0.0, 0.0, 3600.0))
        return steady() + ahead

    time.time, time.monotonic = jumping, leaping


def child(question: dict[str, Any], shared: Shared, err: int) -> int:
    """What the forked process does; its exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(err, 2)
    run.execute_all = in_this_process
    blocks.BLOCK_PIXELS = 1 << 10  # several blocks of few pictures
    shared.stage = question["command"][0]
    for module, name, stage in (
        (making, "make_cells", "study: test images"),
        (execute, "train", "study: train"),
        (execute, "evaluate", "study: evaluate"),
        (execute, "analyse", "study: analyse"),
        (run, "analyse_study", "study: analyse"),
        (study, "_run", "study"),
        (write, "write_report", "study: report"),
        (score, "save", "evaluate"),
    ):
        staged(shared, module, name, stage)
    if not question.get("page"):
        write.render = lambda view, verdict=None: f"<!doctype html><title>{view.name}</title></html>"
    if question.get("clock"):
        let_clocks_jump()
    at, number = (question.get("stop_at"), signal.SIGSTOP) if "stop_at" in question else (
        question.get("kill_at"), signal.SIGKILL)  # fmt: skip
    count_operations(shared, question["watch"], at or 0, number)
    return cli.run(question["command"])


class Process:
    """A forked process and what is known of it."""

    def __init__(self, question: dict[str, Any]) -> None:
        self.shared, self.begun = Shared(), time.monotonic()
        self.err = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the process)
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                code = child(question, self.shared, self.err.fileno())
            finally:
                sys.stderr.flush()
                os._exit(code)

    def ended(self, kill_after: float | None = None) -> dict[str, Any]:
        """Wait until it has ended or was stopped, or kill it at some moment."""
        if kill_after is not None:
            handle = os.pidfd_open(self.pid)
            if not select.select([handle], [], [], kill_after)[0]:
                os.kill(self.pid, signal.SIGKILL)
            os.close(handle)
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        stopped = os.WIFSTOPPED(status)
        self.err.seek(0)
        return {
            "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": os.WSTOPSIG(status) if stopped else os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            "operations": self.shared.operations,
            "stage": self.shared.stage,
            "seconds": time.monotonic() - self.begun,
            "err": self.err.read().decode(errors="replace"),
            "pid": self.pid if stopped else 0,
        }


def main() -> None:
    """Answer questions until there are no more."""
    page.vega = lambda: "(() => {})();"  # the charts' library: bundling it takes seconds, and it is the same everywhere
    stopped: dict[int, Process] = {}
    for line in sys.stdin:
        question = json.loads(line)
        if "continue" in question:
            process = stopped.pop(question["continue"])
            os.kill(process.pid, signal.SIGCONT)
            answer = process.ended()
        else:
            process = Process(question)
            answer = process.ended(question.get("kill_after"))
        if answer["pid"]:
            stopped[answer["pid"]] = process
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
