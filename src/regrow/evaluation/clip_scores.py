"""Scores of networks for clips: mPC and rPC of Yi et al. 2021 (arXiv:2110.06513), with formulas and cells."""

from __future__ import annotations

from collections.abc import Mapping

from regrow.evaluation.metrics import Cell, mean_accuracy
from regrow.evaluation.records import Record
from regrow.evaluation.scores import Score, calibrated, clean_score


def clip_scores(records: Mapping[Cell, Record]) -> list[Score]:
    """All scores that the records suffice for: clean accuracy, mPC, rPC and calibration.

    Args:
        records: (corruption, severity) -> record; clean is ``("clean", 0)``. Types that lack severities of others are
            left out of the means.
    """
    accuracy = {cell: record.accuracy for cell, record in records.items()}
    levels = sorted({severity for _, severity in records if severity})
    names = list(dict.fromkeys(name for name, severity in records if severity))
    done = [name for name in names if all((name, level) in records for level in levels)]
    clean = records.get(("clean", 0))
    found = [] if clean is None else [clean_score(clean, "clips")]
    mean = mean_accuracy(accuracy, done, levels)
    if mean is None:
        return found
    counts = sorted({len(records[name, level].correct) for name in done for level in levels})
    where = f"{', '.join(done)} x {_levels(levels)}, {' or '.join(map(str, counts))} clips each"
    formula = "mPC = mean over types of the mean over severities of the share of right answers, in %"
    found.append(Score("mPC", 100 * mean, formula, where))
    if clean is not None and clean.accuracy:
        found.append(Score("rPC", 100 * mean / clean.accuracy, "rPC = mPC / clean, in %", where))
    return found + calibrated(records, done, where)


def _levels(levels: list[int]) -> str:
    if len(levels) == 1:
        return f"severity {levels[0]}"
    whole = levels == list(range(levels[0], levels[-1] + 1))
    return f"severities {levels[0]} to {levels[-1]}" if whole else f"severities {', '.join(map(str, levels))}"
