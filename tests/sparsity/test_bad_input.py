"""What cannot be used is refused in one line that names it and says what to do; and nothing was changed."""

import copy
import gc
import pickle
import random
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer

from regrow.errors import InputError, RegrowError
from regrow.sparsity import (
    GMP,
    NM,
    SET,
    SNIP,
    Cosine,
    Cubic,
    Dense,
    Epochs,
    Every,
    GivenMask,
    GraNet,
    MomentumGrowth,
    RigL,
    Sigmoid,
    Sparsifier,
    SRigL,
    Stages,
    Static,
    Table,
    Uniform,
    Updates,
    attach,
    engine,
    guard,
    methods,
)


def network(width: int = 5) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, width), nn.Tanh(), nn.Linear(width, 4))


def sgd(model: nn.Module) -> SGD:
    return SGD(model.parameters(), lr=0.1, momentum=0.9)


def loss_of(model: nn.Module, number: int = 0) -> torch.Tensor:
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(number))
    return model(x).square().mean()


def train(model: nn.Module, optimizer: Optimizer, steps: int) -> None:
    for number in range(steps):
        optimizer.zero_grad()
        loss_of(model, number).backward()
        optimizer.step()


def traces(model: nn.Module, optimizer: Any) -> dict[str, Any]:
    """All that `attach` and others might leave behind, as bytes and numbers."""
    parameters = list(model.parameters())
    tensors = {"model": [*parameters, *model.buffers()], "gradients": [p.grad for p in parameters]}
    known = isinstance(optimizer, Optimizer)
    hooks = [len(p._backward_hooks or ()) + len(p._post_accumulate_grad_hooks or ()) for p in parameters]
    return {
        **{k: [None if t is None else (t.dtype, repr(t.detach().tolist())) for t in v] for k, v in tensors.items()},
        "requires": [p.requires_grad for p in parameters],
        "mode": model.training,
        "optimizer": repr(optimizer.state_dict()) if known else None,
        "defaults": (type(optimizer.defaults), repr(optimizer.defaults)) if known else None,
        "hooks": hooks,
        "step hooks": len(optimizer._optimizer_step_post_hooks) if known else None,
        "watched": [(id(p) in engine._ATTACHED, id(p) in guard._OWNERS) for p in parameters],
        "random": (hash(torch.get_rng_state().numpy().tobytes()), repr(np.random.get_state()), random.getstate()),
    }


def refused(model: nn.Module, optimizer: Any, method: Any, message: str, **options: Any) -> InputError | RegrowError:
    """Attach must fail with this message, whole, and leave no trace."""
    before = traces(model, optimizer)
    with pytest.raises(RegrowError) as caught:
        attach(model, optimizer, method, **{"total_steps": 10, **options})
    assert re.fullmatch(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
    assert traces(model, optimizer) == before
    return caught.value


# ---- attach: layers


def test_patterns_that_match_no_layer() -> None:
    model = network()
    optimizer = sgd(model)
    known = r" matches no layer\. Next: the layers are: 0\.weight, 2\.weight\."
    refused(model, optimizer, RigL(0.5), "layers pattern 'conv9'" + known, layers=["conv9"])
    refused(model, optimizer, RigL(0.5), "layers pattern '1.weight'" + known, layers=["0", "1.weight"])
    refused(model, optimizer, RigL(0.5), "keep_dense pattern 'head'" + known, keep_dense=["head"])
    model[0].weight.requires_grad_(False)
    left = r"layers pattern '0' matches no layer\. Next: the layers are: 2\.weight\. Frozen, .*: 0\.weight\."
    refused(model, optimizer, RigL(0.5), left, layers=["0"])  # a frozen weight is none of the layers
    model[2].weight.requires_grad_(False)
    none = r"no layer to make sparse: the model has no trainable Linear or Conv weight, or none is chosen\. Next: .*"
    refused(model, optimizer, RigL(0.5), none)


def test_a_shared_weight_has_its_first_name_alone() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    model[1].weight = model[0].weight
    message = r"layers pattern '1' matches no layer\. Next: the layers are: 0\.weight\."
    refused(model, sgd(model), RigL(0.5), message, layers=["1"])


class Tagged(torch.Tensor):
    """A tensor of a class of its own, as quantised and sharded ones are."""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda w: w.to(torch.complex64), r"2\.weight has type torch\.complex64; weights must be real .*numbers\."),
        (lambda w: w.to(torch.float8_e4m3fn), r"2\.weight has type torch\.float8_e4m3fn; weights must .*numbers\."),
        (lambda w: w.to_sparse(), r"2\.weight is sharded or of a sparse layout, .* Next: leave it out\."),
        (lambda w: w.as_subclass(Tagged), r"2\.weight is sharded or of a sparse layout, .* Next: leave it out\."),
    ],
    ids=["complex", "eight bits", "sparse layout", "subclass"],
)
def test_weights_that_are_no_plain_numbers(make: Callable[[torch.Tensor], torch.Tensor], message: str) -> None:
    model = network()
    model[2].weight = nn.Parameter(make(model[2].weight.detach()))
    before = model[0].weight.detach().clone()
    with pytest.raises(InputError, match=f"^{message}$"):
        attach(model, sgd(model), RigL(0.5), total_steps=10)
    assert torch.equal(before, model[0].weight)


