"""Every optimiser of torch, found and not listed: zeros stay zero in every forward, and state goes with its weight."""

import copy
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from regrow.errors import InputError
from regrow.sparsity import SET, Constant, Every, RigL, Sparsifier, Static, Uniform, attach

FOUND = {
    name: kind
    for name, kind in inspect.getmembers(torch.optim, inspect.isclass)
    if issubclass(kind, Optimizer) and kind is not Optimizer
}
DECAY = {"weight_decay": 1e-2}
#: Settings that make each remember and decay as much as it can.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "SGD": [{"lr": 0.1}, {"lr": 0.1, "momentum": 0.9, "nesterov": True, **DECAY}, {"lr": 0.1, "maximize": True}],
    "Adam": [{"lr": 0.01, "amsgrad": True, **DECAY}, {"lr": 0.01, "maximize": True}],
    "AdamW": [{"lr": 0.01, "amsgrad": True, "weight_decay": 0.1}],
    "NAdam": [{"lr": 0.01, **DECAY}, {"lr": 0.01, **DECAY, "decoupled_weight_decay": True}],
    "RAdam": [{"lr": 0.01, **DECAY}],
    "RMSprop": [{"lr": 0.01, "momentum": 0.9, "centered": True, **DECAY}],
    "Adagrad": [{"lr": 0.05, "initial_accumulator_value": 0.25, **DECAY}],
    "Adadelta": [{"lr": 1.0, **DECAY}],
    "Adafactor": [{"lr": 0.01, **DECAY}],
    "ASGD": [{"lr": 0.05, "t0": 3, **DECAY}],
    "Adamax": [{"lr": 0.01, **DECAY}],
    "Rprop": [{"lr": 0.02}],
    "LBFGS": [
        {"lr": 0.1, "max_iter": 4, "history_size": 3},
        {"max_iter": 5, "history_size": 3, "line_search_fn": "strong_wolfe"},
    ],
    "Muon": [{"lr": 0.05, "weight_decay": 0.1}],
}
for _name in {"Muon"} - FOUND.keys():  # it came with torch 2.9
    del SETTINGS[_name]
