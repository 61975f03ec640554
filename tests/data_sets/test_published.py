"""Loaders of published corrupted sets, on small sets of their layouts."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regrow.corruptions import writer
from regrow.data.published import open_published
from regrow.errors import DataError, UnknownNameError

STREAM = np.random.RandomState(0)


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    folder = tmp_path / "CIFAR-10-C"
    folder.mkdir()
    for name in ("fog", "contrast"):
        np.save(folder / f"{name}.npy", STREAM.randint(0, 256, (35, 32, 32, 3)).astype(np.uint8))
    np.save(folder / "labels.npy", np.tile(np.arange(7, dtype=np.uint8), 5))
    return folder


def test_arrays_are_mapped_and_cut_by_severity(cifar: Path) -> None:
    opened = open_published(cifar)
    assert opened.corruptions == ["contrast", "fog"]
    assert opened.severities("fog") == [1, 2, 3, 4, 5]
    cell = opened.cell("fog", 3)
    assert isinstance(cell.images, np.memmap)
    np.testing.assert_array_equal(cell.images, np.load(cifar / "fog.npy")[14:21])
    assert cell.labels.tolist() == list(range(7))
    np.testing.assert_array_equal(np.concatenate(list(cell.batches(3))), cell.images)


def test_what_the_writer_makes_is_read(tmp_path: Path) -> None:
    images = STREAM.randint(0, 256, (6, 32, 32, 3)).astype(np.uint8)
    writer.write_cifar_style(images, np.arange(6), tmp_path / "set", ["contrast"], source="mine", jobs=1)
    cell = open_published(tmp_path / "set").cell("contrast", 2)
    np.testing.assert_array_equal(cell.images, np.load(tmp_path / "set/contrast.npy")[6:12])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "labels.npy").unlink(), "labels.npy is missing"),
        (lambda f: np.save(f / "labels.npy", np.arange(34)), "not five times"),
        (lambda f: np.save(f / "labels.npy", np.arange(35)), "does not repeat"),
        (lambda f: np.save(f / "fog.npy", np.zeros((30, 32, 32, 3), np.uint8)), "not 35 RGB images"),
        (lambda f: np.save(f / "fog.npy", np.zeros((35, 32, 32, 3))), "float64"),
        (lambda f: (f / "fog.npy").write_bytes((f / "fog.npy").read_bytes()[:5000]), "cannot be read"),
    ],
)
def test_a_damaged_array_set_is_named(cifar: Path, damage, said: str) -> None:
    damage(cifar)
    with pytest.raises(DataError, match=said) as error:
        open_published(cifar).cell("fog", 1)
    assert "Next: " in str(error.value)


def tree(root: Path, types: list[str], levels: list[str], side: int = 64) -> dict[str, np.ndarray]:
    pixels = {}
    for name in types:
        for level in levels:
            for file in ("n02/val_3.JPEG", "n01/val_1.JPEG", "n01/val_2.JPEG"):
                path = root / name / level / file
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(STREAM.randint(0, 256, (side, side, 3)).astype(np.uint8)).save(path, quality=85)
                with Image.open(path) as picture:
                    pixels[path.relative_to(root).as_posix()] = np.asarray(picture)
    return pixels


@pytest.mark.parametrize("side", [64, 224])
def test_trees_are_read_lazily_and_never_resized(tmp_path: Path, side: int) -> None:
    pixels = tree(tmp_path, ["fog", "weather/snow"], ["1", "2", "3", "4", "5"], side)
    opened = open_published(tmp_path)
    assert opened.corruptions == ["fog", "snow"]
    cell = opened.cell("snow", 4)
    assert cell.names == ("val_1.JPEG", "val_2.JPEG", "val_3.JPEG")
    assert cell.labels.tolist() == [0, 0, 1]
    assert [batch.shape for batch in cell.batches(2)] == [(2, side, side, 3), (1, side, side, 3)]
    np.testing.assert_array_equal(cell.images[2:3][0], pixels["weather/snow/4/n02/val_3.JPEG"])
    assert opened.classes("fog", 1) == ["n01", "n02"]


def test_real_severities_are_ranked(tmp_path: Path) -> None:
    pixels = tree(tmp_path, ["sparkles"], ["10.00", "2.35", "3.00"])
    opened = open_published(tmp_path)
    assert opened.severities("sparkles") == [1, 2, 3]
    np.testing.assert_array_equal(opened.cell("sparkles", 3).images[:1][0], pixels["sparkles/10.00/n01/val_1.JPEG"])
    np.testing.assert_array_equal(opened.cell("sparkles", 1).images[:1][0], pixels["sparkles/2.35/n01/val_1.JPEG"])


def test_whole_severities_are_those_of_their_folders_though_some_are_not_there(tmp_path: Path) -> None:
    pixels = tree(tmp_path, ["fog"], ["2", "5"])
    opened = open_published(tmp_path)
    assert opened.severities("fog") == [2, 5]
    for severity in (2, 5):
        cell = opened.cell("fog", severity)
        np.testing.assert_array_equal(cell.images[:1][0], pixels[f"fog/{severity}/n01/val_1.JPEG"])
        assert opened.classes("fog", severity) == ["n01", "n02"]
    for severity in (0, 1, 3, 6):
        with pytest.raises(DataError, match=f"severities 2, 5, got {severity}"):
            opened.cell("fog", severity)


def test_what_is_incomplete_or_odd_is_named(tmp_path: Path) -> None:
    tree(tmp_path / "a", ["fog"], ["1", "2"])
    tree(tmp_path / "a", ["snow"], ["1"])
    with pytest.raises(DataError, match="snow holds 1 severities"):
        open_published(tmp_path / "a")
    tree(tmp_path / "b", ["fog"], ["1"])
    Image.fromarray(np.zeros((70, 64, 3), np.uint8)).save(tmp_path / "b/fog/1/n01/val_9.JPEG")
    with pytest.raises(DataError, match="64 x 70 pixels"):
        open_published(tmp_path / "b").cell("fog", 1).images[:]
    with pytest.raises(UnknownNameError, match="Did you mean 'fog'"):
        open_published(tmp_path / "b").cell("fgo", 1)
    with pytest.raises(DataError, match="severities 1, got 2"):
        open_published(tmp_path / "b").cell("fog", 2)
    (tmp_path / "c").mkdir()
    for path in (tmp_path / "c", tmp_path / "absent"):
        with pytest.raises(DataError, match="Next: "):
            open_published(path)
