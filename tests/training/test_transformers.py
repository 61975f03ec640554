"""A vision transformer of timm in the training loop: attention and MLP weights sparse, everything else dense."""

from __future__ import annotations

from pathlib import Path

import pytest

from regrow import data
from regrow.training.checkpoint import load_weights
from regrow.training.loop import Trainer
from regrow.training.settings import MethodSettings, RunSettings


def settings(method: str, n: int, batch: int) -> RunSettings:
    return RunSettings.model_validate(
        {
            "data": {"name": "tiny_imagenet", "train_images": n},
            "model": {"name": "timm:deit_tiny_patch16_224", "options": {"drop_path": 0.1}},
            "method": MethodSettings(name=method, interval=4).model_dump(),
            "sparsity": 0.0 if method == "dense" else 0.5,
            "seeds": {"init": 1, "mask": 2, "data": 3, "growth": 4},
            "training": {
                "epochs": 1,
                "batch": batch,
                "optimizer": "adamw",
                "lr": 5e-4,
                "weight_decay": 0.05,
                "decay_norms": False,
                "label_smoothing": 0.1,
                "augment": {"flip": True, "crop": 4},
            },
            "precision": {"dtype": "fp32", "channels_last": False},
        }
    )


@pytest.mark.usefixtures("libraries")
@pytest.mark.data
@pytest.mark.parametrize("method", ["dense", "rigl", "granet"])
def test_deit_tiny_trains_an_epoch_of_tiny_imagenet(data_root: Path, tmp_path: Path, method: str) -> None:
    if data.status(data_root)[-1]["where"] == "":
        pytest.skip("tiny-imagenet-200 is not below REGROW_DATA")
    images = data.load("tiny_imagenet", "train", root=data_root, n=1024)
    trainer = Trainer(settings(method, 1024, 64), images, tmp_path)
    result = trainer.train()
    assert result["steps"] == 16
    stored = load_weights(tmp_path / "model.safetensors")
    kinds = ("attn.qkv.weight", "attn.proj.weight", "mlp.fc1.weight", "mlp.fc2.weight")
    wanted = {f"blocks.{i}.{kind}" for i in range(12) for kind in kinds}
    assert wanted <= set(stored.masks)
    dense = ("norm", "token", "pos_embed", "bias")
    assert not [name for name in stored.masks if any(word in name for word in dense)]
    n_active = sum(int(mask.sum()) for mask in stored.masks.values())
    n_all = sum(mask.numel() for mask in stored.masks.values())
    assert n_active / n_all == pytest.approx(1.0 if method == "dense" else 0.5, abs=1e-3)
    for name, mask in stored.masks.items():
        assert not stored.tensors[name][~mask].any(), name
    if method != "dense":
        assert sum(not bool(stored.masks[name].all()) for name in wanted) > 24
        assert result["updates"] >= 2
