"""Packs of pictures: what comes out is what went in, made smaller; changes and damage are noticed."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regrow import files
from regrow.data import packed, pictures
from regrow.data.listing import Chosen
from regrow.data.packed import Form, load, pack, verify
from regrow.data.scan import scan
from regrow.errors import BusyError, DataError, InputError

RAW = Form(32, "raw")


@pytest.fixture
def source(tmp_path: Path, save: Callable[..., Path]) -> pictures.Folder:
    """Pictures of many sizes in two classes."""
    sizes = [(48, 40), (40, 48), (32, 64), (20, 90), (100, 33), (64, 64), (31, 31)]
    for k, size in enumerate(sizes):
        save(tmp_path / f"set/{'ab'[k % 2]}/{k}.jpg", k, size)
    return pictures.labelled(tmp_path / "set")


def smaller(picture: Image.Image, side: int) -> np.ndarray:
    """Slow and obvious: the shorter side to ``side``, if it is larger."""
    width, height = picture.size
    if min(width, height) <= side:
        return np.asarray(picture)
    size = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR))


@pytest.mark.parametrize("file_bytes", [1, 5000, 2**30])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_raw_pack_holds_the_pictures_made_smaller(source, tmp_path: Path, file_bytes: int, threads: int) -> None:
    out = pack(source, tmp_path / "out", RAW, file_bytes=file_bytes, threads=threads)
    assert len(list((tmp_path / "out").glob("*.bin"))) == {1: 7, 2**30: 1}.get(file_bytes, 5)
    assert (out.name, out.classes, out.labels) == (source.name, source.classes, source.labels)
    for i in range(len(source)):
        assert (out.path(i), out.label(i)) == (source.path(i), source.label(i))
        np.testing.assert_array_equal(np.asarray(out.open(i)), smaller(source.open(i), 32))
    assert all(verify(tmp_path / "out").values())


def test_test_images_of_a_raw_pack_are_prepared_as_without_it(libraries, tmp_path: Path, save) -> None:
    from torchvision.transforms import v2

    save(tmp_path / "set/a/x.jpg", 1, (500, 375))
    save(tmp_path / "set/a/y.jpg", 2, (300, 200))
    found = pictures.labelled(tmp_path / "set")
    out = pack(found, tmp_path / "out", Form(256, "raw"))
    transform = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])
    for i in range(2):
        np.testing.assert_array_equal(np.asarray(transform(out.open(i))), np.asarray(transform(found.open(i))))
        np.testing.assert_array_equal(np.asarray(transform(out.open(i))), found.read(i))


def test_a_jpeg_pack_is_close_and_is_decoded_at_reduced_size(source, tmp_path: Path) -> None:
    good, poor = (pack(source, tmp_path / str(q), Form(32, "jpeg", q)) for q in (95, 20))
    for i in range(len(source)):
        expected = smaller(source.open(i), 32).astype(int)
        errors = [np.abs(np.asarray(p.open(i)).astype(int) - expected).mean() for p in (good, poor)]
        assert errors[0] < 4
        assert errors[0] < errors[1]
    assert good.open(0, 16).size == (19, 16)
    assert sum(f.stat().st_size for f in (tmp_path / "20").glob("*.bin")) < sum(
        f.stat().st_size for f in (tmp_path / "95").glob("*.bin")
    )


def test_a_pack_is_made_once_and_is_of_one_source_and_form(source, tmp_path: Path) -> None:
    pack(source, tmp_path / "out", RAW)
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir() if file.name != ".lock"}
    pack(source, tmp_path / "out", RAW)
    assert {f.name: f.stat().st_mtime_ns for f in (tmp_path / "out").iterdir() if f.name != ".lock"} == before
    with pytest.raises(DataError, match=r"quality=95.* asked for is"):
        pack(source, tmp_path / "out", Form(32, "raw", 90))
    with pytest.raises(DataError, match="packed from other pictures"):
        pack(Chosen(source, np.arange(3)), tmp_path / "out", RAW)
    load(tmp_path / "out", source)
    os.utime(source.place(3), ns=(1, 1))
    with pytest.raises(DataError, match="have changed since"):
        load(tmp_path / "out", source)
    with pytest.raises(DataError, match="have changed since"):
        pack(source, tmp_path / "out", RAW)
    assert len(load(tmp_path / "out")) == len(source)


def test_a_pack_of_some_pictures(source, tmp_path: Path) -> None:
    source.place(2).write_bytes(b"")
    some = Chosen(source, scan(source, "skip").kept)
    out = pack(some, tmp_path / "out", RAW)
    assert [out.path(i) for i in range(len(out))] == [source.path(i) for i in (0, 1, 3, 4, 5, 6)]
    assert load(tmp_path / "out", some).fingerprint() == out.fingerprint() != source.fingerprint()


def test_what_fails_leaves_no_pack_and_the_next_try_clears_up(source, tmp_path: Path, monkeypatch) -> None:
    content = source.place(6).read_bytes()
    source.place(6).write_bytes(content[:-200])
    with pytest.raises(DataError, match=f"{source.path(6)}: cannot be read"):
        pack(source, tmp_path / "out", RAW, file_bytes=1)
    with pytest.raises(DataError, match="holds no pack"):
        load(tmp_path / "out")
    assert not list((tmp_path / "out").glob(".*.tmp"))
    (tmp_path / "out/pictures-00099.bin").write_bytes(b"left by a killed process")
    (tmp_path / "out/.pictures-00003.bin.x.tmp").write_bytes(b"so was this")
    (tmp_path / "out/notes.txt").write_text("not ours")
    source.place(6).write_bytes(content)
    pack(source, tmp_path / "out", RAW)
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names - {".lock"} == {"pictures-00000.bin", "index.npy", "names.npy", "pack.json", "notes.txt"}


def test_pictures_that_change_meanwhile_are_noticed(source, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="changed while it was packed"):
        pack(source, tmp_path / "out", RAW, progress=lambda *_: os.utime(source.place(0), ns=(1, 1)))
    assert not (tmp_path / "out/pack.json").exists()


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("pictures-00000.bin", lambda b: b[:2000] + bytes([b[2000] ^ 1]) + b[2001:], "is damaged in"),
        ("pictures-00000.bin", lambda b: b[:-1], "cut short"),
        ("pictures-00000.bin", None, "missing"),
        ("index.npy", lambda b: b[:-9] + bytes([b[-9] ^ 1]) + b[-8:], "is damaged"),
        ("names.npy", lambda b: b[:-1] + b"x", "is damaged"),
        ("pack.json", lambda b: b[:-9], "not readable as JSON"),
        ("pack.json", lambda b: b"{}", "not of this version"),
        ("pack.json", lambda b: b'{"version": 1}', "is damaged"),
    ],
)
def test_damage_is_named(source, tmp_path: Path, name: str, damage, said: str) -> None:
    pack(source, tmp_path / "out", RAW)
    path = tmp_path / "out" / name
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=said) as error:
        scan(load(tmp_path / "out"))
    assert "Next: " in str(error.value)


def test_verify_finds_what_a_size_does_not_show(source, tmp_path: Path) -> None:
    pack(source, tmp_path / "out", RAW, file_bytes=1)
    path = tmp_path / "out/pictures-00002.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    assert [name for name, whole in verify(tmp_path / "out").items() if not whole] == ["pictures-00002.bin"]


def _pack_there(arguments: tuple[pictures.Folder, Path]) -> list[float]:
    out = pack(*arguments, RAW)
    return [float(np.asarray(out.open(i)).mean()) for i in range(len(out))]


def test_makers_at_the_same_time_wait_for_one(source, tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        results = pool.map(_pack_there, [(source, tmp_path / "out")] * 4)
    expected = [float(smaller(source.open(i), 32).mean()) for i in range(len(source))]
    assert results == [expected] * 4


def test_a_maker_that_waited_takes_what_was_made(source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owned, made = files.owned, []

    def waits(folder: Path, what: str, *, wait_s: float) -> object:
        monkeypatch.setattr(files, "owned", owned)
        pack(source, tmp_path / "out", RAW)  # by another process, while this one waits
        return owned(folder, what, wait_s=wait_s)

    monkeypatch.setattr(files, "owned", waits)
    out = pack(source, tmp_path / "out", RAW, progress=lambda *done: made.append(done))
    assert made == []
    assert len(out) == len(source)


def test_an_owner_that_does_not_end_is_said(source, tmp_path: Path) -> None:
    with files.owned(tmp_path / "out", "pack"), pytest.raises(BusyError, match=r"pack .*out is being worked on"):
        pack(source, tmp_path / "out", RAW, wait_s=0)


def test_another_process_gets_the_folder_alone(source, tmp_path: Path) -> None:
    out = pack(source, tmp_path / "out", RAW)
    out.open(0)
    content = pickle.dumps(out)
    assert len(content) < 400
    np.testing.assert_array_equal(np.asarray(pickle.loads(content).open(5)), np.asarray(out.open(5)))


def test_a_full_disk_is_said(source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packed.np, "save", full)
    with pytest.raises(DataError, match=r"out cannot be written .No space left on device"):
        pack(source, tmp_path / "out", RAW)
    assert not (tmp_path / "out/pack.json").exists()


@pytest.mark.parametrize("wrong", [{"side": 0}, {"kind": "png"}, {"quality": 0}, {"quality": 101}])
def test_forms_that_cannot_be(wrong: dict) -> None:
    with pytest.raises(InputError):
        Form(**wrong)


def test_nothing_cannot_be_packed(source, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pictures in set to pack"):
        pack(Chosen(source, np.array([], np.int64)), tmp_path / "out")


def test_the_facts_are_plain_json(source, tmp_path: Path) -> None:
    pack(source, tmp_path / "out", RAW)
    facts = json.loads((tmp_path / "out/pack.json").read_text())
    assert facts["form"] == {"side": 32, "kind": "raw", "quality": 95}
    assert facts["classes"] == ["a", "b"]


@pytest.mark.data
def test_photographs_of_imagenet_packed(data_root: Path, tmp_path: Path) -> None:
    root = data_root / "imagenet-samples" / "val"
    if not root.is_dir():
        pytest.skip("imagenet-samples is not below REGROW_DATA")
    found = Chosen(pictures.labelled(root), np.arange(0, 100, 10))
    raw, small = (pack(found, tmp_path / kind, Form(256, kind)) for kind in ("raw", "jpeg"))
    for i in range(len(found)):
        expected = smaller(found.open(i), 256)
        np.testing.assert_array_equal(np.asarray(raw.open(i)), expected)
        assert np.abs(np.asarray(small.open(i)).astype(int) - expected).mean() < 4
