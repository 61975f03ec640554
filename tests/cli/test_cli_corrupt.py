"""``regrow corrupt`` as a user meets it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regrow import data
from regrow.cli import run
from regrow.corruptions import corrupt


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run(["corrupt", *(str(a) for a in arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def statuses(text: str) -> dict[str, str]:
    return {row["name"]: row["status"] for row in json.loads(text)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cues"], ["--out is missing"]),
        (["cues", "--verify"], ["--out is missing"]),
        (["cifar11", "--out", "x"], ["'cifar10'", "folder of pictures"]),
        (["nowhere/val", "--out", "x"], ["'nowhere/val'", "folder of pictures"]),
        (["cues", "--out", "x", "--corruptions", "britness"], ["'brightness'"]),
        (["cues", "--out", "x", "--corruptions", ","], ["no corruption"]),
        (["cues", "--out", "x", "--severities", "6"], ["1 to 5", "6"]),
        (["cues", "--out", "x", "--severities", "high"], ["'high'"]),
        (["cues", "--out", "x", "--mode", "quick"], ["'quick'", "exact", "fast"]),
        (["cues", "--out", "x", "--format", "tar"], ["'tar'", "npy", "tree"]),
        (["cues", "--out", "x", "--scale", "imagnet"], ["'imagenet'"]),
        (["cues", "--out", "x", "--codec", "webp"], ["'webp'", "pillow"]),
        (["cues", "--out", "x", "--on-error", "ignore"], ["'ignore'", "skip"]),
        (["cues", "--out", "x", "--split", "tset"], ["'test'"]),
        (["cues", "--out", "x", "--jobs", "0"], ["--jobs"]),
        (["cues", "--out", "x", "--clean"], ["--clean is for trees"]),
        (["cues", "--out", "x", "--verify"], ["x is no folder"]),
    ],
)
def test_wrong_input_is_one_line_with_the_next_step(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "Next: " in err
    for word in words:
        assert word in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_a_set_of_npy_files(capsys: pytest.CaptureFixture[str], tmp_path: Path, mode: str) -> None:
    out_dir = tmp_path / "set"
    arguments = ["cues", "--out", out_dir, "--corruptions", "contrast,impulse_noise", "--severities", "1,5"]
    code, out, err = call(capsys, *arguments, "--seed", 2, "--mode", mode, "--json", "--jobs", 2)
    assert (code, err) == (0, "")
    assert statuses(out) == dict.fromkeys(["contrast", "impulse_noise", "labels"], "no published file")
    images, labels = np.load(out_dir / "impulse_noise.npy"), np.load(out_dir / "labels.npy")
    test = data.load("cues", "test")
    expected = corrupt(test.images[:50], "impulse_noise", 5, seed=2, mode=mode)
    np.testing.assert_array_equal(images[len(test) : len(test) + 50], expected)
    assert (labels == np.tile(test.labels, 2)).all()
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert "--force" in err
    code, out, _ = call(capsys, "cues", "--out", out_dir, "--verify")
    assert code == 0
    assert "contrast" in out


def test_verify_ends_with_1_when_a_file_is_not_what_it_should_be(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["cues", "--out", tmp_path, "--verify", "--json"]
    call(capsys, "cues", "--out", tmp_path, "--corruptions", "contrast,pixelate", "--severities", "1")
    assert call(capsys, *arguments)[0] == 0
    (tmp_path / "contrast.npy").write_bytes(b"")
    (tmp_path / "pixelate.npy").unlink()
    code, out, err = call(capsys, *arguments)
    assert (code, err) == (1, "")
    assert statuses(out) == {"contrast": "altered", "labels": "no published file", "pixelate": "missing"}


def test_a_data_set_as_a_tree(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["cues", "--out", tmp_path, "--corruptions", "contrast", "--severities", "3", "--format", "tree"]
    code, out, _ = call(capsys, *arguments, "--clean", "--json")
    assert code == 0
    assert statuses(out) == {"clean/0": "no published file", "contrast/3": "no published file"}
    test = data.load("cues", "test")
    name = f"{test.spec.classes[test.labels[7]]}/00007.JPEG"
    with Image.open(tmp_path / "contrast/3" / name) as stored:
        drift = np.asarray(stored).astype(int) - corrupt(test.images[7:8], "contrast", 3, mode="exact")[0]
    assert abs(drift).mean() < 6
    assert len(list((tmp_path / "clean/0").rglob("*.JPEG"))) == len(test)


def test_a_preview_needs_no_set(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = call(capsys, "cues", "--preview", tmp_path / "strip.png", "--corruptions", "common")
    assert code == 0
    assert "strip.png" in out
    with Image.open(tmp_path / "strip.png") as strip:
        assert strip.format == "PNG"
        assert strip.height > 15 * 96
        assert strip.width > 6 * 96
    assert [path.name for path in tmp_path.iterdir()] == ["strip.png"]


def test_what_must_be_said_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("REGROW_DATA", raising=False)
    code, out, _ = call(capsys, "cues", "--out", tmp_path, "--corruptions", "frost", "--severities", "1")
    assert code == 0
    assert "frost: " in out
    assert "not comparable" in out


def test_a_full_disk_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**7))
    code, _, err = call(capsys, "cues", "--out", tmp_path / "set", "--corruptions", "contrast")
    assert code == 2
    assert "needs about 0.031 GB more" in err
    assert err.count("\n") == 1


@pytest.mark.data
def test_a_folder_as_published_is_official(data_root: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    names = "brightness,pixelate"
    code, out, _ = call(
        capsys, "cifar10", "--out", tmp_path, "--corruptions", names, "--data-root", data_root, "--json", "--jobs", 2
    )
    assert code == 0
    assert statuses(out) == dict.fromkeys(["brightness", "pixelate", "labels"], "official")
