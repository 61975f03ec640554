"""Costs of runs: against a slow loop over their steps, and against closed forms."""

from __future__ import annotations

import math
import random
from typing import ClassVar

import pytest
import torch
from torch import nn

from regrow.errors import InputError
from regrow.sparsity import SET, Dense, Every, RigL, Static, attach, cost

SIZES = {"a": 400, "b": 90, "c": 7}
FORWARD = {"a": 8000, "b": 360, "c": 14, "unmasked": 500}


def random_history(rng: random.Random, total: int) -> tuple[dict[str, int], list[dict]]:
    """Counts that jump at random, layers that sit an update out, rows in no order, some after the end."""
    start = {name: rng.randint(0, size) for name, size in SIZES.items()}
    steps = rng.sample(range(1, total + 20), rng.randint(0, 12))
    rows = [
        {"step": step, "update": 0, "layer": name, "n_active": rng.randint(0, size)}
        for step in steps
        for name, size in SIZES.items()
        if rng.random() < 0.8
    ]
    rng.shuffle(rows)
    return start, rows


def slow(start: dict[str, int], rows: list[dict], total: int, other: int, window: int, every_step: bool) -> float:
    """Step by step, with a dictionary of counts."""
    counts, spent = dict(start), 0.0
    for t in range(1, total + 1):
        soon = [row["step"] - t for row in rows if row["step"] <= total]
        dense_gradient = every_step or any(0 <= wait < window for wait in soon)
        for name, forward in FORWARD.items():
            sparse = forward * counts[name] / SIZES[name] if name in SIZES else forward
            spent += sparse + sparse + (forward if dense_gradient else sparse)
        spent += 3 * other
        for row in rows:
            if row["step"] == t:
                counts[row["layer"]] = row["n_active"]
    return spent


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("window", "every_step"), [(0, False), (1, False), (8, False), (0, True)])
def test_a_run_s_cost_is_the_sum_over_its_steps(seed: int, window: int, every_step: bool) -> None:
    rng = random.Random(seed)
    total, other = rng.randint(1, 120), rng.randint(0, 1000)
    start, rows = random_history(rng, total)
    got = cost.training_cost(
        FORWARD, SIZES, start, rows, total_steps=total, other=other, window=window, every_step=every_step
    )
    assert got["sparse"] == pytest.approx(slow(start, rows, total, other, window, every_step), rel=1e-12)
    assert got["dense"] == 3 * (sum(FORWARD.values()) + other) * total
    assert got["ratio"] == got["sparse"] / got["dense"]
    assert got["per_sample"] * total == pytest.approx(got["sparse"])
    assert sum(row["sparse"] for row in got["layers"]) + 3 * other * total == pytest.approx(got["sparse"])
    assert [row["name"] for row in got["layers"]] == list(FORWARD)


def fixed_budget(interval: int, updates: int, total: int, **options: object) -> tuple[dict, float, float]:
    """A run of constant density .25 with an update each interval; with its forward operations dense and sparse."""
    counts = {"a": 100, "b": 20}
    sizes, forward = {"a": 400, "b": 80}, {"a": 8000, "b": 320}
    rows = [
        {"step": interval * (i + 1), "layer": name, "n_active": n} for i in range(updates) for name, n in counts.items()
    ]
    return cost.training_cost(forward, sizes, counts, rows, total_steps=total, **options), 8320, 2080


def test_closed_forms_of_constant_density() -> None:
    static, dense, sparse = fixed_budget(10, 0, 1000)
    assert static["per_sample"] == cost.training_flops(dense, sparse) == 3 * sparse
    set_, *_ = fixed_budget(10, 40, 1000)
    assert set_["sparse"] == 1000 * 3 * sparse
    rigl, *_ = fixed_budget(10, 40, 1000, window=1)
    assert rigl["dense_gradient_steps"] == 40
    assert rigl["sparse"] == 1000 * 3 * sparse + 40 * (dense - sparse)
    momentum, *_ = fixed_budget(10, 40, 1000, every_step=True)
    assert momentum["per_sample"] == cost.training_flops(dense, sparse, every_step=True) == 2 * sparse + dense
    assert fixed_budget(10, 40, 1000, window=50)[0]["dense_gradient_steps"] == 400  # windows overlap, steps do not


