"""Where to track: ``tensorboard``, ``tensorboard:FOLDER`` or ``mlflow:ADDRESS``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from regrow.errors import InputError, UnknownNameError

KINDS = ("mlflow", "tensorboard")
_EXAMPLES = "`tensorboard`, `tensorboard:FOLDER` or `mlflow:http://HOST:PORT`."


@dataclass(frozen=True)
class Target:
    """A tracker and its place.

    Attributes:
        kind: one of `KINDS`.
        place: a folder (empty = ``STUDY/tensorboard``), or the address of a server.
    """

    kind: str
    place: str = ""

    def __str__(self) -> str:
        """As it is given, without a user's name and password."""
        return f"{self.kind}:{without_secrets(self.place)}" if self.place else self.kind


def parse_target(text: str) -> Target:
    """Read a target as it is given on the command line.

    Raises:
        UnknownNameError: no such tracker.
        InputError: MLflow without an address.

    Example:
        >>> parse_target("mlflow:http://localhost:5000")
        Target(kind='mlflow', place='http://localhost:5000')
    """
    kind, _, place = text.partition(":")
    if kind not in KINDS:
        raise UnknownNameError("tracker", kind, KINDS, _EXAMPLES)
    if kind == "mlflow" and not place:
        raise InputError("mlflow was given without an address.", _EXAMPLES)
    return Target(kind, place)


def without_secrets(text: str) -> str:
    """A text in which no address holds a user's name and password.

    Example:
        >>> without_secrets("no answer from https://me:secret@host/x")
        'no answer from https://host/x'
    """
    return re.sub(r"(?<=//)[^/@\s]*@", "", text)
