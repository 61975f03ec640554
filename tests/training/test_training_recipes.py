"""Training with every part of a recipe: exact resume, what it trains on, what it costs, and settings that cannot be."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from regrow import data, files, models, seeds
from regrow.data.batches import Batches
from regrow.data.spec import ImageSet
from regrow.errors import InputError
from regrow.training.augmenting import batch_options, passes_per_step
from regrow.training.averaging import find_classifier
from regrow.training.checkpoint import load_weights
from regrow.training.loop import Trainer
from regrow.training.objective import jensen_shannon, supervised_contrastive
from regrow.training.settings import MethodSettings, RunSettings, TrainingSettings

STEPS, BATCH = 8, 8

MIXED = {
    "augment": {
        "flip": True,
        "crop": 2,
        "randaugment": "rand-m9-mstd0.5-inc1",
        "augmix": {},
        "gaussian_noise": {"sd": 0.05, "share": 0.5},
        "erasing": 0.25,
        "mixup": 0.8,
        "cutmix": 1.0,
        "repeats": 3,
    },
    "label_smoothing": 0.1,
    "accumulate": 3,
    "ema": 0.7,
}
CONTRAST = {
    "augment": {"flip": True, "crop": 2, "prime": {}, "erasing": 0.25, "repeats": 2},
    "supcon": {"weight": 0.5},
    "ema": 0.9,
}


@pytest.fixture(autouse=True)
def _timm(libraries: None) -> None:
    """timm, or a skip."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return data.load("cues", "train", n=32, root=tmp_path_factory.mktemp("data"))


def settings(training: dict[str, Any], method: str = "rigl", width: int = 4) -> RunSettings:
    return RunSettings.model_validate(
        {
            "data": {"name": "cues", "train_images": 32},
            "model": {"name": "resnet8", "width": width},
            "method": MethodSettings(name=method, interval=2).model_dump(),
            "sparsity": 0.0 if method == "dense" else 0.5,
            "seeds": {"init": 1, "mask": 2, "data": 3, "growth": 4},
            "training": {"steps": STEPS, "batch": BATCH, "lr": 0.05, **training},
            "precision": {"dtype": "fp32", "channels_last": False},
        }
    )


@pytest.mark.parametrize("training", [MIXED, CONTRAST], ids=["mixed", "contrast"])
class TestEverythingOn:
    def test_a_run_cut_at_any_step_ends_with_the_bits_of_the_uncut_run(
        self, images: ImageSet, tmp_path: Path, training: dict[str, Any]
    ) -> None:
        run = settings(training)
        Trainer(run, images, tmp_path / "whole").train()
        for cut in (1, 4, 7):
            first = Trainer(run, images, tmp_path / f"cut{cut}")
            first.model.train()
            for _ in range(cut):
                first.one_step()
                first.step += 1
            first._checkpoint()
            Trainer(run, images, tmp_path / f"cut{cut}").train()
            weights = [(tmp_path / folder / "model.safetensors").read_bytes() for folder in ("whole", f"cut{cut}")]
            assert weights[0] == weights[1]

    def test_a_run_that_was_cut_before_its_weights_were_written_writes_the_same(
        self, images: ImageSet, tmp_path: Path, training: dict[str, Any]
    ) -> None:
        Trainer(settings(training), images, tmp_path).train()
        weights = (tmp_path / "model.safetensors").read_bytes()
        (tmp_path / "model.safetensors").unlink()
        Trainer(settings(training), images, tmp_path).train()
        assert (tmp_path / "model.safetensors").read_bytes() == weights

    def test_masked_weights_are_exactly_zero(self, images: ImageSet, tmp_path: Path, training: dict[str, Any]) -> None:
        result = Trainer(settings(training), images, tmp_path).train()
        assert result["updates"] > 0
        stored = load_weights(tmp_path / "model.safetensors")
        assert sum(int((~mask).sum()) for mask in stored.masks.values()) > 0
        for name, mask in stored.masks.items():
            assert not stored.tensors[name][~mask].any()

    def test_methods_that_score_initial_weights_see_the_same_loss(
        self, images: ImageSet, tmp_path: Path, training: dict[str, Any]
    ) -> None:
        assert Trainer(settings(training, "snip"), images, tmp_path).sparsifier.density == pytest.approx(0.5, abs=1e-3)


