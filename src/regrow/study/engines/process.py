"""The process of one run, as any engine starts and follows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from regrow.study.engines.worker import BUSY
from regrow.study.store import get_state, set_state

#: One thread: N runs side by side share the cores, and bits depend on the number of threads.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def start(
    run: Path, data_root: Path | None, environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start the process of a run (:mod:`regrow.study.engines.worker`); it ends when this one does.

    Args:
        run: folder of the run.
        data_root: where data sets lie; None = the usual places.
        environment: variables that it has beside, or instead of, those of this process.
        folder: its working directory; None = that of this process.
    """
    command = [sys.executable, "-m", "regrow.study.engines.worker", str(run), *([str(data_root)] if data_root else [])]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment, **ONE_THREAD},
        cwd=folder,
    )


def follow(
    run: Path, process: subprocess.Popen[bytes], on_progress: Callable[[dict[str, Any]], None]
) -> tuple[int, str]:
    """Follow a run's process to its end; what it printed is left in ``log.txt``.

    Args:
        run: folder of the run.
        process: as :func:`start` gave it.
        on_progress: called with the fields of each Progress.

    Returns:
        Its exit code (negative: the signal that killed it), and the last line that it printed.
    """
    errors: list[bytes] = []
    assert process.stderr is not None
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
    reader.start()
    for line in process.stdout:
        try:
            on_progress(json.loads(line))
        except (ValueError, RecursionError):  # a library printed something
            errors.append(line)
    code = process.wait()
    reader.join()
    log = b"".join(errors)
    if log:
        (run / "log.txt").write_bytes(log)
    return code, (log.decode(errors="replace").strip().splitlines() or [""])[-1]


def close(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a process and give its pipes back."""
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def fault(run: Path, code: int, last: str) -> str:
    """Why a run's process ended with a code other than 0, having printed ``last``.

    The run's state says so from then on, unless the run is another process's.
    """
    if code == BUSY:
        return last
    reason: str = get_state(run)["reason"]
    if not reason:
        how = f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        reason = f"{how}. {last}".strip()
        set_state(run, "failed", reason)
    return reason
