"""`check`: any network on a folder of pictures, corrupted as they go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from regrow import corruptions, models
from regrow.errors import DataError, InputError
from regrow.study import check as checking

NAME = "timm:test_resnet"


@pytest.fixture
def checked(libraries: None, tmp_path: Path) -> checking.CheckedModel:
    known = models.input_spec(NAME)
    assert known is not None
    torch.manual_seed(0)
    network = models.build(NAME, 1000, image_size=known.image_size)
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, tmp_path / "w.safetensors")
    return checking.open_model(NAME, tmp_path / "w.safetensors")


def pictures(folder: Path, names: list[str], size: tuple[int, int] = (200, 170)) -> Path:
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(
                folder / name / f"{i}.png"
            )
    return folder


def test_imagenet_folders_are_classes_by_their_wnid(checked: checking.CheckedModel, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", ["n01443537", "n01440764"])
    images, labels, skipped = checking.read_folder(folder, checked)
    assert images.shape == (4, checked.spec.image_size, checked.spec.image_size, 3)
    assert sorted(labels) == [0, 0, 1, 1]
    assert skipped == []


def test_numbers_and_complete_sets_of_names_are_classes_too(checked: checking.CheckedModel, tmp_path: Path) -> None:
    _, labels, _ = checking.read_folder(pictures(tmp_path / "p", ["7", "12"]), checked)
    assert sorted(set(labels)) == [7, 12]
    with pytest.raises(DataError, match="'zebra' is no class"):
        checking.read_folder(pictures(tmp_path / "q", ["zebra"]), checked)


def test_pictures_are_resized_cropped_and_counted_over_the_classes(
    checked: checking.CheckedModel, tmp_path: Path
) -> None:
    folder = pictures(tmp_path / "p", ["0", "1", "2"], size=(331, 254))
    images, labels, _ = checking.read_folder(folder, checked, limit=3)
    assert sorted(labels) == [0, 1, 2]
    with Image.open(folder / "0" / "0.png") as picture:
        scale = checked.resize / 254
        resized = picture.resize((round(331 * scale), checked.resize), Image.Resampling.BILINEAR)
    side = checked.spec.image_size
    left, top = (resized.width - side) // 2, (resized.height - side) // 2
    np.testing.assert_array_equal(images[0], np.asarray(resized.crop((left, top, left + side, top + side))))


def test_every_cell_is_the_accuracy_on_the_corrupted_images(checked: checking.CheckedModel, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", ["3", "4"])
    result = checking.check(checked, folder, names=["contrast", "shot_noise"], severities=(5,))
    images, labels, _ = checking.read_folder(folder, checked)
    assert result.scale == corruptions.scale_for(checked.spec.image_size)
    mean, std = torch.tensor(checked.spec.mean), torch.tensor(checked.spec.std)
    for (name, severity), accuracy in result.accuracy.items():
        cell = corruptions.corrupt(images, name, severity, seed=0) if severity else images
        x = ((torch.from_numpy(cell).double() / 255 - mean) / std).permute(0, 3, 1, 2).float()
        with torch.no_grad():
            expected = (checked.model(x).argmax(1).numpy() == labels).mean()
        assert accuracy == expected
        np.testing.assert_array_equal(result.examples[name, severity], cell[:1])


def test_weights_of_another_network_are_refused(libraries: None, tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="does not fit"):
        checking.open_model(NAME, tmp_path / "w.safetensors")


@pytest.mark.parametrize("make", [lambda p: p / "absent", lambda p: p])
def test_folders_without_classes_are_refused(checked: checking.CheckedModel, tmp_path: Path, make) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="folder"):
        checking.read_folder(make(empty), checked)


def test_folders_that_only_number_as_many_as_the_classes_are_no_classes(
    checked: checking.CheckedModel, tmp_path: Path
) -> None:
    names = [f"kind{i:03}" for i in range(len(checked.spec.classes))]
    for name in names:
        (tmp_path / "p" / name).mkdir(parents=True)
    with pytest.raises(DataError, match="'kind000' is no class"):
        checking.read_folder(tmp_path / "p", checked)


def test_files_that_cannot_be_scored_are_skipped_with_a_reason(checked: checking.CheckedModel, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", ["0"])
    Image.fromarray(np.full((40, 40), 40000, dtype=np.uint16)).save(folder / "0" / "deep.png")
    content = bytearray((folder / "0" / "0.png").read_bytes())
    content[content.index(b"IDAT") + 1] ^= 4
    (folder / "0" / "flipped.png").write_bytes(content)
    images, _, skipped = checking.read_folder(folder, checked, on_error="skip")
    assert len(images) == 2
    assert sorted(line.split(":")[0] for line in skipped) == ["0/deep.png", "0/flipped.png"]
    with pytest.raises(DataError, match=r"^0/deep.png: "):
        checking.read_folder(folder, checked)
