"""Faults of the machine: one line that says what is wrong, or a correct end; the same command goes on afterwards."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

RECIPE = {
    "schema": 1,
    "name": "faults",
    "data": {"name": "cues", "train_images": 32, "test_images": 8},
    "model": {"name": "mlp", "width": 16},
    "methods": ["dense", "set"],
    "seeds": [0],
    "sparse": {"updates": 2},
    "training": {
        "steps": 8,
        "batch": 8,
        "precision": "fp32",
        "channels_last": "no",
        "log_every": 4,
        "checkpoint_seconds": 0.001,
    },
    "evaluation": {"corruptions": ["contrast"], "severities": [5]},
    "analysis": {name: {"images": 0} for name in ("heat_map", "gradients", "sharpness", "aliasing")}
    | {"attenuation": {"low": [4.0], "high": [4.0], "images": 4}},
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "faults.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    stream = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(stream.integers(0, 256, (36, 36, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return folder


def bits(folder: Path) -> dict[str, bytes]:
    """Weights, records and test images of a study, or pictures of a set."""
    names = ("*.safetensors", "records/*.npz", "*.npy", "*.JPEG")
    return {str(p.relative_to(folder)): p.read_bytes() for name in names for p in sorted(folder.rglob(name))}


@pytest.fixture(scope="module")
def whole(server: Any, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A study without any fault, and its operations on files."""
    out = tmp_path_factory.mktemp("undisturbed") / "study"
    ended = server.run(out, "study", recipe, "--out", out, "--jobs", 1)
    assert ended.code == 0, ended.err
    assert bits(out)
    return out, ended.operations


@pytest.fixture
def undisturbed(whole: tuple[Path, int]) -> Path:
    return whole[0]


@pytest.fixture
def operations(whole: tuple[Path, int]) -> int:
    return whole[1]


def one_line(ended: Any, *codes: int) -> str:
    """The message of a command that failed: one line, and an exit code that is documented."""
    assert ended.code in codes, (ended.code, ended.signal, ended.err)
    assert ended.err.startswith("error: "), ended.err
    assert ended.err.count("\n") == 1, ended.err
    return str(ended.err)


LONG = pytest.mark.torture


@pytest.mark.parametrize(
    "room", [pytest.param(8 << 10, marks=LONG), 64 << 10, pytest.param(160 << 10, marks=LONG), 400 << 10]
)
def test_a_full_disk_stops_a_study_which_goes_on_when_there_is_room(
    server: Any,
    recipe: Path,
    undisturbed: Path,
    small_disk: Callable[..., Path],
    tally: dict[str, Counter[str]],
    room: int,
) -> None:
    out = small_disk(room) / "study"
    said = one_line(server.run(out, "study", recipe, "--out", out, "--jobs", 1), 1)
    assert "space" in said or "full" in said
    small_disk(64 << 20)
    ended = server.run(out, "study", recipe, "--out", out, "--jobs", 1)
    assert ended.code == 0, ended.err
    assert bits(out) == bits(undisturbed)
    assert not list(out.rglob("*.tmp"))
    tally["faults"]["full disk, study"] += 1


@pytest.mark.parametrize("layout", ["npy", "tree"])
@pytest.mark.parametrize("room", [pytest.param(4 << 10, marks=LONG), 24 << 10])
def test_a_full_disk_stops_corrupt_which_goes_on_when_there_is_room(
    server: Any,
    pictures: Path,
    tmp_path: Path,
    small_disk: Callable[..., Path],
    tally: dict[str, Counter[str]],
    layout: str,
    room: int,
) -> None:
    command = ["corrupt", pictures, "--corruptions", "contrast,gaussian_noise", "--side", 32, "--jobs", 1]
    command += ["--format", layout, "--out"]
    assert server.run(tmp_path, *command, tmp_path / "whole").code == 0
    out = small_disk(room) / "set"
    said = one_line(server.run(out, *command, out), 1, 2)
    assert "room" in said or "full" in said or "space" in said
    small_disk(64 << 20)
    ended = server.run(out, *command, out)
    assert ended.code == 0, ended.err
    assert bits(out) == bits(tmp_path / "whole") != {}
    tally["faults"]["full disk, corrupt"] += 1


