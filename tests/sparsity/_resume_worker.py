"""Runs that are cut: begun in one process, saved, and gone on with in another one.

python _resume_worker.py FOLDER       goes on with every run that FOLDER/NAME.saved.pt holds
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from regrow.errors import RegrowError
from regrow.sparsity import (
    SET,
    Every,
    MomentumGrowth,
    NeverActiveFirst,
    RigL,
    Sparsifier,
    attach,
    methods,
)
from regrow.sparsity.schedules import Never

STEPS = 24
#: Methods whose number of weights goes down; they are cut in the middle of that.
FALLING = ("channel", "cht_ss", "gmp", "granet", "mest_ems")
PARTS = ("model", "optimizer", "sparsifier")


@dataclass
class Case:
    """A run: its method, the step after which it is cut, and what is special."""

    method: Any
    cut: int = STEPS // 2
    optimizer: str = "sgd"
    #: the step whose gradient is infinite at the inactive weights, so that its update is put off
    spoilt: int = 0
    #: the order in which the three states are loaded
    order: tuple[str, ...] = field(default=PARTS)


def cases() -> dict[str, Case]:
    """By name."""
    found = {}
    for i, name in enumerate(methods.names()):
        method = methods.get(name)(*([] if name == "dense" else [0.5]))
        if not isinstance(method.timing, Never):
            method = methods.get(name)(0.5, timing=Every(2))
        cut = 6 if name in FALLING else STEPS // 2
        found[name] = Case(method, cut, optimizer="adamw" if i % 2 else "sgd", order=PARTS[i % 3 :] + PARTS[: i % 3])
    slow = Every(5, stop=1.0)
    return found | {
        "after the last update": Case(methods.get("channel")(0.5, timing=Every(2)), cut=20),  # followers engaged at 16
        "before a window": Case(RigL(0.5, window=3, timing=slow), cut=6),
        "inside a window": Case(RigL(0.5, window=3, timing=slow), cut=9),
        "momentum growth": Case(RigL(0.5, grow=MomentumGrowth(0.9), timing=slow), cut=8, optimizer="adamw"),
        "reference": Case(RigL(0.5, state="reference", timing=Every(2)), cut=11),
        "reference with adam": Case(SET(0.5, state="reference", timing=Every(2)), optimizer="adamw"),
        "history": Case(SET(0.5, grow=NeverActiveFirst(), timing=Every(2)), cut=11),
        "values of their own": Case(
            RigL(0.5, grow_init="fan_in", returned="reset", timing=Every(2)), optimizer="adamw"
        ),
        "resting state": Case(SET(0.5, timing=Every(2)), cut=11, optimizer="adamax"),
        "an update put off": Case(RigL(0.5, timing=Every(4)), cut=12, spoilt=12),
    }


@dataclass
class Run:
    """A network in training."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    sparsifier: Sparsifier
    case: Case
    step: int = 0

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.step += 1
            generator = torch.Generator().manual_seed(self.step)
            x, y = torch.randn(8, 3, 6, 6, generator=generator), torch.randint(5, (8,), generator=generator)
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.model(x), y).backward()
            self.optimizer.step()

    def states(self) -> dict[str, Any]:
        return {part: getattr(self, part).state_dict() for part in PARTS}


def start(case: Case, seed: int = 0, saved: dict[str, Any] | None = None) -> Run:
    """The run at step 0 from weights of ``seed``, or where ``saved`` states are."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        convolution = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()]
        model = nn.Sequential(*convolution, nn.Linear(128, 12), nn.ReLU(), nn.Linear(12, 5))
    optimizer: torch.optim.Optimizer = {
        "adamw": lambda: torch.optim.AdamW(model.parameters(), lr=0.01),
        "adamax": lambda: torch.optim.Adamax(model.parameters(), lr=0.01),
        "sgd": lambda: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3),
    }[case.optimizer]()
    if saved is not None:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
    held: list[Run] = []

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        if not held or held[0].step != case.spoilt:
            return gradient
        return gradient.masked_fill(~held[0].sparsifier.masks["4.weight"], torch.inf)

    model[4].weight.register_hook(spoil)

    def loss() -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return model(torch.randn(8, 3, 6, 6, generator=generator)).square().mean()

    state = None if saved is None else saved["sparsifier"]
    sparsifier = attach(model, optimizer, case.method, total_steps=STEPS, seed=3, init_loss=loss, state=state)
    held.append(Run(model, optimizer, sparsifier, case, 0 if saved is None else case.cut))
    return held[0]


def take_up(path: Path, case: Case, way: str) -> Run:
    """A saved run where it was: all states loaded into a run at step 0, or the sparsifier's given to `attach`."""
    saved = torch.load(path, weights_only=True)  # anew each time: an optimiser trains on in the tensors it loads
    if way == "attach":
        return start(case, seed=1, saved=saved)
    run = start(case, seed=1)
    for part in case.order:
        getattr(run, part).load_state_dict(saved[part])
    run.step = case.cut
    return run


def go_on(folder: Path, name: str, case: Case) -> None:
    """Train a saved run to its end, and save what it ended with; in both ways of taking it up."""
    for way in ("load", "attach"):
        try:
            run = take_up(folder / f"{name}.saved.pt", case, way)
            run.train(STEPS - case.cut)
            ended = run.states()
        except (RegrowError, UserWarning) as error:  # one run that fails must not hide the others
            ended = {"failed": repr(error)}
        torch.save(ended, folder / f"{name}.{way}.pt")


if __name__ == "__main__":
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    for one, its_case in cases().items():
        go_on(Path(sys.argv[1]), one, its_case)
