"""Engines by name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from regrow.errors import InputError, UnknownNameError
from regrow.study.engines.engine import Engine
from regrow.study.engines.local import LocalEngine

ENGINES = ("local", "ray")


@contextlib.contextmanager
def opened(name: str, *, jobs: int | None = None, address: str | None = None) -> Iterator[Engine]:
    """An engine, as long as it is needed.

    Args:
        name: one of `ENGINES`.
        jobs: runs side by side; None = as many as there is room for.
        address: of a cluster; None = the one that is at hand.

    Raises:
        InputError: no such engine, or no such cluster.
    """
    if name not in ENGINES:
        raise UnknownNameError("engine", name, ENGINES, "leave --engine out for this machine alone.")
    if name == "local":
        if address is not None:
            raise InputError(f"--address {address} is of a cluster.", "add --engine ray.")
        yield LocalEngine(jobs)
        return
    from regrow.study.engines.cluster import connected

    with connected(address, jobs) as engine:
        yield engine