#: These take no part.
REFUSED = {"SparseAdam"}
#: What an optimiser gives an entry that never had a gradient, where it is not 0: when new, and after such a step.
RESTING = {
    ("Adagrad", "sum"): (0.25,),
    ("Rprop", "step_size"): (0.02,),
    ("Adamax", "exp_inf"): (0.0, 1e-8),
}
CASES = [
    pytest.param(name, {**settings, **manner}, id="-".join([name, str(i), *manner]))
    for name, several in SETTINGS.items()
    for i, settings in enumerate(several)
    for manner in ({}, {"foreach": True}, {"foreach": False}, {"fused": True})
    if all(key in inspect.signature(FOUND[name]).parameters for key in manner)
]


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    """Without biases: Muon takes matrices alone."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Linear(8, 16, bias=False), nn.Tanh(), nn.Linear(16, 12, bias=False), nn.Tanh()]
        return nn.Sequential(*layers, nn.Linear(12, 4, bias=False)).to(dtype)


def loss_of(model: nn.Module, number: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(number)
    x, y = torch.randn(10, 8, generator=generator), torch.randint(4, (10,), generator=generator)
    return nn.functional.cross_entropy(model(x.to(next(model.parameters()).dtype)).float(), y)


def train(
    model: nn.Module, optimizer: Optimizer, steps: int, after_backward: Callable[[], None] = lambda: None
) -> Iterator[int]:
    """One step at a time."""
    for number in range(1, steps + 1):

        def closure(number: int = number) -> torch.Tensor:
            optimizer.zero_grad()
            loss = loss_of(model, number)
            loss.backward()
            after_backward()
            return loss

        optimizer.step(closure)
        yield number


def watch(model: nn.Module, sparsifier: Sparsifier) -> list[int]:
    """Check the zeros in every forward, those of closures included; returns a list that grows with each check."""
    checked: list[int] = []

    def look(*_: object) -> None:
        for name, mask in sparsifier.masks.items():
            weight = model.get_parameter(name)
            assert weight.isfinite().all(), name
            assert not weight[~mask].any(), name
        checked.append(sparsifier.step_count)

    model.register_forward_pre_hook(look)
    return checked


def method(**parts: Any) -> Any:
    return RigL(0.5, timing=Every(2, stop=1.0), allocation=Uniform(), drop_fraction=Constant(0.4), **parts)


def test_every_optimiser_of_torch_has_its_place() -> None:
    assert FOUND.keys() == SETTINGS.keys() | REFUSED


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_zeros_stay_and_state_goes_with_its_weight(name: str, settings: dict[str, Any]) -> None:
    model = network()
    optimizer = FOUND[name](model.parameters(), **settings)
    sparsifier = attach(model, optimizer, method(), total_steps=12)
    assert sparsifier.masks_after_step == (name in {"LBFGS", "Muon"})
    checked, before, n_fresh = watch(model, sparsifier), sparsifier.masks, 0
    for number in train(model, optimizer, 12):
        for layer, mask in sparsifier.masks.items():
            weight, state = model.get_parameter(layer), optimizer.state[model.get_parameter(layer)]
            changed = mask ^ before[layer]
            n_fresh += int((changed & mask).sum())
            assert not weight[~mask | changed].any()
            assert changed.any() == (number % 2 == 0 and number < 12)
            for key, tensor in state.items():
                if isinstance(tensor, torch.Tensor) and tensor.shape == weight.shape:
                    resting = RESTING.get((name, key), (0.0,))
                    assert (tensor[changed] == resting[0]).all(), (layer, key)
                    ok = torch.stack([tensor == torch.tensor(value) for value in resting]).any(0)
                    assert ok[~mask].all(), (layer, key)
        before = sparsifier.masks
    sparsifier.finish()
    assert sparsifier.update_count == 5
    assert n_fresh > 50
    assert set(checked) == set(range(12))
    assert len(checked) > 12 or name != "LBFGS"


@pytest.mark.parametrize("name", list(SETTINGS))
def test_a_static_run_is_a_loop_that_masks_gradients_itself(name: str) -> None:
    (settings, *_), (model, plain) = SETTINGS[name][::-1], (network(), network())
    optimizer, slow = (FOUND[name](m.parameters(), **settings) for m in (model, plain))
    sparsifier = attach(model, optimizer, Static(0.5), total_steps=12)
    masks = sparsifier.masks

    @torch.no_grad()
    def mask(*, gradients: bool) -> None:
        for key, flags in masks.items():
            weight = plain.get_parameter(key)
            (weight.grad if gradients else weight).mul_(flags)

    mask(gradients=False)
    for _ in zip(train(model, optimizer, 12), train(plain, slow, 12, lambda: mask(gradients=True)), strict=True):
        mask(gradients=False)
        for a, b in zip(model.parameters(), plain.parameters(), strict=True):
            assert torch.equal(a, b)


def test_sparse_adam_is_refused() -> None:
    model = network()
    optimizer = torch.optim.SparseAdam(model.parameters())
    with pytest.raises(InputError, match=r"^SparseAdam takes gradients of sparse layout.* Next: use Adam or AdamW\.$"):
        attach(model, optimizer, Static(0.5), total_steps=3)
    assert all(weight.all() for weight in model.parameters())


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_lbfgs_attached_late_forgets_the_directions_of_weights_that_are_gone(line_search: str | None) -> None:
    model = network()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4, line_search_fn=line_search)
    list(train(model, optimizer, 3))
    sparsifier = attach(model, optimizer, Static(0.5), total_steps=12)
    checked = watch(model, sparsifier)
    list(train(model, optimizer, 3))
    assert len(checked) > 3


class Noisy(torch.optim.SGD):
    """Adds noise to every weight, whatever its gradient."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)), alpha=0.01)
        return loss


def test_an_optimiser_that_leaks_is_masked_after_every_step_and_says_so() -> None:
    model = network()
    optimizer = Noisy(model.parameters(), lr=0.1, momentum=0.9)
    sparsifier = attach(model, optimizer, method(), total_steps=12)
    checked = watch(model, sparsifier)
    list(train(model, optimizer, 12))
    sparsifier.finish()
    assert len(checked) == 12
    assert sparsifier.summary().endswith("Noisy may move zeros: weights are masked after every step")
    plain = torch.optim.SGD(network().parameters(), lr=0.1)
    quiet = attach(network_of(plain), plain, method(), total_steps=12)
    assert "may move zeros" not in quiet.summary()


def network_of(optimizer: Optimizer) -> nn.Module:
    """A module around the weights that an optimiser holds."""
    layers = []
    for weight in optimizer.param_groups[0]["params"]:
        layers.append(nn.Linear(*weight.shape[::-1], bias=False))
        layers[-1].weight = weight
    return nn.Sequential(*layers)


