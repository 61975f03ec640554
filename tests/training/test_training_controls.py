"""Controls of training against loops written by hand, and runs that start from other runs against their sources."""

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
from regrow.errors import DataError, InputError
from regrow.training.checkpoint import load_weights
from regrow.training.length import Length, length_of
from regrow.training.loop import Trainer
from regrow.training.settings import MethodSettings, RunSettings

STEPS, BATCH, LR = 12, 8, 0.05


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return data.load("cues", "train", n=64, root=tmp_path_factory.mktemp("data"))


def settings(name: str = "dense", *, training: dict[str, Any] | None = None, **changes: Any) -> RunSettings:
    values: dict[str, Any] = {
        "data": {"name": "cues", "train_images": 64},
        "model": {"name": "resnet8", "width": 4},
        "method": MethodSettings(name=name, interval=2).model_dump(),
        "sparsity": 0.0 if name == "dense" else 0.5,
        "seeds": {"init": 1, "mask": 2, "data": 3, "growth": 4},
        "training": {"steps": STEPS, "batch": BATCH, "lr": LR, "schedule": "constant", **(training or {})},
        "precision": {"dtype": "fp32", "channels_last": False},
    }
    return RunSettings.model_validate({**values, **changes})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_weights(folder / "model.safetensors").tensors


def by_hand(images: ImageSet, step, steps: int = STEPS) -> torch.nn.Module:
    """The network after so many ``step(model, optimizer, inputs, labels)``."""
    torch.manual_seed(seeds.torch_seed(1, "init"))
    model = models.build("resnet8", 10, image_size=32, width=4)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9, nesterov=True, weight_decay=5e-4)
    batches = Batches(images.images, images.labels, BATCH, images.spec, flip=True, crop=0, seed=3)
    for t in range(steps):
        step(model, optimizer, *batches.batch(t))
    return model


def test_l1_adds_the_sum_of_absolute_maskable_weights(images: ImageSet, tmp_path: Path) -> None:
    def step(model, optimizer, x, y) -> None:
        penalty = sum(p.abs().sum() for p in model.parameters() if p.ndim > 1)
        optimizer.zero_grad()
        (F.cross_entropy(model(x), y) + 3e-3 * penalty).backward()
        optimizer.step()

    Trainer(settings(training={"l1": 3e-3}), images, tmp_path / "l1").train()
    expected = by_hand(images, step).state_dict()
    for name, value in weights(tmp_path / "l1").items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6)
    Trainer(settings(), images, tmp_path / "plain").train()
    size = {f: sum(float(v.abs().sum()) for v in weights(tmp_path / f).values() if v.ndim > 1) for f in ("l1", "plain")}
    assert size["l1"] < size["plain"]


def test_sam_takes_the_gradient_up_the_hill(images: ImageSet, tmp_path: Path) -> None:
    """Foret et al. 2021, algorithm 1: g at w + rho g / |g|, then the optimiser's step from w; statistics seen at w."""
    rho = 0.2
    n = 6  # a difference in rounding leads across a kink of ReLU sooner or later: with torch 2.6 after 8 to 12 steps

    def step(model, optimizer, x, y) -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        length = math.sqrt(sum(float(p.grad.double().square().sum()) for p in model.parameters()))
        before = [p.detach().clone() for p in model.parameters()]
        buffers = [b.clone() for b in model.buffers()]
        for p in model.parameters():
            p.data += p.grad * (rho / length)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        for p, value in zip(model.parameters(), before, strict=True):
            p.data = value
        for b, value in zip(model.buffers(), buffers, strict=True):
            b.copy_(value)
        optimizer.step()

    Trainer(settings(training={"sam": rho, "steps": n}), images, tmp_path / "sam").train()
    expected = by_hand(images, step, n).state_dict()
    found = weights(tmp_path / "sam")
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=2e-3, atol=2e-5)
    assert {int(v) for k, v in found.items() if k.endswith("num_batches_tracked")} == {n}
    Trainer(settings(training={"steps": n}), images, tmp_path / "plain").train()
    distance = max(float((v - found[k]).abs().max()) for k, v in weights(tmp_path / "plain").items())
    assert distance > 1e-2  # a comparison that could fail


@pytest.mark.parametrize("state", ["reset", "reference"])
def test_sam_moves_no_masked_weight_and_comes_back_to_the_bit(images: ImageSet, tmp_path: Path, state: str) -> None:
    method = MethodSettings(name="rigl", interval=3, state=state).model_dump()
    trainer = Trainer(settings("rigl", training={"sam": 0.5}, method=method), images, tmp_path)
    seen: list[dict[str, torch.Tensor]] = []
    trainer.network.register_forward_pre_hook(
        lambda *_: seen.append({n: p.detach().clone() for n, p in trainer.network.named_parameters()})
    )
    trainer.model.train()
    for _ in range(5):
        masks = trainer.sparsifier.masks
        trainer.one_step()
        trainer.step += 1
        first, second = seen[-2:]
        moved = [float((second[n] - first[n]).norm()) for n in first]
        assert math.sqrt(sum(m * m for m in moved)) == pytest.approx(0.5, rel=1e-4)
        for name, mask in masks.items():
            assert not second[name][~mask].any(), name
    trainer.stepper.zero_grad()
    trainer.sparsifier.finish()


