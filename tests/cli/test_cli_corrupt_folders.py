"""``regrow corrupt`` on folders of pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regrow.cli import run
from regrow.corruptions import corrupt

RANDOM = np.random.RandomState(0)


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run(["corrupt", *(str(a) for a in arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of pictures of many kinds, one of which cannot be read."""
    folder = tmp_path / "photos"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
    for name, mode, size in [
        ("cat/a.png", "RGB", (80, 60)), ("cat/b.JPG", "RGB", (50, 90)), ("dog/grey.png", "L", (64, 64)),
        ("dog/palette.png", "P", (70, 64)), ("dog/alpha.png", "RGBA", (64, 70)),
    ]:  # fmt: skip
        pixels = RANDOM.randint(0, 256, (size[1], size[0], 3)).astype(np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / name)
    return folder


def test_a_folder_becomes_a_tree(capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path) -> None:
    out_dir = tmp_path / "set"
    names = "contrast,gaussian_noise"
    arguments = [photos, "--out", out_dir, "--corruptions", names, "--severities", "2", "--side", 48, "--json"]
    code, out, err = call(capsys, *arguments, "--clean", "--jobs", 2)
    assert (code, err) == (0, "")
    assert {row["name"] for row in json.loads(out)} == {"clean/0", "contrast/2", "gaussian_noise/2"}
    stored = sorted(path.relative_to(out_dir / "contrast/2").as_posix() for path in out_dir.rglob("contrast/2/*/*"))
    assert stored == ["cat/a.JPEG", "cat/b.JPG", "dog/alpha.JPEG", "dog/grey.JPEG", "dog/palette.JPEG"]
    with Image.open(out_dir / "clean/0/dog/grey.JPEG") as picture:
        assert picture.size == (48, 48)
    assert call(capsys, photos, "--out", out_dir, "--verify")[0] == 0


def test_a_folder_as_npy_files(capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path) -> None:
    arguments = [photos, "--corruptions", "contrast", "--severities", "1,2", "--side", 32, "--format", "npy"]
    code, _, _ = call(capsys, *arguments, "--out", tmp_path / "set")
    assert code == 0
    images, labels = np.load(tmp_path / "set/contrast.npy"), np.load(tmp_path / "set/labels.npy")
    assert images.shape == (10, 32, 32, 3)
    assert labels.tolist() == [0, 0, 1, 1, 1] * 2


def test_an_unreadable_picture_stops_or_is_counted(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    content = (photos / "cat/b.JPG").read_bytes()
    (photos / "cat/b.JPG").write_bytes(content[: len(content) // 2])
    arguments = [photos, "--corruptions", "contrast", "--severities", "1", "--side", 32]
    code, _, err = call(capsys, *arguments, "--out", tmp_path / "stop")
    assert code == 2
    assert "b.JPG" in err
    assert err.count("\n") == 1
    code, out, _ = call(capsys, *arguments, "--out", tmp_path / "skip", "--on-error", "skip")
    assert code == 0
    assert "1 pictures were skipped, the first: cat/b.JPG" in out
    assert len(list((tmp_path / "skip/contrast/1").rglob("*.*"))) == 4


@pytest.mark.parametrize("kind", ["nothing in it", "another set there", "not to be written"])
def test_folders_that_cannot_be_used_are_one_line(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path, kind: str
) -> None:
    source, out_dir = photos, tmp_path / "set"
    if kind == "nothing in it":
        source = tmp_path / "empty"
        source.mkdir()
    elif kind == "another set there":
        call(capsys, "cues", "--out", out_dir, "--corruptions", "contrast", "--severities", "1")
    else:
        out_dir.write_text("a file")
    code, _, err = call(capsys, source, "--out", out_dir, "--corruptions", "contrast", "--side", 32)
    assert code == 2
    assert err.count("\n") == 1
    assert "Next: " in err


def test_tiny_imagenet_has_its_caveat(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    source, rows = tmp_path / "tiny-imagenet-200", []
    (source / "val/images").mkdir(parents=True)
    wnids = ["n01443537", "n01629819"]
    (source / "wnids.txt").write_text("\n".join(wnids))
    for i in range(4):
        pixels = RANDOM.randint(0, 256, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(source / f"val/images/val_{i}.JPEG")
        rows.append(f"val_{i}.JPEG\t{wnids[i % 2]}\t0\t0\t62\t62")
    (source / "val/val_annotations.txt").write_text("\n".join(rows) + "\n")
    out_dir = tmp_path / "set"
    code, out, _ = call(capsys, source, "--out", out_dir, "--corruptions", "brightness", "--severities", "3")
    assert code == 0
    assert "the public val set is not its clean twin" in out
    assert "regenerated" in (out_dir / "manifest.json").read_text()
    with Image.open(source / "val/images/val_1.JPEG") as clean:
        expected = corrupt(np.asarray(clean)[None], "brightness", 3, mode="exact")[0].astype(int)
    with Image.open(out_dir / "brightness/3/n01629819/val_1.JPEG") as stored:
        assert abs(np.asarray(stored) - expected).mean() < 40  # noise, saved as JPEG
    assert json.loads((out_dir / "manifest.json").read_text())["made_from"]["scale"] == "tiny"
