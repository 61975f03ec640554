"""What a user gets from files that cannot be used: one line that names the file, or all that was skipped."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from regrow import clips
from regrow.cli import run
from regrow.evaluation.records import load_record

SIDE = 16
PER_CLASS = 5


def encoded(mode: str = "RGB", kind: str = "JPEG", seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def sixteen_bits() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((20, 20), 40_000, np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


#: Files that no command can use: name -> (file name, content).
PICTURES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "zero bytes": ("x.jpg", lambda: b""),
    "truncated JPEG": ("x.jpg", lambda: encoded()[:-80]),
    "truncated PNG": ("x.png", lambda: encoded(kind="PNG")[:500]),
    "another type": ("x.jpg", lambda: b"%PDF-1.7 no picture"),
    "16 bits a channel": ("x.png", sixteen_bits),
}
#: Files that are as good as others.
FINE = {
    "grey.jpg": lambda: encoded("L"),
    "cmyk.jpg": lambda: encoded("CMYK"),
    "palette.png": lambda: encoded("P", "PNG"),
}


def tree(root: Path, extra: dict[str, bytes] | None = None) -> Path:
    """Two classes of pictures, and further files in the first."""
    for label, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for i in range(PER_CLASS):
            (root / name / f"{i}.jpg").write_bytes(encoded(seed=10 * label + i))
    for name, content in (extra or {}).items():
        (root / "cat" / name).write_bytes(content)
    return root


def recipe(path: Path, data: dict[str, object], model: dict[str, object]) -> Path:
    values = {
        "schema": 1,
        "name": "mine",
        "data": data,
        "model": model,
        "methods": ["dense"],
        "training": {"steps": 2, "batch": 4, "precision": "fp32", "channels_last": "no"},
        "evaluation": {"corruptions": ["contrast"], "severities": [1], "on_the_fly": True},
    }
    path.write_text(yaml.safe_dump(values))
    return path


def of_pictures(path: Path, folder: Path, **options: object) -> Path:
    data = {"name": "image_folder", "options": {"path": str(folder), "size": SIDE, **options}}
    return recipe(path, data, {"name": "resnet8", "width": 2})


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on pictures of which some are grey, CMYK and of a palette."""
    root = tmp_path_factory.mktemp("good")
    folder = tree(root / "good", {name: make() for name, make in FINE.items()})
    assert run(["study", str(of_pictures(root / "r.yaml", folder)), "--out", str(root / "out"), "--jobs", "1"]) == 0
    return root / "out/runs/dense-s0-seed0"


FEW = ("--corruptions", "contrast", "--severities", "1")


def commands(folder: Path, network: Path, where: Path) -> dict[str, tuple[object, ...]]:
    """Each command that reads pictures, on a folder."""
    data = ("--data-option", f"path={folder}", "--data-option", "test_share=0.5")
    return {
        "check": ("check", "--model", network, "--images", folder, *FEW, "--out", where / "check"),
        "evaluate": ("evaluate", "image_folder", "--model", network, *FEW, *data),
        "corrupt": ("corrupt", folder, *FEW, "--side", SIDE, "--jobs", 1, "--out", where / "set"),
    }


@pytest.mark.parametrize("command", ["check", "corrupt", "evaluate"])
@pytest.mark.parametrize("kind", PICTURES)
def test_a_bad_picture_stops_a_command_or_is_skipped_and_listed(
    capsys: pytest.CaptureFixture[str], network: Path, tmp_path: Path, kind: str, command: str
) -> None:
    name, make = PICTURES[kind]
    # of the data set every file but one is tested, or one of them is the bad one by chance alone
    folder = tree(tmp_path / "p", {name: make(), **{f"{k}{name}": make() for k in range(4)}})
    arguments = commands(folder, network, tmp_path)[command]
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert name in err
    assert "cat/" in err
    assert err.count("\n") == 1
    again = ["--force"] if command == "corrupt" else []  # of other settings
    code, out, err = call(capsys, *arguments, "--on-error", "skip", "--json", *again)
    assert (code, err) == (0, "")
    assert name in out
    code, _, err = call(capsys, *arguments, "--on-error", "ignore")
    assert code == 2
    assert "raise, skip" in err