def test_an_integer_weight_takes_no_part() -> None:
    model = network()
    model[2].weight = nn.Parameter(torch.ones(4, 5, dtype=torch.int8), requires_grad=False)
    assert [*attach(model, sgd(model), RigL(0.5), total_steps=10).masks] == ["0.weight"]


def test_a_sparse_model_is_refused_until_its_mask_is_given() -> None:
    model = network()
    first = attach(model, sgd(model), RigL(0.5), total_steps=10)
    first.detach()
    message = r"0\.weight is sparse already: \d+ of its 30 weights are zero\. Next: .*GivenMask\(\).*"
    refused(model, sgd(model), RigL(0.5), message)
    message = r"the given masks have sparsity 0\.5, the method asks for 0\.7\. Next: ask for 0\.5\."
    refused(model, sgd(model), RigL(0.7, initial=GivenMask()), message)
    second = attach(model, sgd(model), RigL(0.5, initial=GivenMask()), total_steps=10)
    assert all(torch.equal(mask, second.masks[name]) for name, mask in first.masks.items())


# ---- attach: numbers


@pytest.mark.parametrize("steps", [True, False, 2.5, -3, "10", None, float("nan"), float("inf")])
def test_lengths_that_are_no_number_of_steps(steps: Any) -> None:
    model = network()
    message = f"total_steps must be a whole number >= 1, got {steps!r}\\."
    refused(model, sgd(model), RigL(0.5), message.replace("'", "'?"), total_steps=steps)


@pytest.mark.parametrize("epoch", [True, 0, 1.5, "10"])
def test_epochs_that_are_no_number_of_steps(epoch: Any) -> None:
    model = network()
    message = f"steps_per_epoch must be a whole number >= 1, got '?{epoch}'?\\."
    refused(model, sgd(model), RigL(0.5), message, steps_per_epoch=epoch)


def test_densities_that_the_model_cannot_have() -> None:
    model = network()
    optimizer = sgd(model)
    too_few = r"density 0\.02 leaves 1 active weights for 2 layers\. Next: lower the sparsity so that .*"
    refused(model, optimizer, RigL(0.98), too_few)
    dense = (
        r"the layers in keep_dense hold 30 weights, more than the 5 that may be active at density 0\.1\. Next: keep .*"
    )
    refused(model, optimizer, RigL(0.9), dense, keep_dense=["0"])
    refused(model, optimizer, RigL(0.9, allocation=Uniform()), dense, keep_dense=["0"])
    rise = r"the density starts at 0\.3 and would have to rise to 0\.5\. Next: start at a density of 0\.5 or more, .*"
    refused(model, optimizer, GMP(0.5, start_density=0.3), rise)
    refused(model, optimizer, RigL(0.5, density=Sigmoid(0.3)), rise)
    table = r"the table's pattern 'fc' matches no layer\. Next: layers: 0\.weight, 2\.weight\."
    refused(model, optimizer, RigL(0.5, allocation=Table({"0": 0.5, "fc": 0.5})), table)
    full = r"the table leaves -5 active weights for 20 weights of the other layers\. Next: change the densities .*"
    refused(model, optimizer, RigL(0.5, allocation=Table({"0": 1.0}, rest="solve")), full)


