"""Damaged and hostile files: whatever is in them, only a RegrowError leaves a reader, in one printable line."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regrow import files
from regrow.study.store import Store


def _readers() -> Any:
    """The table of readers, a file beside this one that the script of atheris loads too."""
    spec = importlib.util.spec_from_file_location("readers", Path(__file__).with_name("readers.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["readers"] = module
    spec.loader.exec_module(module)
    return module


readers = _readers()
NEEDS_AV = {"MP4", "Matroska", "AVI"}

#: Bytes that formats and parsers do not expect.
HOSTILE = [
    b"\0", b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff", b"[" * 3000, b"{" * 40, b'{"a":' * 3000, b"&a ",
    b"*a", b"<<: ", b"-1",
    b"!!int ''", b"!!timestamp x", b"!!bool x", b"!!python/object/apply:os.abort []", b"- " * 50, b"1e999", b"NaN",
    b"0x" + b"f" * 5000, b"9" * 5000, b"null", b"[]", b"{}", b"../../x", b"/etc/passwd", b"\n", b"\t", b"'", b'"',
    "²".encode(), b"\x1b[2J", b"c__builtin__\neval\n", b"\x96" + b"\xff" * 8, b"(" * 100, b".", b"true",
]  # fmt: skip

EDITS = st.lists(
    st.tuples(
        st.sampled_from(["cut", "flip", "put", "insert", "drop", "repeat", "grow"]),
        st.integers(0, 2**20),
        st.one_of(st.sampled_from(HOSTILE), st.binary(min_size=1, max_size=8)),
    ),
    min_size=1,
    max_size=4,
)


def damaged(content: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
    """A file after some edits."""
    found = bytearray(content)
    for kind, number, given_bytes in edits:
        at = number % (len(found) + 1)
        if kind == "cut":
            del found[at:]
        elif kind == "flip" and at < len(found):
            found[at] ^= given_bytes[0] or 1
        elif kind == "put":
            found[at : at + len(given_bytes)] = given_bytes
        elif kind == "insert":
            found[at:at] = given_bytes
        elif kind == "drop":
            del found[at : at + len(given_bytes)]
        elif kind == "repeat":
            found[at:at] = found[at : at + 64]
        else:  # a number in text becomes a large one
            digits = [i for i, byte in enumerate(found) if 48 <= byte < 58]
            if digits:
                found[digits[number % len(digits)] : digits[number % len(digits)] + 1] = b"9999999999999"
    return bytes(found)


def attack(name: str, folder: Path, edits: list[tuple[str, int, bytes]], tally: Counter[str]) -> None:
    """Damage the valid file of a reader, and read it."""
    reader = readers.READERS[name]
    whole, place = folder / "whole", folder / "damaged"
    if not whole.exists():
        whole.mkdir(parents=True)
        path = reader.write(whole)
        (folder / "where").write_text(str(path.relative_to(whole)))
        assert not readers.refused(reader, path), "the file is not valid to begin with"
    where = (folder / "where").read_text()
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(whole, place)
    content = reader.mend(damaged((whole / where).read_bytes(), edits))
    (place / where).write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, about the damage
        readers.refused(reader, place / where)
    tally[name] += 1


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def _skip_without_av(name: str) -> None:
    if name in NEEDS_AV:
        pytest.importorskip("av", reason="PyAV is not installed (extra regrow[video])")


@pytest.mark.parametrize("name", readers.READERS)
def test_damaged_files_are_read_or_refused(name: str, folders: Path, tally: dict[str, Counter[str]]) -> None:
    _skip_without_av(name)

    @settings(max_examples=15, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(edits=EDITS)
    def run(edits: list[tuple[str, int, bytes]]) -> None:
        attack(name, folders / name, edits, tally["inputs"])

    run()


#: Damage that many examples of :func:`test_many_damaged_files_are_read_or_refused` found, and that once got through.
FOUND = [
    ("zip", ("flip", 11540, b"\0")),
    ("AVI", ("insert", 168, b"\xff" * 4)),
    ("recording", ("insert", 12, b"\0")),
    ("watched study, log", ("put", 0, b"[" * 3000)),
    ("list of clips", ("insert", 0, b"[" * 3000)),
    ("notes of Tiny ImageNet", ("insert", 0, b"0x" + b"f" * 5000)),
]


@pytest.mark.parametrize(("name", "edit"), FOUND, ids=[name for name, _ in FOUND])
def test_damage_that_was_found_is_read_or_refused(
    name: str, edit: tuple[str, int, bytes], folders: Path, tally: dict[str, Counter[str]]
) -> None:
    _skip_without_av(name)
    attack(name, folders / name, [edit], tally["inputs"])


@pytest.mark.torture
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", readers.READERS)
def test_many_damaged_files_are_read_or_refused(name: str, folders: Path, tally: dict[str, Counter[str]]) -> None:
    _skip_without_av(name)

    @settings(max_examples=1500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(edits=EDITS)
    def run(edits: list[tuple[str, int, bytes]]) -> None:
        attack(name, folders / name, edits, tally["inputs"])

    run()


# ----------------------------------------------------------------------------------------------- values of JSON files

VALUES = st.sampled_from([None, True, -1, 0, 10**30, 1.5, float("nan"), "", "x", "../x", [], {}, [[]], ["x"], {"x": 1}])
STRUCTURED = ["study.json", "run summary", "manifest", "pack.json", "index of cells"]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key of nested values."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from places(value[key])


@pytest.mark.parametrize("name", STRUCTURED)
def test_values_of_another_kind_are_refused(name: str, folders: Path, tally: dict[str, Counter[str]]) -> None:
    reader = readers.READERS[name]
    folder = folders / f"values of {name}"
    folder.mkdir()
    path = reader.write(folder)
    whole = path.read_text()

    @settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(number=st.integers(0, 10**6), value=VALUES)
    def run(number: int, value: Any) -> None:
        values = json.loads(whole)
        container, key = list(places(values))[number % len(list(places(values)))]
        container[key] = value
        path.write_text(json.dumps(values))
        readers.refused(reader, path)
        tally["inputs"][f"values of {name}"] += 1

    run()


@settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(number=st.integers(0, 10**6), value=VALUES, signed=st.booleans())
def test_a_plan_with_values_of_another_kind_is_refused(
    tmp_path: Path, tally: dict[str, Counter[str]], number: int, value: Any, signed: bool
) -> None:
    reader = readers.READERS["study.yaml"]
    path = tmp_path / "study.yaml"
    path.unlink(missing_ok=True)
    reader.write(tmp_path)
    values = yaml.safe_load(path.read_text())
    container, key = list(places(values))[number % len(list(places(values)))]
    container[key] = value
    if signed and isinstance(values.get("recipe"), dict):
        with contextlib.suppress(ValueError):  # NaN has no digest
            values["recipe_digest"] = files.value_digest(values["recipe"])
    path.write_text(yaml.safe_dump(values))
    every = readers.Reader(reader.write, lambda path: (Store(path.parent).load(), Store(path.parent).recipe()))
    readers.refused(every, path)
    tally["inputs"]["values of study.yaml"] += 1


# -------------------------------------------------------------------------------------------------------------- atheris


#: Readers whose parser is Python code, which the inputs can follow.
FOLLOWED = (
    "CIFAR pickle", "record", "answers of a record", "film of masks", "recipe", "study.yaml", "tar",
    "compact file, signed", "kit, meta.mat", "recording", "hub folder, config.json",
)  # fmt: skip


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_inputs_that_follow_the_code_are_read_or_refused(tmp_path: Path, tally: dict[str, Counter[str]]) -> None:
    pytest.importorskip("atheris", reason="atheris is not installed")
    runs, script = 3000, Path(__file__).with_name("follow.py")
    command = [sys.executable, str(script), str(tmp_path), str(runs), *FOLLOWED]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-5000:]
    for name in FOLLOWED:
        tally["inputs"][f"{name}, atheris"] += runs