def test_grey_cmyk_and_palette_pictures_are_read(
    capsys: pytest.CaptureFixture[str], network: Path, tmp_path: Path
) -> None:
    folder = tree(tmp_path / "p", {name: make() for name, make in FINE.items()})
    for arguments in commands(folder, network, tmp_path).values():
        assert call(capsys, *arguments)[0] == 0
    numbers = json.loads((tmp_path / "check/check.json").read_text())
    assert numbers["n_images"] == 2 * PER_CLASS + len(FINE)
    assert len(list((tmp_path / "set/contrast/1").rglob("*.*"))) == 2 * PER_CLASS + len(FINE)


def test_the_folder_that_a_run_was_trained_on_is_checked_on_its_test_part(
    capsys: pytest.CaptureFixture[str], network: Path, tmp_path: Path
) -> None:
    folder = network.parents[2] / "good"
    arguments = ("check", "--model", network, "--images", folder, *FEW, "--mode", "exact", "--json")
    code, out, err = call(capsys, *arguments, "--out", tmp_path / "check")
    assert (code, err) == (0, "")
    found = json.loads(out)
    for cell in ("clean.0", "contrast.1"):
        record, _ = load_record(network / f"records/image_folder.{cell}.npz")
        assert found["accuracy"][cell] == pytest.approx(record.accuracy)
    assert found["n_images"] == len(record.correct) < 2 * PER_CLASS + len(FINE)
    assert any("test part alone" in note for note in found["notes"])
    code, out, _ = call(capsys, "evaluate", "image_folder", "--model", network, *FEW, "--json")
    assert {k: v for k, v in json.loads(out)["accuracy"].items() if k in found["accuracy"]} == found["accuracy"]
    shutil.copytree(folder, tmp_path / "copy")
    code, out, _ = call(capsys, *arguments[:3], "--images", tmp_path / "copy", *arguments[5:], "--out", tmp_path / "c")
    assert json.loads(out)["n_images"] == 2 * PER_CLASS + len(FINE)


@pytest.mark.parametrize("kind", PICTURES)
def test_a_study_refuses_a_bad_picture_before_it_begins(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str
) -> None:
    name, make = PICTURES[kind]
    for split in ("train", "test"):
        tree(tmp_path / "p" / split)
    (tmp_path / "p/train/dog" / name).write_bytes(make())
    code, _, err = call(capsys, "study", of_pictures(tmp_path / "r.yaml", tmp_path / "p"), "--out", tmp_path / "out")
    assert code == 2
    assert f"dog/{name}" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.system
def test_a_study_that_skips_says_what_on_its_page_and_in_the_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for split in ("train", "test"):
        tree(tmp_path / "p" / split)
    (tmp_path / "p/train/dog/x.jpg").write_bytes(b"")
    (tmp_path / "p/test/cat/y.jpg").write_bytes(encoded()[:-80])
    (tmp_path / "p/test/cat/grey.jpg").write_bytes(encoded("L"))
    given = of_pictures(tmp_path / "r.yaml", tmp_path / "p", on_error="skip")
    code, out, err = call(capsys, "study", given, "--out", tmp_path / "out", "--jobs", 1)
    assert (code, err) == (0, "")
    page = (tmp_path / "out/report.html").read_text()
    for name in ("dog/x.jpg", "cat/y.jpg"):
        assert name in out
        assert name in page
    assert "2 files that cannot be read were skipped" in page
    assert "grey.jpg" not in page


def without(root: Path, *gone: str) -> Path:
    for name in gone:
        shutil.rmtree(root / name)
    return root


def test_class_folders_that_are_missing_empty_or_strange(
    capsys: pytest.CaptureFixture[str], network: Path, tmp_path: Path
) -> None:
    for split in ("train", "test"):
        tree(tmp_path / "p" / split)
    shutil.rmtree(tmp_path / "p/test/dog")
    (tree(tmp_path / "empty") / "bird").mkdir()
    (tree(tmp_path / "none") / "cow").mkdir()
    shutil.rmtree(tmp_path / "none/dog")
    shutil.copy(tree(tmp_path / "loose") / "cat/0.jpg", tmp_path / "loose/alone.jpg")
    for folder, said in (("p", "missing: dog"), ("empty", "bird"), ("loose", "alone.jpg")):
        code, _, err = call(capsys, "study", of_pictures(tmp_path / "r.yaml", tmp_path / folder))
        assert code == 2, err
        assert said in err
        assert err.count("\n") == 1
    for folder, said in (("p", "its test"), ("empty", "'bird'"), ("none", "'cow'"), ("loose", "alone.jpg")):
        code, _, err = call(capsys, "check", "--model", network, "--images", tmp_path / folder, "--out", tmp_path / "c")
        assert code == 2
        assert said in err
        assert err.count("\n") == 1
    code, _, err = call(capsys, *commands(tmp_path / "loose", network, tmp_path)["corrupt"])
    assert code == 2
    assert "alone.jpg" in err
    shutil.rmtree(tmp_path / "none/cow")
    code, out, _ = call(capsys, *commands(tmp_path / "none", network, tmp_path)["check"], "--json")
    assert code == 0  # some of the network's classes are enough
    assert json.loads(out)["n_images"] == PER_CLASS


