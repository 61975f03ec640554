"""The official layouts of CIFAR-10 and CIFAR-100: every form is read alike, and damage is told in one line."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import pickle
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from regrow import data, files
from regrow.data import cifar
from regrow.data.cifar import Cifar
from regrow.data.sets import cifar10, cifar100
from regrow.data.spec import Request
from regrow.errors import DataError, InputError, UnknownNameError

_spec = importlib.util.spec_from_file_location("archives", Path(__file__).parents[1] / "test_files_archives.py")
assert _spec is not None
assert _spec.loader is not None
_archives = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_archives)
python2_pickle = _archives.python2_pickle

FORMS = ["python 2", "python 3", "python 3, byte keys", "python 3, protocol 5", "binary"]


def small(official: Cifar) -> tuple[Cifar, dict[str, np.ndarray]]:
    """A set of 10 and 5 images a file, with its records."""
    rows = {"train": 10, "test": 5}
    rng = np.random.default_rng(len(official.labels))
    records = {}
    for split, parts in official.parts.items():
        n = rows[split] * len(parts)
        labels = [rng.integers(0, upper + 1, (n, 1)) for upper in official.upper]
        records[split] = np.concatenate([*labels, rng.integers(0, 256, (n, 3072))], 1).astype(np.uint8)
    sums = {split: cifar.block_checksums(part) for split, part in records.items()}
    return replace(official, rows=rows, checksums=sums, urls=("http://127.0.0.1:9/",)), records


def write(layout: Cifar, records: dict[str, np.ndarray], root: Path, form: str) -> Path:
    folder = root / (layout.binary if form == "binary" else layout.python)
    folder.mkdir(parents=True)
    n_labels = len(layout.labels)
    for split, parts in layout.parts.items():
        for part, piece in zip(parts, np.split(records[split], len(parts)), strict=True):
            entries = {name: piece[:, i].tolist() for i, name in enumerate(layout.labels)}
            entries |= {"data": np.ascontiguousarray(piece[:, n_labels:]), "batch_label": "batch"}
            if form == "binary":
                (folder / f"{part}.bin").write_bytes(piece.tobytes())
            elif form == "python 2":
                (folder / part).write_bytes(python2_pickle(entries))
            else:
                if "byte keys" in form:
                    entries = {key.encode(): value for key, value in entries.items()}
                (folder / part).write_bytes(pickle.dumps(entries, 5 if "5" in form else 2))
    return folder


def read(layout: Cifar, root: Path, split: str, n: int | None = None, download: bool = False) -> data.ImageSet:
    return cifar.read(layout, Request(split, n, [root], download, {}))


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "BLOCK", 5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("official", [cifar10.CIFAR, cifar100.CIFAR], ids=["cifar10", "cifar100"])
def test_every_form_gives_the_same_images(tmp_path: Path, official: Cifar, form: str) -> None:
    layout, records = small(official)
    folder = write(layout, records, tmp_path, form)
    for split, rows in records.items():
        for root in (tmp_path, folder):  # the parent, or the folder itself
            made = read(layout, root, split)
            n_labels = len(layout.labels)
            for i in (0, len(rows) - 1):
                for y, x, c in ((0, 0, 0), (0, 1, 0), (1, 0, 2), (31, 30, 1)):
                    assert made.images[i, y, x, c] == rows[i, n_labels + 1024 * c + 32 * y + x]
            assert made.images.shape == (len(rows), 32, 32, 3)
            assert made.images.dtype == np.uint8
            assert made.images.flags.c_contiguous
            assert made.labels.dtype == np.int64
            assert made.labels.tolist() == rows[:, n_labels - 1].tolist()
            assert made.index.tolist() == list(range(len(rows)))
            if n_labels == 2:
                assert made.coarse_labels is not None
                assert made.coarse_labels.tolist() == rows[:, 0].tolist()
            else:
                assert made.coarse_labels is None


def test_a_smaller_training_set_is_part_of_a_larger_one(tmp_path: Path) -> None:
    layout, records = small(cifar10.CIFAR)
    write(layout, records, tmp_path, "binary")
    whole = read(layout, tmp_path, "train")
    larger, smaller = read(layout, tmp_path, "train", 30), read(layout, tmp_path, "train", 12)
    assert larger.index[:12].tolist() == smaller.index.tolist()
    assert sorted(larger.index.tolist()) != list(range(30))
    assert np.array_equal(smaller.images, whole.images[smaller.index])
    assert np.array_equal(smaller.labels, whole.labels[smaller.index])
    assert read(layout, tmp_path, "test", 3).index.tolist() == [0, 1, 2]


def test_a_missing_set_says_what_where_and_both_ways(tmp_path: Path) -> None:
    layout, _ = small(cifar10.CIFAR)
    for download in (False, True):
        root = tmp_path / "nowhere"
        with pytest.raises(DataError) as caught:
            read(layout, root, "test", download=download)
        said = str(caught.value)
        for part in (
            "cifar-10-batches-py",
            "cifar-10-batches-bin",
            str(root),
            "regrow data get cifar10",
            "REGROW_DATA",
        ):
            assert part in said
        assert "\n" not in said
        assert not root.exists()


def damage(path: Path, kind: str) -> None:
    content = path.read_bytes()
    if kind == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "gone":
        path.unlink()
    else:
        place = len(content) - 2000  # a pixel of the last image
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])


@pytest.mark.parametrize("kind", ["cut", "empty", "gone", "flipped"])
@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_file_is_named(tmp_path: Path, form: str, kind: str) -> None:
    layout, records = small(cifar10.CIFAR)
    folder = write(layout, records, tmp_path, form)
    path = folder / ("data_batch_3.bin" if form == "binary" else "data_batch_3")
    damage(path, kind)
    with pytest.raises(DataError, match="data_batch_3") as caught:
        read(layout, tmp_path, "train", download=True)
    assert "regrow data get cifar10" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(read(layout, tmp_path, "test")) == 5  # what is whole can be used


def test_other_images_in_this_layout_are_accepted(tmp_path: Path) -> None:
    layout, records = small(cifar10.CIFAR)
    other = {split: part ^ np.uint8(1) for split, part in records.items()}
    for part in other.values():
        part[:, 0] %= 10
    write(layout, other, tmp_path, "python 3")
    assert np.array_equal(read(layout, tmp_path, "test").labels, other["test"][:, 0])


def test_official_files_are_believed_by_their_md5(tmp_path: Path) -> None:
    layout, records = small(cifar10.CIFAR)
    folder = write(layout, records, tmp_path, "python 2")
    wrong = {split: "0" * 8 + sums[8:] for split, sums in layout.checksums.items()}
    with pytest.raises(DataError, match="altered"):
        read(replace(layout, checksums=wrong), tmp_path, "train")
    md5 = {path.name: files.file_digest(path, "md5") for path in folder.iterdir()}
    assert len(read(replace(layout, checksums=wrong, md5=md5), tmp_path, "train")) == 50


@pytest.mark.parametrize(
    "change",
    [
        {"data": np.zeros((10, 3071), np.uint8)},
        {"data": np.zeros((9, 3072), np.uint8)},
        {"data": np.zeros((10, 3072), np.int16)},
        {"data": [1, 2]},
        {"labels": [0] * 9},
        {"labels": [0] * 9 + [10]},
        {"labels": [-1] + [0] * 9},
        {"labels": ["0"] * 10},
        {"labels": [0.0] * 10},
        {"labels": np.zeros((10, 2), np.int64)},
        {"labels": None},
    ],
)
def test_the_structure_is_checked(tmp_path: Path, change: dict[str, object]) -> None:
    layout, records = small(cifar10.CIFAR)
    layout = replace(layout, checksums=dict.fromkeys(records, ""))  # no help from those
    folder = write(layout, records, tmp_path, "python 3")
    entries = {"data": np.zeros((10, 3072), np.uint8), "labels": [0] * 10} | change
    (folder / "data_batch_2").write_bytes(pickle.dumps(entries, 2))
    with pytest.raises(DataError, match="data_batch_2"):
        read(layout, tmp_path, "train")


def test_a_pickle_that_tries_to_run_code_is_refused(tmp_path: Path) -> None:
    layout, records = small(cifar10.CIFAR)
    folder = write(layout, records, tmp_path, "python 2")
    (folder / "test_batch").write_bytes(b"\x80\x02}U\x04datacposix\nmkdir\nU\x04/x/y\x85Rs.")
    with pytest.raises(DataError, match=r"posix\.mkdir"):
        read(layout, tmp_path, "test")


def archived(tmp_path: Path, form: str = "python 2") -> tuple[Cifar, dict[str, np.ndarray], Path]:
    layout, records = small(cifar10.CIFAR)
    folder = write(layout, records, tmp_path / "made", form)
    archive = tmp_path / "root" / layout.archive
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    known = replace(
        layout,
        archive_size=archive.stat().st_size,
        archive_sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
    )
    return known, records, archive


def test_an_official_archive_under_a_root_is_unpacked_without_a_network(tmp_path: Path) -> None:
    layout, records, archive = archived(tmp_path)
    made = read(layout, archive.parent, "test")
    assert made.labels.tolist() == records["test"][:, 0].tolist()
    assert sorted(path.name for path in archive.parent.iterdir()) == [layout.python, layout.archive]


def test_an_archive_is_downloaded_once_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, records, archive = archived(tmp_path)
    content = archive.read_bytes()
    archive.unlink()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = _archives.Server()
    try:
        server.content = content
        served = replace(layout, urls=(server.url,))
        seen: list[int] = []
        request = Request("train", None, [archive.parent], True, {}, lambda done, total: seen.append(done))
        assert cifar.read(served, request).labels.tolist() == records["train"][:, 0].tolist()
        assert seen[-1] == len(content)
        assert [path.name for path in archive.parent.iterdir()] == [layout.python]
        assert len(read(served, archive.parent, "test", download=True)) == 5
        assert server.ranges == [None]
    finally:
        server.server.shutdown()
        server.thread.join()
        server.server.server_close()


def test_nothing_is_left_when_the_content_is_wrong(tmp_path: Path) -> None:
    layout, _, archive = archived(tmp_path)
    archive.write_bytes(archive.read_bytes() + b"?")
    with pytest.raises(DataError, match="not the official archive"):
        read(layout, archive.parent, "test")
    layout, _, archive = archived(tmp_path / "again")  # right digest, wrong content: checked before the rename
    with pytest.raises(DataError):
        read(replace(layout, rows={"train": 10, "test": 6}), archive.parent, "test")
    assert [path.name for path in archive.parent.iterdir()] == [layout.archive]


def test_a_folder_in_the_way_is_left_alone(tmp_path: Path) -> None:
    layout, _, archive = archived(tmp_path)
    mine = archive.parent / layout.python
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="incomplete"):
        read(layout, archive.parent, "test")
    with pytest.raises(DataError, match="in the way"):
        cifar.fetch(layout, [archive.parent], None)
    assert [path.name for path in mine.iterdir()] == ["notes.txt"]


def test_a_whole_copy_is_preferred_to_an_earlier_partial_one(tmp_path: Path) -> None:
    layout, records = small(cifar10.CIFAR)
    partial = write(layout, records, tmp_path / "a", "python 2")
    whole = write(layout, records, tmp_path / "b", "binary")
    (partial / "data_batch_5").unlink()
    roots = [tmp_path / "a", tmp_path / "b"]
    assert cifar.find(layout, roots, "test") == partial
    assert cifar.find(layout, roots, "train") == whole
    assert cifar.find(layout, roots) == whole
    assert cifar.find(layout, roots[:1]) is None


# ------------------------------------------------------------------------------------------------------- the real sets


@pytest.fixture
def real(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cifar, "BLOCK", 1000)
    for folder in ("cifar-10-batches-py", "cifar-100-python"):
        if not (data_root / folder).is_dir():
            pytest.skip(f"{data_root} has no {folder}")
    return data_root


@pytest.mark.data
def test_the_real_sets_are_the_official_ones(real: Path) -> None:
    ten = data.load("cifar10", "test", root=real, download=False)
    hundred = data.load("cifar100", "test", root=real, download=False)
    # md5 of CIFAR-10-C/labels.npy and CIFAR-100-C/labels.npy: the test labels five times
    for made, md5 in ((ten, "c439b113295ed5254878798ffe28fd54"), (hundred, "bb4026e9ce52996b95f439544568cdb2")):
        buffer = io.BytesIO()
        np.save(buffer, np.tile(made.labels, 5).astype(np.uint8))
        assert hashlib.md5(buffer.getvalue()).hexdigest() == md5
    train = data.load("cifar10", "train", root=real, download=False)
    assert train.labels[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert train.images[0, 0, :6, 0].tolist() == [59, 43, 50, 68, 98, 119]
    assert np.bincount(train.labels).tolist() == [5000] * 10
    for channel in range(3):
        counts = np.bincount(train.images[..., channel].reshape(-1), minlength=256)
        mean = counts @ np.arange(256) / counts.sum() / 255
        assert mean == pytest.approx(train.spec.mean[channel], abs=1e-4)
        deviation = np.sqrt(counts @ (np.arange(256) / 255 - mean) ** 2 / counts.sum())
        assert deviation == pytest.approx(train.spec.std[channel], abs=1e-4)
    assert hundred.coarse_labels is not None
    assert np.bincount(hundred.coarse_labels).tolist() == [500] * 20
    names = files.read_pickle(real / "cifar-100-python" / "meta")["fine_label_names"]
    assert [name.decode() for name in names] == list(hundred.spec.classes)


@pytest.mark.data
def test_one_flipped_bit_of_a_real_file_is_found(real: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    shutil.copy(real / folder.name / "test_batch", folder)
    damage(folder / "test_batch", "flipped")
    with pytest.raises(DataError, match="test_batch is an altered copy"):
        data.load("cifar10", "test", root=tmp_path, download=False)


# --------------------------------------------------------------------------------------------------------- the registry


def test_unknown_names_and_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="cifar10"):
        data.load("cifar", "test")
    with pytest.raises(UnknownNameError, match="Did you mean 'test'"):
        data.load("cifar10", "tets")
    for n in (0, -1, 10_001, 2.5, True):
        with pytest.raises(InputError, match="n must be"):
            data.load("cifar10", "test", n=n)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no option 'low'"):
        data.load("cifar10", "test", options={"low": 1})


def test_a_new_file_is_a_new_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import replace\nfrom regrow.data.sets import cues\n"
        "DATASET = replace(cues.DATASET, spec=replace(cues.SPEC, name='mine'))\n"
    )
    monkeypatch.setattr(data.sets, "__path__", [*data.sets.__path__, str(tmp_path)])
    assert "mine" in data.names()
    assert data.spec("mine").n_classes == 10
    assert len(data.load("mine", "test", n=10)) == 10


@pytest.mark.parametrize("name", data.names())
def test_every_spec_is_consistent(name: str) -> None:
    found = data._get(name)
    spec = found.spec  # sets that are described by their files have no classes before, nor splits where a recipe says
    assert spec.name == name
    assert len(spec.mean) == len(spec.std) == spec.channels == (3 if spec.modality == "image" else 1)
    assert len(set(spec.classes)) == spec.n_classes
    assert {"train", "test"} <= set(spec.splits) or (found.describe and not found.fetch)
    assert spec.n_classes or found.describe
    assert spec.hint
    assert spec.citation
    assert spec.licence


def test_status_says_what_is_there_and_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGROW_DATA", raising=False)
    layout = replace(cifar100.CIFAR)
    folder = tmp_path / layout.python
    folder.mkdir()
    (folder / "test").write_bytes(b"")
    rows = {row["name"]: row for row in data.status(tmp_path)}
    assert not rows["cifar10"]["found"]
    assert "regrow data get cifar10" in str(rows["cifar10"]["note"])
    assert not rows["cifar100"]["found"]
    assert rows["cifar100"]["where"] == str(folder)
    assert str(rows["cifar100"]["note"]).startswith("lacks train")
    assert rows["cues"]["found"]


def test_roots_are_searched_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGROW_DATA", str(tmp_path / "b"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    expected = [tmp_path / "a", tmp_path / "b", tmp_path / "c/regrow/data"]
    assert data.find_root(tmp_path / "a") == expected
    assert data.find_root() == expected[1:]
    assert data.find_root(str(tmp_path / "b")) == expected[1:]
    assert data.require("cues") == expected[2] / "cues"
