"""Which parameters are chosen, and what is refused."""

import pytest
import torch
from torch import nn

from regrow.errors import InputError, UnknownNameError
from regrow.sparsity import SET, Dense, Method, RigL, Static, attach, methods, plan
from regrow.sparsity.layers import choose


class Mixed(nn.Module):
    """One of everything that might be taken for a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 4, 8))
        self.embed = nn.Embedding(10, 8)
        self.conv = nn.Conv1d(4, 6, 3)
        self.up = nn.ConvTranspose2d(4, 6, 3)
        self.norm = nn.LayerNorm((4, 8))
        self.batch = nn.BatchNorm1d(6)
        self.attention = nn.MultiheadAttention(8, 2)
        self.cross = nn.MultiheadAttention(8, 2, kdim=4, vdim=4)
        self.tied = nn.Linear(8, 8)
        self.again = nn.Linear(8, 8)
        self.again.weight = self.tied.weight
        self.frozen = nn.Linear(8, 8)
        self.frozen.weight.requires_grad_(False)


def names(model: nn.Module, **options) -> list[str]:
    return [one.name for one in choose(model, **options)]


def test_owners_decide_not_shapes() -> None:
    cross = [f"cross.{part}_proj_weight" for part in "qkv"]
    expected = ["conv.weight", "up.weight", "attention.in_proj_weight", "attention.out_proj.weight"]
    assert names(Mixed()) == [*expected, *cross, "cross.out_proj.weight", "tied.weight"]


def test_patterns_and_predicates() -> None:
    model = Mixed()
    assert names(model, layers=["conv", "up.*"]) == ["conv.weight", "up.weight"]
    assert names(model, layers="tied.weight") == ["tied.weight"]
    assert "tied.weight" not in names(model, layers=["!tied"])
    assert len(names(model, layers=["!tied"])) == 8
    assert names(model, layers=lambda name, owner: isinstance(owner, nn.Conv1d)) == ["conv.weight"]
    assert [c.name for c in choose(model, keep_dense=["up"]) if c.kept_dense] == ["up.weight"]
    for options in ({"layers": ["conv9"]}, {"layers": ["!conv9"]}, {"keep_dense": ["conv9"]}, {"layers": ["norm"]}):
        with pytest.raises(InputError, match="matches no layer"):
            names(model, **options)


def test_names_do_not_depend_on_wrappers() -> None:
    inner = nn.Sequential(nn.Linear(4, 4))
    outer = nn.Module()
    outer.module = inner
    assert names(outer) == names(inner) == ["0.weight"]


def test_weights_that_cannot_be_masked_are_refused_by_name() -> None:
    normed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)))
    with pytest.raises(InputError, match=r"0\.weight is computed from other parameters"):
        choose(normed)
    assert choose(nn.Sequential(*normed, nn.Linear(4, 4)), layers=["1"])
    with pytest.raises(InputError, match=r"0\.weight has no shape yet"):
        choose(nn.Sequential(nn.LazyLinear(3)))
    with pytest.raises(InputError, match=r"weight has type torch\.complex64"):
        choose(nn.Linear(3, 3, dtype=torch.complex64))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RigL(50), r"^sparsity must be in \[0, 1\), got 50\. Did you mean 0\.5\?$"),
        (lambda: RigL(1.0), r"sparsity must be in \[0, 1\), got 1\.$"),
        (lambda: SET(-0.1), "got -0.1"),
        (lambda: Static(float("nan")), "number in"),
        (lambda: Static("0.5"), "number in"),
        (lambda: Dense(0.5), "dense training has sparsity 0"),
        (lambda: RigL(0.5, returned="maybe"), "'keep' or 'reset'"),
        (lambda: RigL(0.5, timming=1), "unknown part 'timming'. Did you mean 'timing'"),
        (lambda: methods.get("rigll"), "unknown method 'rigll'. Did you mean 'rigl'"),
    ],
)
def test_impossible_methods_are_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_every_file_is_a_method_and_others_can_add_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert methods.names() == sorted(methods.names())
    for name in methods.names():
        method = methods.get(name)(0.0 if name == "dense" else 0.5)
        assert isinstance(method, Method)
        assert method.name == name

    class Entry:
        name = "theirs"

        @staticmethod
        def load():
            return lambda sparsity, **parts: Method("theirs", sparsity)

    monkeypatch.setattr(methods.importlib.metadata, "entry_points", lambda group: [Entry])
    methods._foreign.cache_clear()
    try:
        assert "theirs" in methods.names()
        assert methods.get("theirs")(0.5).name == "theirs"
    finally:
        monkeypatch.undo()
        methods._foreign.cache_clear()
    with pytest.raises(UnknownNameError):
        methods.get("theirs")


@pytest.mark.parametrize("bad", ["optimiser", "twice", "steps", "seed", "nothing", "too few"])
def test_attach_refuses_and_changes_nothing(bad: str) -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    method, steps, seed, model_given = RigL(0.5), 10, 0, model
    if bad == "optimiser":
        optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
        message = r"does not hold 2\.weight"
    elif bad == "twice":
        attach(model, optimizer, RigL(0.5), total_steps=10)
        before = [p.detach().clone() for p in model.parameters()]
        message = r"0\.weight already has a sparsifier"
    elif bad == "steps":
        steps, message = 0, "total_steps must be a whole number >= 1, got 0"
    elif bad == "seed":
        seed, message = -1, "seeds must be whole numbers >= 0"
    elif bad == "nothing":
        model_given, message = nn.Sequential(nn.ReLU()), "no layer to make sparse"
    else:
        method, message = RigL(0.98), "1 active weights for 2 layers"
    with pytest.raises(InputError, match=message):
        attach(model_given, optimizer, method, total_steps=steps, seed=seed)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    if bad != "twice":
        assert not optimizer._optimizer_step_post_hooks
        assert not model[0].weight._post_accumulate_grad_hooks


def test_plan_is_what_attach_does() -> None:
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Flatten(), nn.Linear(16, 10))
    before = [p.detach().clone() for p in model.parameters()]
    planned = plan(model, RigL(0.5), total_steps=640)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    sparsifier = attach(model, torch.optim.SGD(model.parameters(), lr=0.1), RigL(0.5), total_steps=640)
    rows = sparsifier.report()
    assert [{k: v for k, v in row.items() if k != "ever_active"} for row in rows] == planned["layers"]
    assert (planned["updates"], planned["interval"]) == (sparsifier.planned_updates, sparsifier.update_interval)
    assert (planned["n_weights"], planned["n_active"]) == (592, 296)
    assert planned["density"] == sparsifier.density == 0.5
    meta = nn.Sequential(nn.Conv2d(3, 16, 3, device="meta"), nn.Flatten(), nn.Linear(16, 10, device="meta"))
    assert plan(meta, RigL(0.5), total_steps=640) == planned
    assert plan(nn.ReLU(), Dense(), total_steps=3)["layers"] == []
