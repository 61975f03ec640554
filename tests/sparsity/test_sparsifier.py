"""`attach` in particular: against a slow loop, at awkward moments, and when something is wrong."""

import copy
import gc
import hashlib
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from regrow.errors import InputError, RegrowError
from regrow.sparsity import SET, Constant, Cosine, Dense, Every, GradientGrowth, RigL, Static, Uniform, attach


def small(seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4)).to(dtype)


def batch(number: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(number)
    return torch.randn(10, 8, generator=generator).to(dtype), torch.randint(4, (10,), generator=generator)


def loss_of(model: nn.Module, number: int, rows: slice = slice(None)) -> torch.Tensor:
    x, y = batch(number, next(model.parameters()).dtype)
    return nn.functional.cross_entropy(model(x[rows]), y[rows])


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, start: int = 0) -> None:
    for number in range(start, start + steps):
        optimizer.zero_grad()
        loss_of(model, number).backward()
        optimizer.step()


def slow_growth(
    method: str, name: str, number: int, candidates: list[int], gradient: torch.Tensor, k: int
) -> list[int]:
    """RigL's largest gradients, or SET's smallest random words, one a candidate in flat order."""
    if method == "rigl":
        return sorted(candidates, key=lambda i: (-abs(float(gradient[i])), i))[:k]
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    words = np.random.Philox(np.random.SeedSequence(entropy=0, spawn_key=(2, key, number))).random_raw(len(candidates))
    order = sorted(range(len(candidates)), key=lambda j: (int(words[j]), j))
    return [candidates[j] for j in order[:k]]


@pytest.mark.parametrize("which", ["rigl", "set"])
def test_methods_equal_a_slow_loop_over_200_updates(which: str) -> None:
    steps = 201
    settings = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}
    model, plain = small(), small()
    optimizer = torch.optim.SGD(model.parameters(), **settings)
    method = {"rigl": RigL, "set": SET}[which](0.6, timing=Every(1, stop=1.0), drop_fraction=Constant(0.3))
    sparsifier = attach(model, optimizer, method, total_steps=steps)
    masks = {name: mask.clone() for name, mask in sparsifier.masks.items()}
    slow = torch.optim.SGD(plain.parameters(), **settings)
    weights = {name: plain.get_parameter(name) for name in masks}
    with torch.no_grad():
        for name, weight in weights.items():
            weight.mul_(masks[name])
    seen = set()
    for t in range(1, steps + 1):
        train(model, optimizer, 1, start=t)
        slow.zero_grad()
        loss_of(plain, t).backward()
        dense = {name: weight.grad.clone() for name, weight in weights.items()}
        for name, weight in weights.items():
            weight.grad.mul_(masks[name])
        slow.step()
        if t < steps:
            for name, weight in weights.items():
                mask, flat, g = masks[name].flatten(), weight.detach().flatten().tolist(), dense[name].flatten()
                active = mask.nonzero().flatten().tolist()
                k = len(active) * 3 // 10
                dropped = sorted(active, key=lambda i: (abs(flat[i]), i))[:k]
                candidates = sorted(set(range(len(flat))) - set(active) | set(dropped))
                grown = slow_growth(which, name, t, candidates, g, k)
                after = (set(active) - set(dropped)) | set(grown)
                for i in set(active) ^ after:
                    weight.data.view(-1)[i] = 0.0
                    slow.state[weight]["momentum_buffer"].view(-1)[i] = 0.0
                masks[name] = torch.tensor([i in after for i in range(len(flat))]).view(weight.shape)
        for name, weight in weights.items():
            assert torch.equal(sparsifier.masks[name], masks[name]), t
            assert torch.equal(model.get_parameter(name), weight), t
        seen.add(bytes(masks["0.weight"].numpy()))
    assert sparsifier.update_count == sparsifier.planned_updates == 200
    assert len(seen) > 150
    assert all(row["fresh"] > 0 for row in sparsifier.history if row["layer"] == "0.weight")
    assert sparsifier.itop_rate > 0.9


SEEN: list[torch.Tensor] = []


@dataclass(frozen=True)
class Watching(GradientGrowth):
    """Growth by gradient that lets the test see what it is given."""

    needs_gradient: ClassVar[bool] = True

    def __call__(self, layer, where, k):
        SEEN.append((layer.name, layer.grad.clone()))
        return super().__call__(layer, where, k)


