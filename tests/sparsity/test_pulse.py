"""Pulse: RigL's drops, in numbers, places in time and layers, done to a network that stays dense."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from regrow.sparsity import PulsedDense, RigL, Uniform, attach, plan
from regrow.sparsity.schedules import Constant, Every

STEPS = 24
PARTS = {"timing": Every(4, stop=0.75), "drop_fraction": Constant(0.37)}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 40), nn.Tanh(), nn.Linear(40, 30), nn.Tanh(), nn.Linear(30, 3))


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(8, 6, generator=generator), torch.randint(3, (8,), generator=generator)) for _ in range(STEPS)]


def step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
    optimizer.step()


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)


def drops(method) -> list[tuple[int, str, int]]:
    model = network()
    optimizer = adam(model)
    sparsifier = attach(model, optimizer, method, total_steps=STEPS)
    for batch in batches():
        step(model, optimizer, batch)
    sparsifier.finish()
    return [(row["step"], row["layer"], row["dropped"]) for row in sparsifier.history]


@pytest.mark.parametrize("sparsity", [0.1, 0.4, 0.7])
@pytest.mark.parametrize("more", [{}, {"allocation": Uniform()}], ids=["erk", "uniform"])
def test_it_zeroes_as_many_weights_as_rigl_drops_in_the_same_layers_at_the_same_steps(sparsity: float, more) -> None:
    expected = drops(RigL(sparsity, **PARTS, **more))
    assert drops(PulsedDense(sparsity, **PARTS, **more)) == expected
    assert sum(n for *_, n in expected) > 0


@pytest.mark.parametrize("state", ["reset", "reference"])
def test_it_is_a_dense_loop_that_zeroes_the_smallest_weights_and_their_state(state: str) -> None:
    counts = {(t, name): n for t, name, n in drops(RigL(0.4, **PARTS))}
    assert len({name for _, name in counts}) == 1  # the first and the last layer stay dense at this sparsity
    mine, plain = network(), network()
    optimizers = adam(mine), adam(plain)
    sparsifier = attach(mine, optimizers[0], PulsedDense(0.4, state=state, **PARTS), total_steps=STEPS)
    for t, batch in enumerate(batches(), start=1):
        step(mine, optimizers[0], batch)
        step(plain, optimizers[1], batch)
        for name, weight in plain.named_parameters():
            if (t, name) in counts:
                gone = weight.detach().abs().flatten().argsort(stable=True)[: counts[t, name]]
                weight.data.view(-1)[gone] = 0
                if state == "reset":
                    for key in ("exp_avg", "exp_avg_sq"):
                        optimizers[1].state[weight][key].view(-1)[gone] = 0
        for (name, weight), other in zip(mine.named_parameters(), plain.parameters(), strict=True):
            assert torch.equal(weight, other), (t, name)
    assert sparsifier.density == sparsifier.itop_rate == 1
    assert {(row["pruned"], row["fresh"]) for row in sparsifier.history} == {(n, n) for n in counts.values()}


def test_its_plan_is_dense() -> None:
    planned = plan(network(), PulsedDense(0.4, **PARTS), total_steps=STEPS)
    assert planned["density"] == planned["start_density"] == planned["expected_itop_rate"] == 1
    assert all(row["n_active"] == row["n_weights"] for row in planned["layers"])
    assert [row["kept_dense"] for row in planned["layers"]] == [True, False, True]
    assert planned["updates"] == plan(network(), RigL(0.4, **PARTS), total_steps=STEPS)["updates"]
