"""Small files that claim or unpack to a great deal: they are refused, and memory is not taken for what they claim."""

from __future__ import annotations

import gzip
import io
import json
import struct
import sys
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from regrow import clips, files
from regrow.data import archive, imagenet, pictures
from regrow.data.published import open_published
from regrow.errors import RegrowError
from regrow.evaluation.records import load_record
from regrow.sparsity.export.csr import load_csr
from regrow.study import recipe as recipes
from regrow.study.claims.reading import load_claims
from regrow.study.store import Store
from regrow.training.checkpoint import load_checkpoint, load_weights
from regrow.training.film import load_film
from regrow.training.state_dict import read_state_dict

#: Bytes that a bomb would take, and those that refusing it may.
LARGE, ALLOWED = 192 << 20, 64 << 20

#: Reads a bomb that lies there.
Read = Callable[[], object]


def npy_header(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": descr, "fortran_order": False, "shape": shape})
    return content.getvalue()


def zipped(path: Path, members: dict[str, bytes | int]) -> Path:
    """A zip archive; a number stands for as many zeros, well packed: one packed MiB again and again."""
    with zipfile.ZipFile(path, "w") as made:
        for name, content in members.items():
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            if isinstance(content, bytes):
                packed, size = packer.compress(content) + packer.flush(), len(content)
            else:
                once = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
                packed, size = once * (content >> 20) + packer.flush(), content
            made.writestr(name, packed)
            crc = zlib.crc32(content) if isinstance(content, bytes) else _crc_of_zeros(size >> 20)
            entry = made.getinfo(name)  # as it will be listed at the archive's end, where readers look
            entry.compress_type, entry.file_size, entry.CRC = zipfile.ZIP_DEFLATED, size, crc
    return path


@cache
def _crc_of_zeros(mebibytes: int) -> int:
    crc = 0
    for _ in range(mebibytes):
        crc = zlib.crc32(bytes(1 << 20), crc)
    return crc


def gzipped_zeros(before: bytes) -> bytes:
    """Some bytes and then many zeros, as gzip: its members follow each other."""
    return gzip.compress(before) + gzip.compress(bytes(1 << 20)) * (LARGE >> 20)


def put(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def array_set(folder: Path) -> Read:
    put(folder / "labels.npy", npy_header((10**12,), "<i8") + bytes(80))
    return partial(open_published, folder)


def images_of_a_set(folder: Path) -> Read:
    np.save(folder / "labels.npy", np.tile(np.arange(2), 5))
    put(folder / "fog.npy", npy_header((10, 10**6, 10**6, 3)) + bytes(80))
    return lambda: open_published(folder).cell("fog", 1)


def record_of_zeros(folder: Path) -> Read:
    return partial(
        load_record,
        zipped(
            folder / "r.npz",
            {
                "n.npy": npy_header((files.MOST_ARRAY_BYTES + LARGE,)) + bytes(8),
                "loss.npy": files.MOST_ARRAY_BYTES + LARGE,
            },
        ),
    )


def record_of_many(folder: Path) -> Read:
    path = folder / "r.npz"
    empty = np.zeros(0, np.float32)
    np.savez(path, n=np.int64(10**13), correct=np.zeros(1, np.uint8), prediction=empty, confidence=empty, loss=empty,
             brier=empty, inputs=np.frombuffer(b'{"schema": 1}', np.uint8))  # fmt: skip
    return partial(load_record, path)


def film_of_zeros(folder: Path) -> Read:
    return partial(load_film, zipped(folder / "f.npz", {"layers.npy": files.MOST_ARRAY_BYTES + LARGE}))


def film_of_a_claim(folder: Path) -> Read:
    path = folder / "f.npz"
    layers = np.array(json.dumps({"fc": [10**9, 10**9]}))
    np.savez(path, layers=layers, updates=np.arange(2), steps=np.arange(2), layer0=np.zeros((2, 4), np.uint8))
    return partial(load_film, path)


def checkpoint_of_zeros(folder: Path) -> Read:
    torch.save({"a": torch.zeros(3)}, folder / "plain.pt")
    with zipfile.ZipFile(folder / "plain.pt") as plain:
        members: dict[str, Any] = {name: plain.read(name) for name in plain.namelist()}
    return partial(load_checkpoint, zipped(folder / "c.pt", {**members, "plain/data/0": LARGE}), "1")


def state_dict_of_zeros(folder: Path) -> Read:
    return partial(read_state_dict, zipped(folder / "s.pt", {"s/data.pkl": b"", "s/data/0": LARGE}))


def safetensors_of_a_claim(folder: Path) -> Read:
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
    return partial(load_weights, put(folder / "m.safetensors", struct.pack("<Q", len(header)) + header + bytes(80)))


def safetensors_with_a_long_header(folder: Path) -> Read:
    return partial(load_weights, put(folder / "m.safetensors", struct.pack("<Q", 2**60) + bytes(80)))


def csr_of_a_claim(folder: Path) -> Read:
    path = folder / "m.npz"
    parts = {"a.indptr": np.zeros(3, np.int32), "a.indices": np.zeros(0, np.int32), "a.values": np.zeros(0, np.float32)}
    np.savez(path, **{**parts, "a.shape": np.array([2, 10**9])})
    return partial(load_csr, path)


def pickled_bytes(folder: Path) -> Read:
    path = put(folder / "p", b"\x80\x05}\x8c\x01a\x96" + struct.pack("<Q", LARGE) + b"xs.")
    return partial(files.read_pickle, path)


def pickled_tuples(folder: Path) -> Read:
    """A key of tuples within tuples, of which the hash would take for ever."""
    return partial(files.read_pickle, put(folder / "p", b"\x80\x02}K\x00\x85" + b"2\x86" * 60 + b"K\x01s."))


def aliases(depth: int = 9, width: int = 10) -> str:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, depth)]
    return "\n".join(lines)