@pytest.mark.parametrize("to_none", [True, False])
@pytest.mark.parametrize("manner", ["accumulation", "closure", "clip"])
def test_growth_sees_the_dense_gradient_of_its_own_step(manner: str, to_none: bool) -> None:
    SEEN.clear()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    timing = Every(3, stop=1.0)
    method = RigL(0.5, grow=Watching(), timing=timing, allocation=Uniform(), drop_fraction=Constant(0.3))
    sparsifier = attach(model, optimizer, method, total_steps=10)
    expected = []
    for t in range(1, 10):
        twin = copy.deepcopy(model)
        parts = [slice(0, 4), slice(4, 10)] if manner == "accumulation" else [slice(None)]
        sums = {name: torch.zeros(p.shape) for name, p in twin.named_parameters() if p.ndim > 1}
        for part in parts:
            for name, g in zip(
                sums, torch.autograd.grad(loss_of(twin, t, part), [twin[0].weight, twin[2].weight]), strict=True
            ):
                sums[name] += g
        if t % 3 == 0:
            expected += [(name, g.flatten()) for name, g in sums.items()]

        def backward(parts=parts, t=t) -> torch.Tensor:
            optimizer.zero_grad(set_to_none=to_none)
            losses = []
            for part in parts:
                losses.append(loss_of(model, t, part))
                losses[-1].backward()
            return losses[-1]

        if manner == "closure":
            optimizer.step(lambda backward=backward: (backward(), backward())[1])  # evaluated twice: the last counts
        else:
            backward()
            if manner == "clip":
                nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
            optimizer.step()
        assert all(layer.gradient is None for layer in sparsifier._sparse.values())
    assert [name for name, _ in SEEN] == [name for name, _ in expected]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(SEEN, expected, strict=True))


def test_gradients_are_kept_only_on_steps_with_an_update() -> None:
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = attach(model, optimizer, RigL(0.5, timing=Every(3)), total_steps=8)
    kept = []
    for number in range(8):
        optimizer.zero_grad()
        loss_of(model, number).backward()
        kept.append(any(layer.gradient is not None for layer in sparsifier._sparse.values()))
        optimizer.step()
    assert kept == [False, False, True, False, False, False, False, False]  # stop at 6 is exclusive


