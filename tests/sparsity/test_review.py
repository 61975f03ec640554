"""Situations that a user meets and that a first version got wrong."""

from __future__ import annotations

import copy
import gc

import pytest
import torch
from torch import nn

from regrow.errors import InputError
from regrow.sparsity import (
    GMP,
    MESTEM,
    MESTEMS,
    NM,
    SET,
    SNIP,
    Channel,
    CHTss,
    Constant,
    Cubic,
    DropGrow,
    Every,
    GivenMask,
    GraNet,
    MagnitudeAtInit,
    MagnitudeMask,
    MomentumGrowth,
    RandomMask,
    RigL,
    Signs,
    SRigL,
    Static,
    Uniform,
    attach,
)
from regrow.sparsity.layers import choose


def network(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 5))


def sgd(model: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(16, 20, generator=generator)).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("method", "steps"),
    [(CHTss(0.5), 200), (CHTss(0.9), 137), (GMP(0.9, step=DropGrow(pruning="layer")), 137)]
    + [(GraNet(0.9, allocation=Uniform(), step=DropGrow(pruning="layer")), n) for n in (64, 100, 333)],
    ids=lambda v: v.name if hasattr(v, "name") else str(v),
)
def test_falling_densities_layer_by_layer_meet_their_totals_at_any_run_length(method, steps: int) -> None:
    """Largest remainders may raise one layer's share by a weight while the total falls."""
    model = network()
    optimizer = sgd(model)
    sparsifier = attach(model, optimizer, method, total_steps=steps)
    train(model, optimizer, steps)
    sparsifier.finish()
    total = sum(m.numel() for m in sparsifier.masks.values())
    assert sum(int(m.sum()) for m in sparsifier.masks.values()) == int(total * (1 - method.sparsity) + 0.5)


def test_masks_of_a_sparsifier_that_is_gone_do_not_outlive_it() -> None:
    model = network()
    start = copy.deepcopy(model.state_dict())

    def fold(seed: int) -> dict[str, torch.Tensor]:
        model.load_state_dict(start)
        optimizer = sgd(model)
        sparsifier = attach(model, optimizer, Static(0.8), total_steps=100, seed=seed)
        train(model, optimizer, 20)
        return sparsifier.masks

    gc.disable()
    try:
        fold(0)
        masks = fold(1)
    finally:
        gc.enable()
    for name, mask in masks.items():
        moved = model.get_parameter(name).detach()[mask] != start[name][mask]
        assert moved.float().mean() > 0.7, name


@pytest.mark.parametrize("method", [SET, MESTEM], ids=["set", "mest_em"])
def test_a_layer_without_a_gradient_is_left_alone_by_random_growth_too(method) -> None:
    model = network()
    optimizer = sgd(model)
    sparsifier = attach(model, optimizer, method(0.5, timing=Every(2, stop=1.0)), total_steps=40)
    before = sparsifier.masks
    model[0].weight.requires_grad_(False)
    train(model, optimizer, 39)
    after = sparsifier.masks
    assert torch.equal(before["0.weight"], after["0.weight"])
    assert not torch.equal(before["2.weight"], after["2.weight"])


@pytest.mark.parametrize("way", ["set by hand", "noise"])
def test_gradients_that_no_hook_saw_are_masked_before_the_step(way: str) -> None:
    model = network()
    optimizer = sgd(model)
    sparsifier = attach(model, optimizer, Static(0.8), total_steps=100)
    for step in range(5):
        x = torch.randn(8, 20, generator=torch.Generator().manual_seed(step))
        loss = model(x).square().mean()
        if way == "noise":
            optimizer.zero_grad()
            loss.backward()
            for p in model.parameters():
                p.grad += 0.01
        else:
            for p, g in zip(model.parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True):
                p.grad = g
        optimizer.step()
        for name, mask in sparsifier.masks.items():
            assert not model.get_parameter(name).detach()[~mask].any(), step


