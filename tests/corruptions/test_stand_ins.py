"""Stand-ins in the layout of ImageNet-3DCC: what they are not, how they behave, and that the tree is read."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regrow.corruptions import names, stand_ins
from regrow.corruptions.writer import tree
from regrow.data.published import open_published
from regrow.errors import InputError, UnknownNameError
from regrow.evaluation.robustbench import ALEXNET_3DCC

IMAGES = np.random.RandomState(0).randint(0, 256, (5, 24, 24, 3)).astype(np.uint8)
LABELS = np.array([1, 0, 1, 2, 0])
CLASSES = ("ant", "bee", "cat")
EACH = pytest.mark.parametrize("name", stand_ins.NAMES)


def test_they_are_the_types_of_the_published_set_that_cannot_be_made() -> None:
    assert not set(stand_ins.NAMES) & set(names(None))
    assert {*stand_ins.NAMES, *names("3dcc")} == set(ALEXNET_3DCC)
    assert "NOT 3D Common Corruptions" in (stand_ins.__doc__ or "")


@EACH
def test_each_value_moves_further_with_every_severity(name: str) -> None:
    image = IMAGES[0]
    before = image.copy()
    moves = [stand_ins.stand_in(image, name, severity).astype(int) - image for severity in range(1, 6)]
    for less, more in itertools.pairwise(moves):
        assert (np.abs(more) >= np.abs(less)).all()
        assert (more * less >= 0).all()
        assert np.abs(more).sum() > np.abs(less).sum() > 0
    np.testing.assert_array_equal(image, before)
    again = stand_ins.stand_in(image.copy(), name, 5)
    np.testing.assert_array_equal(again, image + moves[-1])
    assert again.dtype == np.uint8


@EACH
def test_depth_is_that_of_a_plane_from_the_bottom_to_the_top(name: str) -> None:
    image = IMAGES[1]
    done = stand_ins.stand_in(image, name, 5)
    sharp, other = (-1, 0) if name in ("near_focus", "fog_3d") else (0, -1)
    np.testing.assert_array_equal(done[sharp], image[sharp])
    assert (done[other] != image[other]).any()


def test_a_written_tree_is_read_as_a_published_one(tmp_path: Path) -> None:
    root = tmp_path / "ImageNet-3DCC"
    for _ in range(2):  # a stand-in may be written anew
        stand_ins.write(root, IMAGES, LABELS, CLASSES, severities=(1, 5))
    found = open_published(root)
    assert tuple(found.corruptions) == tuple(sorted(stand_ins.NAMES))
    for name in stand_ins.NAMES:
        assert list(found.severities(name)) == [1, 5]
        cell = found.cell(name, 5)
        assert cell.labels.tolist() == sorted(LABELS)
        for at, image in enumerate(IMAGES[np.argsort(LABELS, kind="stable")]):
            saved = io.BytesIO()
            Image.fromarray(stand_ins.stand_in(image, name, 5)).save(saved, "JPEG", quality=85, optimize=True)
            with Image.open(saved) as expected:
                np.testing.assert_array_equal(cell.images[at : at + 1][0], np.asarray(expected))
    assert "not 3D Common Corruptions" in (root / stand_ins.SAID).read_text()


def test_a_type_has_its_name_only_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tree.encoded

    def broken(image: np.ndarray) -> bytes:
        if len(list(tmp_path.rglob("*.JPEG"))) == 7:
            raise KeyboardInterrupt
        return whole(image)

    monkeypatch.setattr(tree, "encoded", broken)
    with pytest.raises(KeyboardInterrupt):
        stand_ins.write(tmp_path, IMAGES, LABELS, CLASSES, ["flash", "fog_3d"], (1,))
    assert open_published(tmp_path).corruptions == ["flash"]
    assert (tmp_path / stand_ins.SAID).is_file()


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    for name in ("shadow", "bit_error"):
        with pytest.raises(UnknownNameError, match="stand-in"):
            stand_ins.stand_in(IMAGES[0], name, 1)
        with pytest.raises(UnknownNameError, match="stand-in"):
            stand_ins.write(tmp_path / "new", IMAGES, LABELS, CLASSES, [name])
    with pytest.raises(InputError, match="1 to 5"):
        stand_ins.stand_in(IMAGES[0], "flash", 6)
    for image in (IMAGES, IMAGES[0] / 255.0, IMAGES[0, ..., :1]):
        with pytest.raises(InputError, match="one image"):
            stand_ins.stand_in(image, "flash", 1)
    assert not (tmp_path / "new").exists()


def test_a_published_set_is_never_written_over(tmp_path: Path) -> None:
    real = tmp_path / "flash" / "1" / "ant" / "x.JPEG"
    real.parent.mkdir(parents=True)
    real.write_bytes(b"a published picture")
    with pytest.raises(InputError, match="no stand-in"):
        stand_ins.write(tmp_path, IMAGES, LABELS, CLASSES)
    assert real.read_bytes() == b"a published picture"
    assert list(tmp_path.iterdir()) == [tmp_path / "flash"]