@pytest.mark.parametrize("window", [1, 8])
def test_the_published_formula_is_a_run_whose_update_follows_interval_other_steps(window: int) -> None:
    got, dense, sparse = fixed_budget(100 + window, 30, 30 * (100 + window), window=window)
    formula = cost.training_flops(dense, sparse, interval=100, needs_gradient=True, window=window)
    assert got["per_sample"] == pytest.approx(formula, rel=1e-12)


def test_gradual_pruning_costs_the_mean_of_its_densities_and_no_dense_gradient_while_dense() -> None:
    rows = [{"step": 10 * i, "layer": "a", "n_active": 400 - 30 * max(0, i - 3)} for i in range(1, 11)]
    got = cost.training_cost({"a": 800}, {"a": 400}, {"a": 400}, rows, total_steps=100)
    densities = [1 - 0.075 * max(0, i - 3) for i in range(10)]
    assert got["sparse"] == pytest.approx(3 * 800 * 100 * sum(densities) / 10)
    with_gradient = cost.training_cost({"a": 800}, {"a": 400}, {"a": 400}, rows, total_steps=100, window=1)
    assert with_gradient["sparse"] - got["sparse"] == pytest.approx(800 * sum(1 - d for d in densities))


def test_a_run_without_steps_or_layers_costs_nothing() -> None:
    assert cost.training_cost(FORWARD, SIZES, SIZES, [], total_steps=0)["ratio"] == 1.0
    assert cost.training_cost({}, {}, {}, [], total_steps=5)["per_sample"] == 0.0


@pytest.mark.parametrize(
    ("start", "row", "message"),
    [
        ({"a": 401}, {}, "'a' cannot have 401 of 400"),
        ({}, {}, "'a' has a size but no initial count"),
        ({"a": 400}, {"step": 1, "layer": "z", "n_active": 1}, "names layer 'z'"),
        ({"a": 400}, {"step": 1, "layer": "a", "n_active": -2}, "'a' cannot have -2 of 400"),
    ],
)
def test_counts_of_another_run_are_refused(start: dict, row: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        cost.training_cost({"a": 1}, {"a": 400}, start, [row] if row else [], total_steps=9)


def test_link_prediction_is_counted_product_by_product() -> None:
    out, in_ = 6, 2 * 9
    shapes = [(out, 2, 3, 3)]
    products = [(out, in_, out), (out, out, in_), (in_, out, in_), (in_, in_, out)]  # M M^T, Q M, M^T M, Q' M^T
    assert cost.topology_flops("cht", shapes) == sum(2 * math.prod(p) for p in products)
    assert cost.topology_flops("chts", shapes * 3) == 3 * cost.topology_flops("cht", shapes)
    assert cost.topology_flops(RigL(0.5), shapes) == cost.topology_flops("srigl", shapes) == 0
    assert cost.topology_flops("channel", shapes) == 0


class TestMemory:
    sizes: ClassVar[dict[str, int]] = {"a": 1000, "b": 17, "head": 40}

    def test_of_a_static_run_by_hand(self) -> None:
        start = {"a": 100, "b": 9, "head": 40}
        got = cost.memory(self.sizes, start, rest=10, n_states=2)
        assert got["dense_bytes"] == 4 * 1067
        assert got["mask_bytes"] == 125 + 3  # the head is dense and needs no mask
        assert got["compact_bytes"] == cost.model_bytes(self.sizes, start, rest=10) == 4 * 159 + 128
        assert got["peak_active"] == 149
        assert got["peak_dense_bytes"] == 4 * 1067 * 4
        assert got["peak_bytes"] == 4 * 1067 * 4 + 128
        assert got["peak_sparse_bytes"] == 4 * 159 * 4 + 128
        for bytes_each in (1, 4):
            assert cost.memory(self.sizes, start, mask_bytes_per_weight=bytes_each)["mask_bytes"] == 1017 * bytes_each

    def test_gradient_growth_needs_a_dense_gradient(self) -> None:
        start = {"a": 100, "b": 9, "head": 40}
        lean, greedy = (cost.memory(self.sizes, start, dense_gradient=flag) for flag in (False, True))
        assert greedy["peak_bytes"] - lean["peak_bytes"] == 4 * 1017
        assert greedy["peak_sparse_bytes"] - lean["peak_sparse_bytes"] == 4 * (1057 - 149)

    def test_mest_s_soft_bound_peaks_at_its_first_mutation_ratio(self) -> None:
        sizes = {"a": 2000, "b": 1000}
        held = [0.35, 0.35, 0.32, 0.3]  # d + m of d = .3 after each update
        rows = [
            {"step": 5 * i, "layer": name, "n_active": round(share * size)}
            for i, share in enumerate(held, 1)
            for name, size in sizes.items()
        ]
        got = cost.memory(sizes, {"a": 600, "b": 300}, rows)
        assert got["peak_active"] == 0.35 * 3000
        assert got["compact_bytes"] == 4 * 900 + 375

    def test_gradual_pruning_peaks_at_its_start(self) -> None:
        got = cost.memory({"a": 80}, {"a": 80}, [{"step": 1, "layer": "a", "n_active": 8}])
        assert (got["peak_active"], got["mask_bytes"]) == (80, 10)
        assert cost.memory({"a": 80}, {"a": 80})["mask_bytes"] == 0


def trained(method: object, steps: int) -> tuple[nn.Module, object]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sparsifier = attach(model, optimizer, method, total_steps=20, layers=["4"])
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(4, 3, 8, 8)).square().mean().backward()
        optimizer.step()
    return model, sparsifier


