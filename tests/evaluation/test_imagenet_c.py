"""CE, mCE and relative mCE; calibration."""

import numpy as np
import pytest

from regrow.corruptions import common_names
from regrow.errors import DataError
from regrow.evaluation.calibration import expected_calibration_error, rms_calibration_error
from regrow.evaluation.imagenet_c import (
    ALEXNET,
    ALEXNET_CLEAN,
    corruption_errors,
    relative_corruption_errors,
    scores,
)
from regrow.evaluation.records import Record

ITSELF = {(c, s): 1 - e for c, row in ALEXNET.items() for s, e in enumerate(row, 1)} | {("clean", 0): 1 - ALEXNET_CLEAN}


def test_the_table_is_that_of_the_six_digit_means():
    assert sorted(ALEXNET) == common_names()
    means = {"gaussian_noise": 0.886428, "snow": 0.866816, "elastic_transform": 0.646056, "jpeg_compression": 0.606500}
    for name, mean in means.items():
        assert np.mean(ALEXNET[name]) == pytest.approx(mean, abs=1e-9)


def test_alexnet_is_a_hundred():
    assert [score.name for score in scores(ITSELF)] == ["mCE", "relative mCE"]
    assert [score.value for score in scores(ITSELF)] == pytest.approx([100, 100], abs=1e-9)
    assert all(score.formula and "15 common types" in score.over for score in scores(ITSELF))


def test_by_hand():
    perfect = dict.fromkeys(ITSELF, 1.0)
    assert scores(perfect)[0].value == 0
    one = perfect | {("fog", s): 0.5 for s in range(1, 6)}
    assert corruption_errors(one)["fog"] == pytest.approx(2.5 / sum(ALEXNET["fog"]))
    assert scores(one)[0].value == pytest.approx(100 * 2.5 / sum(ALEXNET["fog"]) / 15)
    relative = relative_corruption_errors(one | {("clean", 0): 0.9})
    assert relative["fog"] == pytest.approx((2.5 - 0.5) / (sum(ALEXNET["fog"]) - 5 * ALEXNET_CLEAN))


def test_extra_types_do_not_enter_and_missing_cells_are_refused():
    assert scores(ITSELF | {("spatter", 1): 0.0})[0].value == pytest.approx(100)
    without = {cell: value for cell, value in ITSELF.items() if cell not in [("snow", 3), ("snow", 4)]}
    with pytest.raises(DataError, match="2 of the 75 cells were not evaluated, the first: snow at severity 3"):
        scores(without)
    del without
    assert len(scores({cell: value for cell, value in ITSELF.items() if cell[1]})) == 1
    with pytest.raises(DataError, match="clean"):
        relative_corruption_errors({cell: value for cell, value in ITSELF.items() if cell[1]})


def record(correct: list[bool], confidence: list[float]) -> Record:
    n, zeros = len(correct), np.zeros(len(correct), np.float32)
    return Record(np.zeros(n, np.int16), np.array(correct), np.array(confidence, np.float32), zeros, zeros)


def test_calibration_by_hand():
    half = record([True, False, True, False], [0.5, 0.5, 0.5, 0.5])
    assert expected_calibration_error(half) == pytest.approx(0)
    two = record([True, True, False, False], [0.95, 0.95, 0.55, 0.55])
    assert expected_calibration_error(two, 10) == pytest.approx((0.05 + 0.55) / 2)
    assert rms_calibration_error(two, 2) == pytest.approx(((0.05**2 + 0.55**2) / 2) ** 0.5)
    assert rms_calibration_error(two, 3) == pytest.approx(abs(2 - 3.0) / 4)  # one bin: what is left over joins it
    assert expected_calibration_error(record([True], [1.0])) == 0


def test_calibration_against_the_definition():
    stream = np.random.RandomState(0)
    confidence = stream.uniform(0.1, 1, 997)
    correct = stream.random_sample(997) < confidence**2
    made = record(correct.tolist(), confidence.tolist())
    expected = 0.0
    for k in range(15):
        inside = (made.confidence > k / 15) & (made.confidence <= (k + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - made.confidence[inside].mean())
    assert expected_calibration_error(made) == pytest.approx(expected, rel=1e-5)
