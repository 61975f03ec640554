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
        (["--on-error", "ignore"], ["'ignore'"]),
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


def test_folders_of_both_kinds_and_an_out_in_the_source_are_refused(
    capsys: pytest.CaptureFixture[str], source: Path
) -> None:
    code, _, err = call(capsys, source, "--out", source / "corrupted")
    assert code == 2
    assert "lies in the source" in err
    (source / "class/thumb.jpg").write_bytes(b"x")
    code, _, err = call(capsys, source, "--out", source.parent / "set")
    assert code == 2
    assert "thumb.jpg" in err
    assert "a.mp4" in err


def test_a_clip_too_short_for_a_type_can_be_skipped_for_it(
    capsys: pytest.CaptureFixture[str], source: Path, tmp_path: Path
) -> None:
    frames = np.random.RandomState(1).randint(0, 256, (30, 8, 8, 3)).astype(np.uint8).repeat(6, 1).repeat(8, 2)
    (source / "class/long.mp4").write_bytes(clips.encode(clips.frames_of(frames), Fraction(25), "libx264", {}))
    arguments = (source, "--corruptions", "motion_blur,brightness", "--severities", "5", "--side", 32)
    code, _, err = call(capsys, *arguments, "--out", tmp_path / "stop")
    assert code == 2
    assert "class/a.mp4, motion_blur: a clip of 8 frames" in err
    for _ in range(2):  # and the same call again finds it whole
        code, printed, _ = call(capsys, *arguments, "--out", tmp_path / "skip", "--on-error", "skip")
        assert code == 0
        assert "1 clips were skipped, the first: motion_blur: class/a.mp4" in printed
    assert (tmp_path / "skip/motion_blur/5/clips.txt").read_text() == "class/long.avi 8 0\n"
    assert len((tmp_path / "skip/brightness/5/clips.txt").read_text().splitlines()) == 2


def test_vitta_has_its_own_severity(capsys: pytest.CaptureFixture[str], source: Path, tmp_path: Path) -> None:
    arguments = (source, "--out", tmp_path / "set", "--scale", "vitta", "--corruptions", "salt", "--side", 32)
    code, printed, _ = call(capsys, *arguments)
    assert code == 0
    assert "salt/5" in printed
    assert "regrow recipe" in printed
