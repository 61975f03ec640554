"""Two networks on the same images: paired intervals."""

import numpy as np
import pytest
import scipy.stats

from regrow.corruptions import common_names
from regrow.errors import DataError
from regrow.evaluation.records import Record
from regrow.evaluation.versus import differences


def record(correct: np.ndarray) -> Record:
    n = len(correct)
    ones = np.ones(n, np.float32)
    return Record(np.zeros(n, np.int16), correct, ones, ones, ones)


def answers(seed: int, shift: float, n: int = 400) -> dict:
    """Images of different difficulty, under all cells, of a network that is ``shift`` better."""
    hard = np.random.RandomState(0).rand(n)
    stream = np.random.RandomState(seed)
    cells = [("clean", 0), *((name, s) for name in common_names() for s in range(1, 6))]
    return {cell: record(stream.rand(n) < hard + shift) for cell in cells}


def test_intervals_are_paired_over_images() -> None:
    one, other = answers(1, 0.05), answers(2, 0.0)
    found = {score.name: score for score in differences(one, other)}
    assert list(found) == ["clean difference", "mean15 difference"]
    cells = [cell for cell in one if cell[1]]
    per_image = np.mean([one[c].correct * 1.0 - other[c].correct * 1.0 for c in cells], axis=0) * 100
    score = found["mean15 difference"]
    assert score.value == pytest.approx(per_image.mean())
    test = scipy.stats.ttest_1samp(per_image, 0).confidence_interval(0.95)
    assert score.interval == pytest.approx((test.low, test.high))
    assert score.value == pytest.approx(
        100 * np.mean([one[c].accuracy for c in cells]) - 100 * np.mean([other[c].accuracy for c in cells])
    )
    assert "other seeds" in score.formula
    assert "75" not in score.over
    assert score.over == "the 15 common types x severities 1 to 5, 400 images each"


def test_the_interval_covers_no_difference_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(200):
        (_, score) = differences(answers(2 * seed + 10, 0.0, n=60), answers(2 * seed + 11, 0.0, n=60))
        assert score.interval is not None
        inside += score.interval[0] <= 0 <= score.interval[1]
    assert 181 <= inside <= 199  # 190 expected, standard deviation 3.1


def test_other_images_are_refused_and_missing_cells_left_out() -> None:
    one, other = answers(1, 0.0), answers(2, 0.0, n=300)
    with pytest.raises(DataError, match="400 and 300 images"):
        differences(one, other)
    part = {cell: value for cell, value in answers(3, 0.0).items() if cell[0] != "fog"}
    assert [score.name for score in differences(one, part)] == ["clean difference", "mean14 difference"]
    same = {score.name: score for score in differences(one, one)}
    assert same["mean15 difference"].value == 0
    assert same["mean15 difference"].interval is None  # no image differs: no spread to tell an interval from
