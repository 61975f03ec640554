"""Python's garbage collector while libraries load and when a process ends: without it both take half as long.

Modules hold some million objects that live until the process ends. The collector goes through them again and again as
they are made, and twice more at exit.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Collect nothing meanwhile, nor ever what is there at its end: modules, and nothing large."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def leave_at_exit() -> None:
    """Let the operating system take the memory back when this process ends, as one piece."""
    atexit.register(gc.freeze)