def test_a_bad_picture_of_a_corrupted_set(capsys: pytest.CaptureFixture[str], network: Path, tmp_path: Path) -> None:
    assert run([str(a) for a in commands(tree(tmp_path / "p"), network, tmp_path)["corrupt"]]) == 0
    bad = next((tmp_path / "set/contrast/1/dog").iterdir())
    bad.write_bytes(bad.read_bytes()[:-60])
    code, _, err = call(capsys, "evaluate", tmp_path / "set", "--model", network)
    assert code == 2
    assert bad.name in err
    code, out, err = call(capsys, "evaluate", tmp_path / "set", "--model", network, "--on-error", "skip", "--json")
    assert (code, err) == (0, "")
    assert [line.split(" (")[0] for line in json.loads(out)["skipped"]] == [
        f"contrast 1: dog/{bad.name}: cannot be read"
    ]


def video(n: int, seed: int = 0) -> bytes:
    frames = np.random.default_rng(seed).integers(0, 256, (n, 4, 4, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    return clips.encode(clips.frames_of(frames), Fraction(25), "libx264", {})


#: Videos that no command can use, and a word of what is said.
VIDEOS: dict[str, tuple[Callable[[], bytes], str]] = {
    "zero bytes": (lambda: b"", "no video"),
    "truncated": (lambda: video(8)[:-200], ""),
    "no frames": (lambda: clips.as_mjpeg(np.zeros((1, 32, 32, 3), np.uint8), Fraction(25))[:300], ""),
    "another type": (lambda: b"hello", "no video"),
    "fewer frames than asked": (lambda: video(3), "needs 4"),
}


@pytest.mark.parametrize("kind", VIDEOS)
def test_a_bad_video_stops_a_study_and_corrupt_or_is_skipped(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str
) -> None:
    pytest.importorskip("av", reason="PyAV is not installed (extra regrow[video])")
    make, said = VIDEOS[kind]
    for split in ("train", "test"):
        for name in ("left", "right"):
            (tmp_path / "v" / split / name).mkdir(parents=True)
            for i in range(2):
                (tmp_path / "v" / split / name / f"{i}.mp4").write_bytes(video(6, i))
    suffix = "avi" if kind == "no frames" else "mp4"
    (tmp_path / f"v/train/right/x.{suffix}").write_bytes(make())
    options = {"paths": [str(tmp_path / "v")], "size": 32, "frames": 4}
    data = {"name": "video_folder", "options": options}
    given = recipe(tmp_path / "r.yaml", data, {"name": "resnet3d18", "width": 2})
    code, _, err = call(capsys, "study", given, "--out", tmp_path / "out")
    assert code == 2
    assert f"right/x.{suffix}" in err
    assert said in err
    assert err.count("\n") == 1
    code, out, _ = call(capsys, "data", "show", "video_folder", *_as_options(options | {"on_error": "skip"}), "--json")
    assert code == 0
    assert [row["file"] for row in json.loads(out)["unreadable"]] == [f"right/x.{suffix}"]
    if kind == "fewer frames than asked":
        return  # no matter to corruptions
    arguments = ("corrupt", tmp_path / "v/train", *FEW, "--side", 32, "--jobs", 1, "--out", tmp_path / "set")
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert f"right/x.{suffix}" in err
    code, out, _ = call(capsys, *arguments, "--on-error", "skip", "--json", "--force")
    assert code == 0
    assert f"right/x.{suffix}" in out


def _as_options(options: dict[str, object]) -> list[str]:
    return [word for key, value in options.items() for word in ("--option", f"{key}={json.dumps(value)}")]