def recipe_of_aliases(folder: Path) -> Read:
    return partial(recipes.load, str(put(folder / "r.yaml", aliases())))


def recipe_of_brackets(folder: Path) -> Read:
    return partial(recipes.load, str(put(folder / "r.yaml", "name: " + "[" * 100_000 + "]" * 100_000)))


def recipe_that_tests_itself(folder: Path) -> Read:
    return partial(recipes.load, str(put(folder / "r.yaml", "schema: 1\nname: x\nruns_of: r.yaml\n")))


def claims_of_aliases(folder: Path) -> Read:
    return partial(load_claims, put(folder / "c.yaml", aliases()))


def plan_of_aliases(folder: Path) -> Read:
    return Store(put(folder / "study.yaml", aliases()).parent).load


def plan_of_long_aliases(folder: Path) -> Read:
    text = f"a: &a {'x' * 20_000}\nrecipe: [{', '.join(['*a'] * 50_000)}]\n"
    return Store(put(folder / "study.yaml", text).parent).load


def plan_of_brackets(folder: Path) -> Read:
    return Store(put(folder / "study.yaml", "recipe: " + "[" * 200_000 + "]" * 200_000).parent).load


def json_of_brackets(folder: Path) -> Read:
    return partial(files.read_json, put(folder / "x.json", "[" * 200_000 + "]" * 200_000))


def tar_with_a_long_name(folder: Path) -> Read:
    """An entry of GNU's kind for long names, as long as the archive."""
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, LARGE
    put(folder / "a.tar.gz", gzipped_zeros(entry.tobuf(tarfile.GNU_FORMAT)))
    return partial(files.extract_tar, folder / "a.tar.gz", folder / "out", limit_bytes=1 << 20)


def tar_with_long_names_in_a_row(folder: Path) -> Read:
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 2
    block = entry.tobuf(tarfile.GNU_FORMAT) + b"x\0".ljust(512, b"\0")
    return partial(files.extract_tar, put(folder / "a.tar", block * 5000), folder / "out", limit_bytes=1 << 20)


