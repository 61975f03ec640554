"""Folders of pictures for learning: opened at reduced sizes, checked, one class a folder in every split."""

from __future__ import annotations

import io
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from regrow.data import pictures
from regrow.data.listing import Chosen, Names, check_classes
from regrow.data.scan import in_parts, scan
from regrow.errors import DataError, InputError


@pytest.fixture
def root(tmp_path: Path, save) -> Path:
    """Splits train and val with two classes."""
    for split, seeds in (("train", range(6)), ("val", range(6, 10))):
        for seed in seeds:
            save(tmp_path / f"set/{split}/{'cat' if seed % 2 else 'dog'}/{seed}.jpg", seed)
    return tmp_path / "set"


@settings(max_examples=150, deadline=None)
@given(width=st.integers(1, 90), height=st.integers(1, 90), at_least=st.integers(0, 100))
def test_a_jpeg_comes_at_the_smallest_reduced_size_that_suffices(width: int, height: int, at_least: int) -> None:
    content = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 60)).save(content, "JPEG")
    # libjpeg rounds up; Pillow cannot ask for a scale that is larger than a side
    sizes = [(-(-width // s), -(-height // s)) for s in (8, 4, 2, 1) if s <= min(width, height)]
    enough = [size for size in sizes if at_least and min(size) >= at_least]
    picture = pictures.open_picture(io.BytesIO(content.getvalue()), at_least)
    assert picture.size == (enough[0] if enough else (width, height))
    assert picture.mode == "RGB"


def test_a_reduced_jpeg_is_the_picture_made_smaller(jpeg) -> None:
    content = jpeg(3, (640, 480))
    whole, half = (pictures.open_picture(io.BytesIO(content), least) for least in (0, 240))
    assert half.size == (320, 240)
    difference = np.asarray(whole.resize(half.size, Image.Resampling.BOX), int) - np.asarray(half, int)
    assert np.abs(difference).mean() < 1.5


def test_other_files_are_never_reduced(tmp_path: Path) -> None:
    Image.new("RGB", (640, 480)).save(tmp_path / "x.png")
    assert pictures.open_picture(tmp_path / "x.png", 32).size == (640, 480)


def test_the_orientation_of_a_camera_is_not_followed_as_in_the_published_sets(jpeg) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    turned, plain = (pictures.open_picture(io.BytesIO(jpeg(1, (60, 20), **o))) for o in ({"exif": exif}, {}))
    assert turned.size == (60, 20)
    np.testing.assert_array_equal(np.asarray(turned), np.asarray(plain))


def test_transparent_palettes_keep_their_colours_and_warn_of_nothing(tmp_path: Path) -> None:
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([9, 8, 7, 200, 100, 50])
    picture.save(tmp_path / "x.png", transparency=bytes([0, 120]))
    assert np.asarray(pictures.open_picture(tmp_path / "x.png"))[0, 0].tolist() == [200, 100, 50]


def test_cmyk_and_grey_jpegs_become_rgb(jpeg) -> None:
    plain = np.asarray(pictures.open_picture(io.BytesIO(jpeg(5))), int)
    cmyk = np.asarray(pictures.open_picture(io.BytesIO(jpeg(5, mode="CMYK"))), int)
    assert np.abs(plain - cmyk).mean() < 4
    grey = np.asarray(pictures.open_picture(io.BytesIO(jpeg(5, mode="L"))), int)
    assert (grey[..., 0] == grey[..., 2]).all()
    assert np.abs(grey[..., 0] - plain @ [0.299, 0.587, 0.114]).mean() < 2


def test_far_too_large_pictures_are_refused(monkeypatch: pytest.MonkeyPatch, jpeg) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 40 - 1)
    with pytest.raises(DataError, match="a picture: cannot be read"):
        pictures.open_picture(io.BytesIO(jpeg(0)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert pictures.open_picture(io.BytesIO(jpeg(0))).size == (48, 40)


def test_each_split_is_a_tree_of_the_same_classes(root: Path) -> None:
    train, test = (pictures.labelled(root, split) for split in ("train", "test"))
    assert train.classes == test.classes == ("cat", "dog")
    assert [train.path(i) for i in range(6)] == [
        f"{c}/{k}.jpg" for c, k in zip(["cat", "cat", "cat", "dog", "dog", "dog"], (1, 3, 5, 0, 2, 4), strict=True)
    ]
    assert train.labels == (0, 0, 0, 1, 1, 1)
    assert (train.name, test.name) == ("set/train", "set/test")
    assert [test.path(i) for i in range(4)] == ["cat/7.jpg", "cat/9.jpg", "dog/6.jpg", "dog/8.jpg"]
    alone = pictures.labelled(root / "val")
    assert list(alone.files) == list(test.files)
    check_classes(train, test)


def test_a_folder_named_test_goes_before_val(root: Path, save) -> None:
    for name in ("cat", "dog"):
        save(root / f"test/{name}/only.png", 1)
    assert len(pictures.labelled(root, "test")) == 2
    assert len(pictures.labelled(root, "val")) == 4


@pytest.mark.parametrize(
    ("damage", "split", "said"),
    [
        (lambda r: (r / "val/cat").rename(r / "val/cow"), "val", r"missing: cat; extra: cow"),
        (lambda r: (r / "val/ant").mkdir(), "val", "without pictures: ant"),
        (lambda r: [(r / f"train/{k}").mkdir() for k in "abcdefg"], "train", "a, b, c, d, e and 2 more"),
        (lambda r: (r / "train/loose.JPG").write_bytes(b""), "train", "loose.JPG outside class folders"),
        (lambda r: (r / "val").rename(r / "valid"), "test", "no folder test or val .there is: train, valid"),
        (lambda r: (r / "empty").mkdir(), "empty", "holds no class folders"),
    ],
)
def test_what_is_wrong_with_the_classes_is_named(root: Path, damage, split: str, said: str) -> None:
    damage(root)
    with pytest.raises(DataError, match=said) as error:
        pictures.labelled(root, split)
    assert "Next: " in str(error.value)


def test_classes_in_another_order_are_no_match(root: Path) -> None:
    train = pictures.labelled(root, "train")
    turned = pictures.Folder("b", root, train.files, train.labels, train.classes[::-1], 8)
    with pytest.raises(DataError, match="another order"):
        check_classes(train, turned)


def test_a_scan_names_what_cannot_be_decoded(root: Path) -> None:
    found = pictures.labelled(root, "train")
    content = found.place(1).read_bytes()
    found.place(1).write_bytes(content[: len(content) // 2])  # its head is whole: only decoding shows it
    found.place(4).write_bytes(b"")
    said: list[tuple[int, int]] = []
    kept, skipped = scan(found, "skip", threads=3, progress=lambda *done: said.append(done))
    assert kept.tolist() == [0, 2, 3, 5]
    assert [path for path, _ in skipped] == ["cat/3.jpg", "dog/2.jpg"]
    assert all("cannot be read" in reason and path not in reason for path, reason in skipped)
    assert said[-1] == (6, 6)
    with pytest.raises(DataError, match=r"cat/3\.jpg: cannot be read"):
        scan(found)
    rest = Chosen(found, kept)
    assert scan(rest).skipped == []
    assert [rest.path(i) for i in range(len(rest))] == ["cat/1.jpg", "cat/5.jpg", "dog/0.jpg", "dog/4.jpg"]
    assert rest.labels == (0, 0, 1, 1) == tuple(rest.label(i) for i in range(4))
    np.testing.assert_array_equal(np.asarray(rest.open(3)), np.asarray(found.open(5)))


def test_a_scan_that_leaves_nothing_is_an_error(root: Path) -> None:
    found = pictures.labelled(root, "val")
    for i in range(len(found)):
        found.place(i).write_bytes(b"x")
    with pytest.raises(DataError, match="none of the 4 pictures of set/val"):
        scan(found, "skip")


@pytest.mark.parametrize("n", [0, 1, 5, 64, 1000])
def test_parts_come_in_order_and_only_a_few_ahead(n: int) -> None:
    ahead, most = [0], [0]
    lock = threading.Lock()

    def work(part: range) -> int:
        with lock:
            ahead[0] += 1
            most[0] = max(most[0], ahead[0])
        return sum(part)

    total, last = 0, 0
    for done, result in in_parts(work, n, threads=3, size=5):
        with lock:
            ahead[0] -= 1
        assert done > last
        total, last = total + result, done
    assert (total, last) == (n * (n - 1) // 2, n)
    assert most[0] <= 2 * 3 + 1


@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"]), max_size=9), max_size=12))
def test_packed_names_are_the_names(names: list[str]) -> None:
    packed = Names.of(names)
    assert list(packed) == names == [packed[i] for i in range(len(packed))] == list(packed[:])
    assert pickle.loads(pickle.dumps(packed)) == packed == Names.of(names)
    if names:
        assert (packed[-1], packed[1:]) == (names[-1], tuple(names[1:]))
    with pytest.raises(IndexError):
        packed[len(names)]


def test_names_with_odd_bytes_are_kept() -> None:
    assert list(Names.of(["a\udcff/\udc80.png"])) == ["a\udcff/\udc80.png"]


def test_a_list_of_pictures_is_small_on_its_way_to_another_process() -> None:
    n = 20_000
    names = Names.of(f"n01440764/ILSVRC2012_val_{i:08d}.JPEG" for i in range(n))
    found = pictures.Folder("x", Path("/x"), names, tuple(i % 1000 for i in range(n)), tuple(map(str, range(1000))), 8)
    assert len(pickle.dumps(found)) < 60 * n
    assert pickle.loads(pickle.dumps(found)).path(n - 1) == found.path(n - 1)


def test_the_fingerprint_follows_the_files(root: Path) -> None:
    before = pictures.labelled(root, "train")
    assert pictures.labelled(root, "train").fingerprint() == before.fingerprint()
    first = before.fingerprint()
    before.place(2).write_bytes(before.place(2).read_bytes() + b"x")
    assert before.fingerprint() != first
    some = Chosen(before, np.array([1, 2]))
    assert some.fingerprint() not in (before.fingerprint(), Chosen(before, np.array([2, 1])).fingerprint())
    before.place(0).unlink()
    with pytest.raises(DataError, match=r"cat/1\.jpg cannot be read"):
        before.fingerprint()
    with pytest.raises(InputError, match="from 0 to 5"):
        Chosen(before, np.array([6]))


@pytest.mark.data
def test_photographs_of_imagenet_are_a_folder_of_classes(data_root: Path) -> None:
    root = data_root / "imagenet-samples"
    if not root.is_dir():
        pytest.skip("imagenet-samples is not below REGROW_DATA")
    found = pictures.labelled(root, "test")
    assert len(found) == len(found.classes) == 100
    assert scan(found, "skip").skipped == []
    for i in range(len(found)):
        with Image.open(found.place(i)) as original:
            size = original.size
        small = found.open(i, 64)
        assert small.size == size or 64 <= min(small.size) < 128 or 8 * min(small.size) - 8 < min(size)