def by_hand(training: dict[str, Any], images: ImageSet, folder: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """A plain loop beside the trainer's: the losses written out, the average by its recurrence."""
    run = settings(training, "dense", width=8)
    trained = Trainer(run, images, folder)
    trained.train()
    train = run.training
    torch.manual_seed(seeds.torch_seed(1, "init"))
    model = models.build("resnet8", 10, image_size=32, width=8)
    classifier, seen = find_classifier(model, 10), []
    classifier.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    options = {"flip": train.augment.flip, "crop": train.augment.crop, **batch_options(train, images.spec)}
    batches = Batches(images.images, images.labels, BATCH, images.spec, **options, seed=3)
    average: dict[str, torch.Tensor] = {}
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = 0.05 * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        x, y = batches.batch(step)
        logits = model(x)
        loss = F.cross_entropy(logits[: len(y)], y, label_smoothing=train.label_smoothing)
        if len(x) == 3 * len(y):
            loss = loss + 12 * jensen_shannon(logits, 3)
        if train.supcon is not None:
            loss = loss + 0.5 * supervised_contrastive(seen[-1], y, 0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for name, value in model.state_dict().items():
            decay = train.ema if step and value.is_floating_point() and train.ema else 0.0
            average[name] = decay * average.get(name, 0) + (1 - decay) * value
    stored = load_weights(folder / "model.safetensors").tensors
    return {name: (value, average[name]) for name, value in stored.items()}


@pytest.mark.parametrize(
    "training",
    [{**MIXED, "accumulate": 1}, CONTRAST, {"ema": 0.6, "augment": {"gaussian_noise": {"sd": 0.1}}}],
    ids=["mixed", "contrast", "noise"],
)
def test_the_loop_is_a_plain_loop(images: ImageSet, tmp_path: Path, training: dict[str, Any]) -> None:
    for name, (ours, plain) in by_hand(training, images, tmp_path).items():
        torch.testing.assert_close(ours, plain.to(ours.dtype), rtol=1e-3, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def test_parts_of_a_batch_of_views_add_up_to_it(images: ImageSet, tmp_path: Path) -> None:
    stored = []
    for parts in (1, 3):
        run = settings({**MIXED, "accumulate": parts, "lr": 0.01}, "dense")
        run = run.model_copy(update={"model": run.model.model_copy(update={"name": "mlp", "width": 24})})
        Trainer(run, images, tmp_path / str(parts)).train()
        stored.append(load_weights(tmp_path / str(parts) / "model.safetensors").tensors)
        rows = files.read_lines(tmp_path / str(parts) / "metrics.jsonl")
        assert 0 <= rows[-1]["accuracy"] <= 1
    for name, value in stored[0].items():
        torch.testing.assert_close(stored[1][name], value, rtol=1e-3, atol=1e-5)


def test_passes_are_the_views_of_a_batch(images: ImageSet) -> None:
    for expected, training in (
        (1, {}),
        (1, {"augment": {"randaugment": "rand-m9", "mixup": 0.5}, "ema": 0.9}),
        (1, {"augment": {"augmix": {"consistency": 0}}}),
        (2, {"supcon": {}}),
        (3, MIXED),
        (3, CONTRAST),
    ):
        train = TrainingSettings.model_validate({"steps": 1, "batch": 4, **training})
        assert passes_per_step(train) == expected
        options = batch_options(train, images.spec)
        x, y = Batches(images.images, images.labels, 4, images.spec, **options).batch(0)
        assert len(x) == expected * len(y) == expected * 4


def test_settings_that_are_off_leave_the_identity_of_earlier_runs() -> None:
    before = settings({"augment": {"flip": True, "crop": 2}}).identity()
    assert before["training"]["augment"] == {"flip": True, "crop": 2}
    assert not {"ema", "supcon"} & set(before["training"])
    on = settings(MIXED).identity()["training"]
    assert on["ema"] == 0.7
    assert set(on["augment"]) == {*MIXED["augment"]}  # type: ignore[misc]
    assert on["augment"]["augmix"]["consistency"] == 12


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"batch": 7, "augment": {"mixup": 0.5}}, "take an even batch, not 7"),
        ({"supcon": {}, "augment": {"cutmix": 1.0}}, "leave out mixup and cutmix"),
        ({"supcon": {}, "accumulate": 2}, "leave accumulate at 1"),
        ({"augment": {"augmix": {}, "prime": {}}}, "alternatives"),
        ({"augment": {"randaugment": "rand-m9-foo"}}, "randaugment"),
        ({"augment": {"randaugment": "augmix-m3"}}, "randaugment"),
        ({"ema": 1.0}, "less than 1"),
        ({"augment": {"gaussian_noise": {"sd": 0}}}, "greater than 0"),
    ],
)
def test_parts_that_do_not_fit_are_refused(training: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        settings(training)


@pytest.mark.parametrize(
    "config", ["rand-m9-mstd0.5-inc1", "rand", "rand-m9-n3-mstd0.5", "rand-mstd1-tweights", "rand-m7-p0.6-mmax20-t3a"]
)
def test_what_settings_take_as_randaugment_timm_takes_too(config: str, images: ImageSet) -> None:
    train = settings({"augment": {"randaugment": config}}).training
    Batches(images.images, images.labels, 4, images.spec, **batch_options(train, images.spec)).batch(0)


def test_contrast_needs_a_classifier(images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from regrow.training import loop

    def build(*_: Any, **__: Any) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Conv2d(3, 10, 32), torch.nn.Flatten())

    monkeypatch.setattr(loop, "build_network", build)
    with pytest.raises(InputError, match=r"nn\.Linear with 10 outputs.*leave out training\.supcon"):
        Trainer(settings(CONTRAST), images, tmp_path)
