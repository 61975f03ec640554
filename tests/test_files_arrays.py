"""Arrays of .npz files against numpy's own reader, and files that say more than they hold."""

from __future__ import annotations

import contextlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from regrow import files
from regrow.errors import DataError

ARRAYS = {
    "number": np.int64(7),
    "empty": np.zeros((0, 3), np.float32),
    "rows": np.arange(12, dtype=np.int16).reshape(3, 4),
    "columns": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "cube": np.asfortranarray(np.random.default_rng(0).random((2, 3, 4))),
    "swapped": np.arange(5, dtype=">u4"),
    "text": np.array(["a", "née"]),
    "bits": np.array([True, False]),
    "named": np.array([(1, 2.5)], [("a", "i4"), ("b", "f8")]),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_those_of_numpy(save, tmp_path: Path) -> None:
    save(tmp_path / "a.npz", **ARRAYS)
    with np.load(tmp_path / "a.npz") as stored:
        for _ in range(2):  # headers are parsed once
            found = files.read_arrays(tmp_path / "a.npz")
            assert list(found) == stored.files
            for name, array in found.items():
                assert array.dtype == stored[name].dtype
                assert array.shape == stored[name].shape
                assert array.flags.writeable
                assert array.flags.f_contiguous == stored[name].flags.f_contiguous
                np.testing.assert_array_equal(array, stored[name])
    assert set(files.read_arrays(tmp_path / "a.npz", only=("rows", "bits", "nothing"))) == {"rows", "bits"}


def test_damaged_archives_are_read_as_numpy_reads_them_or_refused(tmp_path: Path) -> None:
    whole = io.BytesIO()
    np.savez_compressed(whole, **ARRAYS)
    content, stream = whole.getvalue(), np.random.default_rng(0)
    read = 0
    for _ in range(400):
        damaged = bytearray(content)
        for at in stream.integers(0, len(content), stream.integers(0, 3)):
            damaged[at] = stream.integers(256)
        (tmp_path / "a.npz").write_bytes(damaged)
        with contextlib.suppress(DataError):
            found = files.read_arrays(tmp_path / "a.npz")
            with np.load(tmp_path / "a.npz") as stored:
                assert {n: (a.shape, a.tobytes()) for n, a in found.items()} == {
                    n: (stored[n].shape, stored[n].tobytes()) for n in stored.files
                }
            read += 1
    assert 100 < read < 400


def test_an_array_left_out_counts_for_the_limit(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", small=np.zeros(3), large=np.zeros(10**6))
    assert set(files.read_arrays(tmp_path / "a.npz", only=("small",))) == {"small"}
    with pytest.raises(DataError, match="more than 1000 bytes"):
        files.read_arrays(tmp_path / "a.npz", only=("small",), limit_bytes=1000)


@pytest.mark.parametrize("shape", [(2**40,), (2**62, 2**62), (-1,), (-2, -2), (3,)])
def test_a_header_that_claims_more_than_is_there_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as made:
        made.writestr("a.npy", header.getvalue() + bytes(16))
    with pytest.raises(DataError, match="cannot be read"):
        files.read_arrays(tmp_path / "a.npz")
