"""``regrow corrupt`` of clips, as a user meets it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regrow import clips
from regrow.cli import run

pytest.importorskip("av", reason="PyAV is not installed (extra regrow[video])")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "clips"
    (root / "class").mkdir(parents=True)
    frames = np.random.RandomState(0).randint(0, 256, (8, 8, 8, 3)).astype(np.uint8).repeat(6, 1).repeat(8, 2)
    (root / "class/a.mp4").write_bytes(clips.encode(clips.frames_of(frames), Fraction(25), "libx264", {}))
    return root


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run(["corrupt", *(str(a) for a in arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_folder_of_clips_becomes_a_set(capsys: pytest.CaptureFixture[str], source: Path, tmp_path: Path) -> None:
    out, sheet = tmp_path / "set", tmp_path / "sheet.png"
    arguments = (source, "--out", out, "--corruptions", "fog,packet_loss", "--severities", "1,3", "--side", 32)
    code, printed, _ = call(capsys, *arguments, "--preview", sheet, "--clean")
    assert code == 0
    assert "iid packet loss" in printed
    assert "32 px" in printed
    with Image.open(sheet) as picture:
        assert picture.size[1] == 2 * 15 + 2 * 100
    assert (out / "clean/0/class/a.avi").is_file()
    assert (out / "packet_loss/3/clips.txt").read_text() == "class/a.ts 8 0\n"
    code, printed, _ = call(capsys, source, "--out", out, "--verify", "--json")
    assert code == 0
    assert {row["status"] for row in json.loads(printed)} == {"no published file"}
    code, _, err = call(capsys, *arguments, "--clean", "--seed", 1)
    assert code == 2
    assert "its seed is 0" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mode", "fast"], ["clips have one mode"]),
        (["--format", "npy"], ["clips are written as clips"]),
        (["--split", "test01"], ["no lists of splits"]),
        (["--corruptions", "frost"], ["'frost'", "column imagenet"]),
        (["--scale", "ssv3"], ["'ssv2'"]),
        (["--scale", "vitta", "--severities", "1"], ["severity 5 only"]),
        (["--severities", "6"], ["1 to 5"]),
        (["--on-bad", "ignore"], ["'ignore'"]),
        (["--corruptions", "motion_blur", "--severities", "2"], ["8 frames has none left"]),
    ],
)
def test_wrong_input_is_one_line(
    capsys: pytest.CaptureFixture[str], source: Path, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    code, _, err = call(capsys, source, "--out", tmp_path / "set", "--side", "32", *arguments)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert all(word in err for word in words), err


def test_vitta_has_its_own_severity(capsys: pytest.CaptureFixture[str], source: Path, tmp_path: Path) -> None:
    arguments = (source, "--out", tmp_path / "set", "--scale", "vitta", "--corruptions", "salt", "--side", 32)
    code, printed, _ = call(capsys, *arguments)
    assert code == 0
    assert "salt/5" in printed
    assert "regrow recipe" in printed