def test_dense_weights_loaded_after_attach_are_noticed_at_the_first_step() -> None:
    model = network()
    dense = copy.deepcopy(model.state_dict())
    optimizer = sgd(model)
    attach(model, optimizer, Static(0.8), total_steps=100)
    model.load_state_dict(dense)
    with pytest.raises(Exception, match="non-zero inactive"):
        train(model, optimizer, 1)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.c1 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.b1, self.down, self.bd = nn.BatchNorm2d(16), nn.Conv2d(8, 16, 1), nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        return self.head(torch.relu(self.b1(self.c1(x)) + self.bd(self.down(x))).mean((2, 3)))


def conv_steps(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(step))).square().mean().backward()
        optimizer.step()


def test_norms_of_a_branch_kept_dense_live_on() -> None:
    model = Residual()
    optimizer = sgd(model)
    attach(model, optimizer, Channel(0.4), total_steps=60, keep_dense=["down"])
    conv_steps(model, optimizer, 60)
    assert model.down.weight.detach().flatten(1).any(1).all()
    assert model.bd.weight.detach().all()
    assert model.bd.bias.detach().all()


@pytest.mark.parametrize("method", [MagnitudeAtInit(0.5), SNIP(0.5)], ids=lambda m: m.name)
def test_rankings_of_all_layers_leave_none_out(method) -> None:
    """ERK would keep the head of this network whole."""
    model = network()
    weights = {n: p.detach().clone() for n, p in model.named_parameters() if p.ndim > 1}
    x = torch.randn(16, 20, generator=torch.Generator().manual_seed(0))

    def loss() -> torch.Tensor:
        return model(x).square().mean()

    gradients = dict(zip(weights, torch.autograd.grad(loss(), [model.get_parameter(n) for n in weights]), strict=True))
    score = {n: (w * gradients[n]).abs() if method.name == "snip" else w.abs() for n, w in weights.items()}
    every = torch.cat([s.flatten() for s in score.values()])
    threshold = every.sort(descending=True).values[int(every.numel() * 0.5 + 0.5) - 1]
    masks = attach(model, sgd(model), method, total_steps=10, init_loss=loss).masks
    assert {n: int(m.sum()) for n, m in masks.items()} == {n: int((s >= threshold).sum()) for n, s in score.items()}


def test_going_back_to_an_earlier_state_leaves_nothing_of_the_later_one() -> None:
    model = Residual()
    optimizer = sgd(model)
    sparsifier = attach(model, optimizer, Channel(0.4), total_steps=60)
    conv_steps(model, optimizer, 20)
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict(), sparsifier.state_dict()))
    conv_steps(model, optimizer, 40)
    for part, state in zip((model, optimizer, sparsifier), saved, strict=True):
        part.load_state_dict(state)
    assert all(follower.dead is None for follower in sparsifier._followers)
    model = network()
    optimizer = sgd(model)
    sparsifier = attach(model, optimizer, RigL(0.5, grow=MomentumGrowth()), total_steps=100)
    first = copy.deepcopy(sparsifier.state_dict())
    train(model, optimizer, 3)
    assert sparsifier.memory()["gradient"] > 0
    sparsifier.load_state_dict(first)
    assert sparsifier.memory()["gradient"] == 0


def test_a_run_too_short_for_any_update_says_so() -> None:
    model = network()
    with pytest.warns(UserWarning, match=r"rigl has no update in 3000 steps .* Next: train longer"):
        attach(model, sgd(model), RigL(0.8, variant="itop"), total_steps=3000)


def test_a_head_tied_to_an_embedding_is_left_out_unless_asked_for() -> None:
    model = nn.ModuleDict({"tokens": nn.Embedding(50, 16), "body": nn.Linear(16, 16), "head": nn.Linear(16, 50)})
    model["head"].weight = model["tokens"].weight
    assert [c.name for c in choose(model)] == ["body.weight"]
    assert [c.name for c in choose(model, ["head"])] == ["head.weight"]