@pytest.mark.parametrize("make", [GraNet, GMP, methods.get("cht_ss"), methods.get("channel")])
def test_a_run_too_short_for_the_density_to_come_down(make: Callable[..., Any]) -> None:
    model = network()
    message = (
        r"(granet|gmp|cht_ss|channel) has to come from density (0\.8|1) down to 0\.5, but a run of 1 steps has no "
        r"update in that time\. Next: train longer, or give a timing with a shorter interval\."
    )
    refused(model, sgd(model), make(0.5), message, total_steps=1)
    message = message.replace("of 1 steps", "of 90 steps")
    refused(model, sgd(model), make(0.5, timing=Every(100)), message, total_steps=90)


def test_epochs_need_their_length() -> None:
    model = network()
    message = r"a timing in epochs needs the number of steps of an epoch\. Next: pass steps_per_epoch=\."
    refused(model, sgd(model), SET(0.5, timing=Epochs(1)), message)


@pytest.mark.parametrize("seed", [-1, True, 1.5, "1"])
@pytest.mark.parametrize("argument", ["mask_seed", "growth_seed"])
def test_seeds_that_are_none(argument: str, seed: Any) -> None:
    model = network()
    refused(model, sgd(model), RigL(0.5), f"seeds must be whole numbers >= 0, got {seed!r}\\.", **{argument: seed})


# ---- attach: optimisers and losses


@pytest.mark.parametrize("what", ["model", "list", "name", None])
def test_what_is_no_optimiser(what: Any) -> None:
    model = network()
    given = {"model": model, "list": [sgd(model)], "name": "sgd", None: None}[what]
    kind = type(given).__name__
    message = rf"{kind} is no torch\.optim\.Optimizer\. Next: pass the optimiser, or its wrapper with \.optimizer\."
    refused(model, given, RigL(0.5), message)
    refused(model, given, Dense(), message)


def _no_loss(model: nn.Module) -> None:
    return None


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (_no_loss, r"this method scores .* needs a loss\. Next: pass attach\(\.\.\., init_loss=function .*\)\."),
        (
            lambda m: 0.5,
            r"init_loss returned no single number\. Next: return the mean loss of one batch, as a tensor\.",
        ),
        (lambda m: m(torch.ones(3, 6)), r"init_loss returned no single number\. Next: .*"),
        (lambda m: loss_of(m).detach(), r"init_loss returned a loss without a gradient\. Next: return .*"),
        (lambda m: m[0](torch.ones(6)).sum(), r"the saliency of 2\.weight needs a gradient, and the loss .* Next: .*"),
        (lambda m: loss_of(m) * torch.nan, r"_Saliency gives NaN in layer 0\.weight: .* Next: look for .*"),
    ],
    ids=["none", "float", "many", "detached", "partial", "nan"],
)
def test_losses_that_score_nothing(loss: Callable[[nn.Module], Any], message: str) -> None:
    model = network()
    optimizer = sgd(model)

    def init_loss() -> Any:
        torch.rand(3), np.random.rand(), random.random()
        return loss(model)

    refused(model, optimizer, SNIP(0.5), message, init_loss=None if loss is _no_loss else init_loss)


