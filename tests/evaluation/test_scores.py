"""Scores from records: which are there, over what, and that each says how it came about."""

import numpy as np
import pytest

from regrow.corruptions import common_names, names
from regrow.evaluation.records import Record
from regrow.evaluation.scores import scores


def record(right: int, n: int = 20) -> Record:
    correct = np.arange(n) < right
    confidence = np.full(n, 0.75, np.float32)
    return Record(np.zeros(n, np.int16), correct, confidence, np.full(n, 0.5, np.float32), np.full(n, 0.25, np.float32))


def cells(chosen: list[str], right: int = 10) -> dict:
    return {(name, s): record(right) for name in chosen for s in range(1, 6)}


def by_name(records: dict) -> dict:
    found = scores(records)
    assert len({score.name for score in found}) == len(found)
    assert all(score.formula and score.over for score in found)
    return {score.name: score for score in found}


def test_all_nineteen_give_both_means_and_the_families_of_the_fifteen():
    records = cells(names()) | {("clean", 0): record(18)} | {("spatter", s): record(0) for s in range(1, 6)}
    found = by_name(records)
    assert found["mean15"].value == pytest.approx(50)
    assert found["mean19"].value == pytest.approx(50 * 18 / 19)
    assert found["mean15"].over == "the 15 common types x severities 1 to 5, 20 images each"
    assert {found[family].value for family in ("noise", "blur", "weather", "digital")} == {
        50
    }  # spatter is none of them
    assert found["clean"].value == pytest.approx(90)
    low, high = found["clean"].interval
    assert (low, high) == pytest.approx((69.9, 97.2), abs=0.1)  # Wilson's interval of 18 in 20
    assert found["ECE"].value == pytest.approx((0.25 * 18 + 0.75) / 19)
    assert found["Brier"].value == pytest.approx(0.25)
    assert found["NLL"].value == pytest.approx(0.5)


def test_another_fifteen_are_not_the_fifteen():
    other = [*common_names()[1:], "saturate"]
    found = by_name(cells(other))
    assert "mean15" not in found
    score = found["mean15 of others"]
    assert "saturate" in score.over
    assert common_names()[0] not in score.over


def test_a_mean_over_other_cells_has_another_name():
    found = by_name(cells(common_names()[:8]))
    assert "mean15" not in found
    assert found["mean8"].value == pytest.approx(50)
    incomplete = cells(["fog", "snow"])
    del incomplete["snow", 3]
    assert by_name(incomplete)["mean1"].over == "fog x severities 1 to 5, 20 images each"
    assert scores({("fog", 3): record(1)}) == []
