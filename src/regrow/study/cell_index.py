"""Which cells a study is tested on, by their index alone: neither images nor torch are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Cell = tuple[str, int]


def listed(stored: Mapping[str, Any], dataset: str) -> dict[Cell, str]:
    """The cells that ``cells/index.json`` lists.

    Args:
        stored: content of the index.
        dataset: name of the data set, with which the files' names begin.

    Returns:
        (corruption, severity) -> digest of the cell's file, or of what it is made from; clean is ``("clean", 0)``.

    Example:
        >>> listed({"digests": {"labels.npy": "a", "cues.clean.0.npy": "b", "cues.fog.3.npy": "c"}}, "cues")
        {('clean', 0): 'b', ('fog', 3): 'c'}
    """
    digests: dict[Cell, str] = {}
    virtual = stored.get("virtual", {})  # schema 1 had none
    for file, digest in {**stored["digests"], **virtual}.items():
        if file != "labels.npy":
            corruption, severity = file.removeprefix(f"{dataset}.").removesuffix(".npy").rsplit(".", 1)
            digests[corruption, int(severity)] = digest
    for name, rows in stored.get("published", {}).items():
        digests |= {(name, int(severity)): digest for severity, digest in rows["digests"].items()}
    return digests