def test_a_loss_that_fails_leaves_no_trace_either() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4))
    optimizer = sgd(model)

    def init_loss() -> torch.Tensor:
        model(torch.rand(5, 6))
        raise RuntimeError("no data")

    before = traces(model, optimizer)
    with pytest.raises(RuntimeError, match="no data"):
        attach(model, optimizer, SNIP(0.5), total_steps=10, init_loss=init_loss)
    assert traces(model, optimizer) == before


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"0.weight": torch.ones(5, 6).bool()}, r"there is no mask for 2\.weight\. Next: masks .* for: 0\.weight\."),
        ({"0.weight": torch.ones(5, 6)}, r"the mask of 0\.weight is torch\.float32 of .*it must be bool of .*"),
        (
            {"0.weight": torch.ones(5, 5).bool()},
            r"the mask of 0\.weight is torch\.bool of shape \[5, 5\]\. Next: .* \[5, 6\]\.",
        ),
        ({"0.weight": torch.ones(6, 5).bool()}, r"the mask of 0\.weight .*"),  # transposed
    ],
    ids=["missing", "float", "size", "transposed"],
)
def test_given_masks_that_do_not_fit(masks: dict[str, torch.Tensor], message: str) -> None:
    model = network()
    if message.endswith(".*") and "torch" not in message:
        masks = {**masks, "2.weight": torch.eye(4, 5).bool()}
    refused(model, sgd(model), Static(0.32, initial=GivenMask(masks)), message)


# ---- methods


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RigL(0.5, window=0), r"window must be a whole number of steps >= 1, got 0\."),
        (lambda: RigL(0.5, window=True), r"window must be a whole number of steps >= 1, got True\."),
        (lambda: RigL(0.5, window=2.0), r"window must be a whole number of steps >= 1, got 2\.0\."),
        (
            lambda: RigL(0.5, window=2, grow=MomentumGrowth()),
            r"window and growth by momentum both average gradients\. Next: leave window at 1\.",
        ),
        (lambda: RigL(0.5, returned="x"), r"returned must be 'keep' or 'reset', got 'x'\."),
        (lambda: RigL(0.5, state="x"), r"state must be 'reset' or 'reference', got 'x'\."),
        (lambda: RigL(0.5, grow_init="x"), r"grow_init must be 'zeros' or 'fan_in', got 'x'\."),
        (lambda: SRigL(0.5, regrow_dropped=False), r"FanIn fills every row .* just dropped\. Next: leave .* at True\."),
        (lambda: SRigL(0.5, min_salient=1.5), r"min_salient must be in \[0, 1\], got 1\.5\."),
        (lambda: NM(0.3), r"sparsity 0\.3 is no N of 4\. Next: take one of 0\.75, 0\.5, 0\.25, 0, or another m\."),
        (lambda: Cubic(0.0), r"the density at the start must be in \(0, 1\], got 0\.0\."),
        (lambda: Cubic(until=0), r"until must be in \(0, 1\], got 0\."),
        (lambda: Stages(((0.0, 0.1), (0.5, 0.1), (0.2, 0.3))), r"stages must begin at progress 0 and rise, got .*\."),
        (lambda: Stages(((0.1, 0.1),)), r"stages must begin at progress 0 and rise, got \[0\.1\]\."),
        (lambda: Stages(()), r"stages must begin at progress 0 and rise, got \[\]\."),
        (lambda: Cosine(30), r"drop fraction must be in \[0, 1\], got 30\. Did you mean 0\.3\?"),
        (lambda: Cosine(float("nan")), r"drop fraction must be in \[0, 1\], got nan\."),
        (lambda: Every(0), r"update interval must be a whole number >= 1, got 0\."),
        (lambda: Every(2.5), r"update interval must be a whole number >= 1, got 2\.5\."),
        (lambda: Updates(-1), r"number of updates must be a whole number >= 1, got -1\."),
        (lambda: Every(10, stop=0.2, start=0.3), r"updates must start and stop within the run: .* got 0\.3 and 0\.2\."),
        (lambda: MomentumGrowth(1.0), r"decay must be in \[0, 1\), got 1\.0\."),
        (lambda: Table({"0": 1.5}), r"density of '0' must be in \(0, 1\], got 1\.5\."),
    ],
)
def test_methods_that_cannot_be(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert re.fullmatch(message, str(caught.value)), str(caught.value)


# ---- optimisers and copies


def test_a_second_optimiser_of_a_sparse_weight_does_not_step() -> None:
    model = network()
    first, second = sgd(model), sgd(model)
    one = attach(model, first, RigL(0.5), total_steps=10)
    train(model, first, 1)
    other = network()
    train(other, sgd(other), 1)  # what has nothing to do with it is left alone
    loss_of(model).backward()
    before = traces(model, second)
    message = r"^two optimisers hold a sparsified parameter, .* Next: let one optimiser hold it, or detach\(\) and .*"
    with pytest.raises(RegrowError, match=message):
        second.step()
    assert traces(model, second) == before
    one.detach()
    second.step()


COPY = (
    r"^this optimiser is a copy of one with a sparsifier, and .* Next: attach a method \(Dense\(\) to train densely\)"
)


def test_a_copied_optimiser_does_not_step_until_it_is_attached_itself() -> None:
    model = network()
    optimizer = sgd(model)
    attach(model, optimizer, RigL(0.5, timing=Every(5)), total_steps=10)
    train(model, optimizer, 2)
    for method in (RigL(0.5, initial=GivenMask()), Dense()):
        twin, copied = copy.deepcopy((model, optimizer))
        assert copied.param_groups[0]["params"][0] is twin[0].weight
        loss_of(twin).backward()
        before = traces(twin, copied)
        with pytest.raises(InputError, match=COPY):
            copied.step()
        assert traces(twin, copied) == before
        mine = attach(twin, copied, method, total_steps=10)
        train(twin, copied, 2)
        assert mine.step_count == (0 if method.name == "dense" else 2)
        assert all(p.all() for p in twin.parameters()) == (method.name == "dense")
    for copied in (copy.deepcopy(optimizer), copy.copy(optimizer)):
        with pytest.raises(InputError, match=COPY):
            copied.step()
    train(model, optimizer, 1)  # the original goes on


def test_copies_made_after_detach_and_pickles_are_plain() -> None:
    model = network()
    optimizer = sgd(model)
    one = attach(model, optimizer, RigL(0.5), total_steps=10)
    train(model, optimizer, 2)
    stored = pickle.loads(pickle.dumps((model, optimizer)))
    assert type(stored[1].defaults) is dict
    assert stored[1].state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]
    train(*stored, 2)
    one.detach()
    train(*copy.deepcopy((model, optimizer)), 2)
    assert type(optimizer.defaults) is dict


