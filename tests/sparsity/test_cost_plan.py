"""Training FLOPs that a study's plan foretells against closed forms, and those of a run against its masks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from regrow.sparsity import SET, Dense, Every, Method, RigL, Static, attach, cost
from regrow.sparsity.density_schedules import Cubic
from regrow.sparsity.growth import MomentumGrowth
from regrow.sparsity.hebb import CannistraciHebb
from regrow.sparsity.planning import make_plan
from regrow.sparsity.steps import SoftBound
from regrow.study.flops import training_cost

STEPS = 1000


def ratio(method: Method) -> tuple[float, float]:
    """Foretold ratio, and the inference ratio at the end; of one layer, so that the density is the ratio."""
    model = nn.Linear(100, 50, bias=False)
    made = make_plan(model, method, STEPS, None, (), None)
    counted = cost.flops(model, (100,), {"weight": made.n_final[0] / 5000})
    return float(training_cost(made, counted, STEPS)["ratio"]), counted["sparse"] / counted["dense"]


def test_constant_density_by_formula() -> None:
    assert ratio(Dense())[0] == 1
    assert ratio(Static(0.8)) == pytest.approx((0.2, 0.2))
    assert ratio(SET(0.8))[0] == pytest.approx(0.2)
    updates = 74  # after steps 10, 20, ... 740 of the 750 that may have one
    assert ratio(RigL(0.8, timing=Every(10)))[0] == pytest.approx(0.2 + updates * 0.8 / 3 / STEPS)
    assert ratio(RigL(0.8, timing=Every(10), window=4))[0] == pytest.approx(0.2 + 4 * updates * 0.8 / 3 / STEPS)


def test_a_falling_density_is_averaged_over_the_run() -> None:
    method = replace(SET(0.8, timing=Every(50, stop=1.0)), density=Cubic(start=1.0))
    held = [0.2 + 0.8 * (1 - i / 19) ** 3 for i in range(20)]  # density during each 50 steps; 19 updates
    assert ratio(method)[0] == pytest.approx(sum(held) / 20, abs=1e-4)


def test_link_prediction_costs_no_dense_gradient_but_products_of_its_own() -> None:
    method = SET(0.8, timing=Every(10), grow=CannistraciHebb())
    assert ratio(method)[0] == pytest.approx(0.2)
    assert cost.topology_flops(method, [(50, 100)]) == cost.topology_flops("cht", [(50, 100)]) == 4 * 5000 * 150


def test_a_soft_bound_holds_more_between_updates() -> None:
    method = replace(SET(0.8, timing=Every(100)), step=SoftBound())
    held = [1.0 + method.drop_fraction(i * 100 / 750) for i in range(7)]
    assert ratio(method)[0] == pytest.approx(0.2 * (sum(held) + 3) / 10, abs=1e-3)


EVERY = Every(5)


@pytest.mark.parametrize(
    ("method", "dense_steps"),
    [
        (SET(0.8, timing=EVERY), 0),
        (RigL(0.8, timing=EVERY), 5),
        (RigL(0.8, timing=EVERY, grow=MomentumGrowth()), 40),
        (SET(0.8, timing=EVERY, density=Cubic(start=1.0)), 0),
        (SET(0.8, timing=EVERY, step=SoftBound()), 0),
    ],
    ids=["set", "rigl", "momentum", "falling", "soft-bound"],
)
def test_a_run_costs_what_its_masks_say_step_by_step(method: Method, dense_steps: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sparsifier = attach(model, optimizer, method, total_steps=40)
    spent, most = 0, 0
    for _ in range(40):
        held = sum(int(mask.count_nonzero()) for mask in sparsifier.masks.values())
        spent, most = spent + 3 * 2 * held, max(most, held)
        optimizer.zero_grad()
        model(torch.randn(8, 40)).square().mean().backward()
        optimizer.step()
    totals = cost.report(model, (40,), sparsifier)["totals"]
    assert totals["training_sparse"] == pytest.approx(spent + dense_steps * 2 * (1500 - 300))
    assert (totals["dense_gradient_steps"], totals["peak_active"]) == (dense_steps, most)
