"""Five training loops that are not regrow's stay exact once `attach` is in them: the scripts of examples/, watched."""

from __future__ import annotations

import importlib.util
import math
import re
import runpy
import sys
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from regrow.sparsity import Sparsifier

ROOT = Path(__file__).parents[2]
NEEDS = {
    "plain_pytorch": (),
    "lightning_trainer": ("lightning",),
    "hf_trainer": ("transformers", "accelerate"),
    "accelerate_loop": ("accelerate",),
    "timm_loop": ("timm",),
}
#: The loop whose libraries take longest to load waits for the longer tests.
EACH = [pytest.param(name, marks=[pytest.mark.system] if name == "hf_trainer" else []) for name in NEEDS]
#: loop: real optimiser steps, micro-batches per step, updates (every 5 steps, before three quarters of the run)
EXPECTED = {
    "plain_pytorch": (60, 2, 8),
    "lightning_trainer": (40, 2, 5),
    "hf_trainer": (40, 2, 5),
    "accelerate_loop": (40, 2, 5),
    "timm_loop": (40, 1, 5),
}
#: ERK by hand at density 0.2 of 16x3x3x3, 32x16x3x3, 4x512: N = 432, 4608, 2048, N p = 25, 54, 516, T = 1418,
#: x = 1417.6 / 595 * N p = 59.563, 128.656, 1229.381, and the two units left go to the two largest fractions
COUNTS_BY_HAND = [60, 129, 1229]

# Lightning asks torch for its tree structures in a way that this torch has deprecated
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning:lightning")


class Watch:
    """What an outsider sees of a run: hooks of its own, none of the sparsifier's figures except its masks."""

    def __init__(self) -> None:
        self.parameters: dict[str, nn.Parameter] = {}
        self.sparsifier: Sparsifier
        self.first_masks: dict[str, Tensor] = {}
        self.dense: dict[str, Tensor] = {}
        self.steps = self.backwards = self.clips = 0
        self.largest_ratio = 0.0
        self.faults: list[str] = []

    def attached(self, model: nn.Module, sparsifier: Sparsifier) -> Sparsifier:
        """Note masks and parameters, and sum up the dense gradients of every step."""
        self.parameters, self.sparsifier = dict(model.named_parameters()), sparsifier
        self.first_masks = sparsifier.masks
        for name, parameter in self.parameters.items():
            parameter.register_hook(lambda gradient, name=name: self.saw(name, gradient))
        return sparsifier

    def saw(self, name: str, gradient: Tensor) -> None:
        self.backwards += name == next(iter(self.first_masks))
        self.dense[name] = self.dense.get(name, 0.0) + gradient.detach().double()

    def clipped(self, norm: float) -> None:
        """The norm that clipping saw must be that of the masked gradient."""
        self.clips += 1
        masks = self.sparsifier.masks
        masked = {name: g * masks[name] if name in masks else g for name, g in self.dense.items()}
        expected, dense = (
            math.sqrt(sum(float(g.square().sum()) for g in grads.values())) for grads in (masked, self.dense)
        )
        self.largest_ratio = max(self.largest_ratio, dense / expected)
        if not math.isclose(norm, expected, rel_tol=1e-4):
            self.faults.append(f"step {self.steps}: clipped by {norm}, masked gradient {expected}, dense {dense}")

    def stepped(self, *_: object) -> None:
        """After every step of any optimiser: as many active weights as at the start, all others zero."""
        self.steps += 1
        self.dense = {}
        for name, mask in self.sparsifier.masks.items():
            if bool(self.parameters[name].detach()[~mask].any()):
                self.faults.append(f"step {self.steps}: {name} has non-zero inactive weights")
            if int(mask.sum()) != int(self.first_masks[name].sum()):
                self.faults.append(f"step {self.steps}: {name} has {int(mask.sum())} active weights")


