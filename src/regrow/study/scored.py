"""What comes of scoring a network on corrupted images or clips, and whose classes are whose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from regrow.data.fileset import FileSet
from regrow.data.scan import in_parts
from regrow.data.spec import ImageSet, Labels
from regrow.errors import DataError, InputError
from regrow.evaluation.metrics import Cell
from regrow.evaluation.records import Record
from regrow.study.networks import CheckedModel


@dataclass(frozen=True)
class Scored:
    """Records of a network.

    Attributes:
        records: (corruption, severity) -> record; clean is ``("clean", 0)``.
        skipped: a line for each file that could not be read.
        notes: what must be said beside the numbers.
    """

    records: dict[Cell, Record] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def class_numbers(groups: Sequence[str], labels: Labels, checked: CheckedModel, where: Path | str) -> Labels:
    """Numbers of the network's classes: by the names of the class folders where it knows them, else as they stand.

    Args:
        groups: class folder of each file; empty where there are none.
        labels: int64 (n,): numbers of the classes in the set.
        checked: the network.
        where: what messages call the set.

    Raises:
        InputError: neither the names nor the number of classes are the network's.
    """
    number = {name: k for k, name in enumerate(checked.spec.classes)}
    there = set(groups)
    if there and checked.named and there <= set(number):
        return np.array([number[group] for group in groups], np.int64)
    n = len(number)
    if int(labels.max()) + 1 == n:
        return labels
    strange = sorted(there - set(number)) if checked.named else []
    also = f", among them {strange[0]!r}, which is none of its classes" if strange else ""
    raise InputError(
        f"{checked.name} has {n} classes, {where} has {int(labels.max()) + 1}{also}.",
        "give a network that was trained on these classes.",
    )


def changed_since(checked: CheckedModel, test: ImageSet | FileSet) -> list[str]:
    """What must be said of a run's own test part where its files are no longer as many as when it was trained."""
    if dict(test.spec.splits) == dict(checked.spec.splits):
        return []
    then, now = (", ".join(f"{n} {split}" for split, n in s.splits.items()) for s in (checked.spec, test.spec))
    return [f"its files have changed since ({then} then, {now} now): some that are tested may have been trained on"]


def unreadable(n: int, read: Callable[[int], object], where: str) -> dict[int, str]:
    """Which files of a cell cannot be read, and why.

    Args:
        n: how many files there are.
        read: reads one, by its number.
        where: what messages call the cell.

    Raises:
        DataError: none can be read.
    """

    def check(part: range) -> list[tuple[int, str]]:
        bad = []
        for i in part:
            try:
                read(i)
            except DataError as error:
                bad.append((i, error.message))
        return bad

    bad = dict(row for _, rows in in_parts(check, n, size=4) for row in rows)
    if len(bad) == n:
        raise DataError(f"none of the {n} files of {where} can be read.", "look at the set.")
    return bad