def test_detach_twice_does_nothing_more() -> None:
    model = network()
    optimizer = sgd(model)
    first = attach(model, optimizer, RigL(0.5), total_steps=10)
    first.detach()
    before = traces(model, optimizer)
    first.detach()
    assert traces(model, optimizer) == before
    second = attach(model, optimizer, RigL(0.5, initial=GivenMask()), total_steps=10)
    before = traces(model, optimizer)
    first.detach()  # nor does it touch what came after
    assert traces(model, optimizer) == before
    with pytest.raises(RegrowError, match="two optimisers"):
        sgd(model).step()
    second.detach()


def test_what_is_watched_does_not_grow_with_the_models_that_are_gone() -> None:
    gc.collect()
    for _ in range(3):
        model = network()
        attach(model, sgd(model), RigL(0.5, allocation=Uniform()), total_steps=10)
        del model
        gc.collect()
    watched = {key: owner() for key, owner in guard._OWNERS.items()}
    assert sum(owner is None for owner in watched.values()) <= 2  # the last one's, until the next attach


# ---- states of other runs


def held(one: Sparsifier) -> dict[str, Any]:
    return {"state": repr(one.state_dict()), "steps": (one.step_count, one.update_count)}


def test_states_of_other_models_name_what_differs() -> None:
    def start(model: nn.Module, method: Any = None) -> tuple[nn.Module, Optimizer, Sparsifier]:
        optimizer = sgd(model)
        return model, optimizer, attach(model, optimizer, method or SET(0.5, timing=Every(1)), total_steps=10)

    model, optimizer, one = start(network())
    train(model, optimizer, 3)
    saved = one.state_dict()
    extra = nn.Sequential(*network(), nn.Linear(4, 4))
    renamed = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))
    another = "Next: attach to the model that saved it."
    cases = [
        (network(7), f"another model: 0.weight has shape [7, 6] here and [5, 6] there. {another}"),
        (renamed, f"another model: 1.weight has shape [4, 5] here and no place there. {another}"),
        (extra, f"another model: 3.weight has shape [4, 4] here and no place there. {another}"),
        (network()[:1], f"another model: 2.weight is not among the sparse layers here. {another}"),
    ]
    for other, message in cases:
        other, its_optimizer, two = start(other)
        before = traces(other, its_optimizer), held(two)
        with pytest.raises(InputError, match=f"^{re.escape(f'this state is of {message}')}$"):
            two.load_state_dict(saved)
        assert (traces(other, its_optimizer), held(two)) == before
    for state, message in (({}, "version None"), ({**saved, "version": 99}, "version 99")):
        with pytest.raises(InputError, match=rf"^this state has {message}, this regrow reads version \d+\. Next: .*"):
            one.load_state_dict(state)
    _, _, two = start(network(), RigL(0.5, timing=Every(1)))
    with pytest.raises(InputError, match=r"^this state belongs to another run: .* Next: attach with the arguments .*"):
        two.load_state_dict(saved)