def load(name: str) -> ModuleType:
    for package in NEEDS[name]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (dependency group dev)")
    spec = importlib.util.spec_from_file_location(f"examples_{name}", ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what these packages import is not ours to mend
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def patch(libraries: None) -> Iterator[pytest.MonkeyPatch]:
    """For all runs: no network, and Lightning's notes in the environment vanish afterwards."""
    with pytest.MonkeyPatch.context() as context:
        context.setenv("HF_HUB_OFFLINE", "1")
        context.setenv("PL_GLOBAL_SEED", "0")
        context.setenv("PL_SEED_WORKERS", "0")
        yield context


def watched(module: ModuleType, run: Callable[[], Any]) -> tuple[Watch, Any]:
    watch, attach, clip = Watch(), module.attach, torch.nn.utils.clip_grad_norm_

    def clip_and_tell(*args: Any, **kwargs: Any) -> Tensor:
        norm = clip(*args, **kwargs)
        watch.clipped(float(norm))
        return norm

    with pytest.MonkeyPatch.context() as context:
        context.setattr(
            module, "attach", lambda model, *args, **kwargs: watch.attached(model, attach(model, *args, **kwargs))
        )
        context.setattr(torch.nn.utils, "clip_grad_norm_", clip_and_tell)
        handle = register_optimizer_step_post_hook(watch.stepped)
        try:
            return watch, run()
        finally:
            handle.remove()


@pytest.fixture(scope="module", params=EACH)
def observed(
    request: pytest.FixtureRequest, patch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Watch, Any]:
    name = request.param
    module, folder = load(name), tmp_path_factory.mktemp(name)
    takes_folder = name in ("lightning_trainer", "hf_trainer")
    return name, *watched(module, lambda: module.main(folder) if takes_folder else module.main())


def test_every_step_keeps_counts_zeros_and_the_masked_norm(observed: tuple[str, Watch, Any]) -> None:
    name, watch, _ = observed
    assert watch.faults == []
    assert watch.clips == EXPECTED[name][0]
    assert watch.largest_ratio > 1.01  # the norm of the dense gradient would have been noticed


def test_steps_are_the_optimisers_and_updates_those_planned(observed: tuple[str, Watch, Any]) -> None:
    name, watch, _ = observed
    steps, micro_batches, updates = EXPECTED[name]
    assert watch.sparsifier.step_count == watch.steps == steps
    assert watch.backwards == steps * micro_batches
    assert watch.sparsifier.update_count == watch.sparsifier.planned_updates == updates
    assert sorted({row["step"] for row in watch.sparsifier.history}) == [5 * (n + 1) for n in range(updates)]


def test_counts_are_exact(observed: tuple[str, Watch, Any]) -> None:
    name, watch, _ = observed
    counts = [int(mask.sum()) for mask in watch.sparsifier.masks.values()]
    sizes = [mask.numel() for mask in watch.sparsifier.masks.values()]
    assert sum(counts) == math.floor(Fraction(2, 10) * sum(sizes) + Fraction(1, 2))
    if name in ("plain_pytorch", "lightning_trainer", "accelerate_loop"):
        assert counts == COUNTS_BY_HAND


def test_masks_move_and_the_model_has_their_zeros(observed: tuple[str, Watch, Any]) -> None:
    _, watch, (model, sparsifier, *_rest) = observed
    assert sparsifier is watch.sparsifier
    sparsifier.finish()
    parameters = dict(model.named_parameters())
    for name, mask in sparsifier.masks.items():
        assert not parameters[name].detach()[~mask].any()
        moved = not torch.equal(mask, watch.first_masks[name])
        assert moved or bool(mask.all()), name


@pytest.mark.parametrize(("name", "length"), [("plain_pytorch", 20), ("timm_loop", 2)])
def test_an_average_remembers_dropped_weights_until_it_is_masked(
    name: str, length: int, patch: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load(name)
    mask_average, before = module.mask_average, []

    def look_and_mask(average: nn.Module, sparsifier: Sparsifier) -> None:
        before.append(inactive_weights(average, sparsifier))
        mask_average(average, sparsifier)

    monkeypatch.setattr(module, "mask_average", look_and_mask)
    _, sparsifier, ema = module.main(length)
    assert before[0].any()
    assert not inactive_weights(ema.module, sparsifier).any()
    assert ema.module.get_parameter(next(iter(sparsifier.masks))).any()


def inactive_weights(model: nn.Module, sparsifier: Sparsifier) -> Tensor:
    return torch.cat([model.get_parameter(name).detach()[~mask] for name, mask in sparsifier.masks.items()])


def plain(module: ModuleType, folder: Path) -> Iterator[Any]:
    yield module.main(30, folder / "state.pt", save_at=17)
    yield module.main(30, folder / "state.pt")


def lightning(module: ModuleType, folder: Path) -> Iterator[Any]:
    yield module.main(folder)
    yield module.main(folder, resume=folder / "epoch=1.ckpt")


def hugging_face(module: ModuleType, folder: Path) -> Iterator[Any]:
    yield module.main(folder, steps=26)
    yield module.main(folder, steps=26, resume_at=13)


def accelerate(module: ModuleType, folder: Path) -> Iterator[Any]:
    yield module.main(folder=folder)
    yield module.main(folder=folder, resume=True)


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty:UserWarning")  # true on resume
@pytest.mark.parametrize(
    ("name", "runs", "steps_left"),
    [
        ("plain_pytorch", plain, 13),
        ("lightning_trainer", lightning, 20),
        pytest.param("hf_trainer", hugging_face, 13, marks=pytest.mark.system),
        ("accelerate_loop", accelerate, 20),
    ],
)
def test_a_resumed_run_equals_the_uncut_one_bit_for_bit(
    name: str,
    runs: Callable[[ModuleType, Path], Iterator[Any]],
    steps_left: int,
    patch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    module = load(name)
    both = runs(module, tmp_path)
    whole, sparsifier, *_ = next(both)
    watch, (resumed, restored, *_) = watched(module, lambda: next(both))
    assert watch.steps == steps_left
    expected, got = whole.state_dict(), resumed.state_dict()
    assert expected.keys() == got.keys()
    assert [key for key in expected if not torch.equal(expected[key], got[key])] == []
    masks = restored.masks
    assert [key for key, mask in sparsifier.masks.items() if not torch.equal(mask, masks[key])] == []
    assert restored.history == sparsifier.history
    assert restored.step_count == sparsifier.step_count


def test_lightning_loads_a_trained_network_without_a_sparsifier(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = load("lightning_trainer")
    trained, sparsifier = module.main(tmp_path, epochs=1)
    loaded = module.Classifier.load_from_checkpoint(tmp_path / "epoch=0.ckpt", weights_only=True)
    assert all(torch.equal(a, b) for a, b in zip(trained.parameters(), loaded.parameters(), strict=True))
    assert not inactive_weights(loaded, sparsifier).any()


def test_accelerate_may_prepare_before_or_after(patch: pytest.MonkeyPatch) -> None:
    module = load("accelerate_loop")
    one, first = module.main(epochs=2)
    other, second = module.main(epochs=2, prepare_first=True)
    assert first.update_count == second.update_count == 2
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("opt", ["momentum", "lamb", "lion", "adafactorbv", "lookahead_adamw"])
def test_other_optimisers_of_timm(opt: str, patch: pytest.MonkeyPatch) -> None:
    module = load("timm_loop")
    watch, _ = watched(module, lambda: module.main(epochs=2, opt=opt))
    assert watch.faults == []
    assert (watch.sparsifier.step_count, watch.sparsifier.update_count) == (20, 2)


@pytest.mark.parametrize("name", EACH)
def test_scripts_run_as_they_are(name: str, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    load(name)
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
    assert f"updates: {EXPECTED[name][2]} of {EXPECTED[name][2]}" in capsys.readouterr().out


def test_what_the_page_shows_stands_in_the_scripts() -> None:
    page = (ROOT / "docs" / "loops.md").read_text()
    lines = {line.strip() for name in NEEDS for line in (ROOT / "examples" / f"{name}.py").read_text().splitlines()}
    shown = [line.strip() for block in re.findall(r"```py\n(.*?)```", page, re.S) for line in block.splitlines()]
    assert len(shown) > 10
    assert [line for line in shown if line and line not in lines] == []
    assert all(f"examples/{name}.py" in page for name in NEEDS)
