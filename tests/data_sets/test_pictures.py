"""Folders of pictures as sources: layouts, kinds of files, and the published ways of bringing them to size."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regrow.data import pictures
from regrow.errors import DataError


def save(path: Path, size: tuple[int, int], mode: str = "RGB", seed: int = 0) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(seed).randint(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return pixels


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (256, 256), (1000, 301), (224, 500)])
def test_224_pixels_as_torchvision_prepares_them(libraries, tmp_path, size):
    from torchvision.transforms import v2

    save(tmp_path / "a/x.png", size)
    expected = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])(Image.open(tmp_path / "a/x.png"))
    np.testing.assert_array_equal(pictures.folder(tmp_path, 224).read(0), np.asarray(expected))


def test_299_pixels_are_the_middle_of_both_sides(tmp_path):
    save(tmp_path / "a/x.png", (400, 640))
    picture = Image.open(tmp_path / "a/x.png").crop((25, 40, 375, 600))
    expected = picture.resize((299, 299), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(pictures.folder(tmp_path, 299).read(0), np.asarray(expected))


def test_a_picture_of_that_size_is_left(tmp_path):
    pixels = save(tmp_path / "a/x.png", (64, 64))
    np.testing.assert_array_equal(pictures.folder(tmp_path, 64).read(0), pixels)


def test_classes_are_sub_folders_and_order_is_by_name(tmp_path):
    for name in ("n02/b.JPEG", "n02/a.jpg", "n01/z.png", "n01/deep/y.png", ".hidden/h.png", "n01/notes.txt"):
        if name.endswith("txt"):
            (tmp_path / name).write_text("no picture")
        else:
            save(tmp_path / name, (40, 40))
    (tmp_path / "empty").mkdir()
    (tmp_path / "n01/loop").symlink_to(tmp_path)
    found = pictures.folder(tmp_path, 32)
    assert [found.path(i) for i in range(len(found))] == ["n01/deep/y.png", "n01/z.png", "n02/a.jpg", "n02/b.JPEG"]
    assert [found.label(i) for i in range(len(found))] == [0, 0, 1, 1]
    assert found.classes == ("n01", "n02")
    assert pickle.loads(pickle.dumps(found)).read(3).shape == (32, 32, 3)


def test_a_flat_folder_is_one_class(tmp_path):
    save(tmp_path / "b.png", (50, 40))
    save(tmp_path / "a.png", (50, 40))
    found = pictures.folder(tmp_path, 32)
    assert [found.path(i) for i in range(2)] == ["a.png", "b.png"]
    assert found.classes == ("all",)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK", "LA"])
def test_other_modes_become_rgb(tmp_path, mode):
    save(tmp_path / f"a/x.{'jpg' if mode == 'CMYK' else 'png'}", (40, 40), mode)
    image = pictures.folder(tmp_path, 40).read(0)
    assert (image.shape, image.dtype) == ((40, 40, 3), np.uint8)
    if mode in ("L", "1", "LA"):
        assert (image[..., 0] == image[..., 2]).all()


def test_what_cannot_be_read_is_named_in_one_line(tmp_path):
    save(tmp_path / "a/cut.png", (60, 60))
    content = (tmp_path / "a/cut.png").read_bytes()
    (tmp_path / "a/cut.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "a/deep.png").write_bytes(b"")
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(tmp_path / "a/deep.png")
    (tmp_path / "a/text.jpg").write_text("not a picture")
    found = pictures.folder(tmp_path, 32)
    for i, name in enumerate(("cut.png", "deep.png", "text.jpg")):
        with pytest.raises(DataError) as error:
            found.read(i)
        assert name in str(error.value)
        assert "Next: " in str(error.value)
        assert "\n" not in str(error.value)


def test_no_pictures_are_said(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DataError, match="Next: "):
            pictures.folder(path, 32)
        with pytest.raises(DataError, match="tiny-imagenet-200"):
            pictures.tiny_imagenet(path)


@pytest.mark.parametrize("layout", ["published", "sorted", "no notes"])
def test_tiny_imagenet_keeps_names_and_classes(tmp_path, layout):
    rows = {"val_10.JPEG": "n02", "val_2.JPEG": "n02", "val_0.JPEG": "n01"}
    for name, wnid in rows.items():
        place = "val/images" if layout == "published" else f"val/{wnid}/images"
        save(tmp_path / place / name, (64, 64))
    if layout != "no notes":
        lines = [f"{name}\t{wnid}\t0\t0\t63\t63" for name, wnid in rows.items()]
        (tmp_path / "val/val_annotations.txt").write_text("\n".join(lines) + "\n")
    found = pictures.tiny_imagenet(tmp_path)
    assert [found.path(i) for i in range(3)] == ["n01/val_0.JPEG", "n02/val_2.JPEG", "n02/val_10.JPEG"]
    assert [found.label(i) for i in range(3)] == [0, 1, 1]
    assert found.read(2).shape == (64, 64, 3)
