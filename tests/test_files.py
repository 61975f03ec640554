"""Files: whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from regrow import files
from regrow.errors import BusyError, DataError


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file.json"
    files.write_json(path, {"x": 1})

    def fail() -> None:
        with files.atomic_path(path) as temporary:
            temporary.write_text("half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, {"x": float("nan")})
    assert files.read_json(path) == {"x": 1}
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]


def test_written_files_have_the_modes_of_ordinary_files(tmp_path: Path) -> None:
    (tmp_path / "ordinary").write_text("")
    files.write_text(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_lines_cut_short_by_a_kill_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    files.append_lines(path, [{"step": 1}, {"step": 2}])
    with path.open("a") as file:
        file.write('{"step": 3, "lo')
    assert files.read_lines(path) == [{"step": 1}, {"step": 2}]
    assert files.read_lines(tmp_path / "absent.jsonl") == []


def test_damaged_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(DataError, match=r"x\.json"):
        files.read_json(tmp_path / "x.json")
    with pytest.raises(DataError, match="not there"):
        files.read_json(tmp_path / "y.json")


def test_value_digest_tells_values_apart_but_not_the_order_of_keys() -> None:
    assert files.value_digest({"a": [1, 2], "b": None}) == files.value_digest({"b": None, "a": [1, 2]})
    assert files.value_digest({"a": [1, 2]}) != files.value_digest({"a": [2, 1]})


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom regrow import files\n"
        "with files.owned(pathlib.Path(sys.argv[1]), 'run'):\n    print('owned', flush=True)\n    sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "owned\n"
    with pytest.raises(BusyError, match="another process"), files.owned(tmp_path, "run"):
        pass
    os.kill(other.pid, 9)
    other.communicate()
    with files.owned(tmp_path, "run"):
        pass


def test_json_is_the_same_bytes_for_the_same_value(tmp_path: Path) -> None:
    files.write_json(tmp_path / "1", {"b": 1, "a": 2})
    files.write_json(tmp_path / "2", {"a": 2, "b": 1})
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    assert json.loads((tmp_path / "1").read_text()) == {"a": 2, "b": 1}


@pytest.mark.parametrize("name", ["", "..", "../x", "/x", "a/../../x", "a\0b", "n" * 256, "é" * 128, "\ud800"])
def test_names_that_no_file_of_a_folder_can_have_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file in it"):
        files.inside(tmp_path, name)


@pytest.mark.parametrize("name", ["x", "a/b.png", "n" * 255, "é" * 127, "/".join(["n" * 200] * 3), "\udcff"])
def test_names_that_files_can_have_stay_as_they_are(name: str, tmp_path: Path) -> None:
    path = files.inside(tmp_path, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    assert path.is_relative_to(tmp_path)
    assert path.is_file()