def test_a_read_only_folder_is_one_line_for_every_command_that_writes(
    server: Any,
    recipe: Path,
    undisturbed: Path,
    pictures: Path,
    small_disk: Callable[..., Path],
    tally: dict[str, Counter[str]],
) -> None:
    disk = small_disk(64 << 20)
    shutil.copytree(undisturbed, disk / "study")
    small_disk(options="ro")
    run = disk / "study/runs/dense-s0-seed0"
    few = ("--corruptions", "contrast", "--severities", "1")
    for command in (
        ("study", recipe, "--out", disk / "study"),
        ("study", recipe, "--out", disk / "new"),
        ("report", disk / "study"),
        ("report", undisturbed, "--publish", disk / "published"),
        ("evaluate", "cues", "--model", run, *few, "--limit", 4, "--out", disk / "records"),
        ("corrupt", pictures, *few, "--side", 32, "--out", disk / "set"),
        ("corrupt", pictures, *few, "--side", 32, "--preview", disk / "preview.png"),
        ("export", run, "--out", disk / "exported", "--format", "compact"),
        ("verdict", disk / "study"),
    ):
        ended = server.run(disk, *command)
        said = one_line(ended, 2)
        assert "disk" in said or "ead-only" in said, said
        tally["faults"]["read-only folder"] += 1


def test_clocks_that_jump_leave_the_bits_alone(
    server: Any, recipe: Path, undisturbed: Path, tmp_path: Path, tally: dict[str, Counter[str]]
) -> None:
    out = tmp_path / "study"
    ended = server.run(out, "study", recipe, "--out", out, "--jobs", 1, clock=True)
    assert ended.code == 0, ended.err
    assert bits(out) == bits(undisturbed)
    for result in out.glob("runs/*/result.json"):
        assert json.loads(result.read_text())["wall_s"] >= 0
    tally["faults"]["clocks that jump"] += 1


def test_of_two_studies_on_one_folder_one_is_told_of_the_other(
    server: Any, recipe: Path, undisturbed: Path, operations: int, tmp_path: Path, tally: dict[str, Counter[str]]
) -> None:
    out = tmp_path / "study"
    command = ("study", recipe, "--out", out, "--jobs", 1)
    for at in (6, operations // 3, 2 * operations // 3):
        first = server.run(out, *command, stop_at=at)
        assert first.pid
        said = one_line(server.run(out, *command), 2)
        assert "another process" in said
        first = server.go_on(first)
        assert first.code == 0, first.err
        assert bits(out) == bits(undisturbed)
        shutil.rmtree(out)
        tally["faults"]["two studies on one folder"] += 1


@pytest.mark.parametrize("share", [pytest.param(0.3, marks=LONG), 0.6, pytest.param(0.9, marks=LONG)])
def test_a_folder_that_is_moved_while_idle_goes_on_where_it_is(
    server: Any,
    recipe: Path,
    undisturbed: Path,
    operations: int,
    tmp_path: Path,
    tally: dict[str, Counter[str]],
    share: float,
) -> None:
    out, elsewhere = tmp_path / "here", tmp_path / "else where"
    at = int(share * operations)
    killed = server.run(out, "study", recipe, "--out", out, "--jobs", 1, kill_at=at)
    assert killed.signal == 9, (killed.code, killed.err)
    out.rename(elsewhere)
    ended = server.run(elsewhere, "study", recipe, "--out", elsewhere, "--jobs", 1)
    assert ended.code == 0, ended.err
    assert bits(elsewhere) == bits(undisturbed)
    assert not out.exists()
    tally["faults"]["folder moved while idle"] += 1
