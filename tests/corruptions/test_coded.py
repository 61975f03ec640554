"""The types of 3DCC that a video coder makes, against FFmpeg's own program, its filter's formula, and properties."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from regrow import clips
from regrow.cli import run
from regrow.cli.doctor import diagnose
from regrow.corruptions import coded, corrupt, get, names, provenance
from regrow.corruptions.draws import CounterStream
from regrow.corruptions.writer.tree import encoded
from regrow.errors import InputError

CODED = ["bit_error", "h265_abr", "h265_crf"]
PERIODS = (100_000, 50_000, 30_000, 20_000, 10_000)


@pytest.fixture
def av() -> Any:
    return pytest.importorskip("av", reason="PyAV is not installed (extra regrow[video])")


@pytest.fixture
def without_av(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)


def blobs(n: int, side: int = 32, seed: int = 0) -> np.ndarray:
    """Smooth colours with edges, uint8 (n, side, side, 3)."""
    stream = np.random.RandomState(seed)
    coarse = stream.randint(0, 256, (n, side // 8 + 1, side // 8 + 1, 3)).astype(np.uint8)
    found = [np.asarray(Image.fromarray(c).resize((side, side), Image.Resampling.BICUBIC)) for c in coarse]
    return np.clip(np.stack(found) + stream.randint(-6, 7, (n, side, side, 3)), 0, 255).astype(np.uint8)


def n_bytes(content: bytes) -> int:
    with clips.opened(content) as container:
        return sum(packet.size for packet in clips.packets_of(container))


def change(name: str, severity: int, images: np.ndarray) -> float:
    return float(np.abs(corrupt(images, name, severity).astype(float) - images).mean())


def test_they_are_of_3dcc_with_its_settings() -> None:
    assert set(CODED) < set(names("3dcc"))
    assert not set(CODED) & set(names())
    for scale in ("cifar", "tiny", "imagenet", "inception"):
        assert get("bit_error").settings[scale] == PERIODS
        assert get("h265_crf").settings[scale] == (24, 26, 32, 39, 41)
        assert get("h265_abr").settings[scale] == (2, 4, 8, 16, 32)


@pytest.mark.parametrize("shape", [(32, 32), (8, 8), (9, 31), (17, 16), (1, 3)])
def test_a_picture_coded_without_loss_is_its_conversion_to_yuv(
    av: Any, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    monkeypatch.setattr(clips, "DEFAULT_CRF", {"qp": "0"})
    image = blobs(1, 32)[0, : shape[0], : shape[1]]
    rows, columns = (np.minimum(np.arange(max(16, n + n % 2)), n - 1) for n in shape)
    larger = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[rows][:, columns]), format="rgb24")
    expected = larger.reformat(format="yuv420p").to_ndarray(format="rgb24")[: shape[0], : shape[1]]
    found = coded.last(coded.coded(image[None]), image.shape)
    np.testing.assert_array_equal(found, expected)
    grey = np.full((*shape, 3), 77, np.uint8)  # a level of 219, not of 255
    assert np.abs(coded.last(coded.coded(grey[None]), grey.shape).astype(int) - 77).max() <= 1


@pytest.mark.parametrize("side", [32, 9])
def test_what_is_seen_is_what_the_program_ffmpeg_decodes(av: Any, tmp_path: Path, side: int) -> None:
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        pytest.skip("the program ffmpeg is not installed")
    image = blobs(1, 32)[0, :side, :side]
    source = tmp_path / "source.mp4"
    source.write_bytes(coded.coded(image[None]))
    for crf in get("h265_crf").settings["cifar"]:
        stream = tmp_path / "stream.mp4"
        stream.write_bytes(clips.transcode(source.read_bytes(), "libx265", {"crf": str(crf)}))
        command = [ffmpeg, "-v", "error", "-i", stream, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
        planes = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8)
        larger = side if side == 32 else 16
        frame = av.VideoFrame.from_ndarray(planes.reshape(larger * 3 // 2, larger), format="yuv420p")
        expected = frame.to_ndarray(format="rgb24")[:side, :side]
        np.testing.assert_array_equal(coded.h265_crf(image[None], None, crf)[0], expected)


def test_a_lower_quality_makes_a_smaller_and_a_less_like_picture(av: Any, pictures: Callable[[int], Any]) -> None:
    for image in pictures(224)[:2]:
        source = coded.coded(image[None])
        streams = [clips.transcode(source, "libx265", {"crf": str(c)}) for c in get("h265_crf").settings["imagenet"]]
        sizes = [n_bytes(stream) for stream in streams]
        errors = [np.square(coded.last(s, image.shape).astype(float) - image).mean() for s in streams]
        assert sizes == sorted(sizes, reverse=True)
        assert errors == sorted(errors)
        assert len(set(sizes)) == len(set(errors)) == 5


def test_half_the_bit_rate_makes_a_stream_of_about_half_the_size(av: Any, pictures: Callable[[int], Any]) -> None:
    image = pictures(224)[2]  # the one with most detail: others soon reach the least that libx265 can make
    source = coded.coded(image[None])
    assert clips.bit_rate(source) == pytest.approx(len(source) * 8 * 25, rel=0.01)
    streams = [clips.at_part_of_rate(source, "libx265", c) for c in get("h265_abr").settings["imagenet"]]
    ratios = np.divide(*(np.array([n_bytes(stream) for stream in part]) for part in (streams[:-1], streams[1:])))
    assert ratios.min() > 1.4
    assert ratios.max() < 2.5
    assert 8 < ratios.prod() < 20  # 16 times the rate
    expected = np.stack([coded.last(stream, image.shape) for stream in streams])
    for severity, one in enumerate(expected, 1):
        np.testing.assert_array_equal(corrupt(image[None], "h265_abr", severity)[0], one)


def test_the_camera_moves_as_published_and_comes_back() -> None:
    places = np.stack([*np.mgrid[:224, :224], np.zeros((224, 224), int)], 2).astype(np.uint8)
    for numbers in CounterStream(0, "bit_error", 1, range(40)).uniform((3,)):
        frames = coded.moved(places, numbers)
        assert frames.shape == (29, 224, 224, 3)
        np.testing.assert_array_equal(frames[-1], places)
        np.testing.assert_array_equal(frames, frames[::-1])
        y, x = (frames[:15, 112, 112, axis].astype(int) - 112 for axis in (0, 1))
        assert 50 <= abs(x[-1]) <= 75
        assert abs(y[-1]) <= 75
        assert (x[-1] < 0) == (numbers[0] >= 0.5)
        for way in (y, x):  # at constant speed
            assert np.abs(way - way[-1] * np.arange(15) / 14).max() <= 1
        for t in (7, 14):  # what is beyond the edge repeats it
            rows, columns = (np.clip(np.arange(224) + way[t], 0, 223) for way in (y, x))
            np.testing.assert_array_equal(frames[t], places[rows][:, columns])


def noise(stream: np.ndarray, period: int) -> np.ndarray:
    """FFmpeg's filter ``noise``: its state grows by each byte and one, and takes the byte's place at its multiples."""
    state = np.cumsum(stream.astype(np.uint32) + 1, dtype=np.uint32)
    return np.where(state % period == 0, (state & 255).astype(np.uint8), stream)


def stream_of(image: np.ndarray, numbers: np.ndarray) -> tuple[bytes, np.ndarray]:
    """A clip without the note of its encoder, and its bytes."""
    clean = clips.copied(coded.coded(coded.moved(image, numbers)), "mp4", "filter_units=remove_types=6")
    with clips.opened(clean) as container:
        joined = b"".join(bytes(packet) for packet in clips.packets_of(container))
    return clean, np.frombuffer(joined, np.uint8)


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_bit_errors_are_those_of_the_filters_formula(av: Any, severity: int) -> None:
    image = blobs(1, 64)[0]
    numbers = CounterStream(4, "bit_error", severity, [7]).uniform((3,))[0]
    clean, stream = stream_of(image, numbers)
    altered = noise(stream, round(PERIODS[severity - 1] * len(stream) / 50_000)).tobytes()

    def alter(packets: Any) -> None:
        at = 0
        for packet in packets:
            packet.update(altered[at : at + packet.size])
            at += packet.size

    expected = clips.read(clips.copied(clean, "mp4", "null", alter), 29).frames[28]
    found = corrupt(image[None], "bit_error", severity, seed=4, index=[7])[0]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("side", [16, 64])
def test_as_many_bytes_are_altered_whatever_the_size(av: Any, side: int) -> None:
    images, counts = blobs(24, side), []
    for image, numbers in zip(images, CounterStream(0, "bit_error", 5, range(24)).uniform((3,)), strict=True):
        _, stream = stream_of(image, numbers)
        state = np.cumsum(stream.astype(np.int64) + 1)
        counts.append((state % round(10_000 * len(stream) / 50_000) == 0).sum())
    assert abs(np.mean(counts) - 5) < 4 * np.sqrt(5 / 24)  # four standard errors of a Poisson law


@pytest.mark.slow
def test_damage_grows_with_the_rate_of_bit_errors(av: Any) -> None:
    images = blobs(40, 32, seed=3)
    changes = [change("bit_error", severity, images) for severity in (1, 3, 5)]
    assert changes == sorted(changes)
    assert changes[-1] > 1.5 * changes[0]


def test_a_clip_of_which_nothing_is_left_gets_fewer_errors(av: Any) -> None:
    """With a period of one every byte is altered, and no stream can be decoded."""
    image = blobs(1, 16)
    numbers = CounterStream(0, "bit_error", 5, [0]).uniform((3,))
    found = coded.bit_error(image, numbers, 1)
    _, stream = stream_of(image[0], numbers[0])
    clean = coded.last(coded.coded(coded.moved(image[0], numbers[0])), image[0].shape, 29)
    assert (noise(stream, 1) != stream).mean() > 0.9
    assert not np.array_equal(found[0], clean)


@pytest.mark.parametrize("name", CODED)
def test_threads_side_by_side_give_the_same_bytes(av: Any, name: str) -> None:
    images = blobs(8)
    expected = corrupt(images, name, 4)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda i: corrupt(images[i : i + 1], name, 4, index=[i]), [*range(8)] * 2))
    np.testing.assert_array_equal(np.concatenate(parts), np.concatenate([expected, expected]))


@pytest.mark.parametrize("name", CODED)
def test_what_must_be_said_names_coder_and_construction(av: Any, name: str) -> None:
    said = provenance(name, 224)
    assert set(said) == {"codec", "how"}
    assert f"PyAV {av.__version__}" in said["codec"]
    assert ("libx265" in said["codec"]) == (name != "bit_error")
    assert "differ" in said["how"]
    assert "libjpeg" not in str(provenance(name, 224, codec="pillow"))  # that choice is of jpeg_compression


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, image in enumerate(blobs(5, 40)):
        path = tmp_path / "pictures" / f"class {i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / "pictures"


def test_a_folder_of_pictures_becomes_a_set(
    av: Any, capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    arguments = ["corrupt", folder, "--out", out, "--corruptions", ",".join(CODED), "--side", 32, "--seed", 3]
    code, printed, err = call(capsys, *arguments, "--severities", "1,5", "--jobs", 2, "--clean")
    assert (code, err) == (0, "")
    assert "a depth map" in printed
    entries = json.loads((out / "manifest.json").read_text())["files"]
    for name in CODED:
        assert entries[f"{name}/5"]["notes"]["codec"].startswith("libx264")
    sources = sorted(folder.rglob("*.png"))
    from regrow.data import pictures as reading

    images = np.stack([reading.folder(folder, 32).read(i) for i in range(5)])
    for name in CODED:
        expected = corrupt(images, name, 5, seed=3)
        for path, image in zip(sources, expected, strict=True):
            written = out / name / "5" / path.relative_to(folder).with_suffix(".JPEG")
            assert written.read_bytes() == encoded(image)
    code, printed, _ = call(capsys, "corrupt", folder, "--out", out, "--verify", "--json")
    assert code == 0
    assert {row["status"] for row in json.loads(printed)} == {"no published file"}


@pytest.mark.usefixtures("without_av")
def test_without_pyav_they_refuse_in_one_line_and_all_else_works(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    images = blobs(2)
    for name in CODED:
        with pytest.raises(InputError, match=r"needs PyAV, which is not installed.*regrow\[video\]") as error:
            corrupt(images, name, 1)
        assert "\n" not in str(error.value)
        code, _, err = call(capsys, "corrupt", folder, "--out", tmp_path / "set", "--corruptions", f"fog,{name}")
        assert code == 2
        assert err.count("\n") == 1
        assert "regrow[video]" in err
        assert not (tmp_path / "set").exists()
    assert len(names("3dcc")) == 6
    assert corrupt(images, "iso_noise", 1).shape == images.shape
    code, printed, _ = call(capsys, "list", "corruptions", "--json")
    needs = {row["name"]: row["needs"] for row in json.loads(printed)}
    assert [name for name, what in needs.items() if what == "regrow[video]"] == CODED
    assert any("3DCC" in line for line in diagnose(tmp_path)["missing"])
