"""What must hold for every method there is, in every kind of loop: as equalities, never within a tolerance."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from regrow.sparsity import (
    Dense,
    DropGrow,
    GradientGrowth,
    Magnitude,
    RandomGrowth,
    RigL,
    Static,
    Step,
    Taylor,
    Uniform,
    attach,
    methods,
    testing,
)
from regrow.sparsity.schedules import Never
from regrow.sparsity.update import Layer, Rewired, rewire

NAMES = methods.names()
SPARSE = [name for name in NAMES if name != "dense"]
EVERY, LEFT_OUT = testing.cases()
N_SAMPLE = 120
#: Changing the seed changes which combinations the quick suite looks at; all are in `make test-all`.
SAMPLE = testing.sample(EVERY, N_SAMPLE, seed=2026)
REST = [case for case in EVERY if case not in set(SAMPLE)]
#: One optimiser and layer for each method through the compiler that makes code.
INDUCTOR = [testing.Case(name, "sgd", "linear", "compile", "inductor") for name in NAMES]


@pytest.mark.parametrize("case", SAMPLE, ids=str)
def test_contract(case: testing.Case) -> None:
    testing.check(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", REST, ids=str)
def test_contract_of_the_rest(case: testing.Case) -> None:
    testing.check(case)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch's own, as it loads inductor
@pytest.mark.parametrize("case", INDUCTOR, ids=str)
def test_contract_compiled_by_inductor(case: testing.Case) -> None:
    testing.check(case)


def test_the_product_is_whole_and_the_sample_meets_every_method_in_every_loop() -> None:
    n = len(NAMES) * len(testing.OPTIMIZERS) * len(testing.LAYERS) * len(testing.MANNERS)
    assert len(EVERY) + len(LEFT_OUT) == n
    assert all(one.reason for one in LEFT_OUT)
    assert {(c.method, c.manner) for c in SAMPLE} == {(m, k) for m in NAMES for k in testing.MANNERS}
    assert {c.layer for c in SAMPLE} == set(testing.LAYERS)
    assert {c.optimizer for c in SAMPLE} == set(testing.OPTIMIZERS)
    assert testing.sample(EVERY, N_SAMPLE, seed=2026) == SAMPLE != testing.sample(EVERY, N_SAMPLE, seed=1)


# ---- the checks see what they are for: methods with one fault each


@dataclass(frozen=True)
class _LosesOne(DropGrow):
    """Grows one weight too few, and says that this is as planned."""

    def __call__(self, layers, rule):
        out = []
        for layer in layers:
            change = rewire(layer, rule.drop, rule.grow)
            mask = change.mask.clone()
            mask[change.grown.nonzero().flatten()[:1]] = False
            out.append(Rewired(mask, change.dropped, change.grown & mask))
        return out


@dataclass(frozen=True)
class _GlobalRandom:
    needs_gradient = False

    def __call__(self, layer: Layer, where, k):
        return torch.rand(layer.mask.numel())


@pytest.mark.parametrize(
    ("part", "message"),
    [({"step": _LosesOne()}, "active weights of"), ({"grow": _GlobalRandom()}, "I6|I7")],
    ids=["budget", "global generator"],
)
def test_a_faulty_method_is_caught(part, message: str) -> None:
    def faulty(sparsity: float, **parts):
        return RigL(sparsity, **{**part, **parts})

    with pytest.raises(Exception, match=message):
        testing.check(testing.Case("faulty", "sgd", "linear", "plain"), faulty)


def test_leaks_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from regrow.sparsity import engine

    case = testing.Case("rigl", "adamw", "linear", "plain")
    monkeypatch.setattr(engine.Engine, "_reset_state", lambda *_: None)
    with pytest.raises(AssertionError, match="I3"):
        testing.check(case)
    monkeypatch.undo()
    monkeypatch.setattr(engine.Tracked, "mask_gradient", lambda *_: None)
    with pytest.raises(Exception, match=r"I2|non-zero inactive"):
        testing.check(case)


def test_a_method_of_a_user_goes_through_the_contract() -> None:
    def mine(sparsity: float, **parts):
        made = RigL(sparsity, **{"drop": Taylor(), "grow": RandomGrowth(), **parts})
        return replace(made, name="mine", returned="reset")

    for manner in ("plain", "scaler"):
        testing.check(testing.Case("mine", "adamw", "grouped conv2d", manner), mine)


@pytest.mark.parametrize("parts", [{"window": 2}, {"state": "reference"}, {"grow_init": "fan_in"}], ids=str)
def test_options_keep_the_contract(parts) -> None:
    def option(sparsity: float, **more):
        return RigL(sparsity, **{**parts, **more})

    for manner in ("plain", "accumulate", "scaler"):
        testing.check(testing.Case("rigl", "nesterov", "conv3d", manner), option)


# ---- relations between runs


def train(name: str, **options) -> testing.Run:
    case = testing.Case(name, "sgd", "grouped conv2d", "plain")
    return testing.start(case, methods.get(name), **options).go()


@pytest.mark.parametrize("name", NAMES)
def test_closure_and_loss_scale_equal_the_plain_loop(name: str) -> None:
    def bits(manner: str, optimizer: str) -> list[bytes]:
        case = testing.Case(name, optimizer, "grouped conv2d", manner)
        run = testing.start(case, methods.get(name))
        run.loop._plain = run.loop._accumulate  # no clipping
        for batch in run.data:
            run.optimizer.zero_grad()
            if manner == "closure":
                run.loop.step(batch)
            elif manner == "scaler":
                run.loop.scaler.scale(testing.loss_of(run.model, batch)).backward()
                run.loop.scaler.step(run.optimizer)
                run.loop.scaler.update()
            else:
                testing.loss_of(run.model, batch).backward()
                run.optimizer.step()
        return run.bits

    for optimizer in ("nesterov", "rmsprop"):
        plain = bits("plain", optimizer)
        assert bits("closure", optimizer) == plain
        assert bits("scaler", optimizer) == plain


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("name", SPARSE)
def test_channels_last_makes_the_same_masks(name: str, optimizer: str) -> None:
    """Same weights, gradients and seeds: masks follow logical order, not memory order."""
    case = testing.Case(name, optimizer, "grouped conv2d", "plain")
    first = testing.start(case, methods.get(name))
    model = testing.network("grouped conv2d").to(memory_format=torch.channels_last)
    opt = testing.OPTIMIZERS[optimizer](model.parameters())
    method = testing.frequent(methods.get(name), name)
    second = attach(
        model,
        opt,
        method,
        total_steps=testing.STEPS,
        init_loss=lambda: (
            testing.loss_of(testing.network("grouped conv2d"), first.data[0])
            if name != "snip"
            else sum(p.square().sum() for p in model.parameters())
        ),
    )
    if name == "snip":
        first.sparsifier.detach()
        net = testing.network("grouped conv2d")
        first.model, first.optimizer = net, testing.OPTIMIZERS[optimizer](net.parameters())
        first.sparsifier = attach(
            net,
            first.optimizer,
            method,
            total_steps=testing.STEPS,
            init_loss=lambda: sum(p.square().sum() for p in net.parameters()),
        )
    assert not model[0].weight.is_contiguous()
    for step in range(testing.STEPS):
        for net, one in ((first.model, first.optimizer), (model, opt)):
            # gradients are given, not computed: kernels for the two formats may round differently
            generator = torch.Generator().manual_seed(step)
            one.zero_grad()
            sum((p * torch.randn(p.shape, generator=generator)).sum() for p in net.parameters()).backward()
            one.step()
        for key, mask in first.sparsifier.masks.items():
            assert torch.equal(mask, second.masks[key])
            assert torch.equal(first.model.get_parameter(key), model.get_parameter(key))
    assert not model[0].weight.is_contiguous()
    assert first.sparsifier.history == second.history


@pytest.mark.parametrize("name", ["rigl", "granet", "mest_ems"])
def test_masks_kept_as_integers_train_the_same(name: str) -> None:
    def run(low_memory: bool) -> list[bytes]:
        model = testing.network("linear")
        opt = testing.OPTIMIZERS["adamw"](model.parameters())
        method = testing.frequent(methods.get(name), name)
        sparsifier = attach(model, opt, method, total_steps=testing.STEPS, low_memory=low_memory)
        assert (sparsifier.memory()["mask"] * 8 // 136 >= 32) == (not low_memory)
        for batch in testing.batches("linear"):
            opt.zero_grad()
            testing.loss_of(model, batch).backward()
            opt.step()
        return testing.bits(model, opt)

    assert run(low_memory=True) == run(low_memory=False)


def random_growth(name: str) -> bool:
    return name in ("set", "set_itop", "mest_em", "mest_ems", "cht_s", "cht_ss", "cht")


@pytest.mark.parametrize("name", SPARSE)
def test_seeds_of_masks_and_of_growth_are_apart(name: str) -> None:
    def run(**seeds):
        model = testing.network("grouped conv2d")
        opt = testing.OPTIMIZERS["sgd"](model.parameters())
        data = testing.batches("grouped conv2d")
        method = testing.frequent(methods.get(name), name)
        sparsifier = attach(
            model,
            opt,
            method,
            total_steps=testing.STEPS,
            init_loss=lambda: testing.loss_of(model, data[0]),
            **seeds,
        )
        first = torch.cat([m.flatten() for m in sparsifier.masks.values()])
        for batch in data:
            opt.zero_grad()
            testing.loss_of(model, batch).backward()
            opt.step()
        return first, torch.cat([m.flatten() for m in sparsifier.masks.values()])

    first, last = run(seed=3)
    same, same_last = run(mask_seed=3, growth_seed=3)
    assert torch.equal(first, same)
    assert torch.equal(last, same_last)
    other_growth, other_last = run(mask_seed=3, growth_seed=4)
    assert torch.equal(first, other_growth)
    if not random_growth(name):
        assert torch.equal(last, other_last)
    elif name != "cht":  # it draws only where no path of length three is left
        assert not torch.equal(last, other_last)
    from_data = bool(first.all()) or name in ("snip", "magnitude", "channel")
    assert torch.equal(first, run(mask_seed=4, growth_seed=3)[0]) == from_data


@pytest.mark.parametrize("name", SPARSE)
def test_the_ever_active_share_is_the_union_of_all_masks(name: str) -> None:
    case = testing.Case(name, "sgd", "linear", "plain")
    run = testing.start(case, methods.get(name))
    union = run.sparsifier.masks
    for batch in run.data:
        run.loop.step(batch)
        union = {k: union[k] | m for k, m in run.sparsifier.masks.items()}
    total = sum(m.numel() for m in union.values())
    assert run.sparsifier.itop_rate == sum(int(m.sum()) for m in union.values()) / total
    assert [row["ever_active"] for row in run.sparsifier.report()] == [int(m.sum()) for m in union.values()]
    last = {row["layer"]: row["itop_rate"] for row in run.sparsifier.history}
    assert all(rate == int(union[layer].sum()) / union[layer].numel() for layer, rate in last.items())
    assert bool(last) == (not isinstance(run.sparsifier.method.timing, Never))


@pytest.mark.parametrize("name", SPARSE)
def test_history_tells_survival_and_distance(name: str) -> None:
    case = testing.Case(name, "sgd", "linear", "plain")
    run = testing.start(case, methods.get(name))
    first = run.sparsifier.masks
    before, fresh = first, {}
    told = 0
    for batch in run.data:
        run.loop.step(batch)
        rows = run.sparsifier.history[told:]
        told += len(rows)
        now = run.sparsifier.masks
        for row in rows:
            layer = row["layer"]
            mask = now[layer]
            assert row["distance"] == 1 - int((mask & first[layer]).sum()) / int(mask.sum())
            assert row["n_active"] == int(mask.sum())
            assert row["dropped"] - row["returned"] >= int((before[layer] & ~mask).sum())
            if row["survival"] is not None and layer in fresh and row["pruned"] == 0:
                grown = fresh[layer]
                if int(grown.sum()):
                    assert row["survival"] == int((grown & mask).sum()) / int(grown.sum())
            if row["pruned"] == 0:
                fresh[layer] = mask & ~before[layer]
                assert row["fresh"] == int(fresh[layer].sum())
            else:
                fresh.pop(layer, None)
        before = now if rows else before


@pytest.mark.parametrize("name", [n for n in SPARSE if n not in ("granet", "gmp", "snip", "magnitude", "channel")])
def test_excluding_a_layer_changes_no_other_mask_under_uniform_density(name: str) -> None:
    """(Those left out rank layers against each other, or keep the last one dense.)"""

    def start(layers):
        model = testing.network("grouped conv2d")
        method = testing.frequent(methods.get(name), name, allocation=Uniform())
        return attach(model, testing.OPTIMIZERS["sgd"](model.parameters()), method, total_steps=14, layers=layers)

    fewer = start(["!0"])
    assert list(fewer.masks) == ["3.weight"]
    assert torch.equal(fewer.masks["3.weight"], start(None).masks["3.weight"])


# ---- I11: relations of single updates, bit for bit


def layer_of(rows: int = 6, columns: int = 10, *, ties: bool = False, seed: int = 0, fraction: float = 0.4) -> Layer:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows * columns, generator=generator)
    mask = torch.randperm(rows * columns, generator=generator) < rows * columns // 2
    gradient = torch.randn(rows * columns, generator=generator)
    if ties:
        weight, gradient = weight.sign(), gradient.sign()
    return Layer(
        "w", weight * mask, mask, gradient, (rows, columns), drop_fraction=fraction, update=1, step_grad=gradient * mask
    )


def updated(layer: Layer, step: Step | None = None, drop=None, grow=None) -> torch.Tensor:
    from regrow.sparsity.update import Rule

    n = int(layer.mask.sum())
    rule = Rule(drop or Magnitude(), grow or GradientGrowth(), True, [n], n, 0.5)
    return (step or DropGrow())([layer], rule)[0].mask


def gradient_steps() -> list[tuple[str, Step, object]]:
    """Steps whose update follows from weights and gradients alone."""
    from regrow.sparsity import FanIn, Filters, NOfM, SoftBound

    return [
        ("rigl", DropGrow(), Magnitude()),
        ("taylor", DropGrow(), Taylor()),
        ("mest", SoftBound(soft=False), Magnitude()),
        ("srigl", FanIn(), Magnitude()),
        ("nm", NOfM(2, 5), Magnitude()),
        ("channel", Filters(), Magnitude()),
    ]


def structured(name: str, layer: Layer) -> Layer:
    """The layer with a mask that the step's structure allows."""
    rows, columns = layer.matrix
    if name == "srigl":
        mask = torch.zeros(rows, columns, dtype=torch.bool)
        mask[:, ::2] = True
    elif name == "nm":
        mask = torch.zeros(rows, columns, dtype=torch.bool)
        mask[:, [0, 3, 5, 9]] = True
    elif name == "channel":
        mask = torch.zeros(rows, columns, dtype=torch.bool)
        mask[[0, 2, 3, 5]] = True
    else:
        return layer
    flat = mask.flatten()
    weight = torch.where(flat, layer.weight + (layer.weight == 0) * 0.01 * layer.grad, 0.0)
    return replace(layer, mask=flat, weight=weight, step_grad=layer.grad * flat)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("name", "step", "drop"), gradient_steps(), ids=lambda v: v if isinstance(v, str) else "")
