"""The process of one run: ``python -m regrow.study.engines.worker RUN [DATA_ROOT]``.

Progress goes to standard output as JSON lines. The process ends when its standard input closes, so that no run
outlives the engine that started it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
import time
from pathlib import Path

from regrow._collector import leave_at_exit, loading
from regrow.errors import BusyError, RegrowError

#: Exit code where another process has the run: its state is not ours to write.
BUSY = 4


def _end_with_parent() -> None:
    while os.read(0, 4096):  # not through sys.stdin, whose lock a daemon thread must not hold at exit
        pass
    os._exit(3)


def main(arguments: list[str]) -> int:
    """Execute a run; exit code 0 done, 1 or 2 failed (the reason is in its state and on standard error), or BUSY."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    leave_at_exit()
    with loading():
        import torch

        from regrow.study.execute import execute
        from regrow.training.loop import Progress

    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    said, stage = 0.0, ""

    def report(progress: Progress) -> None:
        nonlocal said, stage
        now = time.monotonic()
        if progress.stage != stage or now - said > 0.3 or progress.done == progress.total:
            said, stage = now, progress.stage
            sys.stdout.write(json.dumps(dataclasses.asdict(progress)) + "\n")
            sys.stdout.flush()

    try:
        execute(Path(arguments[0]), Path(arguments[1]) if len(arguments) > 1 else None, report)
    except RegrowError as error:
        sys.stderr.write(f"{error}\n")
        return BUSY if isinstance(error, BusyError) else error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
