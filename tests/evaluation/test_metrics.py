"""Means over cells, on a table that can be checked by hand."""

from __future__ import annotations

import pytest

from regrow.evaluation import metrics

TABLE = {
    ("clean", 0): 0.9,
    ("fog", 1): 0.8,
    ("fog", 3): 0.4,
    ("snow", 1): 0.6,
    ("snow", 3): 0.2,
    ("shot", 1): 0.5,
}
FAMILIES = {"fog": "weather", "snow": "weather", "shot": "noise"}


def test_means_weigh_types_then_severities_equally() -> None:
    assert metrics.mean_accuracy(TABLE, ["fog", "snow"], [1, 3]) == pytest.approx(0.5)
    assert metrics.by_corruption(TABLE, [1, 3]) == pytest.approx({"fog": 0.6, "snow": 0.4})
    assert metrics.by_severity(TABLE, ["fog", "snow"], [1, 3]) == pytest.approx({1: 0.7, 3: 0.3})
    assert metrics.by_family(TABLE, FAMILIES, ["fog", "snow", "shot"], [1]) == pytest.approx(
        {"weather": 0.7, "noise": 0.5}
    )


def test_a_mean_with_a_missing_cell_is_no_mean() -> None:
    assert metrics.mean_accuracy(TABLE, ["fog", "shot"], [1, 3]) is None
    assert metrics.mean_accuracy(TABLE, [], [1]) is None
    assert 3 not in metrics.by_severity(TABLE, ["fog", "shot"], [1, 3])
