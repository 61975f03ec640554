"""Archives, pickles and downloads from outside: read what is meant, refuse the rest, leave nothing half-written."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import os
import pickle
import re
import socket
import struct
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regrow import files
from regrow.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 48), dtype=np.uint8)
LABELS = [3, 1, 4, 1, 5, 9, 2]


def python2_pickle(entries: dict[str, Any]) -> bytes:
    """Protocol 2 as Python 2 wrote it: byte strings, memo entries, arrays of numpy.core."""
    memo = iter(range(1, 1 << 20))

    def put() -> bytes:
        place = next(memo)
        return b"q" + bytes([place]) if place < 256 else b"r" + struct.pack("<I", place)

    def text(value: bytes) -> bytes:
        short = b"U" + bytes([len(value)]) if len(value) < 256 else b"T" + struct.pack("<i", len(value))
        return short + value + put()

    def number(value: int) -> bytes:
        if 0 <= value < 256:
            return b"K" + bytes([value])
        return b"M" + struct.pack("<H", value) if 0 <= value < 65536 else b"J" + struct.pack("<i", value)

    def array(value: np.ndarray) -> bytes:
        made = b"cnumpy.core.multiarray\n_reconstruct\n" + put() + b"cnumpy\nndarray\n" + put() + number(0) + b"\x85"
        made += put() + text(b"b") + b"\x87" + put() + b"R" + put()
        shape = b"".join(number(n) for n in value.shape) + b"\x86" + put()
        kind = b"cnumpy\ndtype\n" + put() + text(b"u1") + number(0) + number(1) + b"\x87" + put() + b"R" + put()
        kind += b"(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"t" + put() + b"b"
        return made + b"(" + number(1) + shape + kind + b"\x89" + text(value.tobytes()) + b"t" + put() + b"b"

    def item(value: Any) -> bytes:
        if isinstance(value, np.ndarray):
            return array(value)
        if isinstance(value, list):
            return b"]" + put() + b"(" + b"".join(item(each) for each in value) + b"e"
        return number(value) if isinstance(value, int) else text(value.encode("latin-1"))

    body = b"".join(text(key.encode()) + item(value) for key, value in entries.items())
    return b"\x80\x02}" + put() + b"(" + body + b"u."


ENTRIES = {"batch_label": "training batch", "labels": LABELS, "data": PIXELS, "filenames": ["a.png"] * 300}


def both_forms() -> dict[str, bytes]:
    """The same dictionary as Python 2 wrote it and as Python 3 writes it."""
    forms = {"python 2": python2_pickle(ENTRIES)}
    for protocol in range(6):
        forms[f"python 3, text keys, protocol {protocol}"] = pickle.dumps(ENTRIES, protocol)
        keys = {key.encode(): value for key, value in ENTRIES.items()}
        forms[f"python 3, byte keys, protocol {protocol}"] = pickle.dumps(keys, protocol)
    forms["column order"] = pickle.dumps(ENTRIES | {"data": np.asfortranarray(PIXELS)}, 2)
    forms["column order, protocol 5"] = pickle.dumps(ENTRIES | {"data": np.asfortranarray(PIXELS)}, 5)
    return forms


@pytest.mark.parametrize("form", both_forms())
def test_both_pickle_forms_give_the_same_dictionary(tmp_path: Path, form: str) -> None:
    path = tmp_path / "data_batch_1"
    path.write_bytes(both_forms()[form])
    read = files.read_pickle(path)
    assert read["labels"] == LABELS
    assert read["data"].dtype == np.uint8
    assert np.array_equal(read["data"], PIXELS)
    assert len(read["filenames"]) == 300


def test_the_two_forms_are_the_ones_that_exist() -> None:
    forms = both_forms()
    assert b"numpy.core.multiarray\n_reconstruct" in forms["python 2"]
    assert b"numpy._core.multiarray\n_reconstruct" in forms["python 3, text keys, protocol 2"]
    assert b"_codecs\nencode" in forms["python 3, text keys, protocol 2"]
    for content in forms.values():  # the plain unpickler agrees that they are well-formed
        assert len(pickle.loads(content, encoding="bytes")) == 4


class _Runs:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.parts = function, arguments

    def __reduce__(self) -> Any:
        return self.parts


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_tries_to_run_code_is_refused_and_runs_nothing(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "was here"
    path = tmp_path / "bad"
    for bad in (
        _Runs(os.system, f"touch '{mark}'"),
        _Runs(eval, f"open({str(mark)!r}, 'w')"),
        _Runs(np.fromfile, str(path)),
        _Runs(np.load, str(path)),
        np.array([_Runs(os.mkdir, str(mark))], dtype=object),
        np.dtype("O"),
        np.zeros(3, "datetime64[s]"),
    ):
        path.write_bytes(pickle.dumps({"data": bad}, protocol))
        with pytest.raises(DataError, match=re.escape(str(path))):
            files.read_pickle(path)
        assert not mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\x80\x02]q\x01.",  # a list
        b"\x80\x02}q\x01(U\x04datac__builtin__\nopen\nU\x01x\x85Ru.",
        b"(S'/'\nios\nlistdir\n.",  # INST
        b"\x80\x02}U\x01ac_codecs\nencode\nX\x01\x00\x00\x00aX\x06\x00\x00\x00rot_13\x86Rs.",
        b"\x80\x02}U\x01acnumpy\nndarray\n(J\xff\xff\xff\x7ftR.s.",
        b"\x80\x02}r\xff\xff\xff\xff.",  # a wild memo index: must not take memory
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa.",
    ],
)
def test_a_malformed_pickle_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad"
    path.write_bytes(content)
    if content.startswith(b"\x80\x02}r"):
        assert files.read_pickle(path) == {}
        return
    with pytest.raises(DataError) as caught:
        files.read_pickle(path)
    assert "\n" not in str(caught.value)


def test_absent_and_too_large_pickles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        files.read_pickle(tmp_path / "none")
    path = tmp_path / "large"
    path.write_bytes(pickle.dumps(ENTRIES))
    with pytest.raises(DataError, match="larger than"):
        files.read_pickle(path, limit_bytes=100)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_pickle_gives_a_dictionary_or_a_data_error(tmp_path: Path, data: st.DataObject) -> None:
    form = data.draw(st.sampled_from([python2_pickle(ENTRIES), pickle.dumps(ENTRIES, 2), pickle.dumps(ENTRIES, 5)]))
    content = bytearray(form[: data.draw(st.integers(0, len(form)))]) if data.draw(st.booleans()) else bytearray(form)
    for place in data.draw(st.lists(st.integers(0, max(0, len(content) - 1)), max_size=3)):
        if content:
            content[place] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "damaged"
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        assert isinstance(files.read_pickle(path), dict)


# ---------------------------------------------------------------------------------------------------------------- tar


def tar_of(path: Path, *members: tuple[str, bytes | None, dict[str, Any]], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content, fields in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content or b"")
            for key, value in fields.items():
                setattr(entry, key, value)
            tar.addfile(entry, io.BytesIO(content or b""))
    return path


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_within_an_archive_are_unpacked(form: int, tmp_path: Path) -> None:
    name = "/".join(["folder" * 20] * 4) + "/é.txt"  # more than the 255 bytes of a header, each part fewer
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as tar:
        entry = tarfile.TarInfo(name)
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"text"))
    files.extract_tar(tmp_path / "a.tar", tmp_path / "out", limit_bytes=100)
    assert (tmp_path / "out" / name).read_bytes() == b"text"


def test_a_plain_archive_is_unpacked(tmp_path: Path) -> None:
    archive = tar_of(
        tmp_path / "a.tar.gz",
        ("set", None, {"type": tarfile.DIRTYPE, "mode": 0}),
        ("./set/one", b"1" * 5000, {"mode": 0o4777}),
        ("set/deep/two", b"2", {}),
    )
    files.extract_tar(archive, tmp_path / "out", limit_bytes=5001)
    assert (tmp_path / "out/set/one").read_bytes() == b"1" * 5000
    assert (tmp_path / "out/set/deep/two").read_bytes() == b"2"
    assert not (tmp_path / "out/set/one").stat().st_mode & 0o4111


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("/etc/x", {}),
        ("../x", {}),
        ("set/../../x", {}),
        ("link", {"type": tarfile.SYMTYPE, "linkname": "/etc"}),
        ("link", {"type": tarfile.LNKTYPE, "linkname": "set/one"}),
        ("pipe", {"type": tarfile.FIFOTYPE}),
        ("device", {"type": tarfile.CHRTYPE}),
        ("set/one", {}),
    ],
)
def test_an_archive_that_leaves_its_folder_is_refused(tmp_path: Path, name: str, fields: dict[str, Any]) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", ("set/one", b"1", {}), (name, b"" if fields else b"evil", fields))
    with pytest.raises(DataError):
        files.extract_tar(archive, tmp_path / "in" / "out", limit_bytes=1000)
    assert {path.name for path in (tmp_path / "in").rglob("*")} <= {"out", "set", "one"}
    assert (tmp_path / "in/out/set/one").read_bytes() == b"1"


def test_the_bounds_of_an_archive_are_kept(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", ("a", b"1" * 600, {}), ("b", b"1" * 600, {}))
    with pytest.raises(DataError, match="more than"):
        files.extract_tar(archive, tmp_path / "x", limit_bytes=1000)
    with pytest.raises(DataError, match="more than"):
        files.extract_tar(archive, tmp_path / "y", limit_bytes=10000, limit_files=1)


@pytest.mark.parametrize("keep", [0, 10, 200, -1000])
def test_a_cut_archive_is_refused(tmp_path: Path, keep: int) -> None:
    noise = np.random.default_rng(1).bytes(30000)
    archive = tar_of(tmp_path / "a.tar.gz", ("a", noise, {}))
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(DataError, match="damaged"):
        files.extract_tar(archive, tmp_path / "x", limit_bytes=10**6)


# ----------------------------------------------------------------------------------------------------------- download

CONTENT = np.random.default_rng(2).bytes(700_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """A file server on this machine whose connection can break off."""

    def __init__(self) -> None:
        self.ranges: list[str | None] = []
        self.cut: int | None = None  # bytes after which the connection is closed
        self.honour_range, self.content = True, CONTENT
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers.get("Range")
                outer.ranges.append(asked)
                start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and outer.honour_range else 0
                body = outer.content[start:]
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(outer.content) - 1}/{len(outer.content)}")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body if outer.cut is None else body[: outer.cut])

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/x"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Server()
    yield running
    running.server.shutdown()
    running.thread.join()
    running.server.server_close()


def fetch(server: Server, path: Path, **more: Any) -> None:
    files.download([server.url], path, size=len(CONTENT), sha256=SHA256, timeout_s=5, **more)


def test_a_download_is_checked_reported_and_not_repeated(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = tmp_path / "new" / "file"
    fetch(server, path, progress=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)
    fetch(server, path)
    assert server.ranges == [None]
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("honour_range", [True, False])
def test_a_broken_download_goes_on_where_it_was(server: Server, tmp_path: Path, honour_range: bool) -> None:
    path = tmp_path / "file"
    server.cut, server.honour_range = 300_000, honour_range
    with pytest.raises(DataError, match="could not fetch"):
        fetch(server, path)
    assert not path.exists()
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:300_000]
    server.cut = None
    fetch(server, path)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-"]
    assert not (tmp_path / "file.part").exists()


def test_other_content_is_refused_and_removed(server: Server, tmp_path: Path) -> None:
    for content in (CONTENT[:-1] + b"?", CONTENT + b"?", CONTENT[:1000]):
        server.content = content
        with pytest.raises(DataError):
            fetch(server, tmp_path / "file")
        assert not (tmp_path / "file").exists()
        (tmp_path / "file.part").unlink(missing_ok=True)
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(DataError, match="sha256 differs"):
        fetch(server, tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_a_second_address_helps_out(server: Server, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
    files.download([dead, server.url], tmp_path / "file", size=len(CONTENT), sha256=SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT
    with pytest.raises(DataError, match="refused"):
        files.download([dead], tmp_path / "other", size=5, sha256=SHA256)
    with pytest.raises(DataError, match="only https"):
        files.download(["file:///etc/passwd"], tmp_path / "other", size=5, sha256=SHA256)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