def test_relations_of_an_update(name: str, step: Step, drop, seed: int) -> None:
    layer = structured(name, layer_of(seed=seed))
    rows, columns = layer.matrix
    expected = updated(layer, step, drop)
    assert name == "channel" or not torch.equal(expected, layer.mask)
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed + 50))

    def permuted(values):
        return values.view(rows, columns)[order].flatten()

    moved = replace(
        layer,
        weight=permuted(layer.weight),
        mask=permuted(layer.mask),
        grad=permuted(layer.grad),
        step_grad=permuted(layer.step_grad),
    )
    assert torch.equal(updated(moved, step, drop), permuted(expected)), "rows permuted"
    louder = replace(layer, grad=layer.grad * 8, step_grad=layer.step_grad * 8)
    assert torch.equal(updated(louder, step, drop), expected), "loss scaled"
    negative = replace(layer, weight=-layer.weight, grad=-layer.grad, step_grad=-layer.step_grad)
    assert torch.equal(updated(negative, step, drop), expected), "signs turned"
    assert torch.equal(updated(replace(layer, drop_fraction=0.0), step, drop), layer.mask), "nothing dropped"


def test_equal_gradients_grow_the_lowest_indices_and_weights_as_gradients_restore_the_mask() -> None:
    layer = layer_of()
    change = rewire(replace(layer, grad=torch.ones(60)), Magnitude(), GradientGrowth())
    candidates = (~layer.mask | change.dropped).nonzero().flatten()
    assert torch.equal(change.grown.nonzero().flatten(), candidates[: int(change.dropped.sum())])
    assert torch.equal(updated(replace(layer, grad=layer.weight)), layer.mask)


def test_dense_and_static_are_what_they_say() -> None:
    assert Dense().sparsity == 0
    assert Static(0.5).timing.window(10, None).count() == 0
    model = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    attach(model, optimizer, Dense(), total_steps=10)
    assert not optimizer._optimizer_step_post_hooks
    assert not any(p._post_accumulate_grad_hooks or p._backward_hooks for p in model.parameters())