@pytest.mark.parametrize("training", [{"sam": 0.1, "l1": 1e-3}, {"l1": 1e-3, "accumulate": 2}], ids=str)
@pytest.mark.parametrize("method", ["dense", "rigl", "pulse"])
def test_controls_resume_to_the_bit(images: ImageSet, tmp_path: Path, training: dict[str, Any], method: str) -> None:
    model = {"name": "resnet8", "width": 4, "dropout": 0.3, "blurpool": True}
    run = settings(method, training=training, model=model)
    Trainer(run, images, tmp_path / "whole").train()
    first = Trainer(run, images, tmp_path / "cut")
    first.model.train()
    for _ in range(7):
        first.one_step()
        first.step += 1
    first._checkpoint()
    torch.manual_seed(99)  # dropout draws from torch's own generator, which nobody saves
    Trainer(run, images, tmp_path / "cut").train()
    whole, cut = (tmp_path / name / "model.safetensors" for name in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()


def test_stopping_early_leaves_the_schedules(images: ImageSet, tmp_path: Path) -> None:
    training = {"schedule": "cosine", "warmup": 0.25}
    Trainer(settings("rigl", training=training), images, tmp_path / "whole", keep=[0.5]).train()
    result = Trainer(settings("rigl", training={**training, "stop_after": 0.5}), images, tmp_path / "half").train()
    kept = load_weights(tmp_path / "whole" / f"weights-at-{STEPS // 2}.safetensors")
    stopped = load_weights(tmp_path / "half" / "model.safetensors")
    assert all(torch.equal(value, kept.tensors[name]) for name, value in stopped.tensors.items())
    assert all(torch.equal(mask, kept.masks[name]) for name, mask in stopped.masks.items())
    assert (result["steps"], result["schedule_steps"]) == (STEPS // 2, STEPS)


def test_early_weights_are_kept_without_a_trace_and_made_again_when_lost(images: ImageSet, tmp_path: Path) -> None:
    run, folder = settings("rigl"), tmp_path / "kept"
    Trainer(run, images, tmp_path / "plain").train()
    assert Trainer(run, images, folder, keep=[0.25, 0.01]).train()["kept_steps"] == [0, 3]
    model = (folder / "model.safetensors").read_bytes()
    assert model == (tmp_path / "plain" / "model.safetensors").read_bytes()
    early = (folder / "weights-at-3.safetensors").read_bytes()
    (folder / "weights-at-3.safetensors").unlink()
    Trainer(run, images, folder, keep=[0.25, 0.01]).train()
    assert (folder / "weights-at-3.safetensors").read_bytes() == early
    assert (folder / "model.safetensors").read_bytes() == model
    assert load_weights(folder / "weights-at-3.safetensors").meta["step"] == 3
    torch.manual_seed(seeds.torch_seed(1, "init"))
    initial = models.build("resnet8", 10, image_size=32, width=4).state_dict()
    start = load_weights(folder / "weights-at-0.safetensors")
    assert all(torch.equal(start.tensors[n], v * start.masks.get(n, True)) for n, v in initial.items())


# ---- runs that start from others


@pytest.fixture(scope="module")
def sources(images: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sources")
    for method in ("dense", "rigl"):
        Trainer(settings(method), images, root / method, keep=[0.25]).train()
    return root


def started(method: str, of: str, *, steps: int = STEPS, **source: Any) -> RunSettings:
    taken = {"weights": "initial", "masks": None, "scope": "layer", **source}
    fingerprint = files.value_digest(settings(of).identity())
    return settings(method, training={"steps": steps}, source={"run": of, "fingerprint": fingerprint, **taken})


def trainer_of(run: RunSettings, images: ImageSet, folder: Path, sources: Path) -> Trainer:
    assert run.source is not None
    return Trainer(run, images, folder, source=sources / run.source.run)


def test_final_masks_are_trained_from_the_initial_weights(images: ImageSet, tmp_path: Path, sources: Path) -> None:
    final = load_weights(sources / "rigl" / "model.safetensors").masks
    trainer = trainer_of(started("static", "rigl", masks="final"), images, tmp_path, sources)
    torch.manual_seed(seeds.torch_seed(1, "init"))
    for name, value in models.build("resnet8", 10, image_size=32, width=4).state_dict().items():
        assert torch.equal(trainer.network.state_dict()[name], value * final.get(name, True)), name
    trainer.train()
    for name, mask in load_weights(tmp_path / "model.safetensors").masks.items():
        assert torch.equal(mask, final[name])


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("allocation", ["erk", "uniform"])
def test_pruning_after_training_keeps_the_largest_weights(
    images: ImageSet, tmp_path: Path, sources: Path, scope: str, allocation: str
) -> None:
    run = started("static", "dense", steps=0, weights="final", masks="magnitude", scope=scope)
    run = run.model_copy(update={"method": MethodSettings(name="static", allocation=allocation)})
    result = trainer_of(run, images, tmp_path, sources).train()
    assert result["steps"] == 0
    dense, pruned = weights(sources / "dense"), load_weights(tmp_path / "model.safetensors")
    for name, value in pruned.tensors.items():  # nothing but the masks has changed
        assert torch.equal(value, dense[name] * pruned.masks.get(name, True)), name
    n_weights = sum(m.numel() for m in pruned.masks.values())
    assert sum(int(m.sum()) for m in pruned.masks.values()) == math.floor(n_weights / 2 + 0.5)
    if scope == "layer":
        for name, mask in pruned.masks.items():
            gone = dense[name][~mask].abs()
            assert not len(gone) or gone.max() <= dense[name][mask].abs().min()
            assert allocation == "erk" or abs(float(mask.float().mean()) - 0.5) <= 1 / mask.numel()
    else:
        left = torch.cat([dense[n][m].abs() for n, m in pruned.masks.items()])
        gone = torch.cat([dense[n][~m].abs() for n, m in pruned.masks.items()])
        assert gone.max() <= left.min()


def test_rewinding_goes_on_from_the_early_step(images: ImageSet, tmp_path: Path, sources: Path) -> None:
    """With all weights kept, a dense network rewound and trained again (without momentum) is the network itself."""
    plain = {"momentum": 0.0, "nesterov": False}
    run = settings(training=plain)
    Trainer(run, images, tmp_path / "dense", keep=[0.25]).train()
    source = {"run": "dense", "fingerprint": files.value_digest(run.identity()), "weights": 0.25}
    again = settings(training=plain, source={**source, "masks": None, "scope": "layer"})
    assert length_of(again, 64) == Length(total=STEPS, first=3, last=STEPS)
    result = Trainer(again, images, tmp_path / "again", source=tmp_path / "dense").train()
    assert result["steps"] == STEPS - 3
    final = weights(tmp_path / "dense")
    assert all(torch.equal(value, final[name]) for name, value in weights(tmp_path / "again").items())


def test_a_ticket_has_the_final_magnitudes_mask_on_early_weights(
    images: ImageSet, tmp_path: Path, sources: Path
) -> None:
    trainer = trainer_of(started("static", "dense", weights=0.25, masks="magnitude"), images, tmp_path, sources)
    early = load_weights(sources / "dense" / "weights-at-3.safetensors").tensors
    final, masks = weights(sources / "dense"), trainer.sparsifier.masks
    for name, value in trainer.network.state_dict().items():
        assert torch.equal(value, early[name] * masks.get(name, True))
    for name, mask in masks.items():
        assert not (~mask).any() or final[name][~mask].abs().max() <= final[name][mask].abs().min()
    trainer.train()


def test_started_runs_resume_to_the_bit(images: ImageSet, tmp_path: Path, sources: Path) -> None:
    run = started("rigl", "dense", weights=0.25, masks="magnitude")
    trainer_of(run, images, tmp_path / "whole", sources).train()
    first = trainer_of(run, images, tmp_path / "cut", sources)
    first.model.train()
    for _ in range(4):
        first.one_step()
        first.step += 1
    first._checkpoint()
    while first.sparsifier.update_count < 3:  # its news are written, and then it is killed before the next checkpoint
        first.one_step()
        first.step += 1
    first._write_history()
    trainer_of(run, images, tmp_path / "cut", sources).train()
    whole, cut = (tmp_path / name / "model.safetensors" for name in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()
    histories = [files.read_lines(tmp_path / name / "history.jsonl") for name in ("whole", "cut")]
    assert histories[0] == histories[1]


def test_what_cannot_be_started_from_is_refused(images: ImageSet, tmp_path: Path, sources: Path) -> None:
    run = started("static", "rigl", masks="final")
    with pytest.raises(DataError, match="folder was not given"):
        Trainer(run, images, tmp_path)
    with pytest.raises(DataError, match="is not there"):
        Trainer(run, images, tmp_path, source=tmp_path / "absent")
    with pytest.raises(DataError, match="not of the run that was planned"):
        Trainer(run, images, tmp_path, source=sources / "dense")
    with pytest.raises(InputError, match="granet starts denser"):
        trainer_of(started("granet", "rigl", masks="final"), images, tmp_path, sources)
    with pytest.raises(ValueError, match="0 steps"):
        settings(training={"steps": 0})
