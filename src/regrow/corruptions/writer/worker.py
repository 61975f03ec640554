"""A process of the writer: ``python -m regrow.corruptions.writer.worker``.

The first pickle on standard input is a function, each further one its argument; an answer for each goes to standard
output. The process ends with its standard input, at once, so that none outlives the one that started it.
"""

from __future__ import annotations

import os
import pickle
import queue
import threading
from typing import Any

from regrow.errors import DataError, InputError, RegrowError


def _listen(inbox: queue.SimpleQueue[Any]) -> None:
    with os.fdopen(os.dup(0), "rb") as source:
        while True:
            try:
                inbox.put(pickle.load(source))  # noqa: S301 (from the process that started this one)
            except EOFError:
                os._exit(3)
            except (AttributeError, ImportError, pickle.UnpicklingError) as error:
                inbox.put(
                    InputError(
                        f"the pictures cannot be sent to another process ({error}).",
                        "define their class in a module that can be imported, or give jobs=1.",
                    )
                )


def _portable(error: Exception) -> Exception:
    if isinstance(error, RegrowError):  # whose children pickle as their whole text
        return (DataError if isinstance(error, DataError) else InputError)(error.message, error.next_step)
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (made here)
    except Exception:  # noqa: BLE001 (an exception of a library, of any make)
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def main() -> None:
    """Answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come among the answers
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(inbox,), daemon=True).start()
    work = inbox.get()
    while True:
        task = inbox.get()
        try:
            if isinstance(work, Exception):
                raise work
            answer = (True, work(task))
        except Exception as error:  # noqa: BLE001 (told to the process that asked)
            answer = (False, _portable(error))
        pickle.dump(answer, answers, protocol=5)
        answers.flush()


if __name__ == "__main__":
    main()
