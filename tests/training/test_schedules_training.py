"""Learning-rate schedules against their closed forms."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.training.schedules import learning_rate
from regrow.training.settings import TrainingSettings


@given(total=st.integers(1, 500), warmup=st.floats(0, 0.5), schedule=st.sampled_from(["cosine", "step", "constant"]))
def test_the_rate_stays_in_bounds_rises_in_warm_up_and_never_rises_after(
    total: int, warmup: float, schedule: str
) -> None:
    settings = TrainingSettings.model_validate({"steps": total, "lr": 0.3, "warmup": warmup, "schedule": schedule})
    rates = [learning_rate(t, total, settings) for t in range(total)]
    assert all(0 < r <= 0.3 + 1e-12 for r in rates)
    n = round(warmup * total)
    assert all(a < b for a, b in itertools.pairwise(rates[:n]))
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(rates[n:]))


def test_cosine_is_half_way_down_in_the_middle() -> None:
    settings = TrainingSettings(steps=100, lr=1.0)
    assert learning_rate(50, 100, settings) == pytest.approx(0.5)
    assert learning_rate(25, 100, settings) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert learning_rate(0, 100, settings) == 1.0


def test_warm_up_reaches_the_full_rate_at_its_end() -> None:
    settings = TrainingSettings(steps=100, lr=1.0, warmup=0.1)
    assert learning_rate(9, 100, settings) == 1.0
    assert learning_rate(0, 100, settings) == pytest.approx(0.1)
