"""Two networks on the same images: differences of accuracy with paired intervals over the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from regrow.errors import DataError
from regrow.evaluation.metrics import Cell
from regrow.evaluation.records import Record
from regrow.evaluation.scores import EVERY, Score, groups, over
from regrow.statistics import mean_interval

_FORMULA = (
    "mean over images of the mean over cells of (right answers of the network - of the other), in points; t interval "
    "over images: it says nothing of networks trained with other seeds"
)


def differences(records: Mapping[Cell, Record], other: Mapping[Cell, Record], protocol: str = "") -> list[Score]:
    """Network minus the other: on clean images, and on the mean over the types that both have at all severities.

    An image's share of right answers over the cells is one value, since its answers under several corruptions belong
    together.

    Args:
        records: (corruption, severity) -> record of the network; the same images in the same order in each cell.
        other: the same of the other network.
        protocol: put before the names, e.g. ``"RobustBench "``.

    Raises:
        DataError: their cells do not hold the same number of images.
    """
    both = {cell: (records[cell], other[cell]) for cell in records if cell in other}
    for (name, severity), (a, b) in both.items():
        if len(a.correct) != len(b.correct):
            raise DataError(f"{name} {severity}: {len(a.correct)} and {len(b.correct)} images.", "evaluate the same.")
    found = []
    if ("clean", 0) in both:
        where = f"{len(both['clean', 0][0].correct)} clean images"
        found.append(_score(f"{protocol}clean difference", both, [("clean", 0)], where))
    done = [n for n in dict.fromkeys(c for c, s in both if s) if all((n, s) in both for s in EVERY)]
    for label, chosen in groups(done).items():
        cells = [(name, severity) for name in chosen for severity in EVERY]
        if not all(cell in both for cell in cells):
            continue
        n_images = {len(both[cell][0].correct) for cell in cells}
        if len(n_images) == 1:  # else an image has no number that all cells share
            found.append(_score(f"{protocol}{label} difference", both, cells, over(chosen, n_images)))
    return found


def _score(name: str, both: Mapping[Cell, tuple[Record, Record]], cells: Sequence[Cell], where: str) -> Score:
    each = sum(both[c][0].correct.astype(float) - both[c][1].correct.astype(float) for c in cells)
    interval = mean_interval(100 * np.asarray(each) / len(cells))
    ends = None if interval.low is None or interval.high is None else (interval.low, interval.high)
    return Score(name, interval.mean, _FORMULA, where, ends)
