"""Tiny ImageNet in its official layout, whole or in part."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regrow import data
from regrow.data import tiny
from regrow.errors import DataError, InputError

CLASSES = data.spec("tiny_imagenet").classes


def picture(path: Path, number: int, mode: str = "RGB", side: int = 64) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((side, side, 3), number, np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, "JPEG", quality=95)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes with three training images each, and four validation images; one is grey."""
    folder = tmp_path / "tiny-imagenet-200"
    for k, wnid in enumerate((CLASSES[5], CLASSES[120])):
        for i in (0, 2, 10):
            picture(folder / f"train/{wnid}/images/{wnid}_{i}.JPEG", 100 * k + 2 * i)
    lines = []
    for i, wnid in enumerate((CLASSES[120], CLASSES[5], CLASSES[120], CLASSES[5])):
        name = f"val_{(0, 10, 2, 1)[i]}.JPEG"
        picture(folder / "val/images" / name, 10 * i, "L" if i == 1 else "RGB")
        lines.append(f"{name}\t{wnid}\t0\t0\t9\t9")
    (folder / "val/val_annotations.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_classes_and_order_are_the_official_ones(root: Path) -> None:
    assert len(CLASSES) == 200
    assert list(CLASSES) == sorted(CLASSES)
    train = data.load("tiny_imagenet", "train", root=root)
    assert train.images.shape == (6, 64, 64, 3)
    assert train.labels.tolist() == [5, 5, 5, 120, 120, 120]
    assert np.abs(train.images[:, 5, 5, 0].astype(int) - [0, 4, 20, 100, 104, 120]).max() <= 2  # _2 before _10
    test = data.load("tiny_imagenet", "test", root=root)
    assert test.labels.tolist() == [120, 5, 120, 5]  # val_0, val_1, val_2, val_10
    assert np.abs(test.images[:, 5, 5, 1].astype(int) - [0, 30, 20, 10]).max() <= 2


def test_a_smaller_training_set_is_part_of_a_larger_one(root: Path) -> None:
    some, more = (data.load("tiny_imagenet", "train", root=root, n=n) for n in (2, 5))
    np.testing.assert_array_equal(more.index[:2], some.index)
    np.testing.assert_array_equal(more.images[:2], some.images)
    assert data.load("tiny_imagenet", "test", root=root, n=2).index.tolist() == [0, 1]


def test_pixels_come_from_the_cache_until_a_file_changes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = data.load("tiny_imagenet", "test", root=root)
    opened = []
    monkeypatch.setattr(tiny, "open_picture", lambda path: opened.append(path) or Image.new("RGB", (64, 64)))
    again = data.load("tiny_imagenet", "test", root=root)
    np.testing.assert_array_equal(again.images, first.images)
    assert opened == []
    picture(root / "tiny-imagenet-200/val/images/val_2.JPEG", 77, side=64)
    data.load("tiny_imagenet", "test", root=root)
    assert len(opened) == 4


def test_a_damaged_cache_is_made_again(root: Path) -> None:
    first = data.load("tiny_imagenet", "test", root=root)
    for place in data.find_root(root):
        for file in place.rglob("tiny_imagenet/*.bin"):
            file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    np.testing.assert_array_equal(data.load("tiny_imagenet", "test", root=root).images, first.images)


def test_val_sorted_into_class_folders_is_the_same(root: Path) -> None:
    first = data.load("tiny_imagenet", "test", root=root)
    val = root / "tiny-imagenet-200/val"
    for line in (val / "val_annotations.txt").read_text().splitlines():
        name, wnid = line.split("\t")[:2]
        (val / wnid / "images").mkdir(parents=True, exist_ok=True)
        shutil.move(val / "images" / name, val / wnid / "images" / name)
    again = data.load("tiny_imagenet", "test", root=root)
    np.testing.assert_array_equal(again.images, first.images)
    np.testing.assert_array_equal(again.labels, first.labels)


def test_chosen_classes_are_numbered_among_themselves(root: Path) -> None:
    whole = data.load("tiny_imagenet", "train", root=root)
    for chosen in ([CLASSES[120], CLASSES[5]], [CLASSES[5], CLASSES[7], CLASSES[120]]):
        options = {"classes": chosen}
        spec = data.spec("tiny_imagenet", options, root)
        assert spec.classes == tuple(sorted(chosen))
        assert spec.splits == {"train": 6, "test": 4}
        found = data.load("tiny_imagenet", "train", root=root, options=options)
        np.testing.assert_array_equal(found.images, whole.images)
        assert [spec.classes[k] for k in found.labels] == [CLASSES[k] for k in whole.labels]
        assert found.spec == spec
    fewer = {"classes": [CLASSES[3], CLASSES[120]]}
    assert data.spec("tiny_imagenet", fewer, root).splits == {"train": 3, "test": 2}
    for split, numbers in (("train", [100, 104, 120]), ("test", [0, 20])):
        found = data.load("tiny_imagenet", split, root=root, options=fewer)
        assert set(found.labels.tolist()) == {1}
        assert np.abs(found.images[:, 5, 5, 0].astype(int) - numbers).max() <= 2
    assert data.spec("tiny_imagenet", {"classes": [121]}, root).classes == CLASSES[:121]
    with pytest.raises(InputError, match="no class 'n0'"):
        data.load("tiny_imagenet", "train", root=root, options={"classes": ["n0", CLASSES[5]]})
    with pytest.raises(InputError, match="from 1 to 3"):
        data.load("tiny_imagenet", "train", root=root, options=fewer, n=4)


@pytest.mark.parametrize(
    ("damage", "split", "said"),
    [
        (lambda f: picture(f / "train/n99999999/images/a_0.JPEG", 1), "train", "no class of Tiny ImageNet"),
        (lambda f: picture(f / "val/images/val_1.JPEG", 1, side=65), "test", "65 x 65 pixels, not 64 x 64"),
        (lambda f: (f / "val/images/val_1.JPEG").write_bytes(b""), "test", "val_1.JPEG: cannot be read"),
        (lambda f: shutil.rmtree(f / "train"), "train", "not found"),
    ],
)
def test_a_damaged_copy_is_named(root: Path, monkeypatch: pytest.MonkeyPatch, damage, split: str, said: str) -> None:
    monkeypatch.delenv("REGROW_DATA", raising=False)
    damage(root / "tiny-imagenet-200")
    with pytest.raises(DataError, match=said):
        data.load("tiny_imagenet", split, root=root)


def test_what_is_not_there_is_said(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="holds 6 of the 100000 images of train, asked for are 7"):
        data.load("tiny_imagenet", "train", root=root, n=7)
    with pytest.raises(InputError, match="from 1 to 10000"):
        data.load("tiny_imagenet", "test", root=root, n=10_001)
    monkeypatch.delenv("REGROW_DATA", raising=False)
    with pytest.raises(DataError, match="unpack the official tiny-imagenet-200"):
        data.load("tiny_imagenet", "test", root=tmp_path / "nothing")
    assert "not the clean twin" in data.spec("tiny_imagenet").caveat.replace("its clean twin", "the clean twin")


@pytest.mark.data
def test_the_real_set_is_read(data_root: Path) -> None:
    if tiny.find([data_root]) is None:
        pytest.skip("tiny-imagenet-200 is not below REGROW_DATA")
    for split in ("train", "test"):
        found = data.load("tiny_imagenet", split, root=data_root)
        assert set(found.labels.tolist()) == set(range(200))
        assert np.bincount(found.labels).std() == 0
        assert 60 < found.images.mean() < 180
