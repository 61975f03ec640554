"""Data sets of files in folders: their parts, classes, options, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow import data
from regrow.data.fileset import ClipSource, FileSet
from regrow.data.listing import Listing
from regrow.data.on_disk import held_out, nominal
from regrow.data.spec import DataSpec, check_options, of_classes
from regrow.errors import DataError, InputError, RegrowError

SPEC = replace(data.spec("cifar10"), options={"n": 3, "share": 0.5, "on": False, "word": "a", "many": [1.0, 2.0]})


@pytest.fixture
def tree(tmp_path: Path, save: Callable[..., Path]) -> Path:
    """Ten pictures of a class, six of another, three of a third."""
    for name, n in (("ant", 10), ("bee", 6), ("cow", 3)):
        for i in range(n):
            save(tmp_path / f"set/{name}/{i}.png", i)
    return tmp_path


@pytest.fixture
def films(tmp_path: Path, shoot: Callable[..., Path]) -> Path:
    for name in ("run/1", "run/2", "run/3", "sit/4", "sit/5", "sit/6"):
        shoot(tmp_path / f"films/{name}.mp4", 12, int(name[-1]))
    return tmp_path


def load(name: str, root: Path, part: str = "train", **options: Any) -> FileSet:
    found = data.load(name, part, root=root, options=options)
    assert isinstance(found, FileSet)
    return found


def names(examples: FileSet) -> list[str]:
    return [examples.source.listing.path(int(i)) for i in examples.index]


# ---- options


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"m": 1}, "no option 'm'"),
        ({"n": "3"}, "must be a number >= 0, got '3'"),
        ({"n": True}, "must be a number >= 0, got True"),
        ({"n": 2.5}, "must be a whole number, got 2.5"),
        ({"n": -1}, "must be a number >= 0"),
        ({"share": float("nan")}, "must be a number >= 0"),
        ({"share": float("inf")}, "must be a number >= 0"),
        ({"on": 1}, "must be true or false"),
        ({"word": 1}, "must be text"),
        ({"many": "1"}, "must be a list"),
        ({"many": {}}, "must be a list"),
    ],
)
def test_options_are_of_the_type_of_their_default(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_options(SPEC, given)


def test_options_stand_over_the_defaults() -> None:
    assert check_options(SPEC, None) == SPEC.options
    found = check_options(SPEC, {"n": 4.0, "share": 1, "many": (3, 4)})
    assert found == {"n": 4, "share": 1, "on": False, "word": "a", "many": [3, 4]}
    assert isinstance(found["n"], int)
    assert check_options(SPEC, {"many": 7})["many"] == [7]


def test_chosen_classes_keep_the_sets_order() -> None:
    assert of_classes(SPEC, []) is SPEC
    assert of_classes(SPEC, ["truck", "cat"]).classes == ("cat", "truck")
    assert of_classes(SPEC, [3]).classes == SPEC.classes[:3]
    for strange, said in (
        (["cow"], "has no class 'cow'"),
        ([1], "has 10 classes; asked for are the first 1"),
        ([11], "has 10 classes"),
        ([True], "has no class True"),
        (["cat", 3], "has no class 3"),
    ):
        with pytest.raises(InputError, match=said):
            of_classes(SPEC, strange)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("image_folder", {}, "needs the option path"),
        ("image_folder", {"path": "nowhere"}, "nowhere is neither below a data root"),
        ("image_folder", {"path": "set", "size": 0}, "'size' must be a whole number from 1 on"),
        ("image_folder", {"path": "set", "on_error": "skpi"}, "unknown on_error 'skpi'"),
        ("image_folder", {"path": "set", "classes": ["ant", "cat"]}, "no class 'cat'"),
        ("image_folder", {"path": "set", "classes": ["ant"]}, "the class 'ant' alone"),
        ("image_folder", {"path": "set", "test_share": 1}, "class 'ant' of set has 10 of the files: 1 of them"),
        ("huggingface", {"path": "set"}, "is no data set of the library datasets"),
        ("video_folder", {}, "needs the option paths"),
        ("video_folder", {"paths": ["films"], "class_by": "name"}, "unknown class_by 'name'"),
        ("video_folder", {"paths": ["films"], "sampling": "widnow"}, "unknown sampling 'widnow'"),
        ("video_folder", {"paths": ["films"], "frames": 0}, "'frames' must be a whole number from 1 on"),
        ("video_folder", {"paths": ["films"], "views": 0}, "'views' must be a whole number from 1 on"),
        ("video_folder", {"paths": ["films"], "train_part": [0.6, 0.2]}, "'train_part' must be two shares"),
        ("video_folder", {"paths": ["films"], "test_part": [0, 0.5, 1]}, "'test_part' must be two shares"),
        ("video_folder", {"paths": ["films", "films"]}, "two videos are called run/1.mp4"),
        ("ucf101", {"split": 4}, "must be 1, 2 or 3"),
    ],
)
def test_what_cannot_be_is_refused(tree: Path, films: Path, name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RegrowError, match=said) as error:
        load(name, tree, **options)
    assert "Next: " in str(error.value) or not isinstance(error.value, DataError)


# ---- held-out parts


def some(sizes: list[int], seed: int) -> Listing:
    stream = np.random.default_rng(seed)
    files = [f"{c}/{stream.integers(1 << 40)}.png" for c, n in enumerate(sizes) for _ in range(n)]
    labels = tuple(c for c, n in enumerate(sizes) for _ in range(n))
    return Listing("x", Path(), files, labels, tuple(str(c) for c in range(len(sizes))), 8)


@given(sizes=st.lists(st.integers(2, 40), min_size=1, max_size=5), share=st.floats(0, 0.7), seed=st.integers(0, 99))
def test_held_out_files_are_a_share_of_each_class(sizes: list[int], share: float, seed: int) -> None:
    listing = some(sizes, seed)
    if any(max(1, round(share * n)) >= n for n in sizes):
        with pytest.raises(DataError, match="leaves none to train on"):
            held_out(listing, share, same=False)
        return
    parts = held_out(listing, share, same=False)
    assert sorted([*parts.train.index, *parts.test.index]) == list(range(sum(sizes)))
    assert np.bincount(parts.test.labels()).tolist() == [max(1, round(share * n)) for n in sizes]
    assert (np.diff(parts.train.index) > 0).all()
    assert (np.diff(parts.test.index) > 0).all()
    again = held_out(listing, share, same=False)
    assert again.test.index.tolist() == parts.test.index.tolist()
    assert parts.caveats
    both = held_out(listing, share, same=True)
    assert both.train.index.tolist() == both.test.index.tolist() == list(range(sum(sizes)))
    assert "memorisation" in both.caveats[0]


def test_files_that_are_added_move_few_others() -> None:
    listing = some([50, 40, 30], 1)
    before = {listing.path(i) for i in held_out(listing, 0.2, same=False).test.index}
    for extra in range(20):
        files = [*listing.files, f"0/new{extra}.png"]
        order = sorted(range(121), key=lambda i: files[i])  # it may come anywhere in the list
        more = Listing(
            "x", Path(), [files[i] for i in order], tuple(int(files[i][0]) for i in order), listing.classes, 8
        )
        after = {more.path(i) for i in held_out(more, 0.2, same=False).test.index}
        assert len(before - after) <= 1


def test_which_files_are_held_out_is_chance() -> None:
    """Not the first or last of a class, whose names say when and of whom they were taken."""
    counts = np.zeros(10)
    for seed in range(300):
        listing = some([10], seed)
        counts[held_out(listing, 0.2, same=False).test.index] += 1
    assert (np.abs(counts - 60) < 4 * (300 * 0.2 * 0.8) ** 0.5).all()


# ---- pictures


def test_a_folder_without_parts_is_parted(tree: Path) -> None:
    train, test = (load("image_folder", tree, split, path="set", size=16) for split in ("train", "test"))
    assert (len(train), len(test)) == (15, 4)
    assert not set(names(train)) & set(names(test))
    assert set(names(train) + names(test)) == {
        path.relative_to(tree / "set").as_posix() for path in tree.rglob("*.png")
    }
    spec = data.spec("image_folder", {"path": "set", "size": 16}, tree)
    assert spec == train.spec == test.spec
    assert (spec.classes, spec.image_size, dict(spec.splits)) == (("ant", "bee", "cow"), 16, {"train": 15, "test": 4})
    assert "held out" in spec.caveat
    assert DataSpec.of_json(spec.as_json()) == spec


@pytest.mark.parametrize("part", ["test", "val"])
def test_folders_with_parts_are_taken_as_they_are(tree: Path, save: Callable[..., Path], part: str) -> None:
    (tree / "set").rename(tree / "train")
    (tree / "set").mkdir()
    (tree / "train").rename(tree / "set/train")
    for name in ("ant", "bee", "cow"):
        save(tree / f"set/{part}/{name}/new.png", 50)
    train, test = (load("image_folder", tree, split, path="set", size=16) for split in ("train", "test"))
    assert (len(train), len(test), train.spec.caveat) == (19, 3, "")
    both = [load("image_folder", tree, split, path="set", train_is_test=True) for split in ("train", "test")]
    assert names(both[0]) == names(both[1]) == names(train)
    shutil.rmtree(tree / f"set/{part}/cow")
    with pytest.raises(DataError, match="missing: cow"):
        load("image_folder", tree, path="set", size=17)


def test_chosen_classes_are_numbered_anew(tree: Path) -> None:
    found = load("image_folder", tree, path="set", size=16, classes=["cow", "ant"])
    assert found.spec.classes == ("ant", "cow")
    assert [found.spec.classes[k] for k in found.labels] == [name.split("/")[0] for name in names(found)]
    assert found.spec.splits == {"train": 10, "test": 3}
    first = load("image_folder", tree, path="set", size=16, classes=2)
    assert first.spec.classes == ("ant", "bee")


def test_a_smaller_training_set_is_part_of_a_larger_one(tree: Path) -> None:
    def some(n: int, split: str) -> list[str]:
        found = data.load("image_folder", split, root=tree, options={"path": "set"}, n=n)
        assert isinstance(found, FileSet)
        return names(found)

    assert some(9, "train")[:4] == some(4, "train")
    assert some(3, "test") == names(load("image_folder", tree, "test", path="set"))[:3]


def test_pictures_that_cannot_be_read_are_skipped_and_said(tree: Path) -> None:
    for name in ("set/ant/3.png", "set/bee/1.png"):
        (tree / name).write_bytes(b"no picture")
    both = load("image_folder", tree, path="set", train_is_test=True)
    with pytest.raises(DataError, match=r"ant/3.png"):
        both.images[0:20]
    found = [load("image_folder", tree, split, path="set", on_error="skip") for split in ("train", "test")]
    assert sum(len(part) for part in found) == 17
    assert "2 files that cannot be read were skipped" in found[0].spec.caveat
    assert {path for part in found for path, _ in part.skipped} == {"ant/3.png", "bee/1.png"}
    for part in found:
        assert len(part.images[0:20]) == len(part)


def test_packed_pictures_are_the_pictures_made_smaller(tree: Path) -> None:
    plain, packed = (load("image_folder", tree, path="set", size=32, packed=side) for side in (0, 36))
    assert plain.digest == packed.digest
    difference = plain.images[0:15].astype(int) - packed.images[0:15]
    assert np.abs(difference).mean() < 4


def test_a_table_in_a_study(tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    datasets = pytest.importorskip("datasets")
    labels = [0, 1, 2] * 5
    table = datasets.Dataset.from_dict(
        {"image": [{"bytes": jpeg(i), "path": None} for i in range(15)], "label": labels},
        features=datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["x", "y", "z"])}),
    )
    table.save_to_disk(tmp_path / "alone")
    train, test = (load("huggingface", tmp_path, split, path="alone", size=16) for split in ("train", "test"))
    assert (len(train), len(test), train.spec.classes) == (12, 3, ("x", "y", "z"))
    assert not set(names(train)) & set(names(test))
    assert sorted(test.labels.tolist()) == [0, 1, 2]
    datasets.DatasetDict({"train": table, "validation": table.select(range(6))}).save_to_disk(tmp_path / "parts")
    for options in ({}, {"test_split": "validation"}):
        assert len(load("huggingface", tmp_path, "test", path="parts", size=16, **options)) == 6
    with pytest.raises(DataError, match="has no split 'tset'"):
        load("huggingface", tmp_path, path="parts", test_split="tset")


# ---- clips


def test_the_class_of_a_video_is_its_folder(films: Path) -> None:
    train, test = (
        load("video_folder", films, split, paths=["films"], frames=4, size=16) for split in ("train", "test")
    )
    assert train.spec.classes == ("run", "sit")
    assert (len(train), len(test)) == (4, 2)
    assert not set(names(train)) & set(names(test))
    assert train.spec.input_shape == (3, 4, 16, 16)
    assert DataSpec.of_json(train.spec.as_json()) == train.spec


def test_folders_of_videos_alone_are_classes_themselves(films: Path) -> None:
    for paths in (
        ["films/run", "films/sit"],
        [f"films/{n}.mp4" for n in ("run/1", "run/2", "run/3", "sit/4", "sit/5")],
    ):
        found = load("video_folder", films, paths=paths, frames=4)
        assert found.spec.classes == ("run", "sit")
        assert {name.split("/")[0] for name in names(found)} == {"run", "sit"}


def test_each_video_can_be_a_class(films: Path) -> None:
    options = {"paths": ["films/run", "films/sit/5.mp4"], "class_by": "file", "frames": 4, "size": 16}
    same = [load("video_folder", films, split, **options) for split in ("train", "test")]
    assert same[0].spec.classes == ("1", "2", "3", "5")
    assert names(same[0]) == names(same[1])
    assert "memorisation" in same[0].spec.caveat
    apart = {**options, "train_part": [0.0, 0.5], "test_part": [0.5, 1.0]}
    train, test = (load("video_folder", films, split, **apart) for split in ("train", "test"))
    assert "different frames of the same videos" in train.spec.caveat
    assert "one file a class" in train.spec.caveat
    frames = {}
    for part in (train, test):
        source = part.source
        assert isinstance(source, ClipSource)
        frames[part.split] = source.clip(0).frames
    assert len(frames["train"]) == len(frames["test"]) == 6
    seen = [{frame.tobytes() for frame in part} for part in frames.values()]
    assert not seen[0] & seen[1]


@given(length=st.integers(1, 1000), at=st.floats(0.01, 0.99))
def test_parts_of_a_video_do_not_overlap_and_leave_nothing_out(length: int, at: float) -> None:
    from regrow.data.sampling import Sampling

    listing = Listing("x", Path(), ("a/1.mp4",), (0,), ("a",), 8)
    ranges = []
    for part in ((0.0, at), (at, 1.0)):
        source = ClipSource(listing, 8, Sampling(1), part)
        try:
            ranges.append(source.used(0, length))
        except DataError:
            assert int(part[1] * length) == int(part[0] * length)
            return
    assert ranges[0][0] == 0
    assert ranges[0][1] == ranges[1][0]
    assert ranges[1][1] == length


def test_videos_in_parts_are_taken_as_they_are(films: Path, shoot: Callable[..., Path]) -> None:
    (films / "films").rename(films / "train")
    (films / "films").mkdir()
    (films / "train").rename(films / "films/train")
    for name in ("run", "sit"):
        shoot(films / f"films/val/{name}/9.mp4", 12, 9)
    train, test = (load("video_folder", films, split, paths=["films"], frames=4) for split in ("train", "test"))
    assert (len(train), len(test), train.spec.caveat) == (6, 2, "")
    both = [load("video_folder", films, s, paths=["films"], frames=4, train_is_test=True) for s in ("train", "test")]
    assert names(both[0]) == names(both[1]) == names(train)
    shutil.move(films / "films/val/sit", films / "films/val/lie")
    with pytest.raises(DataError, match="'lie' of the test files is no class of the training files"):
        load("video_folder", films, paths=["films"], frames=5)


def test_videos_that_cannot_be_used_are_skipped_and_said(films: Path, shoot: Callable[..., Path]) -> None:
    (films / "films/run/2.mp4").write_bytes(b"no video")
    shoot(films / "films/sit/5.mp4", 3)
    options = {"paths": ["films"], "frames": 4, "size": 16, "on_error": "skip", "test_share": 0.4}
    found = [load("video_folder", films, split, **options) for split in ("train", "test")]
    reasons = dict(row for part in found for row in part.skipped)
    assert set(reasons) == {"run/2.mp4", "sit/5.mp4"}
    assert "no video that can be read" in reasons["run/2.mp4"]
    assert reasons["sit/5.mp4"] == "3 frames of 3 where 4 are needed"
    assert sum(len(part) for part in found) == 4


def test_a_video_is_skipped_for_its_own_part_alone(films: Path) -> None:
    """Twelve frames: the half for training has enough, a tenth for tests would not."""
    options = {"paths": ["films"], "frames": 4, "size": 16, "train_is_test": True, "on_error": "skip"}
    with pytest.raises(DataError, match="has nothing to test on"):
        load("video_folder", films, **options, train_part=[0.0, 0.5], test_part=[0.9, 1.0])
    found = load("video_folder", films, **options, train_part=[0.0, 0.5], test_part=[0.5, 1.0])
    assert len(found) == 6
    assert found.skipped == ()


# ---- UCF101


@pytest.fixture
def ucf(tmp_path: Path, shoot: Callable[..., Path]) -> Path:
    """Three classes; the second has no training clip here, a test clip of the third is missing."""
    lists = tmp_path / "ucf101/ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("1 Archery\n2 Bowling\n3 Diving\n")
    train = [f"{c}/v_{c}_g0{g}_c01.avi" for c in ("Archery", "Bowling", "Diving") for g in (8, 9)]
    test = [f"{c}/v_{c}_g01_c01.avi" for c in ("Archery", "Bowling", "Diving")]
    for number in ("01", "02", "03"):
        lines = (f"{name} {k // 2 + 1}\n" for k, name in enumerate(train))
        (lists / f"trainlist{number}.txt").write_text("".join(lines))
        (lists / f"testlist{number}.txt").write_text("".join(f"{name}\n" for name in test))
    for seed, name in enumerate([*train, *test]):
        shoot(tmp_path / "ucf101/UCF-101" / name, 10, seed, container="avi", encoder="mpeg4", b_frames=1)
    return tmp_path


def test_ucf101_has_its_official_lists(ucf: Path) -> None:
    train, test = (load("ucf101", ucf, split, frames=4, size=16) for split in ("train", "test"))
    assert (len(train), len(test)) == (6, 3)
    assert train.spec.classes == ("Archery", "Bowling", "Diving")
    assert names(train)[2:4] == ["Bowling/v_Bowling_g08_c01.avi", "Bowling/v_Bowling_g09_c01.avi"]
    assert [train.spec.classes[k] for k in train.labels] == [name.split("/")[0] for name in names(train)]
    assert train.spec.caveat == ""
    assert test.images[0:3].shape == (3, 1, 4, 16, 16, 3)


def test_missing_clips_of_ucf101_are_refused_or_said(ucf: Path) -> None:
    for name in ("Bowling/v_Bowling_g08_c01.avi", "Bowling/v_Bowling_g09_c01.avi", "Diving/v_Diving_g01_c01.avi"):
        (ucf / "ucf101/UCF-101" / name).unlink()
    with pytest.raises(DataError, match=r"3 of the 9 clips of split 2 are missing.*g08.*partial: true"):
        load("ucf101", ucf, split=2, frames=4)
    train, test = (load("ucf101", ucf, split, split=2, partial=True, frames=4, size=16) for split in ("train", "test"))
    assert train.spec.classes == test.spec.classes == ("Archery", "Diving")  # nothing to learn Bowling from
    assert names(test) == ["Archery/v_Archery_g01_c01.avi"]
    assert train.labels.tolist() == [0, 0, 1, 1]
    assert "3 of the 9 clips of split 2 are missing" in train.spec.caveat
    assert train.images[0:4].shape == (4, 1, 4, 16, 16, 3)


def test_published_facts_do_without_files() -> None:
    spec = data.nominal_spec("ucf101", {"frames": 8, "size": 112, "views": 3})
    assert (spec.n_classes, spec.input_shape, spec.views) == (101, (3, 8, 112, 112), 3)
    assert dict(spec.splits) == {"train": 9537, "test": 3783}
    ten = data.nominal_spec("imagenet", {"classes": [10]})
    assert (ten.n_classes, dict(ten.splits)) == (10, {"train": 12811, "test": 500})
    assert data.nominal_spec("imagenet", {"classes": ["n01440764", "n02119789"]}).n_classes == 2
    chosen = ["n02119789", "n01443537"]
    with pytest.raises(InputError, match="no class 'n02119789'"):
        data.nominal_spec("tiny_imagenet", {"classes": chosen})
    own = data.spec("tiny_imagenet").classes
    assert data.nominal_spec("tiny_imagenet", {"classes": [own[7], own[3]]}).classes == (own[3], own[7])
    with pytest.raises(InputError, match="known by its files alone"):
        data.nominal_spec("image_folder", {"path": "x"})
    assert nominal(SPEC, {"classes": []}).n_classes == 10


@pytest.mark.data
def test_real_clips_of_ucf101_are_there_in_part(data_root: Path) -> None:
    if not (data_root / "ucf101/UCF-101").is_dir():
        pytest.skip("ucf101 is not below REGROW_DATA")
    with pytest.raises(DataError, match="clips of"):
        load("ucf101", data_root, frames=8, size=64)
