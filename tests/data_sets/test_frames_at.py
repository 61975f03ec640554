"""Frames of a video by their numbers: those that reading the whole gives, whatever codec and container."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regrow import clips
from regrow.errors import DataError

av = pytest.importorskip("av", reason="PyAV is not installed (extra regrow[video])")

Film = Callable[..., np.ndarray]
Coded = Callable[..., bytes]

H264_B = {"bf": "3", "preset": "medium"}
OPEN = {"preset": "medium", "x264-params": "open-gop=1:bframes=3:keyint=12:min-keyint=12:scenecut=0"}
REFRESH = {"x264-params": "intra-refresh=1:keyint=12:bframes=0"}
H265 = {"x265-params": "log-level=none:keyint=12:min-keyint=12:bframes=3:open-gop=1:pools=none:scenecut=0"}
HIDDEN = {"auto-alt-ref": "1", "lag-in-frames": "16", "arnr-maxframes": "5", "cpu-used": "5"}

#: Name -> container, encoder, and how.
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "h264 without B-frames": ("mp4", "libx264", {"bf": "0"}),
    "h264 with B-frames": ("mp4", "libx264", H264_B),
    "h264, open groups": ("mp4", "libx264", OPEN),
    "h264, open groups, mkv": ("matroska", "libx264", OPEN),
    "h264, pictures refreshed by columns": ("mp4", "libx264", REFRESH),
    "h264 in a transport stream": ("mpegts", "libx264", H264_B),
    "h264 in avi": ("avi", "libx264", H264_B),
    "h264 in mov": ("mov", "libx264", H264_B),
    "h265": ("mp4", "libx265", H265),
    "h265 in mkv": ("matroska", "libx265", H265),
    "mpeg4 with B-frames in avi": ("avi", "mpeg4", {"b_frames": 2}),
    "mpeg4 with B-frames in mp4": ("mp4", "mpeg4", {"b_frames": 2}),
    "mpeg4 in a transport stream": ("mpegts", "mpeg4", {}),
    "mpeg2 with B-frames": ("mpeg", "mpeg2video", {"b_frames": 2}),
    "jpeg in avi": ("avi", "mjpeg", {"pixels": "yuvj420p"}),
    "jpeg in mkv": ("matroska", "mjpeg", {"pixels": "yuvj420p"}),
    "vp8": ("webm", "libvpx", HIDDEN),
    "vp9": ("webm", "libvpx-vp9", HIDDEN),
    "ffv1": ("matroska", "ffv1", {}),
    "wmv2": ("avi", "wmv2", {}),
}


def agree(path: Path, seed: int = 0, singly: int | None = None) -> None:
    """``count`` and ``frames_at`` against ``read``: frame by frame, and several at once in any order."""
    whole, stream = clips.read(path).frames, np.random.default_rng(seed)
    n = len(whole)
    assert clips.count(path) == n
    each = range(n) if singly is None else [0, n - 1, *stream.integers(0, n, singly)]
    several = [stream.integers(0, n, size) for size in (2, 5)]
    for numbers in [np.array([i]) for i in each] + several:
        np.testing.assert_array_equal(clips.frames_at(path, numbers), whole[numbers], err_msg=str(numbers))


@pytest.mark.parametrize("case", CASES)
def test_frames_are_those_of_the_whole(film: Film, coded: Coded, tmp_path: Path, case: str) -> None:
    container, encoder, how = CASES[case]
    path = tmp_path / "clip"
    path.write_bytes(coded(film(30), container, encoder, **how))
    assert len(clips.read(path)) == 30
    agree(path)


@pytest.mark.parametrize("container", ["mp4", "matroska", "avi"])
@pytest.mark.parametrize("n", [1, 2, 26])
def test_frames_at_any_rate(film: Film, coded: Coded, tmp_path: Path, container: str, n: int) -> None:
    gaps = np.random.default_rng(n).choice([10, 33, 40, 90, 400], n)
    path = tmp_path / "clip"
    path.write_bytes(coded(film(n), container, milliseconds=(5000 + np.cumsum(gaps)).tolist(), **H264_B))
    agree(path)


def test_only_what_is_needed_is_decoded(
    film: Film, coded: Coded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(coded(film(40), group=10, bf="0", sc_threshold="0"))
    clips.count(path)
    seen: list[int] = []
    starts: list[int] = []
    real = clips.decoded

    def counted(*given: Any, **how: Any) -> Any:
        starts.append(how["start"])
        for frame in real(*given, **how):
            seen.append(frame.pts)
            yield frame

    monkeypatch.setattr(clips, "decoded", counted)
    clips.frames_at(path, [33, 31])
    assert len(seen) == 4  # 30 to 33
    path.write_bytes(coded(film(40), **OPEN))
    starts.clear()
    for number in range(40):
        clips.frames_at(path, [number])
    assert len(starts) == 40  # none is tried again from the first packet on
    assert len(set(starts)) == 4
    assert starts == sorted(starts)


def cut_out(content: bytes, first: int) -> bytes:
    """A clip from a frame on without coding it anew: what is before is in the file, and its edit list hides it."""
    buffer = io.BytesIO()
    with (
        av.open(io.BytesIO(content)) as source,
        av.open(buffer, "w", format="mp4", options={"avoid_negative_ts": "disabled"}) as out,
    ):
        video = source.streams.video[0]
        stream = out.add_stream_from_template(video)
        shift = round(first / (video.average_rate * video.time_base))
        for packet in source.demux(video):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                out.mux(packet)
    return buffer.getvalue()


def test_a_clip_that_was_cut_out_has_its_own_frames_alone(film: Film, coded: Coded, tmp_path: Path) -> None:
    path, content = tmp_path / "clip.mp4", coded(film(40), **H264_B)
    path.write_bytes(cut_out(content, 17))
    np.testing.assert_array_equal(clips.read(path, whole=True).frames, clips.read(content).frames[17:])
    agree(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError):
        clips.read(path, whole=True)


def test_a_file_that_changes_is_read_anew(film: Film, coded: Coded, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    for n in (5, 9):
        path.write_bytes(coded(film(n)))
        agree(path)


def test_what_cannot_be_had_is_named(film: Film, coded: Coded, tmp_path: Path) -> None:
    for container, encoder, how in (("mp4", "libx264", {}), ("avi", "mpeg4", {}), CASES["jpeg in avi"]):
        path = tmp_path / "clip"
        path.write_bytes(coded(film(6), container, encoder, **how))
        for number in (6, -1):
            with pytest.raises(DataError, match=f"frame {number} of clip cannot be decoded"):
                clips.frames_at(path, [number])
    picture = bytearray(path.read_bytes())
    second = picture.index(b"\xff\xd8\xff", picture.index(b"\xff\xd8\xff") + 1)
    picture[second + 2 : second + 60] = bytes(58)
    path.write_bytes(bytes(picture))
    with pytest.raises(DataError, match="frame 1 of clip cannot be decoded"):
        clips.frames_at(path, [0, 1])
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="clip is no video"):
        clips.count(path)
    with pytest.raises(DataError, match="clip cannot be read"):
        clips.frames_at(tmp_path / "gone", [0], name="clip")


@pytest.mark.slow
@pytest.mark.data
def test_frames_of_real_clips(data_root: Path) -> None:
    found = [file for file in sorted(data_root.rglob("*")) if file.suffix in clips.SUFFIXES and file.is_file()]
    if not found:
        pytest.skip("there is no video below REGROW_DATA")
    for number, path in enumerate(found):
        agree(path, number, singly=1)