@pytest.mark.parametrize(
    ("name", "settings", "dtype"),
    [
        ("Adam", {"eps": 0.0}, torch.float32),
        ("RMSprop", {"eps": 0.0}, torch.float32),
        ("Adam", {}, torch.float16),  # 1e-8 is 0 in half precision
        ("Adamax", {}, torch.float16),
        ("AdamW", {"foreach": True}, torch.float16),
    ],
)
def test_nothing_divided_by_nothing_is_nothing(name: str, settings: dict[str, Any], dtype: torch.dtype) -> None:
    model = network(dtype)
    optimizer = FOUND[name](model.parameters(), lr=1e-3, **settings)
    sparsifier = attach(model, optimizer, Static(0.5), total_steps=3)
    for _ in train(model, optimizer, 3):
        for key, mask in sparsifier.masks.items():
            assert not model.get_parameter(key)[~mask].any()
    sparsifier.finish()


def test_groups_with_rates_of_their_own_and_a_schedule() -> None:
    def run(**options: Any) -> tuple[nn.Module, Sparsifier]:
        model = network()
        groups = [{"params": [model[0].weight], "lr": 0.2}, {"params": [model[2].weight, model[4].weight], "lr": 0.01}]
        optimizer = torch.optim.Rprop(groups, step_sizes=(1e-6, 50))
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 4, gamma=0.5)
        sparsifier = attach(model, optimizer, method(), total_steps=12, **options)
        watch(model, sparsifier)
        before = sparsifier.masks
        for _ in train(model, optimizer, 12):
            for group in optimizer.param_groups:
                for weight in group["params"]:
                    (layer,) = [k for k in before if model.get_parameter(k) is weight]
                    fresh = sparsifier.masks[layer] & ~before[layer]
                    assert (optimizer.state[weight]["step_size"][fresh] == group["lr"]).all()
            before = sparsifier.masks
            scheduler.step()
        assert [group["lr"] for group in optimizer.param_groups] == [0.2 / 8, 0.01 / 8]
        assert (sparsifier.step_count, sparsifier.update_count) == (12, 5)
        sparsifier.finish()
        return model, sparsifier

    (model, _), (again, _) = run(), run(low_memory=False)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_an_average_of_weights_is_free_of_hooks_and_takes_the_masks(kind: str) -> None:
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    sparsifier = attach(model, optimizer, method(), total_steps=12)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9) if kind == "ema" else None)
    for _ in train(model, optimizer, 12):
        average.update_parameters(model)
    for weight in average.parameters():
        assert not weight._backward_hooks
        assert not weight._post_accumulate_grad_hooks
    left = 0
    with torch.no_grad():
        for name, mask in sparsifier.masks.items():
            weight = average.module.get_parameter(name)
            left += int(weight[~mask].count_nonzero())
            active = weight[mask].clone()
            weight.mul_(mask)
            assert not weight[~mask].any()
            assert torch.equal(weight[mask], active)
    assert left > 0  # the average remembers weights that are gone: without the masks it is not sparse
    sparsifier.finish()


@pytest.mark.filterwarnings("ignore")  # torch's own, about its own
@pytest.mark.parametrize("what", ["model", pytest.param("step", marks=pytest.mark.slow)])
def test_compiled_models_and_steps(what: str) -> None:
    torch._dynamo.reset()
    model, plain = network(), network()
    optimizer, slow = (torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in (model, plain))
    compiled = torch.compile(model, backend="aot_eager")
    step = torch.compile(optimizer.step, backend="aot_eager")
    used = compiled if what == "model" else model
    sparsifier = attach(used, optimizer, method(), total_steps=12)
    reference = attach(plain, slow, method(), total_steps=12)
    for number in range(12):
        optimizer.zero_grad()
        loss_of(used, number).backward()
        optimizer.step() if what == "model" else step()
        slow.zero_grad()
        loss_of(plain, number).backward()
        slow.step()
        for name, mask in sparsifier.masks.items():
            assert not model.get_parameter(name)[~mask].any()
            assert torch.equal(mask, reference.masks[name])
    assert (sparsifier.step_count, sparsifier.update_count) == (12, 5)
    sparsifier.finish()


def test_a_copied_model_trains_with_an_optimiser_of_its_own() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    attach(model, optimizer, SET(0.5, timing=Every(2)), total_steps=12)
    twin = copy.deepcopy(model)
    before = [p.detach().clone() for p in model.parameters()]
    list(train(twin, torch.optim.SGD(twin.parameters(), lr=0.1), 2))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all((p != 0).float().mean() > 0.9 for p in twin.parameters())