def tar_that_leads_back(folder: Path) -> Read:
    """An entry of negative size, after which the reader would come to it again."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        entry = tarfile.TarInfo("x")
        entry.pax_headers = {"size": "-512"}
        tar.addfile(entry)
    return partial(archive.index, put(folder / "a.tar", buffer.getvalue()), cache=folder / "cache")


def tar_of_a_large_file(folder: Path) -> Read:
    entry = tarfile.TarInfo("set/one")
    entry.size = LARGE
    put(folder / "a.tar.gz", gzipped_zeros(entry.tobuf()))
    return partial(archive.contents, folder / "a.tar.gz", ("set/one",), limit_bytes=1 << 20)


def kit_of_a_claim(folder: Path) -> Read:
    """A table of more rows than the file has bytes."""
    from scipy.io import savemat

    rows, shape = io.BytesIO(), struct.pack("<IIii", 5, 8, 2, 1)
    savemat(rows, {"synsets": np.zeros((2, 1), [("WNID", "O")])})
    assert rows.getvalue().count(shape) == 1
    data = folder / imagenet.KIT / "data"
    data.mkdir(parents=True)
    put(data / "ILSVRC2012_validation_ground_truth.txt", "1\n")
    put(data / "meta.mat", rows.getvalue().replace(shape, struct.pack("<IIii", 5, 8, LARGE // 8, 1)))
    return partial(imagenet.kit, folder)


def png_of_many_pixels(folder: Path) -> Read:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    return partial(
        pictures.open_picture,
        put(folder / "x.png", b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(99)))),
    )


def jpeg_of_many_pixels(folder: Path) -> Read:
    return partial(pictures.open_picture, put(folder / "x.jpg", huge_jpeg()))


def huge_jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    content = bytearray(buffer.getvalue())
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
    return bytes(content)


def video_of_many_pixels(folder: Path) -> Read:
    from fractions import Fraction

    pytest.importorskip("av", reason="PyAV is not installed (extra regrow[video])")
    small = clips.as_mjpeg(np.zeros((2, 16, 16, 3), np.uint8), Fraction(25))
    size = small[(at := small.index(b"\xff\xc0") + 5) : at + 4]
    large = small.replace(small[at - 5 : at] + size, small[at - 5 : at] + struct.pack(">HH", 60_000, 60_000))
    return partial(clips.read, put(folder / "x.avi", large))


BOMBS: dict[str, Callable[[Path], Read]] = {
    function.__name__: function
    for function in (
        array_set, images_of_a_set, record_of_zeros, record_of_many, film_of_zeros, film_of_a_claim,
        checkpoint_of_zeros, state_dict_of_zeros, safetensors_of_a_claim, safetensors_with_a_long_header,
        csr_of_a_claim, pickled_bytes, pickled_tuples, recipe_of_aliases, recipe_of_brackets, recipe_that_tests_itself,
        claims_of_aliases, plan_of_aliases, plan_of_long_aliases, plan_of_brackets, json_of_brackets,
        tar_with_a_long_name, tar_with_long_names_in_a_row, tar_that_leads_back, tar_of_a_large_file, kit_of_a_claim,
        png_of_many_pixels, jpeg_of_many_pixels, video_of_many_pixels,
    )
}  # fmt: skip


def peak() -> int:
    """Largest memory of this process, in bytes."""
    return next(int(row.split()[1]) << 10 for row in _status() if row.startswith("VmHWM"))


def resident() -> int:
    return next(int(row.split()[1]) << 10 for row in _status() if row.startswith("VmRSS"))


def _status() -> list[str]:
    return Path("/proc/self/status").read_text().splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.timeout(60)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_and_takes_no_memory(name: str, tmp_path: Path, tally: dict[str, Counter[str]]) -> None:
    read = BOMBS[name](tmp_path)  # writing it may take memory
    Path("/proc/self/clear_refs").write_text("5")  # the largest memory so far is forgotten
    before = resident()
    with pytest.raises(RegrowError) as caught:
        read()
    assert peak() - before < ALLOWED
    assert "\n" not in str(caught.value)
    tally["inputs"]["bombs"] += 1
