"""The contract that every sparse training method keeps, as checks that run on any method, yours included.

Example:
    >>> from dataclasses import replace
    >>> from regrow.sparsity import RigL
    >>> def mine(sparsity, **parts):
    ...     return replace(RigL(sparsity, **parts), name="mine", returned="reset")
    >>> case = Case("mine", "sgd", "linear", "plain")
    >>> check(case, mine)

`cases` lists all combinations of method, optimiser, layer and loop; `sample` takes a seeded part of them, and
`check` raises `AssertionError` with the invariant's number (I1 to I12 of docs/invariants.md) where one does not hold.
"""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regrow.sparsity import methods
from regrow.sparsity.attaching import attach
from regrow.sparsity.methods._method import Method
from regrow.sparsity.planning import make_plan
from regrow.sparsity.schedules import Constant, Every, Never
from regrow.sparsity.sparsifier import Sparsifier

Batch = tuple[Tensor, Tensor]
Factory = Callable[..., Method]

STEPS = 14
INTERVAL = 2
STOP = 0.75
OVERFLOW_AT = 7

OPTIMIZERS: dict[str, Callable[[Iterable[nn.Parameter]], Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-2),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-3, momentum=0.5, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05, initial_accumulator_value=0.1),
    "adamw fused": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1, fused=True),
}
#: Input shapes of the layers that a case may train, each followed by a linear head.
LAYERS: dict[str, tuple[int, ...]] = {
    "linear": (12,),
    "conv1d": (4, 6),
    "grouped conv2d": (8, 5, 5),
    "conv3d": (4, 3, 3, 3),
    "mha": (3, 8),
}
MANNERS = ("plain", "accumulate", "closure", "scaler", "compile")


@dataclass(frozen=True)
class Case:
    """One combination.

    Attributes:
        method: name.
        optimizer: key of ``OPTIMIZERS``.
        layer: key of ``LAYERS``.
        manner: of ``MANNERS``.
        backend: of torch.compile, for the manner ``"compile"``.
    """

    method: str
    optimizer: str
    layer: str
    manner: str
    backend: str = "aot_eager"

    def __str__(self) -> str:
        """For a test's name."""
        return f"{self.method}-{self.optimizer}-{self.layer}-{self.manner}".replace(" ", "_")


@dataclass(frozen=True)
class Excluded:
    """A combination that makes no sense, and why."""

    case: Case
    reason: str


def cases(names: Iterable[str] | None = None) -> tuple[list[Case], list[Excluded]]:
    """All combinations of method, optimiser, layer and loop, and those among them that are left out.

    None is left out at present: every method runs in all of them.
    """
    product = itertools.product(methods.names() if names is None else names, OPTIMIZERS, LAYERS, MANNERS)
    every = [Case(*combination) for combination in product]
    left_out = [Excluded(case, reason) for case in every if (reason := _no_sense(case))]
    skipped = {one.case for one in left_out}
    return [case for case in every if case not in skipped], left_out


def _no_sense(case: Case) -> str:
    return ""


def sample(every: list[Case], n: int, seed: int) -> list[Case]:
    """``n`` of the cases by a seed: every method with every loop at first, then any; in their own order."""
    generator = random.Random(seed)  # noqa: S311 (a choice of tests)
    shuffled = generator.sample(every, len(every))
    pairs: dict[tuple[str, str], Case] = {}
    for case in shuffled:
        pairs.setdefault((case.method, case.manner), case)
    taken = list(pairs.values())[:n]
    known = set(taken)
    taken += [case for case in shuffled if case not in known][: max(0, n - len(taken))]
    chosen = set(taken)
    return [case for case in every if case in chosen]


# ---- the networks and loops


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return out


def network(layer: str, seed: int = 0) -> nn.Module:
    """A layer of a kind, and a linear head of 5 classes."""
    makers: dict[str, Callable[[], nn.Module]] = {
        "linear": lambda: nn.Linear(12, 8),
        "conv1d": lambda: nn.Conv1d(4, 8, 3),
        "grouped conv2d": lambda: nn.Conv2d(8, 8, 3, groups=2),
        "conv3d": lambda: nn.Conv3d(4, 8, 2),
        "mha": _Attention,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        body = nn.Sequential(makers[layer](), nn.ReLU(), nn.Flatten())
        width = body(torch.zeros(1, *LAYERS[layer])).shape[1]
        return nn.Sequential(*body, nn.Linear(width, 5))


def batches(layer: str, n: int = STEPS) -> list[Batch]:
    """Random inputs and labels, six a batch."""
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(6, *LAYERS[layer], generator=generator), torch.randint(5, (6,), generator=generator))
        for _ in range(n)
    ]


