"""Scores from records, each with its formula and the cells it was taken over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from regrow.corruptions import common_names, families, names
from regrow.evaluation import calibration, metrics
from regrow.evaluation.metrics import Cell
from regrow.evaluation.records import Record
from regrow.statistics import wilson


class Score(NamedTuple):
    """A number and how it came about; whoever prints the one prints the other.

    Attributes:
        name: e.g. ``"mCE"``.
        value: in the unit of its formula, accuracies and errors in per cent.
        formula: in symbols.
        over: the cells it was taken over.
        interval: 95 per cent interval over test images, where one is known.
    """

    name: str
    value: float
    formula: str
    over: str
    interval: tuple[float, float] | None = None


#: All severities.
EVERY = (1, 2, 3, 4, 5)
_MEAN = "mean over types of the mean over severities of the share of right answers, in %"


def scores(records: Mapping[Cell, Record]) -> list[Score]:
    """All scores that the records suffice for; a mean whose cells are not all there is left out.

    Args:
        records: (corruption, severity) -> record; clean is ``("clean", 0)``.
    """
    accuracy = {cell: record.accuracy for cell, record in records.items()}
    found = []
    if ("clean", 0) in records:
        found.append(clean_score(records["clean", 0]))
    done = [name for name in dict.fromkeys(c for c, s in records if s) if all((name, s) in records for s in EVERY)]
    n_images = {len(record.correct) for (_, severity), record in records.items() if severity}
    for label, chosen in groups(done).items():
        value = metrics.mean_accuracy(accuracy, chosen, EVERY)
        if value is not None:
            found.append(Score(label, 100 * value, _MEAN, over(chosen, n_images)))
    common = [name for name in common_names() if name in done]
    for family, value in sorted(metrics.by_family(accuracy, families(), common, EVERY).items()):
        members = [name for name in common if families()[name] == family]
        found.append(Score(family, 100 * value, _MEAN, over(members, n_images)))
    return found + calibrated(records, done, over(done, n_images))


def calibrated(records: Mapping[Cell, Record], done: Sequence[str], where: str) -> list[Score]:
    """Calibration error, Brier score and cross entropy, each as the mean over all cells of some types.

    Args:
        records: as of :func:`scores`.
        done: the types.
        where: what they are taken over, in words.
    """
    cells = [records[cell] for cell in records if cell[0] in done]
    return [
        Score(label, sum(map(function, cells)) / len(cells), f"mean over cells of {formula}", where)
        for label, function, formula in _CALIBRATION
        if cells
    ]


def clean_score(record: Record, what: str = "images") -> Score:
    """Accuracy on clean images or clips with its interval."""
    n = len(record.correct)
    low, high = wilson(int(record.correct.sum()), n)
    return Score(
        "clean", 100 * record.accuracy, "share of right answers, in %; Wilson interval", f"{n} clean {what}",
        (100 * low, 100 * high),
    )  # fmt: skip


_CALIBRATION: Sequence[tuple[str, Callable[[Record], float], str]] = (
    ("ECE", calibration.expected_calibration_error, "sum_b n_b / n |acc_b - conf_b|, 15 bins of equal width"),
    ("Brier", calibration.brier_score, "the mean of sum_k (p_k - [k is the label])^2"),
    ("NLL", calibration.negative_log_likelihood, "the mean of -log p_label, in nats"),
)


def groups(done: Sequence[str]) -> dict[str, Sequence[str]]:
    """Means by label: over the fifteen, over the nineteen, and over the types that are there, if these are others."""
    if not done:
        return {}
    known: dict[str, Sequence[str]] = {"mean15": common_names(), "mean19": names()}
    if sorted(done) in (sorted(chosen) for chosen in known.values()):
        return known
    label = f"mean{len(done)}"
    return known | {f"{label} of others" if label in known else label: done}


def over(chosen: Sequence[str], n_images: Iterable[int]) -> str:
    """What a mean over types at all severities is taken over, in words.

    Args:
        chosen: the types.
        n_images: of the cells; one number, or several where they differ.
    """
    known = {tuple(common_names()): "the 15 common types", tuple(names()): "all 19 types"}
    label = known.get(tuple(sorted(chosen)), ", ".join(chosen))
    images = " or ".join(str(n) for n in sorted(set(n_images)))
    return f"{label} x severities 1 to 5, {images} images each"
