"""What a run trains on and is asked about, from arrays and from files; a run on pictures in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regrow import data, seeds
from regrow.data.batches import Batches, normalise
from regrow.data.fileset import FileSet
from regrow.data.geometry import Geometry
from regrow.data.streaming import StreamedBatches
from regrow.errors import InputError
from regrow.training import inputs
from regrow.training.loop import Trainer
from regrow.training.settings import AugmentSettings, MethodSettings, RunSettings

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, shoot: Callable[..., Path], film: Callable[..., np.ndarray]) -> Path:
    from PIL import Image

    folder = tmp_path_factory.mktemp("inputs")
    for i in range(6):
        shoot(folder / f"films/{'ab'[i % 2]}/{i}.mp4", 8 + i, i)
        path = folder / f"pictures/{'ab'[i % 2]}/{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(film(1, 40, 50, i)[0]).save(path)
    return folder


@pytest.fixture
def examples(root: Path) -> dict[str, Any]:
    same = {"train_is_test": True}
    films = {"paths": ["films"], "size": 24, "frames": 4, "views": 2, **same}
    return {
        "cues": data.load("cues", "train", n=6),
        "image_folder": data.load("image_folder", "train", root=root, options={"path": "pictures", "size": 32, **same}),
        "video_folder": data.load("video_folder", "train", root=root, options=films),
    }


def settings(name: str, augment: dict[str, Any], **training: Any) -> RunSettings:
    return RunSettings.model_validate(
        {
            "data": {"name": name, "workers": 0},
            "model": {"name": "resnet8", "width": 4},
            "method": MethodSettings(name="rigl", interval=2).model_dump(),
            "sparsity": 0.5,
            "seeds": {"init": 1, "mask": 2, "data": 3, "growth": 4},
            "training": {"steps": 6, "batch": 2, "lr": 0.02, "augment": augment, **training},
            "precision": {"dtype": "fp32", "channels_last": False},
        }
    )


@pytest.mark.parametrize(
    ("name", "augment", "said"),
    [
        ("cues", {"resized_crop": [0.1, 1]}, "resized_crop is for images in files, cues is none"),
        ("video_folder", {"resized_crop": [0.1, 1]}, "resized_crop is for images in files"),
        ("cues", {"scale_jitter": [40, 50]}, "scale_jitter is for clips, cues holds images"),
        ("image_folder", {"scale_jitter": [40, 50]}, "scale_jitter is for clips, image_folder holds images"),
        ("video_folder", {"scale_jitter": [23, 50]}, "starts at 23 pixels, below the 24"),
    ],
)
def test_geometry_that_data_cannot_have_is_refused(
    examples: dict[str, Any], name: str, augment: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        inputs.make_batches(examples[name], settings(name, augment), CPU)


def test_batches_are_those_of_the_settings(examples: dict[str, Any]) -> None:
    array = inputs.make_batches(examples["cues"], settings("cues", {"flip": True, "crop": 3}), CPU)
    assert isinstance(array, Batches)
    for name, augment in (
        ("image_folder", {"flip": True, "crop": 2, "resized_crop": [0.3, 1.0], "erasing": 0.5}),
        ("video_folder", {"flip": True, "crop": 1, "scale_jitter": [24, 30]}),
    ):
        made = inputs.make_batches(examples[name], settings(name, augment), CPU)
        given = AugmentSettings.model_validate(augment)
        how = Geometry(True, given.crop, given.resized_crop, given.scale_jitter)
        plain = StreamedBatches(examples[name], 2, how=how, seed=3, workers=0, finish=getattr(made, "finish", None))
        for step in (0, 3):
            assert all(torch.equal(a, b) for a, b in zip(made.batch(step), plain.batch(step), strict=True))


def test_accuracy_in_training_is_taken_over_a_fixed_part(
    examples: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for found in examples.values():
        assert inputs.memorised(found) is found
    monkeypatch.setattr(inputs, "MEMORISED", 4)
    assert inputs.memorised(examples["cues"]) is examples["cues"]  # arrays are there anyway
    some = inputs.memorised(examples["image_folder"])
    assert isinstance(some, FileSet)
    assert some.index.tolist() == seeds.permutation(0, "data", 2, n=6)[:4].tolist()


def test_examples_are_shown_as_they_are_tested(examples: dict[str, Any]) -> None:
    for name, found in examples.items():
        shown = torch.cat(list(inputs.unaugmented(found, settings(name, {}), CPU)))
        stored = torch.from_numpy(found.images[0:6])
        stored = stored.flatten(0, 1) if stored.ndim == 6 else stored
        assert torch.equal(shown, normalise(stored, found.spec))
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 9.0, 0.0], [2.0, 0.0, 0.0], [1.9, 0.0, 2.0]])
    assert inputs.classes_of(logits, 1).tolist() == [0, 1, 0, 2]
    assert inputs.classes_of(logits, 2).tolist() == [1, 0]
    outvoted = torch.tensor([[0.1, 0.0, 0.0], [0.1, 0.0, 0.0], [0.0, 9.0, 0.0]])
    assert inputs.classes_of(outvoted, 3).tolist() == [1]  # probabilities are averaged, not votes


@pytest.mark.parametrize("name", ["image_folder", "video_folder"])
def test_a_run_on_files_cut_at_any_step_ends_with_the_bits_of_the_uncut_one(
    examples: dict[str, Any], tmp_path: Path, name: str
) -> None:
    augment = {"flip": True, **({"resized_crop": [0.3, 1.0]} if name == "image_folder" else {"scale_jitter": [24, 30]})}
    run = settings(name, augment)
    if name == "video_folder":
        run = run.model_copy(update={"model": run.model.model_copy(update={"name": "resnet3d18"})})
    whole = Trainer(run, examples[name], tmp_path / "whole")
    result = whole.train()
    assert result["train_accuracy_images"] == 6
    for cut in (1, 4):
        first = Trainer(run, examples[name], tmp_path / f"cut {cut}")
        first.model.train()
        for _ in range(cut):
            first.one_step()
            first.step += 1
        first._checkpoint()
        second = Trainer(run, examples[name], tmp_path / f"cut {cut}")
        assert second.step == cut
        second.train()
        stored = [(tmp_path / at / "model.safetensors").read_bytes() for at in ("whole", f"cut {cut}")]
        assert stored[0] == stored[1]
    # the accuracy is that of the final network on un-augmented examples
    network = whole.network.eval()
    with torch.inference_mode():
        shown = torch.cat(list(inputs.unaugmented(examples[name], run, CPU)))
        found = inputs.classes_of(network(shown), examples[name].spec.views)
    assert result["train_accuracy"] == (found.numpy() == examples[name].labels).mean()
