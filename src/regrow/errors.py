"""The errors that a user sees: one line that says what was given, what is allowed, and what to do next.

RegrowError                 the work failed (exit code 1)
├── InputError              what was given is wrong (exit code 2)
│   ├── UnknownNameError    no such method, corruption, model ... (names the nearest)
│   ├── DataError           a data file is missing, cut short or altered
│   └── BusyError           another process owns the folder
└── RunFailedError          some runs of a study failed; the others are kept
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

#: What can be done about a file that cannot be read.
OR_SKIP = "remove or replace it, or skip such files: --on-error skip, in a recipe data: {options: {on_error: skip}}."


class RegrowError(Exception):
    """Base of all errors of regrow.

    Args:
        message: what is wrong, and where; one sentence.
        next_step: what the user can type or do; one sentence, or empty.
    """

    exit_code = 1

    def __init__(self, message: str, next_step: str = "") -> None:
        self.message, self.next_step = one_line(message), one_line(next_step)
        super().__init__(f"{self.message} Next: {self.next_step}" if self.next_step else self.message)

    def __reduce__(self) -> tuple[Callable[..., RegrowError], tuple[type[RegrowError], str, str]]:
        return _told_again, (type(self), self.message, self.next_step)


class InputError(RegrowError, ValueError):
    """An argument, option, recipe or file that cannot be used as given."""

    exit_code = 2


class UnknownNameError(InputError):
    """A name that is not in a list of known names.

    Args:
        kind: singular noun of what was looked up, e.g. ``"method"``.
        given: the name that was asked for.
        known: the names that exist.
        next_step: what lists them; by default ``regrow list KINDs``.
    """

    def __init__(self, kind: str, given: str, known: Iterable[str], next_step: str | None = None) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(given, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        shown = ", ".join(names) if len(names) <= 24 else ", ".join(names[:24]) + ", ..."
        super().__init__(
            f"unknown {kind} {given!r}.{hint} Known: {shown}.",
            f"`regrow list {kind}s`." if next_step is None else next_step,
        )


class DataError(InputError):
    """A data set or data file that is missing, truncated, altered or of another format."""


class BusyError(InputError):
    """A folder that another living process owns."""


class RunFailedError(RegrowError):
    """One or more runs of a study failed; everything that is done is kept."""


def one_line(text: str) -> str:
    r"""Text in one line that a terminal shows as it is: names of files and classes may hold any character.

    Example:
        >>> print(one_line("a name\n with \x1b[2J and \udcff"))
        a name with \x1b[2J and \udcff
    """
    line = " ".join(text.split())
    return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def first_line(error: BaseException) -> str:
    """What an error of a library says first, or its name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _told_again(kind: type[RegrowError], message: str, next_step: str) -> RegrowError:
    """An error as another process raised it, whatever arguments its kind is made of."""
    error = kind.__new__(kind)
    RegrowError.__init__(error, message, next_step)
    return error