# ---- while it trains


def nan_where_inactive(model: nn.Module, steps: set[int]) -> tuple[list[Any], list[int]]:
    """Spoil the first layer's gradient at its inactive weights, in these steps."""
    box: list[Any] = []
    step = [0]

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        if step[0] not in steps:
            return gradient
        return gradient.masked_fill(~box[0].masks["0.weight"], torch.nan)

    model[0].weight.register_hook(spoil)  # type: ignore[index]
    return box, step


@pytest.mark.parametrize("name", ["rigl", "granet", "srigl", "nm"])
def test_updates_that_nan_gradients_put_off_are_made_up_for(name: str) -> None:
    model = network(8)
    box, step = nan_where_inactive(model, {2, 3, 9, 10})
    optimizer = sgd(model)
    box.append(attach(model, optimizer, methods.get(name)(0.5, timing=Every(3)), total_steps=12))
    due = 40 if name == "granet" else sum(int(mask.sum()) for mask in box[0].masks.values())
    for number in range(1, 13):
        step[0] = number
        optimizer.zero_grad()
        loss_of(model, number).backward()
        optimizer.step()
        assert all(p.isfinite().all() for p in model.parameters())
    box[0].finish()
    # due after 3 and 6 (9 is the stop, and out of the time); the one of 3 comes a step later
    assert sorted({row["step"] for row in box[0].history}) == [4, 6]
    assert sum(int(mask.sum()) for mask in box[0].masks.values()) == due


@pytest.mark.parametrize("name", ["granet", "channel"])
def test_a_last_update_that_is_put_off_still_brings_the_density_down(name: str) -> None:
    model = network(16)
    box, step = nan_where_inactive(model, {8, 9, 10})
    optimizer = sgd(model)
    method = methods.get(name)(0.5, timing=Every(4, stop=0.75), **({"start_density": 0.8} if name == "channel" else {}))
    box.append(attach(model, optimizer, method, total_steps=12))
    densities = []
    for number in range(1, 13):
        step[0] = number
        optimizer.zero_grad()
        loss_of(model, number).backward()
        optimizer.step()
        densities.append(box[0].density)
    assert densities[9] > densities[10] == densities[11]
    assert sorted({row["step"] for row in box[0].history}) == [4, 11]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        box[0].finish()


