"""Stub until the real module is here."""

from __future__ import annotations

from typing import Any

NAMES: tuple[str, ...] = ()
NOTE = "stand-ins"


def write(*_: Any) -> None:
    """Nothing."""
