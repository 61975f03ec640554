"""Expected exploration against published values and against the engine itself."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from regrow.sparsity import SET, Every, RigL, attach, plan
from regrow.sparsity.exploration import expected_itop_rate, expected_returned
from regrow.sparsity.schedules import Updates


@pytest.mark.parametrize(
    ("density", "rates"),
    [
        (0.6, (0.771, 0.925, 0.998, 1.0)),
        (0.5, (0.667, 0.851, 0.990, 1.0)),
        (0.3, (0.423, 0.608, 0.892, 0.993)),
        (0.1, (0.147, 0.234, 0.465, 0.750)),
    ],
)
def test_rates_after_1_3_10_and_48_updates_are_the_known_ones(density: float, rates: tuple[float, ...]) -> None:
    fractions = [0.25 * (1 + math.cos(math.pi * t / 48)) for t in range(1, 49)]
    found = [expected_itop_rate(density, fractions[:n]) for n in (1, 3, 10, 48)]
    assert found == pytest.approx(rates, abs=6e-4)


def test_the_exclusive_rule_explores_faster() -> None:
    assert expected_itop_rate(0.5, [0.3] * 3, regrow_dropped=False) > expected_itop_rate(0.5, [0.3] * 3)
    assert expected_itop_rate(1.0, [0.3]) == 1.0
    assert expected_returned(1.0, 0.0) == 0.0


@pytest.mark.parametrize("regrow_dropped", [True, False])
def test_the_engine_explores_as_expected(regrow_dropped: bool) -> None:
    torch.manual_seed(0)
    model = nn.Linear(400, 150, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    method = SET(0.6, timing=Every(2), regrow_dropped=regrow_dropped)
    expected = plan(model, method, total_steps=20)["expected_itop_rate"]
    sparsifier = attach(model, optimizer, method, total_steps=20, seed=3)
    for _ in range(20):
        model(torch.randn(8, 400)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert sparsifier.itop_rate == pytest.approx(expected, abs=0.005)
    dropped = sum(row["dropped"] for row in sparsifier.history)
    returned = sum(row["returned"] for row in sparsifier.history)
    weighted = sum(row["dropped"] * expected_returned(0.4, row["drop_fraction"]) for row in sparsifier.history)
    assert returned / dropped == pytest.approx(weighted / dropped if regrow_dropped else 0, abs=0.01)


def test_gradients_decide_what_rigl_explores() -> None:
    assert plan(nn.Linear(20, 10), RigL(0.5), total_steps=100)["expected_itop_rate"] is None


@pytest.mark.parametrize(("total", "n", "stop"), [(1200, 24, 0.75), (6400, 47, 0.75), (10, 3, 1.0), (5, 48, 0.5)])
def test_the_listed_steps_are_those_that_are_due(total: int, n: int, stop: float) -> None:
    window = Updates(n, stop=stop).window(total, None)
    assert window.steps() == [t for t in range(total + 1) if window.due(t)]
