"""ImageNet in its official layouts, made small: every layout gives the same pictures in the same order."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from regrow.data import archive, imagenet
from regrow.data.archive import Archive
from regrow.data.scan import scan
from regrow.errors import DataError, UnknownNameError

#: Wnids in the order of the kit's numbers, which is not the sorted one.
WNIDS = ("n02119789", "n01440764", "n04443257")
WORDS = ("kit fox, Vulpes macrotis", "tench, Tinca tinca", "crane")
#: The kit's number of the class of validation images 1, 2, ...
TRUTH = (3, 1, 2, 1, 3, 3, 2)
TRAIN = {wnid: [f"{wnid}_{k}.JPEG" for k in (10026, 18, 9)] for wnid in WNIDS}


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def val_name(number: int) -> str:
    return f"ILSVRC2012_val_{number:08d}.JPEG"


def meta(path: Path, broken: str = "") -> None:
    """``meta.mat`` with the official fields: the classes, then two synsets above them."""
    fields = ["ILSVRC2012_ID", "WNID", "words", "gloss"]
    fields += ["num_children", "children", "wordnet_height", "num_train_images"]
    table = np.zeros((len(WNIDS) + 2, 1), [(name, object) for name in fields])
    for k, (wnid, words) in enumerate(zip(WNIDS, WORDS, strict=True)):
        number = float(k + (2 if broken == "numbers" else 1))
        table[k, 0] = (number, wnid, words, "a thing", 0.0, np.zeros((1, 0)), 0.0, 1300.0)
    table[-2, 0] = (4.0, "n00001740", "entity", "all", 2.0, np.array([[1.0, 5.0]]), 2.0, 0.0)
    table[-1, 0] = (5.0, "n00001930", "fish", "some", 2.0, np.array([[2.0, 3.0]]), 1.0, 0.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"synsets": table} if broken != "table" else {"other": 1})


def kit_folder(root: Path, broken: str = "") -> Path:
    data = root / imagenet.KIT / "data"
    meta(data / "meta.mat", broken)
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{k}\n" for k in TRUTH))
    return data.parent


@pytest.fixture
def layouts(tmp_path: Path, jpeg: Callable[..., bytes]) -> dict[str, Path]:
    """The same pictures as folders of classes, flat with the unpacked kit, and as official archives."""
    roots = {name: tmp_path / name / "imagenet" for name in ("classes", "flat", "archives")}
    train = {(wnid, name): jpeg(100 * k + n) for k, wnid in enumerate(WNIDS) for n, name in enumerate(TRAIN[wnid])}
    val = {(WNIDS[own - 1], val_name(number)): jpeg(number) for number, own in enumerate(TRUTH, 1)}
    for (wnid, name), content in train.items():
        for root in (roots["classes"], roots["flat"]):
            place = root / "train" / wnid / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    for (wnid, name), content in val.items():
        for place in (roots["classes"] / "val" / wnid / name, roots["flat"] / "val" / name):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    kit_folder(roots["flat"])
    packed = roots["archives"]
    packed.mkdir(parents=True)
    with tarfile.open(packed / "ILSVRC2012_img_train.tar", "w") as outer:
        for wnid in WNIDS:
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as tar:
                for name in TRAIN[wnid]:
                    add(tar, name, train[wnid, name])
            add(outer, f"{wnid}.tar", inner.getvalue())
    with tarfile.open(packed / "ILSVRC2012_img_val.tar", "w") as tar:
        for (_, name), content in reversed(val.items()):
            add(tar, name, content)
    with tarfile.open(packed / f"{imagenet.KIT}.tar.gz", "w:gz") as tar:
        tar.add(kit_folder(tmp_path / "kit"), imagenet.KIT)
    return roots


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_layout_gives_the_same_pictures(layouts: dict[str, Path], split: str) -> None:
    found = {name: imagenet.load(root, split) for name, root in layouts.items()}
    plain = found["classes"]
    if split == "train":
        expected = [f"{wnid}/{name}" for wnid in sorted(WNIDS) for name in sorted(TRAIN[wnid])]
    else:
        expected = sorted(f"{WNIDS[own - 1]}/{val_name(number)}" for number, own in enumerate(TRUTH, 1))
    for pictures in found.values():
        assert pictures.classes == tuple(sorted(WNIDS))
        assert [pictures.path(i) for i in range(len(pictures))] == expected
        assert [pictures.classes[k] for k in pictures.labels] == [path.split("/")[0] for path in expected]
        assert pictures.label(1) == pictures.labels[1]
        assert scan(pictures).skipped == []
        for i in range(len(pictures)):
            np.testing.assert_array_equal(np.asarray(pictures.open(i)), np.asarray(plain.open(i)))
            np.testing.assert_array_equal(pictures.read(i), plain.read(i))
        assert pictures.open(0, 10).size == (12, 10)


@pytest.mark.parametrize("layout", ["classes", "flat", "archives"])
def test_some_classes_can_be_chosen(layouts: dict[str, Path], layout: str) -> None:
    for split in ("train", "test"):
        chosen = imagenet.load(layouts[layout], split, [WNIDS[2], WNIDS[0]])
        assert chosen.classes == (WNIDS[0], WNIDS[2])
        assert set(chosen.labels) == {0, 1}
        every = imagenet.load(layouts[layout], split)
        kept = [i for i in range(len(every)) if every.classes[every.label(i)] in chosen.classes]
        assert [chosen.path(i) for i in range(len(chosen))] == [every.path(i) for i in kept]
        np.testing.assert_array_equal(np.asarray(chosen.open(2)), np.asarray(every.open(kept[2])))
        with pytest.raises(UnknownNameError, match=r"unknown class 'n01440765'.*Did you mean 'n01440764'"):
            imagenet.load(layouts[layout], split, ["n01440765"])


def test_it_is_found_by_its_usual_names_or_as_the_root(layouts: dict[str, Path], tmp_path: Path) -> None:
    for root in layouts.values():
        for split in ("train", "test", None):
            assert imagenet.find([tmp_path / "nothing", root.parent], split) == root
            assert imagenet.find([root], split) == root
    (layouts["archives"] / "ILSVRC2012_img_train.tar").unlink()
    assert imagenet.find([layouts["archives"]], "train") is None
    assert imagenet.find([layouts["archives"]]) is None
    (layouts["classes"] / "wnids.txt").write_text("")
    assert imagenet.find([layouts["classes"]], "test") is None  # that is Tiny ImageNet


def test_what_is_not_there_is_said_with_the_way_to_get_it(tmp_path: Path) -> None:
    for call in (lambda: imagenet.require([tmp_path], "test"), lambda: imagenet.load(tmp_path, "train")):
        with pytest.raises(DataError, match=r"licence forbids regrow to fetch it: register at image-net\.org"):
            call()
    with pytest.raises(UnknownNameError, match="unknown split 'valid'"):
        imagenet.load(tmp_path, "valid")
    with pytest.raises(DataError, match="none of the official archives"):
        imagenet.verify(tmp_path)


def test_classes_are_called_as_the_kit_says(layouts: dict[str, Path]) -> None:
    expected = dict(zip(WNIDS, WORDS, strict=True))
    assert imagenet.words(layouts["flat"]) == imagenet.words(layouts["archives"]) == expected
    assert imagenet.words(layouts["classes"]) == {}
    assert imagenet.kit(layouts["archives"]) == imagenet.kit(layouts["flat"])


@pytest.mark.parametrize("broken", ["numbers", "table", "bytes"])
def test_another_kit_is_refused(layouts: dict[str, Path], broken: str) -> None:
    folder = kit_folder(layouts["flat"], broken)
    if broken == "bytes":
        (folder / "data/meta.mat").write_bytes(b"MATLAB 5.0 MAT-file" * 20)
    with pytest.raises(DataError, match=r"meta\.mat in .* Next: fetch the official"):
        imagenet.load(layouts["flat"], "test")


@pytest.mark.parametrize("text", ["", "1\n2\nx\n", "1\n4\n", "0\n1\n"])
def test_another_ground_truth_is_refused(layouts: dict[str, Path], text: str) -> None:
    (layouts["flat"] / imagenet.KIT / "data/ILSVRC2012_validation_ground_truth.txt").write_text(text)
    with pytest.raises(DataError, match="not a list of class numbers 1 to 3"):
        imagenet.load(layouts["flat"], "test")


def test_flat_images_need_the_kit(layouts: dict[str, Path]) -> None:
    (layouts["archives"] / f"{imagenet.KIT}.tar.gz").unlink()
    with pytest.raises(DataError, match=r"has no ILSVRC2012_devkit_t12\.tar\.gz"):
        imagenet.load(layouts["archives"], "test")
    assert len(imagenet.load(layouts["archives"], "train")) == 9


@pytest.mark.parametrize("layout", ["classes", "flat"])
def test_test_classes_must_be_the_training_classes(layouts: dict[str, Path], layout: str) -> None:
    for file in (layouts[layout] / "train" / WNIDS[0]).iterdir():
        file.unlink()
    (layouts[layout] / "train" / WNIDS[0]).rmdir()
    with pytest.raises(DataError, match=f"extra: {WNIDS[0]}"):
        imagenet.load(layouts[layout], "test")
    assert imagenet.load(layouts[layout], "test", WNIDS[1:]).classes == tuple(sorted(WNIDS[1:]))


def test_a_folder_that_is_no_class_is_named(layouts: dict[str, Path], save) -> None:
    save(layouts["classes"] / "train/other/x.JPEG", 1)
    with pytest.raises(DataError, match="'other', which is no class of ImageNet"):
        imagenet.load(layouts["classes"], "train")


def test_archives_are_compared_with_the_published_digests(
    layouts: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    val = "ILSVRC2012_img_val.tar"
    digest = hashlib.md5((layouts["archives"] / val).read_bytes()).hexdigest()
    monkeypatch.setitem(imagenet.MD5, val, digest)
    seen: list[tuple[int, int]] = []
    said = imagenet.verify(layouts["archives"], lambda *done: seen.append(done))
    assert said == {name: name == val for name in imagenet.MD5}
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_an_archive_is_looked_through_once(layouts: dict[str, Path], tmp_path: Path, monkeypatch) -> None:
    path = layouts["archives"] / "ILSVRC2012_img_train.tar"
    first = archive.index(path, nested=True, cache=tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "open", None)
        again = archive.index(path, nested=True, cache=tmp_path / "cache")
    assert list(again.names) == list(first.names)
    np.testing.assert_array_equal(again.offsets, first.offsets)
    for file in (tmp_path / "cache").rglob("*.npz"):
        file.write_bytes(file.read_bytes()[:-30])
    assert archive.index(path, nested=True, cache=tmp_path / "cache").names == first.names
    reader = Archive(first)
    assert Image.open(io.BytesIO(reader.read(0))).size == (48, 40)
    os.utime(path, ns=(1, 1))
    with pytest.raises(DataError, match="has changed since its members were listed"):
        Archive(first).read(0)
    assert archive.index(path, nested=True, cache=tmp_path / "cache").mtime_ns == 1


def test_an_index_needs_no_cache(layouts: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = archive.index(layouts["archives"] / "ILSVRC2012_img_val.tar", cache=tmp_path / "file")
    assert len(found.names) == len(TRUTH)


@pytest.mark.parametrize("nested", [False, True])
def test_an_archive_cut_anywhere_is_refused(layouts: dict[str, Path], tmp_path: Path, nested: bool) -> None:
    name = "ILSVRC2012_img_train.tar" if nested else "ILSVRC2012_img_val.tar"
    content = (layouts["archives"] / name).read_bytes()
    last = max(archive.index(layouts["archives"] / name, cache=tmp_path / "c").offsets)
    for size in [*range(0, last, 1024), last - 512, last, last + 100]:
        (tmp_path / name).write_bytes(content[:size])
        with pytest.raises(DataError, match=r"cut short|cannot be read"):
            archive.index(tmp_path / name, nested=nested, cache=tmp_path / "d")


def test_links_and_compressed_archives_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "links.tar", "w") as tar:
        member = tarfile.TarInfo("n.JPEG")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(DataError, match="links and the like"):
        archive.index(tmp_path / "links.tar")
    with tarfile.open(tmp_path / "x.tar", "w:gz") as tar:
        add(tar, "a.JPEG", b"x")
    with pytest.raises(DataError, match="no uncompressed tar archive"):
        archive.index(tmp_path / "x.tar")
    with tarfile.open(tmp_path / "y.tar", "w") as tar:
        add(tar, "a.JPEG", b"x")
    with pytest.raises(DataError, match=r"holds 'a\.JPEG', not archives NAME\.tar"):
        archive.index(tmp_path / "y.tar", nested=True)


def _means(pictures: imagenet.TarPictures) -> list[float]:
    return [float(np.asarray(pictures.open(i)).mean()) for i in range(len(pictures))]


def test_readers_in_forks_and_threads_do_not_disturb_each_other(layouts: dict[str, Path]) -> None:
    pictures = imagenet.load(layouts["archives"], "train")
    expected = _means(pictures)
    handle = pictures.archive._opened()
    assert os.lseek(handle, 0, os.SEEK_CUR) == 0  # what forks and threads share is never moved
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_means, [pictures] * 4) == [expected] * 4
    assert _means(pickle.loads(pickle.dumps(pictures))) == expected
    del pictures
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)


def test_the_fingerprint_follows_the_archive(layouts: dict[str, Path]) -> None:
    root = layouts["archives"]
    before = imagenet.load(root, "train")
    assert imagenet.load(root, "train").fingerprint() == before.fingerprint()
    assert imagenet.load(root, "train", WNIDS[:2]).fingerprint() != before.fingerprint()
    os.utime(root / "ILSVRC2012_img_train.tar", ns=(1, 1))
    assert imagenet.load(root, "train").fingerprint() != before.fingerprint()


@pytest.mark.data
def test_real_photographs_are_read(data_root: Path) -> None:
    folder = imagenet.find([data_root / "imagenet-samples"], "test")
    if folder is None:
        pytest.skip("imagenet-samples is not below REGROW_DATA")
    pictures = imagenet.load(folder, "test")
    assert len(pictures.classes) == 100
    assert pictures.labels == tuple(range(100))
    assert pictures.read(3).shape == (224, 224, 3)