def test_a_gradient_that_is_not_finite_postpones_the_update() -> None:
    model = nn.Linear(6, 4, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = attach(model, optimizer, RigL(0.5, timing=Every(2, stop=1.0)), total_steps=6)
    first = sparsifier.masks["weight"]
    for t in range(1, 4):
        factor = torch.ones(4, 6)
        factor[~first] = torch.inf if t == 2 else 3.0
        optimizer.zero_grad()
        (model.weight * factor).sum().backward()
        optimizer.step()
        assert model.weight.isfinite().all()
        assert sparsifier.update_count == (1 if t == 3 else 0)
    assert [row["step"] for row in sparsifier.history] == [3]
    assert not torch.equal(first, sparsifier.masks["weight"])


def test_a_layer_without_a_gradient_sits_the_update_out() -> None:
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = attach(model, optimizer, RigL(0.5, timing=Every(1), allocation=Uniform()), total_steps=10)
    first = sparsifier.masks
    loss = model[0](batch(0)[0]).square().sum()
    loss.backward()
    optimizer.step()
    assert [(row["layer"], row["dropped"] > 0) for row in sparsifier.history] == [
        ("0.weight", True),
        ("2.weight", False),
    ]
    assert torch.equal(first["2.weight"], sparsifier.masks["2.weight"])


@pytest.mark.parametrize("returned", ["keep", "reset"])
def test_weights_that_return_are_kept_or_reset(returned: str) -> None:
    model = nn.Linear(10, 10, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    method = SET(0.1, timing=Every(2), drop_fraction=Constant(0.5), returned=returned)
    sparsifier = attach(model, optimizer, method, total_steps=10)
    states = []
    for t in range(2):
        optimizer.zero_grad()
        (model.weight * (1.0 + t)).sum().backward()
        states.append(sparsifier.masks["weight"])
        optimizer.step()
    (row,) = sparsifier.history
    assert row["dropped"] == 45
    assert row["returned"] > 20
    mask = sparsifier.masks["weight"]
    stayed = states[0] & mask
    buffer = optimizer.state[model.weight]["momentum_buffer"]
    for values in (model.weight.detach(), buffer):
        zeros = int((values[stayed] == 0).sum())
        assert zeros == (row["returned"] if returned == "reset" else 0)
        assert not values[mask & ~states[0]].any()
        assert not values[~mask].any()


def test_without_regrowth_of_dropped_weights_nothing_returns() -> None:
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    method = SET(0.2, timing=Every(1), drop_fraction=Constant(0.5), regrow_dropped=False, allocation=Uniform())
    sparsifier = attach(model, optimizer, method, total_steps=10)
    train(model, optimizer, 10)
    assert sum(row["returned"] for row in sparsifier.history) == 0
    assert len(sparsifier.history) == 2 * 7
    for row in sparsifier.history:
        size = 128 if row["layer"] == "0.weight" else 64
        assert row["fresh"] == min(size - row["n_active"], row["n_active"] // 2)


RESTING = {
    "adagrad": (lambda p: torch.optim.Adagrad(p, lr=0.1, initial_accumulator_value=0.25), {"sum": 0.25}),
    "rprop": (lambda p: torch.optim.Rprop(p, lr=0.02), {"step_size": 0.02, "prev": 0.0}),
    "adamax": (lambda p: torch.optim.Adamax(p), {"exp_inf": 0.0, "exp_avg": 0.0}),
    "amsgrad": (lambda p: torch.optim.Adam(p, amsgrad=True), {"max_exp_avg_sq": 0.0, "exp_avg": 0.0}),
}


@pytest.mark.parametrize("name", list(RESTING))
def test_fresh_weights_have_the_state_of_a_new_optimiser(name: str) -> None:
    make, fresh_values = RESTING[name]
    model = small()
    optimizer = make(model.parameters())
    sparsifier = attach(model, optimizer, SET(0.5, timing=Every(4), allocation=Uniform()), total_steps=100)
    before = sparsifier.masks
    train(model, optimizer, 4)
    for key, mask in sparsifier.masks.items():
        changed = mask ^ before[key]
        assert changed.any()
        state = optimizer.state[model.get_parameter(key)]
        for part, value in fresh_values.items():
            assert (state[part][changed] == value).all(), (key, part)
        assert not model.get_parameter(key)[~mask].any()


class Drifting(torch.optim.SGD):
    """An optimiser that moves every weight, whatever its gradient."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(0.01)


def test_optimisers_that_move_zeros_are_masked_after_the_step() -> None:
    for make in (lambda p: Drifting(p, lr=0.1), lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=4)):
        model = small()
        optimizer = make(model.parameters())
        sparsifier = attach(model, optimizer, SET(0.5, timing=Every(2)), total_steps=12)
        for number in range(12):

            def closure(model=model, optimizer=optimizer, number=number):
                optimizer.zero_grad()
                loss = loss_of(model, number)
                loss.backward()
                return loss

            optimizer.step(closure)
            for key, mask in sparsifier.masks.items():
                assert not model.get_parameter(key)[~mask].any()
        assert sparsifier.step_count == 12
        assert sparsifier.update_count == 4


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_floating_types(dtype: torch.dtype) -> None:
    model = small(dtype=dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sparsifier = attach(model, optimizer, RigL(0.5, timing=Every(2)), total_steps=20)
    train(model, optimizer, 20)
    sparsifier.finish()
    assert sum(row["fresh"] for row in sparsifier.history) > 0


def test_masks_follow_a_model_that_changes_type_or_format() -> None:
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Flatten(), nn.Linear(8, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = attach(model, optimizer, RigL(0.5, timing=Every(1)), total_steps=100)
    before = sparsifier.masks
    model.to(memory_format=torch.channels_last).double()
    optimizer.zero_grad()
    model(torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0)).double()).square().sum().backward()
    optimizer.step()
    sparsifier.finish()
    assert sparsifier._sparse["0.weight"].mask.fits(model[0].weight)
    assert not model[0].weight.is_contiguous()
    assert not torch.equal(before["0.weight"], sparsifier.masks["0.weight"])


def test_tied_weights_have_one_mask_and_are_counted_once() -> None:
    model = nn.Sequential(nn.Linear(6, 6, bias=False), nn.Tanh(), nn.Linear(6, 6, bias=False))
    model[2].weight = model[0].weight
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = attach(model, optimizer, RigL(0.5, timing=Every(1)), total_steps=8)
    for _ in range(8):
        optimizer.zero_grad()
        model(torch.ones(2, 6)).square().sum().backward()
        optimizer.step()
    sparsifier.finish()
    assert list(sparsifier.masks) == ["0.weight"]
    assert int(sparsifier.masks["0.weight"].sum()) == 18


def test_layers_that_stay_dense_get_no_hook() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 40), nn.Linear(40, 40))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = attach(model, optimizer, RigL(0.5), total_steps=100, keep_dense=["1"])
    dense = [row["name"] for row in sparsifier.report() if row["kept_dense"]]
    assert dense == ["0.weight", "1.weight"]
    hooked = [name for name, p in model.named_parameters() if p._post_accumulate_grad_hooks or p._backward_hooks]
    assert hooked == ["2.weight"]
    attach(small(), torch.optim.SGD(small().parameters(), lr=0.1), Dense(), total_steps=3)  # Dense asks nothing


def test_detach_leaves_a_plain_model_that_can_be_attached_again() -> None:
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = attach(model, optimizer, RigL(0.5), total_steps=10)
    masks = sparsifier.masks
    sparsifier.detach()
    assert not optimizer._optimizer_step_post_hooks
    assert not any(p._post_accumulate_grad_hooks or p._backward_hooks for p in model.parameters())
    assert all(not model.get_parameter(k)[~m].any() for k, m in masks.items())
    train(model, optimizer, 1)
    assert sparsifier.step_count == 0
    attach(model, optimizer, RigL(0.5), total_steps=10)


def test_a_model_that_is_gone_leaves_nothing_behind() -> None:
    from regrow.sparsity.engine import _ATTACHED

    gc.collect()
    before = len(_ATTACHED)
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = attach(model, optimizer, RigL(0.5, allocation=Uniform()), total_steps=10)
    assert len(_ATTACHED) == before + 2
    del model, optimizer, sparsifier
    gc.collect()
    assert len(_ATTACHED) == before


def test_copies_of_the_model_are_not_tracked() -> None:
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    attach(model, optimizer, RigL(0.5), total_steps=10)
    twin = copy.deepcopy(model)
    assert not any(p._post_accumulate_grad_hooks or p._backward_hooks for p in twin.parameters())
    assert torch.optim.swa_utils.AveragedModel(model).module[0].weight._post_accumulate_grad_hooks is None


def test_attaching_late_resets_state_and_says_so() -> None:
    model = small()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer, 3)
    with pytest.warns(UserWarning, match="already made steps"):
        sparsifier = attach(model, optimizer, Static(0.5), total_steps=10)
    for key, mask in sparsifier.masks.items():
        state = optimizer.state[model.get_parameter(key)]
        assert not state["exp_avg"][~mask].any()
        assert state["exp_avg"][mask].any()


def test_an_optimiser_inside_a_wrapper_is_found() -> None:
    class Wrapper:
        def __init__(self, optimizer: torch.optim.Optimizer) -> None:
            self.optimizer = optimizer

    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = attach(model, Wrapper(Wrapper(optimizer)), SET(0.5, timing=Every(1)), total_steps=4)
    train(model, optimizer, 4)
    assert sparsifier.step_count == 4


def test_tampering_is_noticed() -> None:
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = attach(model, optimizer, Static(0.5), total_steps=300)
    train(model, optimizer, 98)
    with torch.no_grad():
        model[0].weight.add_(1.0)
    train(model, optimizer, 1)
    with pytest.raises(RegrowError, match=r"0\.weight has non-zero inactive weights"):
        train(model, optimizer, 1)
    with pytest.raises(RegrowError, match=r"0\.weight"):
        sparsifier.finish()
    sparsifier._sparse["0.weight"].mask_weight()
    with torch.no_grad():
        model[0].weight.copy_(torch.where(sparsifier.masks["0.weight"], model[0].weight, -0.0))
    sparsifier.finish()  # a negative zero is a zero
    model[2].weight = nn.Parameter(torch.zeros(4, 16))
    with pytest.raises(RegrowError, match=r"2\.weight was replaced"):
        sparsifier.finish()


def test_a_state_of_another_run_is_refused() -> None:
    def start(method, **options):
        model = small()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        options = {"total_steps": 10, **options}
        return attach(model, optimizer, method, **options)

    saved = start(RigL(0.5)).state_dict()
    start(RigL(0.5)).load_state_dict(saved)
    others = [(SET(0.5), {}), (RigL(0.6), {}), (RigL(0.5), {"total_steps": 11}), (RigL(0.5), {"mask_seed": 1})]
    others += [(RigL(0.5, drop_fraction=Cosine(0.4)), {}), (RigL(0.5), {"layers": ["!2"]}), (RigL(0.5), {"seed": 2})]
    for method, options in others:
        other = start(method, **options)
        before = other.masks
        with pytest.raises(InputError, match=r"belongs to another run|2\.weight is not among the sparse layers"):
            other.load_state_dict(saved)
        assert all(torch.equal(before[k], m) for k, m in other.masks.items())


def test_summary_names_what_a_reader_wants() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 40), nn.Linear(40, 40))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = attach(model, optimizer, RigL(0.5), total_steps=6400)
    assert sparsifier.summary() == (
        "layer     shape  weights  active  density\n"
        "0.weight  3x2          6       6   1.0000  dense\n"
        "1.weight  40x3       120     120   1.0000  dense\n"
        "2.weight  40x40     1600     737   0.4606\n"
        "rigl: 863 of 1726 weights active, density 0.5000; 2 of 3 layers dense\n"
        "updates: 0 of 47, every 100 steps; step 0 of 6400; ITOP rate so far 0.5000"
    )


def test_the_door_opens_without_the_rest_of_the_house() -> None:
    heavy = "scipy PIL timm torchvision altair ray captum pydantic yaml typer rich lightning_fabric regrow.corruptions"
    code = f"import sys, regrow.sparsity; print([m for m in {heavy.split()!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