def test_layers_of_different_types_are_ranked_together() -> None:
    model = network()
    model[2].bfloat16()
    masks = attach(model, sgd(model), MagnitudeAtInit(0.5), total_steps=10).masks
    total = sum(m.numel() for m in masks.values())
    assert sum(int(m.sum()) for m in masks.values()) == int(total * 0.5 + 0.5)


def test_empty_weights_are_no_layers() -> None:
    with pytest.warns(UserWarning, match="zero-element"):
        empty = nn.Linear(0, 7)
    model = nn.Sequential(nn.Linear(8, 8), empty)
    assert list(attach(model, sgd(model), RigL(0.5), total_steps=100).masks) == ["0.weight"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NM(0.5, density=Cubic(1.0)), "has one density"),
        (lambda: MESTEM(0.5, initial=MagnitudeMask()), "planned number of weights in every layer"),
        (lambda: GMP(0.5, drop=Signs()), "no order to prune or rank by"),
        (lambda: SRigL(0.5, drop=Signs()), "no order to prune or rank by"),
    ],
)
def test_parts_that_do_not_fit_are_refused_together(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_a_first_mask_without_the_structure_is_refused() -> None:
    model = network()
    with pytest.raises(InputError, match=r"first mask of 0\.weight \(RandomMask\) has not the structure of NOfM"):
        attach(model, sgd(model), NM(0.5, initial=RandomMask()), total_steps=100)


def test_a_given_mask_starts_a_soft_bound() -> None:
    model = network()
    masks = attach(model, sgd(model), Static(0.8), total_steps=10).masks
    model = network()
    optimizer = sgd(model)
    sparsifier = attach(model, optimizer, MESTEMS(0.8, initial=GivenMask(masks)), total_steps=100)
    assert all(torch.equal(m, masks[n]) for n, m in sparsifier.masks.items())
    train(model, optimizer, 100)
    sparsifier.finish()
    assert sum(int(m.sum()) for m in sparsifier.masks.values()) == sum(int(m.sum()) for m in masks.values())


def test_after_pruning_to_the_end_training_goes_on_at_that_density() -> None:
    model = network()
    optimizer = sgd(model)
    sparsifier = attach(model, optimizer, GMP(0.9), total_steps=200)
    train(model, optimizer, 50)
    sparsifier.finish(prune_to_final=True)
    left = sum(int(m.sum()) for m in sparsifier.masks.values())
    train(model, optimizer, 60)
    sparsifier.finish()
    assert sum(int(m.sum()) for m in sparsifier.masks.values()) == left
    model = Residual()
    optimizer = sgd(model)
    sparsifier = attach(model, optimizer, Channel(0.4), total_steps=200)
    conv_steps(model, optimizer, 40)
    sparsifier.finish(prune_to_final=True)
    dead = ~sparsifier.masks["c1.weight"].flatten(1).any(1)
    assert dead.any()
    assert not model.b1.bias.detach()[dead].any()
    average = copy.deepcopy(model)
    for p in average.parameters():
        p.data.fill_(1.0)
    sparsifier.mask(average)
    assert not average.b1.bias.detach()[dead].any()


def test_a_fall_that_begins_late_is_no_steeper() -> None:
    model = network()
    optimizer = sgd(model)
    method = GMP(0.9, timing=Every(10, start=0.5, stop=0.9))
    sparsifier = attach(model, optimizer, method, total_steps=200)
    train(model, optimizer, 100)
    assert sparsifier.density == 1.0
    train(model, optimizer, 10)
    assert 0.5 < sparsifier.density < 0.9
    train(model, optimizer, 90)
    assert sparsifier.density == pytest.approx(0.1, abs=1e-3)


def test_nothing_dropped_keeps_the_soft_bound_empty() -> None:
    model = network()
    assert attach(model, sgd(model), MESTEMS(0.8, drop_fraction=Constant(0.0)), total_steps=100).density == (
        pytest.approx(0.2, abs=1e-3)
    )