def loss_of(model: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of one batch."""
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


@dataclass
class Loop:
    """One optimiser step on one batch, in the manner of its name; ``scaler`` overflows once."""

    case: Case
    model: nn.Module
    optimizer: Optimizer
    done: int = 0
    scaler: torch.amp.GradScaler = field(
        default_factory=lambda: torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=10_000)
    )

    def __post_init__(self) -> None:
        """Compile where asked for."""
        self.forward = self.model
        if self.case.manner == "compile":
            self.forward = torch.compile(self.model, backend=self.case.backend)  # type: ignore[assignment]

    def step(self, batch: Batch) -> bool:
        """Whether the step was to change weights."""
        self.done += 1
        step = getattr(self, f"_{self.case.manner}", self._plain)
        changed: bool = step(batch)
        return changed

    def _zero(self) -> None:
        self.optimizer.zero_grad(set_to_none=self.done % 3 > 0)

    def _plain(self, batch: Batch) -> bool:
        self._zero()
        loss_of(self.forward, batch).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return True

    def _accumulate(self, batch: Batch) -> bool:
        self._zero()
        for part in (slice(0, 2), slice(2, 4), slice(4, 6)):
            (loss_of(self.model, (batch[0][part], batch[1][part])) / 3).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return True

    def _closure(self, batch: Batch) -> bool:
        def closure() -> Tensor:
            self.optimizer.zero_grad()
            loss = loss_of(self.model, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        self.optimizer.step(closure)  # type: ignore[arg-type]
        return True

    def _scaler(self, batch: Batch) -> bool:
        self._zero()
        overflows = self.done == OVERFLOW_AT
        self.scaler.scale(loss_of(self.model, batch) * (torch.inf if overflows else 1.0)).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return not overflows


def bits(model: nn.Module, optimizer: Optimizer) -> list[bytes]:
    """All weights, buffers and optimiser state, as bytes."""
    tensors = list(model.state_dict().values())
    for p in model.parameters():
        tensors += [v for _, v in sorted(optimizer.state.get(p, {}).items()) if isinstance(v, Tensor)]
    return [t.detach().contiguous().numpy().tobytes() for t in tensors]


def frequent(factory: Factory, name: str, sparsity: float = 0.5, **parts: Any) -> Method:
    """The method, with an update every second step where it has updates at all."""
    if name == "dense":
        return factory(0.0)
    if isinstance(factory(sparsity).timing, Never):
        return factory(sparsity, **{key: value for key, value in parts.items() if key != "timing"})
    return factory(sparsity, **{"timing": Every(INTERVAL, stop=STOP), **parts})


@dataclass
class Run:
    """A case being trained."""

    model: nn.Module
    optimizer: Optimizer
    sparsifier: Sparsifier
    loop: Loop
    data: list[Batch]

    def go(self, start: int = 0, stop: int | None = None) -> Run:
        """Train on some of the batches."""
        for batch in self.data[start:stop]:
            self.loop.step(batch)
        return self

    @property
    def bits(self) -> list[bytes]:
        """Weights and optimiser state."""
        return bits(self.model, self.optimizer)


def start(case: Case, factory: Factory, *, seed: int = 0, **parts: Any) -> Run:
    """Build the network and attach the method."""
    model = network(case.layer)
    optimizer = OPTIMIZERS[case.optimizer](model.parameters())
    data = batches(case.layer)
    sparsifier = attach(
        model,
        optimizer,
        frequent(factory, case.method, **parts),
        total_steps=STEPS,
        seed=seed,
        init_loss=lambda: loss_of(model, data[0]),
    )
    return Run(model, optimizer, sparsifier, Loop(case, model, optimizer), data)


# ---- the checks


def check(case: Case, factory: Factory | None = None) -> None:
    """Train the case and hold it against I1 to I7, I10 and I12; I8 needs ranks, I9 and I11 are of single updates.

    Args:
        case: the combination.
        factory: ``factory(sparsity, **parts) -> Method``; the method of that name by default.

    Raises:
        AssertionError: an invariant does not hold; the message begins with its number.
    """
    make = methods.get(case.method) if factory is None else factory
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    _check_training(case, make)
    _check_resume(case, make)
    if case.method != "dense":
        _check_dense_limit(case, make)
        _check_still(case, make)
    _require(torch.equal(states[0], torch.get_rng_state()), "I6: torch's global generator was used")
    same = np.array_equal(states[1][1], np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002
    _require(same, "I6: numpy's global generator was used")
    _require(states[2] == random.getstate(), "I6: Python's global generator was used")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def _check_training(case: Case, factory: Factory) -> None:
    run = start(case, factory)
    sparsifier, dense = run.sparsifier, case.method == "dense"
    expected = _Expected(run, frequent(factory, case.method))
    expected.check(0)
    steps = 0
    with _watched_forward(run) as seen:
        for batch in run.data:
            before = run.bits, sparsifier.masks, sparsifier.step_count
            changed = run.loop.step(batch)
            steps += changed
            if not changed:
                masks = sparsifier.masks
                _require(before[0] == run.bits, "I4: a step that overflowed changed something")
                _require(before[2] == sparsifier.step_count, "I4: a step that overflowed was counted")
                _require(all(torch.equal(before[1][k], m) for k, m in masks.items()), "I4: overflow changed masks")
            if not dense:
                _require(sparsifier.step_count == steps, "I4: steps are counted once")
                _require(sparsifier.memory()["gradient"] == 0 or _lasting(sparsifier), "I5: a gradient is kept")
                _clean(run)
            expected.check(steps)
    _require(not seen, f"I2: inactive weights were not zero in a forward pass: {seen[:3]}")
    _require(sparsifier.update_count == sparsifier.planned_updates == expected.updates(steps), "I12: number of updates")
    sparsifier.finish()
    for row in sparsifier.history:
        gone, came = row["dropped"], row["returned"] + row["fresh"]
        _require(gone >= row["returned"] and came >= 0, f"history does not add up: {row}")


def _lasting(sparsifier: Sparsifier) -> bool:
    return sparsifier.method.decay is not None or sparsifier.method.window > 1


class _Expected:
    """Counts that are due after each step, from the plan's formulae alone."""

    def __init__(self, run: Run, method: Method) -> None:
        self.run, self.method = run, method
        self.plan = make_plan(run.model, method, STEPS, None, (), None) if method.name != "dense" else None
        self.last = self._total(0)

    def updates(self, steps: int) -> int:
        return sum(1 for t in range(1, steps + 1) if self._due(t))

    def _due(self, t: int) -> bool:
        moves = not isinstance(self.method.timing, Never)
        return moves and t % INTERVAL == 0 and t < STOP * STEPS

    def _total(self, t: int) -> list[int]:
        if self.plan is None:
            return []
        sizes = [c.size for c in self.plan.layers]
        last = self.plan.window.last()
        fraction = self.method.drop_fraction(self.plan.window.progress(t))
        if t >= last:
            fraction = 0.0
        return self.plan.method.step.held(self.plan.planned(t), sizes, fraction)

    def check(self, steps: int) -> None:
        if self.plan is None:
            return
        if steps == 0 or self._due(steps):
            self.last = self._total(steps)
        counts = [int(m.count_nonzero()) for m in self.run.sparsifier.masks.values()]
        step = self.plan.method.step
        if getattr(step, "loses_by_rounding", False):
            rows = [c.shape[0] for c in self.plan.layers]
            fits = all(n - r < c <= n for c, n, r in zip(counts, self.last, rows, strict=True))
            _require(fits, f"I1: {counts} active weights, {self.last} less than a row are due at {steps}")
        elif step.counts_shift and (self.plan.falling or hasattr(self.method.initial, "for_all")):
            _require(sum(counts) == sum(self.last), f"I1: {counts} active weights, {sum(self.last)} due at {steps}")
        else:
            _require(counts == self.last, f"I1: {counts} active weights, {self.last} due after step {steps}")


class _watched_forward:  # noqa: N801 (used like a function)
    """Collects the names of layers whose inactive weights are not zero when the model is run."""

    def __init__(self, run: Run) -> None:
        self.run, self.seen = run, list[str]()

    def __enter__(self) -> list[str]:
        def look(module: nn.Module, inputs: object) -> None:
            if torch.compiler.is_compiling():
                return
            for name, mask in self.run.sparsifier.masks.items():
                if bool(self.run.model.get_parameter(name).detach()[~mask].any()):
                    self.seen.append(name)

        if self.run.loop.case.manner != "compile":
            self.handle = self.run.model.register_forward_pre_hook(look)
        return self.seen

    def __exit__(self, *_: object) -> None:
        if self.run.loop.case.manner != "compile":
            self.handle.remove()


def _clean(run: Run) -> None:
    """Inactive weights, their gradient and their state are what a fresh optimiser would hold."""
    for name, mask in run.sparsifier.masks.items():
        p = run.model.get_parameter(name)
        _require(not bool(p.detach()[~mask].any()), f"I2: inactive weights of {name} are not zero")
        if run.sparsifier.method.state == "reference":
            continue
        if p.grad is not None:
            _require(not bool(p.grad[~mask].any()), f"I3: gradients of inactive weights of {name} are not zero")
        for key, value in run.optimizer.state[p].items():
            if isinstance(value, Tensor) and value.shape == p.shape:
                resting = 0.1 if isinstance(run.optimizer, torch.optim.Adagrad) and key == "sum" else 0.0
                _require(not bool((value[~mask] != resting).any()), f"I3: {key} of inactive weights of {name} leaks")


def _check_resume(case: Case, factory: Factory) -> None:
    """Cut in two, at a step that has no update and at one that has, and go on in a new model."""
    if case.manner == "compile":
        return  # what is compiled does not change what is saved, and compiling thrice costs minutes
    whole = start(case, factory).go()
    for cut in (5, 8):
        first = start(case, factory).go(0, cut)
        parts = (first.model, first.optimizer, first.sparsifier, first.loop.scaler)
        saved = copy.deepcopy([part.state_dict() for part in parts])
        second = start(case, factory)
        second.sparsifier.load_state_dict(saved[2])
        second.model.load_state_dict(saved[0])
        second.optimizer.load_state_dict(saved[1])
        second.loop.scaler.load_state_dict(saved[3])
        second.loop.done = cut
        second.go(cut)
        _require(second.bits == whole.bits, f"I7: cut at step {cut}, the run ends with other bits")
        _require(second.sparsifier.history == whole.sparsifier.history, f"I7: cut at step {cut}, other history")
        equal = all(torch.equal(m, whole.sparsifier.masks[k]) for k, m in second.sparsifier.masks.items())
        _require(equal, f"I7: cut at step {cut}, other masks")


def _check_dense_limit(case: Case, factory: Factory) -> None:
    """At sparsity 0 a method is the loop without it."""
    model = network(case.layer)
    optimizer = OPTIMIZERS[case.optimizer](model.parameters())
    loop = Loop(case, model, optimizer)
    for batch in batches(case.layer):
        loop.step(batch)
    plain = bits(model, optimizer)
    dense = start(case, factory, sparsity=0.0).go()
    _require(dense.bits == plain, "I10: at sparsity 0 training differs from the loop without regrow")


def _check_still(case: Case, factory: Factory) -> None:
    """With nothing to drop, or no time to, masks and all else are as in static training from the same masks."""
    first = start(case, factory)
    if isinstance(first.sparsifier.method.timing, Never) or first.sparsifier._plan.falling:
        return
    quiet = start(case, factory, drop_fraction=Constant(0.0)).go()
    static = start(case, factory, drop_fraction=Constant(0.0), timing=Never()).go()
    _require(quiet.bits == static.bits, "I10: a drop fraction of 0 is not static training")


def each_method(names: Iterable[str] | None = None) -> Iterator[tuple[str, Factory]]:
    """Names and factories of the methods, dense left out."""
    for name in methods.names() if names is None else names:
        if name != "dense":
            yield name, methods.get(name)
