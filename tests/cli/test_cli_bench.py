"""``regrow bench data``: runs end to end on small folders; what it says fits what it measured."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from regrow import clips
from regrow.cli import run
from regrow.training.input_speed import InputSpeed

QUICK = ["--seconds", "0", "--rounds", "1", "--workers", "0,1"]


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for k in range(8):
        path = tmp_path / "photos" / f"class{k % 2}" / f"{k}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (50, 60, 3), dtype=np.uint8)).save(path)
    return tmp_path / "photos"


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    pytest.importorskip("av")
    rng = np.random.default_rng(0)
    for k in range(4):
        path = tmp_path / "videos" / f"class{k % 2}" / f"{k}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = np.repeat(rng.integers(0, 256, (4, 64, 64, 3), dtype=np.uint8), 4, axis=0)
        path.write_bytes(clips.encode(clips.frames_of(frames), Fraction(25), "libx264", {}))
    return tmp_path / "videos"


def consistent(result: dict[str, Any], unit: str) -> None:
    assert result["unit"] == f"{unit}/s"
    loader, decode = result["loader_by_workers"], result["bare_decode_by_processes"]
    assert set(loader) == {"0", "1"}
    assert set(decode) == {"1"}
    for workers, share in result["share_of_bare_decode_by_workers"].items():
        assert share == pytest.approx(loader[workers] / decode["1"], rel=0.01, abs=0.002)
        spent = result["processor_us"][f"loader {workers}"] - result["processor_us"]["decode 1"]
        assert result["overhead_us_by_workers"][workers] == pytest.approx(spent, abs=0.2)
    assert result["training"] > 0
    first = "Training" if loader[str(result["workers_of_a_run"])] >= result["training"] else "Input"
    assert result["verdict"].startswith(f"{first} limits: ")


def test_pictures_are_measured(capsys: pytest.CaptureFixture[str], photos: Path) -> None:
    arguments = ["bench", "data", "image_folder", "--option", f"path={photos}", "--option", "train_is_test=true"]
    arguments += ["--option", "size=32", "--model", "resnet8", "--batch", "4", *QUICK]
    code, out, err = call(capsys, *arguments, "--augment", "crop=2", "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    consistent(result, "images")
    assert result["examples"] == 8
    assert set(result["packed_by_workers"]) == {"0", "1"}
    assert result["packed_side"] == round(32 * 256 / 224)
    code, out, err = call(capsys, *arguments)
    assert (code, err) == (0, "")
    for words in ("bare decode loop, 1 process ", "training loader, 1 worker ", "packed at 37 px", "limits: "):
        assert words in out


def test_clips_are_measured(capsys: pytest.CaptureFixture[str], videos: Path, tmp_path: Path) -> None:
    options = {"paths": [str(videos)], "train_is_test": True, "size": 32, "frames": 4, "sampling": "window"}
    values = {
        "name": "mine",
        "data": {"name": "video_folder", "options": options},
        "model": {"name": "resnet3d18", "width": 4},
        "methods": ["dense"],
        "training": {"steps": 1, "batch": 2, "precision": "fp32", "augment": {"scale_jitter": [32, 40]}},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    code, out, err = call(capsys, "bench", "data", "--recipe", tmp_path / "mine.yaml", *QUICK, "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    consistent(result, "clips")
    assert result["packed_by_workers"] == {}


def test_a_recipe_says_what_is_measured(capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path) -> None:
    values = {
        "name": "mine",
        "data": {
            "name": "image_folder",
            "options": {"path": str(photos), "size": 32, "train_is_test": True, "packed": 40},
            "workers": 1,
        },
        "model": {"name": "resnet8", "width": 4},
        "methods": ["dense"],
        "training": {"steps": 1, "batch": 2, "precision": "fp32", "channels_last": "no"},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    roots = ["--data-root", str(tmp_path / "root")]
    code, out, err = call(capsys, "bench", "data", "--recipe", tmp_path / "mine.yaml", *QUICK, *roots, "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    consistent(result, "images")
    assert result["workers_of_a_run"] == 1
    assert result["training_precision"] == "fp32"
    assert result["packed_by_workers"] == {}  # it is packed already


def test_images_in_memory_have_nothing_to_decode(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "bench", "data", "cues", "--model", "resnet8", "--batch", "32", *QUICK, "--json")
    result = json.loads(out)
    assert code == 0
    assert result["bare_decode_by_processes"] == result["overhead_us_by_workers"] == {}
    assert set(result["loader_by_workers"]) == {"0"}


def test_a_broken_file_is_one_line_with_its_name(capsys: pytest.CaptureFixture[str], photos: Path) -> None:
    broken = photos / "class1" / "3.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    options = ["--option", f"path={photos}", "--option", "train_is_test=true", "--option", "size=32"]
    code, out, err = call(
        capsys, "bench", "data", "image_folder", *options, "--batch", "4", "--model", "resnet8", *QUICK
    )
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "class1/3.jpg" in err
    assert "Next: " in err
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--recipe"]),
        (["cues", "--recipe", "quick/cues"], ["--recipe"]),
        (["cues", "--workers", "two"], ["'two'"]),
        (["cues", "--option", "size"], ["'size'", "NAME=VALUE"]),
        (["cues", "--option", "size=[1"], ["NAME=VALUE"]),
        (["ceus"], ["'cues'"]),
        (["cues", "--augment", "flipp=true"], ["'flip'"]),
        (["cues", "--batch", "1000000", "--model", "resnet8"], ["1000000"]),
    ],
)
def test_wrong_input_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]) -> None:
    code, _, err = call(capsys, "bench", "data", *arguments)
    assert code == 2
    assert err.count("\n") == 1
    for word in [*words, "Next: "]:
        assert word in err


def speed(loader: float, workers: int) -> InputSpeed:
    return InputSpeed("images", 8, 8, {1: 100.0, 2: 200.0}, {workers: loader}, {}, 32, 80.0, "fp32", workers, {}, {})


def test_the_verdict_names_what_limits() -> None:
    assert speed(240.0, 2).verdict().startswith("Training limits: 2 workers give 3.0 times")
    assert speed(40.0, 1).verdict().startswith("Input limits: 1 worker gives 50%")
    assert "20% of the time" in speed(320.0, 0).verdict()
    assert speed(320.0, 0).verdict().startswith("Training limits")
    assert speed(20.0, 0).verdict().startswith("Input limits")
    assert "80% of the time" in speed(20.0, 0).verdict()
    assert speed(160.0, 2).share_of_decode(2) == pytest.approx(0.8)
