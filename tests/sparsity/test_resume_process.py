"""A run that was cut and goes on in a new process is the uncut run, bit for bit; see `_resume_worker.py`."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from regrow.sparsity import Constant, Every, GradientGrowth, RigL, Uniform, attach, methods

WORKER = Path(__file__).with_name("_resume_worker.py")
SPECIAL = [
    "after the last update",
    "before a window",
    "inside a window",
    "momentum growth",
    "reference",
    "reference with adam",
    "history",
    "values of their own",
    "resting state",
    "an update put off",
]


def load_worker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("_resume_worker", WORKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["_resume_worker"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """By name: what the uncut run and those that went on elsewhere ended with. One start of Python for all."""
    worker, folder = load_worker(), tmp_path_factory.mktemp("resumed")
    whole = {}
    for name, case in worker.cases().items():
        cut = worker.start(case)
        cut.train(case.cut)
        torch.save(cut.states(), folder / f"{name}.saved.pt")
        run = worker.start(case)
        run.train(worker.STEPS)
        whole[name] = run.states()
    done = subprocess.run(
        [sys.executable, str(WORKER), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {
        name: {"uncut": uncut}
        | {way: torch.load(folder / f"{name}.{way}.pt", weights_only=True) for way in ("load", "attach")}
        for name, uncut in whole.items()
    }


def assert_equal(a: Any, b: Any, where: str) -> None:
    """Equal to the bit, and of the same types, all the way down."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_equal(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{where}[{i}]")
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype, where
        assert torch.equal(a, b), where
    else:
        assert a == b, where


@pytest.mark.system
@pytest.mark.parametrize("way", ["load", "attach"])
@pytest.mark.parametrize("name", [*methods.names(), *SPECIAL])
def test_a_run_that_goes_on_in_another_process_is_the_uncut_run(name: str, way: str, resumed: dict[str, Any]) -> None:
    uncut, ended = resumed[name]["uncut"], resumed[name][way]
    assert "failed" not in ended, ended
    assert ended["sparsifier"]["step"] == (0 if name == "dense" else 24)  # a dense run registers nothing
    assert_equal(uncut, ended, name)


def test_the_cuts_are_where_their_names_say() -> None:
    worker = load_worker()
    assert [*worker.cases()] == [*methods.names(), *SPECIAL]
    saved = {}
    for name in ("after the last update", "before a window", "inside a window", "momentum growth", "an update put off"):
        run = worker.start(worker.cases()[name])
        run.train(run.case.cut)
        saved[name] = run.sparsifier.state_dict()
    assert saved["after the last update"]["followers"]
    assert not saved["before a window"]["gradients"]
    assert saved["inside a window"]["gradients"].keys() == saved["inside a window"]["masks"].keys()
    assert saved["momentum growth"]["gradients"]
    assert saved["an update put off"]["postponed"]
    for name in worker.FALLING:
        run = worker.start(worker.cases()[name])
        densities = [run.sparsifier.density]
        for steps in (run.case.cut, worker.STEPS - run.case.cut):
            run.train(steps)
            densities.append(run.sparsifier.density)
        assert densities[0] > densities[1] > densities[2], name


SEEN: list[torch.Tensor] = []


class Watching(GradientGrowth):
    """Growth by gradient that lets the test see what it is given."""

    def __call__(self, layer, where, k):
        SEEN.append(layer.grad.clone())
        return super().__call__(layer, where, k)


@pytest.mark.parametrize("interval", [3, 5])
def test_a_window_holds_the_steps_before_its_own_update_alone(interval: int) -> None:
    SEEN.clear()
    model = nn.Linear(6, 4, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    method = RigL(
        0.5,
        grow=Watching(),
        window=3,
        timing=Every(interval, stop=1.0),
        allocation=Uniform(),
        drop_fraction=Constant(0.5),
    )
    attach(model, optimizer, method, total_steps=11)
    gradients = []
    for step in range(10):
        gradients.append(torch.randn(4, 6, generator=torch.Generator().manual_seed(step)))
        optimizer.zero_grad()
        (model.weight * gradients[-1]).sum().backward()
        optimizer.step()
    due = range(interval, 11, interval)
    assert len(SEEN) == len(due)
    for seen, t in zip(SEEN, due, strict=True):
        mean = (gradients[t - 3] + gradients[t - 2] + gradients[t - 1]).flatten()
        torch.testing.assert_close(seen / seen.norm(), mean / mean.norm(), msg=f"at step {t}")
