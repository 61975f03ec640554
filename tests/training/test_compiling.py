"""Compiled training: the bits of a resumed run, the weights of a plain one, and taken only where it pays."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from regrow import data
from regrow.data.spec import ImageSet
from regrow.errors import InputError, RegrowError
from regrow.training import compiling, probe
from regrow.training.checkpoint import load_weights
from regrow.training.loop import Trainer
from regrow.training.settings import MethodSettings, Precision, RunSettings, TrainingSettings

STEPS = 12


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return data.load("cues", "train", n=64, root=tmp_path_factory.mktemp("data"))


def settings(compile_: str, method: str = "rigl", model: str = "mlp", **training: Any) -> RunSettings:
    return RunSettings.model_validate(
        {
            "data": {"name": "cues", "train_images": 64},
            "model": {"name": model, "width": 8},
            "method": MethodSettings(name=method, interval=3).model_dump(),
            "sparsity": 0.0 if method == "dense" else 0.5,
            "seeds": {"init": 1, "mask": 2, "data": 3, "growth": 4},
            "training": {"steps": STEPS, "batch": 16, "lr": 0.02, **training},
            "precision": {"compile": compile_},
        }
    )


def require_resumable_and_close(images: ImageSet, folder: Path, method: str, **training: Any) -> None:
    """A compiled run cut in its middle has the bits of an uncut one, and nearly the weights of a plain one."""
    plain = Trainer(settings("no", method, **training), images, folder / "plain")
    plain.train()
    run = settings("default", method, **training)
    Trainer(run, images, folder / "whole").train()
    first = Trainer(run, images, folder / "cut")
    first.model.train()
    for _ in range(5):
        first.one_step()
        first.step += 1
    first._checkpoint()
    second = Trainer(run, images, folder / "cut")
    second.train()
    assert second.step == STEPS
    files = [folder / name / "model.safetensors" for name in ("whole", "cut")]
    assert files[0].read_bytes() == files[1].read_bytes()
    compiled, expected = load_weights(files[0]), dict(plain.network.state_dict())
    assert compiled.tensors.keys() == expected.keys()
    for name, mask in compiled.masks.items():
        assert not compiled.tensors[name][~mask].any()
        assert int(mask.sum()) == int(plain.sparsifier.masks[name].sum())
    weights = [name for name in expected if name.endswith("weight")]
    off = torch.cat([(compiled.tensors[name] - expected[name]).flatten() for name in weights])
    assert off.norm() < 0.01 * torch.cat([expected[name].flatten() for name in weights]).norm()


@pytest.mark.parametrize(
    ("method", "training"),
    [("dense", {}), ("rigl", {"model": "resnet8"}), ("set", {"accumulate": 2}), ("mest_em", {"ema": 0.9})],
)
def test_traced_training_is_resumable_and_close(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, training: dict[str, Any]
) -> None:
    modes: list[str] = []

    def traced(network: torch.nn.Module, *, mode: str | None = None, **others: Any) -> Any:
        if "backend" in others:  # called once more by Fabric, which puts itself between network and compiler
            return original(network, **others)
        modes.append(str(mode))
        return original(network, backend="aot_eager", **others)

    original = torch.compile  # traced as ever, but no code is generated, which takes a minute
    monkeypatch.setattr(torch, "compile", traced)
    require_resumable_and_close(images, tmp_path, method, **training)
    assert modes == ["default"] * 3


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_compiled_training_is_resumable_and_close(images: ImageSet, tmp_path: Path) -> None:
    require_resumable_and_close(images, tmp_path, "rigl", model="resnet8")


@pytest.mark.parametrize(
    ("training", "asked", "taken"),
    [
        ({}, "reduce-overhead", "reduce-overhead"),
        ({"accumulate": 2}, "reduce-overhead", "default"),
        ({"sam": 0.05}, "reduce-overhead", "default"),
        ({"accumulate": 2}, "default", "default"),
        ({"supcon": {}}, "default", "no"),
        ({"supcon": {}}, "reduce-overhead", "no"),
        ({}, "no", "no"),
    ],
)
def test_a_run_takes_the_mode_of_its_study_as_far_as_it_can(training: dict[str, Any], asked: str, taken: str) -> None:
    run = TrainingSettings.model_validate({"steps": 1, "batch": 4, **training})
    assert compiling.mode_of(run, Precision.model_validate({"compile": asked})) == taken


def test_what_a_machine_cannot_compile_is_refused(images: ImageSet, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="reduce-overhead is for CUDA devices"):
        Trainer(settings("reduce-overhead"), images, tmp_path / "a")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="needs a C"):
        Trainer(settings("default"), images, tmp_path / "b")
    with pytest.raises(ValidationError):
        TrainingSettings.model_validate({"steps": 1, "compile": "max"})


def test_plain_runs_keep_the_identity_that_they_had() -> None:
    identity = settings("no").identity()
    assert identity["precision"] == {"dtype": "fp32", "channels_last": False}
    assert "compile" not in identity["training"]
    assert settings("no", compile="default").identity() == identity
    assert settings("default").identity()["precision"]["compile"] == "default"


# ---------------------------------------------------------------------------------------------------------- the probe


class Stopwatch:
    """In place of a network that is timed: seconds of its first step and of the others by mode."""

    times: dict[str, tuple[float, float]]

    def __init__(self, model: Any, training: Any, precision: Precision, *rest: Any) -> None:
        if precision.compile not in self.times:
            raise RuntimeError("no such kernel\nand more")
        self.first_s, self.step_s = self.times[precision.compile]

    def seconds(self, steps: int) -> float:
        return self.step_s


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Precision, dict[str, Any]]]:
    monkeypatch.setattr(probe, "Stepper", Stopwatch)

    def choose(
        times: dict[str, tuple[float, float]], steps: int, compile_: str = "auto", *, gpu: bool = True, **training: Any
    ) -> tuple[Precision, dict[str, Any]]:
        Stopwatch.times = times
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        run = settings("no", compile=compile_, precision="fp32", channels_last="no", **training)
        return probe.choose_precision(run.model, run.training, n_classes=10, image_size=32, steps=steps)

    return choose


def test_compiled_code_is_taken_where_a_whole_run_is_faster_with_it(choose: Any) -> None:
    times = {"no": (0.1, 0.02), "default": (60.0, 0.01), "reduce-overhead": (80.0, 0.004)}
    chosen, told = choose(times, 40_000)  # 800 s, 60 + 400 s, 80 + 160 s
    assert chosen.compile == "reduce-overhead"
    assert told["step_s"] == {"fp32": 0.02, "fp32 compiled": 0.01, "fp32 CUDA graphs": 0.004}
    assert told["compile_s"] == {"fp32 compiled": 60.0, "fp32 CUDA graphs": 80.0}
    chosen, told = choose(times, 1000)  # 20 s
    assert (chosen.compile, told["step_s"]) == ("no", {"fp32": 0.02})
    assert told["compile_reason"].startswith("not tried: a run's steps take 20 s")
    chosen, _ = choose({**times, "default": (60.0, 0.019), "reduce-overhead": (70.0, 0.018)}, 40_000)
    assert chosen.compile == "no"
    chosen, told = choose({"no": (0.1, 0.02), "default": (60.0, 0.01)}, 40_000)
    assert chosen.compile == "default"
    assert "fp32 CUDA graphs failed: no such kernel;" in told["compile_reason"]
    chosen, told = choose(times, 40_000, accumulate=2)
    assert (chosen.compile, list(told["compile_s"])) == ("default", ["fp32 compiled"])


def test_compiled_code_is_tried_where_asked_and_nowhere_by_itself_on_a_processor(choose: Any) -> None:
    times = {"no": (0.1, 0.02), "default": (60.0, 0.01)}
    assert choose(times, 10**6, gpu=False)[0].compile == "no"
    assert "compile_s" not in choose(times, 10**6, gpu=False)[1]
    assert choose(times, 10**6, "no")[0].compile == "no"
    chosen, told = choose({**times, "default": (60.0, 0.03)}, 10, "default", gpu=False)
    assert (chosen.compile, told["compile_reason"]) == ("default", "pinned by the recipe")
    with pytest.raises(RegrowError, match=r"compiling failed: no such kernel Next: set training\.compile: no"):
        choose({"no": (0.1, 0.02)}, 10, "default", gpu=False)