@pytest.mark.parametrize("layer", ["0.weight", "2.weight"])
def test_a_weight_that_is_not_a_number_stops_the_update_before_any_change(layer: str) -> None:
    model = network()
    optimizer = sgd(model)
    one = attach(model, optimizer, RigL(0.5, timing=Every(2), allocation=Uniform()), total_steps=10)
    generator = torch.Generator().manual_seed(1)
    factors = {name: torch.rand(p.shape, generator=generator) for name, p in model.named_parameters()}

    def step() -> None:
        optimizer.zero_grad()
        sum((p * factors[name]).sum() for name, p in model.named_parameters()).backward()  # type: ignore[union-attr]
        optimizer.step()

    step()
    with torch.no_grad():
        weight = model.get_parameter(layer)
        weight.view(-1)[one.masks[layer].flatten().nonzero()[0]] = torch.nan
    masks, state = one.masks, copy.deepcopy(optimizer.state_dict()["state"])
    weights = {}
    for name, p in model.named_parameters():
        weights[name] = p.detach() - 0.1 * (1 + 0.9) * factors[name] * masks.get(name, 1)
    message = rf"^Magnitude gives NaN in layer {re.escape(layer)}: .* Next: look for a diverged loss"
    with pytest.raises(RegrowError, match=message):
        step()
    assert (one.update_count, one.history) == (0, [])
    assert all(torch.equal(mask, masks[name]) for name, mask in one.masks.items())
    for name, p in model.named_parameters():  # the optimiser's step alone
        torch.testing.assert_close(p.detach(), weights[name], equal_nan=True)
    for key, entry in optimizer.state_dict()["state"].items():
        factor = [*factors.values()][key]
        flags = [*one.masks.values()][key // 2] if key % 2 == 0 else 1
        torch.testing.assert_close(entry["momentum_buffer"], state[key]["momentum_buffer"] * 0.9 + factor * flags)


def test_a_weight_that_was_replaced_is_noticed_at_the_next_step() -> None:
    model = network()
    optimizer = sgd(model)
    attach(model, optimizer, Static(0.5), total_steps=10)
    train(model, optimizer, 1)
    model[2].weight = nn.Parameter(torch.zeros(4, 5))
    loss_of(model).backward()
    message = r"^2\.weight was replaced by another parameter after attach\. Next: attach after the model is complete\.$"
    with pytest.raises(RegrowError, match=message):
        optimizer.step()


# ---- the end


@pytest.mark.parametrize("cleared", [True, False])
@pytest.mark.parametrize("name", ["gmp", "granet", "cht_ss", "mest_ems", "channel"])
def test_a_run_that_ends_early_warns_and_can_be_pruned_to_its_density(name: str, cleared: bool) -> None:
    model = network(16)
    optimizer = sgd(model)
    parts = {"drop_fraction": Cosine(0.5)} if name == "mest_ems" else {}
    one = attach(model, optimizer, methods.get(name)(0.5, timing=Every(2), **parts), total_steps=20)
    train(model, optimizer, 5)
    if cleared:
        optimizer.zero_grad()
    active = sum(int(mask.sum()) for mask in one.masks.values())
    final = one._plan.n_final
    message = f"the run ended at step 5 of 20 with {active} active weights; the method ends at {sum(final)}\\. finish"
    assert active > sum(final)
    with pytest.warns(UserWarning, match=message):
        one.finish()
    assert sum(int(mask.sum()) for mask in one.masks.values()) == active
    before = one.masks
    one.finish(prune_to_final=True)
    assert one.is_final
    assert sum(int(mask.sum()) for mask in one.masks.values()) == sum(final)
    for key, mask in one.masks.items():
        assert not (mask & ~before[key]).any()
        assert not model.get_parameter(key)[~mask].any()
        if name == "channel":
            assert (mask.all(1) | ~mask.any(1)).all()  # whole filters
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one.finish()


def test_an_optimiser_that_never_stepped_is_noticed_at_the_end() -> None:
    model = network()
    one = attach(model, sgd(model), RigL(0.5), total_steps=10)
    with pytest.warns(UserWarning, match=r"^the optimiser that regrow is attached to made no step: something else .*"):
        one.finish()
    model = network()
    dense = attach(model, sgd(model), Dense(), total_steps=10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dense.finish()  # a dense run counts no steps
