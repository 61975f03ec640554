"""The training loop: a plain loop bit for bit, resumable at any step bit for bit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from regrow import data, files, models, seeds
from regrow.data.batches import Batches
from regrow.data.spec import ImageSet
from regrow.errors import DataError, InputError, RegrowError
from regrow.training.checkpoint import load_checkpoint, load_weights
from regrow.training.loop import Progress, Trainer
from regrow.training.settings import MethodSettings, RunSettings

STEPS, BATCH = 14, 8


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return data.load("cues", "train", n=64, root=tmp_path_factory.mktemp("data"))


def settings(method: str = "dense", **changes: Any) -> RunSettings:
    values: dict[str, Any] = {
        "data": {"name": "cues", "train_images": 64},
        "model": {"name": "resnet8", "width": 4},
        "method": MethodSettings(name=method, interval=2).model_dump(),
        "sparsity": 0.0 if method == "dense" else 0.5,
        "seeds": {"init": 1, "mask": 2, "data": 3, "growth": 4},
        "training": {"steps": STEPS, "batch": BATCH, "lr": 0.05, "warmup": 0.2, "augment": {"flip": True, "crop": 2}},
        "precision": {"dtype": "fp32", "channels_last": False},
    }
    return RunSettings.model_validate({**values, **changes})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_weights(folder / "model.safetensors").tensors


@pytest.mark.parametrize("channels_last", [False, True])
def test_dense_equals_a_plain_pytorch_loop_bit_for_bit(images: ImageSet, tmp_path: Path, channels_last: bool) -> None:
    model_settings = {"name": "resnet8", "width": 8}  # fewer channels crash torch on some processors
    run = settings(precision={"dtype": "fp32", "channels_last": channels_last}, model=model_settings)
    Trainer(run, images, tmp_path).train()

    torch.manual_seed(seeds.torch_seed(1, "init"))
    model = models.build("resnet8", 10, image_size=32, width=8)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    batches = Batches(
        images.images, images.labels, BATCH, images.spec, flip=True, crop=2, seed=3, channels_last=channels_last
    )
    warmup = round(0.2 * STEPS)
    for step in range(STEPS):
        progress = (step - warmup) / (STEPS - warmup)
        cosine = 0.05 * 0.5 * (1 + math.cos(math.pi * progress))
        optimizer.param_groups[0]["lr"] = 0.05 * (step + 1) / warmup if step < warmup else cosine
        x, y = batches.batch(step)
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, value in weights(tmp_path).items():
        assert torch.equal(value, model.state_dict()[name]), name


@pytest.mark.parametrize("method", ["dense", "static", "set", "rigl"])
@pytest.mark.parametrize("cut", [1, 6, 13])
def test_a_run_cut_at_any_step_ends_with_the_bits_of_the_uncut_run(
    images: ImageSet, tmp_path: Path, method: str, cut: int
) -> None:
    run = settings(method)
    Trainer(run, images, tmp_path / "whole").train()
    first = Trainer(run, images, tmp_path / "cut")
    first.model.train()
    for _ in range(cut):
        first.one_step()
        first.step += 1
    first._checkpoint()
    second = Trainer(run, images, tmp_path / "cut")
    assert second.step == cut
    second.train()
    whole, resumed = tmp_path / "whole" / "model.safetensors", tmp_path / "cut" / "model.safetensors"
    assert whole.read_bytes() == resumed.read_bytes()
    rows = files.read_lines(tmp_path / "cut" / "history.jsonl")
    assert rows == files.read_lines(tmp_path / "whole" / "history.jsonl")


def test_networks_that_crash_torch_in_channels_last_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from regrow.training import network, probe

    narrow, wide = ({"name": "resnet8", "width": width} for width in (4, 8))
    precision = {"dtype": "fp32", "channels_last": True}

    def build(model: dict[str, Any], side: int = 32) -> None:
        run = settings(model=model, precision=precision)
        network.build_network(run.model, 10, side, seed=0, precision=run.precision)

    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    build(wide)
    with pytest.raises(InputError, match=r"corrupts memory .*channels_last: no"):
        build(narrow)
    free = {**settings().training.model_dump(), "precision": "fp32", "channels_last": "auto"}
    run = settings(model=narrow, training=free)
    chosen, told = probe.choose_precision(run.model, run.training, n_classes=10, image_size=32, rounds=1)
    assert not chosen.channels_last
    assert list(told["step_s"]) == ["fp32"]
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    build(narrow)
    for model in (narrow, wide):  # with AVX-512 on larger maps, up to 12 channels
        with pytest.raises(InputError, match=r"corrupts memory .*channels_last: no"):
            build(model, side=64)
    build({"name": "resnet8", "width": 16}, side=64)


def test_adamw_without_decay_of_norms_equals_a_plain_loop_bit_for_bit(images: ImageSet, tmp_path: Path) -> None:
    training = {**settings().training.model_dump(), "optimizer": "adamw", "lr": 0.002, "weight_decay": 0.05}
    run = settings(
        training={**training, "decay_norms": False, "betas": (0.8, 0.99), "eps": 1e-7, "schedule": "constant"}
    )
    Trainer(run, images, tmp_path).train()
    torch.manual_seed(seeds.torch_seed(1, "init"))
    model = models.build("resnet8", 10, image_size=32, width=4)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    assert len(decayed) == 10
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": free, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.002, betas=(0.8, 0.99), eps=1e-7)
    batches = Batches(images.images, images.labels, BATCH, images.spec, flip=True, crop=2, seed=3)
    warmup = round(0.2 * STEPS)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = 0.002 * (step + 1) / warmup if step < warmup else 0.002
        x, y = batches.batch(step)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    for name, value in weights(tmp_path).items():
        assert torch.equal(value, model.state_dict()[name]), name


@pytest.mark.usefixtures("libraries")
def test_tokens_and_positions_of_timm_do_not_decay() -> None:
    from regrow.training.network import build_optimizer

    model = models.build("timm:test_vit", 10, image_size=160)
    train = settings(training={**settings().training.model_dump(), "decay_norms": False}).training
    decayed, free = (group["params"] for group in build_optimizer(model, train).param_groups)
    names = {id(p): name for name, p in model.named_parameters()}
    assert {"pos_embed", "cls_token"} <= {names[id(p)] for p in free}
    assert "blocks.0.attn.qkv.weight" in {names[id(p)] for p in decayed}
    assert len(decayed) + len(free) == len(names)


@pytest.mark.parametrize("method", ["dense", "rigl"])
@pytest.mark.parametrize("parts", [2, 3, 8])
def test_parts_of_a_batch_add_up_to_it(images: ImageSet, tmp_path: Path, method: str, parts: int) -> None:
    model = {"name": "mlp", "width": 24}  # without batch norm, whose statistics are those of a part

    def trained(folder: str, accumulate: int) -> Trainer:
        training = {**settings().training.model_dump(), "accumulate": accumulate, "lr": 0.02}
        trainer = Trainer(settings(method, model=model, training=training), images, tmp_path / folder)
        trainer.train()
        return trainer

    whole, split = trained("whole", 1), trained("split", parts)
    for name, value in weights(tmp_path / "split").items():
        torch.testing.assert_close(value, weights(tmp_path / "whole")[name], rtol=1e-3, atol=1e-5)
    assert split.sparsifier.density == whole.sparsifier.density
    rows = [files.read_lines(tmp_path / f / "metrics.jsonl")[-1] for f in ("whole", "split")]
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-4)
    assert rows[0]["accuracy"] == rows[1]["accuracy"]


def test_settings_that_came_later_leave_the_identity_of_earlier_runs() -> None:
    before = settings().identity()["training"]
    assert not {"accumulate", "betas", "eps", "decay_norms"} & set(before)
    changed = settings(training={**settings().training.model_dump(), "accumulate": 2}).identity()["training"]
    assert changed == {**before, "accumulate": 2}


def test_a_batch_has_at_least_as_many_images_as_parts() -> None:
    with pytest.raises(ValueError, match="a batch of 8 cannot be split into 9 parts"):
        settings(training={**settings().training.model_dump(), "accumulate": 9})


def test_each_seed_moves_its_own_stream_alone(images: ImageSet, tmp_path: Path) -> None:
    def start(**change: int) -> Trainer:
        return Trainer(
            settings("set", seeds={"init": 1, "mask": 2, "data": 3, "growth": 4, **change}), images, tmp_path
        )

    base, other_mask, other_data = start(), start(mask=9), start(data=9)
    name = next(name for name, mask in base.sparsifier.masks.items() if not mask.all())
    assert not torch.equal(base.sparsifier.masks[name], other_mask.sparsifier.masks[name])
    assert torch.equal(base.sparsifier.masks[name], other_data.sparsifier.masks[name])
    assert torch.equal(base.batches.batch(0)[1], other_mask.batches.batch(0)[1])
    assert not torch.equal(base.batches.batch(0)[1], other_data.batches.batch(0)[1])
    both = base.sparsifier.masks[name] & other_mask.sparsifier.masks[name]
    states = (base.network.state_dict()[name], other_mask.network.state_dict()[name])
    assert torch.equal(states[0][both], states[1][both])  # the same initial weights under both masks


def test_masks_in_the_weights_file_are_where_the_weights_may_live(images: ImageSet, tmp_path: Path) -> None:
    Trainer(settings("rigl"), images, tmp_path).train()
    stored = load_weights(tmp_path / "model.safetensors")
    assert stored.masks
    for name, mask in stored.masks.items():
        assert not stored.tensors[name][~mask].any()
    n = sum(v.numel() for k, v in stored.tensors.items() if v.ndim in (2, 4))
    active = sum(
        int(stored.masks[k].sum()) if k in stored.masks else v.numel()
        for k, v in stored.tensors.items()
        if v.ndim in (2, 4)
    )
    assert active == math.floor(0.5 * n + 0.5)


def test_metrics_and_result_say_what_happened(images: ImageSet, tmp_path: Path) -> None:
    seen: list[Progress] = []
    run = settings("rigl", training={**settings().training.model_dump(), "log_every": 5})
    result = Trainer(run, images, tmp_path, seen.append).train()
    assert (
        [row["step"] for row in files.read_lines(tmp_path / "metrics.jsonl")] == [5, 10, 14] == [p.done for p in seen]
    )
    assert result["updates"] == 5  # every 2 steps, before step 10.5
    assert result["density"] == pytest.approx(0.5, abs=1e-3)
    history = files.read_lines(tmp_path / "history.jsonl")
    assert sorted({row["step"] for row in history}) == [2, 4, 6, 8, 10]
    assert all(row["dropped"] == row["returned"] + row["fresh"] for row in history)

    model = models.build("resnet8", 10, image_size=32, width=4)
    model.load_state_dict(weights(tmp_path))
    model.eval()
    x = torch.from_numpy(images.images).permute(0, 3, 1, 2).double() / 255
    x = (x - torch.tensor(images.spec.mean)[:, None, None]) / torch.tensor(images.spec.std)[:, None, None]
    with torch.no_grad():
        expected = np.mean(model(x.float()).argmax(1).numpy() == images.labels)
    assert result["train_accuracy"] == pytest.approx(expected, abs=1.5 / 64)


def test_a_diverging_run_stops_and_says_so(images: ImageSet, tmp_path: Path) -> None:
    run = settings(training={"steps": 40, "batch": 8, "lr": 1e18, "momentum": 0.9, "log_every": 2})
    with pytest.raises(RegrowError, match="diverged"):
        Trainer(run, images, tmp_path).train()
    assert not (tmp_path / "model.safetensors").exists()


def test_a_checkpoint_of_other_settings_or_a_damaged_one_is_refused(images: ImageSet, tmp_path: Path) -> None:
    trainer = Trainer(settings(), images, tmp_path)
    trainer._checkpoint()
    with pytest.raises(DataError, match="other settings"):
        load_checkpoint(tmp_path / "checkpoint.pt", "another fingerprint")
    content = (tmp_path / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="damaged"):
        load_checkpoint(tmp_path / "checkpoint.pt", trainer.fingerprint)


def test_weights_files_cut_short_are_refused(images: ImageSet, tmp_path: Path) -> None:
    Trainer(settings(), images, tmp_path).train()
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="safetensors"):
        load_weights(path)
