"""``regrow data``: what a set holds, and sets that lie where a recipe says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regrow import data
from regrow.cli import run
from regrow.data import imagenet, summary


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run(["data", *(str(a) for a in arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of the very size that is asked for, so that none is resized: 5 of cat, 3 of dog."""
    rng = np.random.default_rng(0)
    for name, n in (("cat", 5), ("dog", 3)):
        for split, k in (("train", n), ("test", 1)):
            (tmp_path / "p" / split / name).mkdir(parents=True)
            for i in range(k):
                pixels = rng.integers(0, 200, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "p" / split / name / f"{i}.png")
    return tmp_path / "p"


def options(folder: Path, **more: object) -> list[str]:
    return [
        word for key, value in {"path": folder, "size": 16, **more}.items() for word in ("--option", f"{key}={value}")
    ]


def test_counts_statistics_and_bad_files_of_a_folder(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    pixels = np.stack([np.asarray(Image.open(file)) for file in sorted((folder / "train").rglob("*.png"))])
    (folder / "train/dog/x.png").write_bytes(b"")
    code, out, err = call(capsys, "show", "image_folder", *options(folder), "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["classes"] == {"cat": {"train": 5, "test": 1}, "dog": {"train": 3, "test": 1}}
    np.testing.assert_allclose(found["mean"], pixels.mean((0, 1, 2)) / 255, rtol=1e-12)
    np.testing.assert_allclose(found["std"], pixels.std((0, 1, 2)) / 255, rtol=1e-12)
    assert [(row["split"], row["file"]) for row in found["unreadable"]] == [("train", "dog/x.png")]
    code, out, _ = call(capsys, "show", "image_folder", *options(folder))
    assert code == 0
    assert "2 classes, 16 px" in out
    assert "cannot be read (train): dog/x.png" in out
    code, _, err = call(capsys, "show", "image_folder", *options(folder), "--no-scan")
    assert code == 2
    assert "dog/x.png" in err


def test_a_folder_without_bad_files_is_said_to_be_whole_only_where_it_was_read(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    assert "can be read" not in call(capsys, "show", "image_folder", *options(folder), "--no-scan")[1]
    assert "all files can be read" in call(capsys, "show", "image_folder", *options(folder))[1]


def test_large_sets_are_sampled_in_one_fixed_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "SAMPLE", 50)
    found = summary.summarise("cues")
    assert found.sampled == 50
    images = data.load_images("cues", "train", n=50).images
    np.testing.assert_allclose(found.mean, images.mean((0, 1, 2)) / 255, rtol=1e-12)
    assert sum(counts["train"] for counts in found.counts.values()) == found.spec.splits["train"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "image_folder"], "option path"),
        (["show", "image_folder", "--option", "pth=x"], "'pth'"),
        (["show", "image_folder", "--option", "path"], "NAME=VALUE"),
        (["show", "image_folder", "--option", "path=absent"], "absent"),
        (["show", "image_fodler"], "'image_folder'"),
        (["show", "cues", "--verify"], "of imagenet"),
        (["show", "cifar10", "--data-root", "."], "cifar-10-batches-py"),
        (["get", "image_folder"], "nothing to get"),
        (["get", "video_folder"], "nothing to get"),
    ],
)
def test_wrong_input_is_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REGROW_DATA", raising=False)
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_archives_of_imagenet_are_verified(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    folder = folder.rename(folder.parent / "imagenet")
    (folder / "test").rename(folder / "val")
    for name, wnid in (("cat", "n00000001"), ("dog", "n00000002")):
        for split in ("train", "val"):
            (folder / split / name).rename(folder / split / wnid)
    archive = "ILSVRC2012_img_val.tar"
    (folder / archive).write_bytes(b"abc")
    arguments = ("show", "imagenet", *options(folder), "--verify")
    code, out, _ = call(capsys, *arguments)
    assert code == 1
    assert f"{archive}: NOT as published" in out
    monkeypatch.setitem(imagenet.MD5, archive, "900150983cd24fb0d6963f7d28e17f72")  # of "abc", RFC 1321
    code, out, _ = call(capsys, *arguments)
    assert code == 0
    assert f"{archive}: as published" in out


def test_sets_that_a_recipe_names_have_no_rows_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "list")
    assert code == 0
    rows = {line.split()[0]: line for line in out.splitlines() if line.split()}
    for name in ("image_folder", "video_folder", "huggingface"):
        assert "not found" not in rows[name]
        assert "by its files" in rows[name]
        assert f"{name}: name the folder" in out