@pytest.mark.parametrize(
    ("method", "dense_steps"),
    [
        (Dense(), 0),
        (Static(0.75), 0),
        (SET(0.75, timing=Every(4)), 0),
        (RigL(0.75, timing=Every(4)), 2),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_report_of_a_run(method: object, dense_steps: int) -> None:
    model, sparsifier = trained(method, steps=9)
    got = cost.report(model, (3, 8, 8), sparsifier, steps=9)  # steps: `Dense` registers no hook and counts none
    active = 1440 if method.name == "dense" else 360
    conv, linear = 2 * 36 * 216, 2 * 1440
    rows, totals = got["layers"], got["totals"]
    assert [(row["name"], row["n_weights"], row["n_active"]) for row in rows] == [
        ("0.weight", 216, 216),
        ("4.weight", 1440, active),
    ]
    sparse = linear * active / 1440
    assert totals["inference_dense"] == conv + linear
    assert totals["inference_sparse"] == conv + sparse
    assert totals["dense_gradient_steps"] == dense_steps
    assert totals["training_sparse"] == 9 * 3 * (conv + sparse) + dense_steps * (linear - sparse)
    assert totals["training_dense"] == 9 * 3 * (conv + linear)
    assert (totals["steps"], totals["n_rest"], totals["topology"]) == (9, 21, 0)
    mask = 180 if active < 1440 else 0
    assert totals["compact_bytes"] == 4 * (216 + active + 21) + mask
    assert totals["compact_bytes"] == sum(row["compact_bytes"] for row in rows) + 4 * 21
    assert totals["dense_bytes"] == sum(row["dense_bytes"] for row in rows) + 4 * 21
    assert totals["peak_active"] == 216 + active
    for key in ("inference_sparse", "training_sparse", "training_dense", "n_active"):
        assert sum(row[key] for row in rows) == totals[key]


def test_what_a_record_says_of_its_gradients() -> None:
    class Window:
        needs_gradient, window, decay = True, 8, None

    class Momentum:
        needs_gradient, window, decay = True, 1, 0.9

    assert cost.gradient_steps(RigL(0.5)) == (1, False)
    assert cost.gradient_steps(SET(0.5)) == cost.gradient_steps(Static(0.5, grow=SET(0.5).grow)) == (0, False)
    assert cost.gradient_steps(Window()) == (8, False)
    assert cost.gradient_steps(Momentum()) == (0, True)


class _Record:
    """What `report` asks of a sparsifier, with counts that fall."""

    method = SET(0.5)
    step_count = 10
    history = (
        {"step": 4, "layer": "weight", "n_active": 60, "dropped": 50, "returned": 5, "fresh": 5},
        {"step": 8, "layer": "weight", "n_active": 50, "dropped": 10, "returned": 0, "fresh": 0},
    )

    def report(self) -> list[dict]:
        return [{"name": "weight", "shape": [10, 10], "n_weights": 100, "n_active": 50}]


def test_report_works_out_the_counts_at_the_start() -> None:
    model = nn.Linear(10, 10, bias=False)
    totals = cost.report(model, (10,), _Record())["totals"]
    assert totals["training_sparse"] == pytest.approx(3 * 2 * (4 * 100 + 4 * 60 + 2 * 50))
    assert totals["peak_active"] == 100
    given = cost.report(model, (10,), _Record(), initial_counts={"weight": 80}, every_step=True)["totals"]
    assert given["training_sparse"] == pytest.approx(2 * 2 * (4 * 80 + 4 * 60 + 2 * 50) + 10 * 200)
