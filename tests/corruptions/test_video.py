"""Corruptions of clips, against closed forms, slow forms, FFmpeg's own filters and bytes made with OpenCV."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from regrow import clips
from regrow.clips import Clip
from regrow.corruptions import corrupt, video
from regrow.corruptions.draws import CounterStream
from regrow.corruptions.video.randomness import Randomness
from regrow.corruptions.video.transmission import DATAGRAM, lose
from regrow.errors import DataError, InputError, UnknownNameError

av = pytest.importorskip("av", reason="PyAV is not installed (extra regrow[video])")

Moving = Callable[..., np.ndarray]
RATE = Fraction(25)
FRAMEWISE = ["shot_noise", "rain", "contrast", "brightness", "saturate"]
BY_FILE = ["h264_crf", "h265_crf", "h264_abr", "h265_abr", "bit_error", "packet_loss", "frame_rate"]


@pytest.fixture(scope="module")
def coded(moving: Moving) -> Clip:
    """A clip with its file: H.264 in MP4, 112 x 96 pixels."""
    content = clips.encode(clips.frames_of(moving(40, 96, 112)), RATE, "libx264", {"crf": "18", "g": "10"})
    read = clips.read(content)
    return Clip(read.frames, read.rate, content, ".mp4")


def test_columns_hold_what_the_papers_list() -> None:
    of_yi = {*FRAMEWISE, "motion_blur", "fog", *BY_FILE}
    assert set(video.names()) == set(video.names("ssv2")) == of_yi
    of_vitta = {"gauss", "pepper", "salt", "shot", "zoom", "impulse", "defocus", "motion", "jpeg"}
    assert set(video.names("vitta")) == {*of_vitta, "contrast", "rain", "h265_abr"}
    assert len(video.names("imagenet")) == 19


#: md5 of two frames under rain after numpy.random.seed(severity), by the published formula with OpenCV 4.8.1's line
#: and blur.
RAIN = {
    1: "1ce72149f6f3579351fd0d1e5a159e6c",
    2: "124e8daea27b5401e2cf69c038e3976f",
    3: "e7f6e27bd27bdf29ab769e997cf32210",
    4: "aae3fe3c7e868713310dac04ae879c7b",
    5: "36021a605b5125413c6b426ef66cfa17",
}


@pytest.mark.parametrize("severity", range(1, 6))
def test_rain_has_the_bytes_of_opencv(severity: int) -> None:
    stream, (y, x) = np.random.RandomState(5), np.mgrid[:224, :224]
    frames = [
        np.clip(np.stack([x + t * 9, y, (x + y) // 2], -1) + stream.uniform(-20, 20, (224, 224, 3)), 0, 255)
        for t in range(2)
    ]
    clip = Clip(np.stack(frames).astype(np.uint8), RATE)
    rainy = video.corrupt_clip(clip, "rain", severity, rng=np.random.RandomState(severity))
    assert hashlib.md5(rainy.frames.tobytes()).hexdigest() == RAIN[severity]


def test_rain_of_own_streams_has_the_published_law(moving: Moving) -> None:
    from regrow.corruptions.video.rain import RAIN, draw_rain

    setting = RAIN.settings["imagenet"][1]
    columns, rows = draw_rain(CounterStream(0, "rain", 2, range(2000)), (224, 224, 3), setting)
    assert columns.shape == rows.shape == (2000, 224 * 224 // 770)
    assert rows.min() == 0
    assert rows.max() == 224 - 30 - 1
    low, high = columns.min(axis=1), columns.max(axis=1)
    assert low.min() == -10
    assert high.max() == 223
    # a frame has one slant: drops start left of it, or end short of its right edge, never both
    assert ((low >= 0) | (high > 223 - 30)).all()
    # a frame that is not widened begins at column 0: of 65 drops over about 220 columns one is there in 26 of 100
    assert 0.2 < (low[low >= 0] == 0).mean() < 0.32
    # mean start: of slant < 0 it is (slant + 223) / 2, else (223 - slant) / 2; slants are -10 ... 9
    expected = np.mean([(s + 223) / 2 if s < 0 else (223 - s) / 2 for s in range(-10, 10)])
    assert abs(columns.mean() - expected) < 4 * columns.mean(axis=1).std() / 2000**0.5


def test_drops_are_the_lines_that_opencv_draws() -> None:
    """Pixels as cv2.line of OpenCV 4.8.1 sets them for (x, 3) to (x - 1, 3 + length), among them an odd length."""
    from regrow.corruptions.video.rain import _mask

    def pixels(x: int, length: int) -> set[tuple[int, int]]:
        mask = _mask(np.array([x]), np.array([3]), 224, length)
        return {(int(row), int(column)) for row, column in np.argwhere(mask == 220)}

    assert pixels(5, 10) == {*((row, 5) for row in range(3, 8)), *((row, 4) for row in range(8, 14))}
    assert pixels(5, 7) == {*((row, 5) for row in range(3, 7)), *((row, 4) for row in range(7, 11))}
    assert pixels(0, 10) == {(3, 0)}
    assert pixels(-1, 10) == set()


def test_short_drops_on_small_frames_are_said(moving: Moving) -> None:
    clip = Clip(moving(2), RATE)
    assert "96 px" in video.provenance("rain", 96)["scale"]
    assert not np.array_equal(video.corrupt_clip(clip, "rain", 5).frames, clip.frames)


def test_fog_is_one_cloud_for_all_frames_and_its_own_per_frame(moving: Moving) -> None:
    clip = Clip(moving(3, 224, 224), RATE)
    foggy = video.corrupt_clip(clip, "fog", 3, rng=np.random.RandomState(8)).frames
    one_by_one = [
        corrupt(frame[None], "fog", 3, rng=np.random.RandomState(8), mode="exact")[0] for frame in clip.frames
    ]
    np.testing.assert_array_equal(foggy, np.stack(one_by_one))
    flicker = video.corrupt_clip(clip, "fog", 3, rng=np.random.RandomState(8), per_frame=True).frames
    rng = np.random.RandomState(8)
    np.testing.assert_array_equal(flicker, corrupt(clip.frames, "fog", 3, rng=rng, mode="exact"))


@pytest.mark.parametrize(("column", "halves"), [("kinetics", (3, 5, 7, 9, 11)), ("ssv2", (1, 2, 3, 4, 6))])
def test_motion_blur_is_a_mean_over_time(moving: Moving, column: str, halves: tuple[int, ...]) -> None:
    clip = Clip(moving(30), RATE)
    for severity, w in enumerate(halves, 1):
        blurred = video.corrupt_clip(clip, "motion_blur", severity, column=column).frames
        slow = [
            (np.sum(clip.frames[i - w : i + w], axis=0, dtype=float) / (2.0 * w)).astype(np.uint8)
            for i in range(w, 30 - w)
        ]
        np.testing.assert_array_equal(blurred, np.stack(slow))


def test_motion_blur_of_too_few_frames_is_refused(moving: Moving) -> None:
    with pytest.raises(InputError, match="6 frames has none left"):
        video.corrupt_clip(Clip(moving(6), RATE), "motion_blur", 1)
    assert len(video.corrupt_clip(Clip(moving(7), RATE), "motion_blur", 1)) == 1


def test_frame_settings_are_those_of_the_video_set(moving: Moving) -> None:
    clip = Clip(moving(2, 224, 224), RATE)

    def bytes_of(name: str, severity: int) -> np.ndarray:
        return video.corrupt_clip(clip, name, severity, rng=np.random.RandomState(3)).frames

    for severity in range(1, 6):
        for name in ("brightness", "saturate"):
            np.testing.assert_array_equal(bytes_of(name, severity), corrupt(clip.frames, name, severity, mode="exact"))
        rng = np.random.RandomState(3)
        expected = corrupt(clip.frames, "shot_noise", severity, rng=rng, mode="exact")
        np.testing.assert_array_equal(bytes_of("shot_noise", severity), expected)
        factor = (0.5, 0.4, 0.3, 0.2, 0.1)[severity - 1]
        unit = clip.frames / 255.0
        mean = unit.mean((1, 2), keepdims=True)
        drawn = np.clip((unit - mean) * factor + mean, 0, 1) * 255
        assert np.abs(bytes_of("contrast", severity) - drawn).max() <= 1
        assert (bytes_of("contrast", severity) != drawn.astype(np.uint8)).mean() < 1e-3


@pytest.mark.parametrize("name", ["shot_noise", "rain", "fog"])
def test_noise_depends_on_seed_clip_and_frame_alone(moving: Moving, name: str) -> None:
    still = Clip(np.repeat(moving(1), 4, axis=0), RATE)

    def frames(clip: Clip = still, **how: object) -> np.ndarray:
        return video.corrupt_clip(clip, name, 4, **how).frames  # type: ignore[arg-type]

    np.testing.assert_array_equal(frames(), frames())
    np.testing.assert_array_equal(frames()[:2], frames(Clip(still.frames[:2], RATE)))
    assert not np.array_equal(frames(), frames(index=1))
    assert not np.array_equal(frames(), frames(seed=1))
    flicker, steady = frames(per_frame=True), frames(per_frame=False)
    assert not np.array_equal(flicker[0], flicker[1])
    assert all(np.array_equal(steady[0], frame) for frame in steady)
    np.testing.assert_array_equal(frames(), steady if name == "fog" else flicker)
    replayed = frames(rng=np.random.RandomState(1), per_frame=False)
    assert all(np.array_equal(replayed[0], frame) for frame in replayed)


@pytest.mark.parametrize("name", video.names("imagenet"))
def test_the_nineteen_are_the_image_corruptions_of_each_frame(
    pictures: Callable[[int], np.ndarray], stand_in_frost: list[np.ndarray], name: str
) -> None:
    frames = pictures(224)[:2]
    clip = Clip(frames, RATE)
    here = video.corrupt_clip(
        clip, name, 2, column="imagenet", rng=np.random.RandomState(4), frost=stand_in_frost
    ).frames
    there = corrupt(frames, name, 2, rng=np.random.RandomState(4), mode="exact", frost=stand_in_frost)
    np.testing.assert_array_equal(here, there)
    if name == "frost":
        assert "frost" in video.provenance(name, 224, column="imagenet", frost=stand_in_frost)


def test_vitta_is_severity_five_and_salt_and_pepper_are_one_sided() -> None:
    grey = Clip(np.full((4, 224, 224, 3), 100, np.uint8), RATE)
    for name, level in (("salt", 255), ("pepper", 0)):
        noisy = video.corrupt_clip(grey, name, 5, column="vitta").frames
        assert set(np.unique(noisy)) == {100, level}
        assert abs((noisy == level).mean() - 0.27) < 4 * (0.27 * 0.73 / noisy.size) ** 0.5
    assert "regrow recipe" in video.provenance("salt", 224, column="vitta")["settings"]
    with pytest.raises(InputError, match="severity 5 only, got 3"):
        video.corrupt_clip(grey, "salt", 3, column="vitta")
    gauss = video.corrupt_clip(grey, "gauss", 5, column="vitta", rng=np.random.RandomState(0)).frames
    expected = corrupt(grey.frames, "gaussian_noise", 5, rng=np.random.RandomState(0), mode="exact")
    np.testing.assert_array_equal(gauss, expected)


@pytest.mark.parametrize("new", [20, 16, 10, 9, 6, 2])
@pytest.mark.parametrize("old", [25, 30, Fraction(30000, 1001)])
def test_frames_are_dropped_as_by_ffmpeg(old: Fraction, new: int) -> None:
    graph = av.filter.Graph()
    source = graph.add_buffer(width=16, height=16, format="gray", time_base=1 / Fraction(old))
    rate, sink = graph.add("fps", str(new)), graph.add("buffersink")
    source.link_to(rate)
    rate.link_to(sink)
    graph.configure()
    for number in range(83):
        frame = av.VideoFrame.from_ndarray(np.full((16, 16), number, np.uint8), format="gray")
        frame.pts, frame.time_base, frame.duration = number, 1 / Fraction(old), 1
        source.push(frame)
    source.push(None)
    shown = []
    while True:
        try:
            shown.append(int(sink.pull().to_ndarray()[0, 0]))
        except (av.error.BlockingIOError, av.error.EOFError):
            break
    assert shown == list(clips.resampled(iter(range(83)), Fraction(old), Fraction(new)))


def test_frame_rate_keeps_the_duration(coded: Clip) -> None:
    for severity, rate in enumerate((20, 16, 12, 9, 6), 1):
        slow = video.corrupt_clip(coded, "frame_rate", severity)
        assert (slow.rate, len(slow)) == (rate, round(40 * rate / 25 + 1e-9))
    short = Clip(coded.frames[:1], Fraction(30))
    assert len(video.corrupt_clip(short, "frame_rate", 5, column="ssv2")) == 1
    crawl = Clip(coded.frames[:8], Fraction(5))
    assert len(video.corrupt_clip(crawl, "frame_rate", 1)) == 8  # never faster than it was


def packets_of(content: bytes) -> list[bytes]:
    with av.open(io.BytesIO(content)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize("period", [100, 1000])
def test_bit_error_alters_the_bytes_that_ffmpeg_alters(coded: Clip, period: int) -> None:
    clean = packets_of(coded.content or b"")
    damaged = packets_of(clips.copied(coded.content or b"", "mp4", f"noise={period}"))
    assert [len(packet) for packet in clean] == [len(packet) for packet in damaged]
    before = np.frombuffer(b"".join(clean), np.uint8)
    state = np.cumsum(before.astype(np.uint32) + 1, dtype=np.uint32)  # the filter's state runs over all packets
    expected = np.where(state % period == 0, (state & 255).astype(np.uint8), before)
    np.testing.assert_array_equal(np.frombuffer(b"".join(damaged), np.uint8), expected)
    assert 0.4 / period < (expected != before).mean() < 2.5 / period


def test_bit_error_of_a_short_clip_still_changes_a_frame(moving: Moving) -> None:
    tiny = clips.read(clips.encode(clips.frames_of(moving(3, 32, 32)), RATE, "libx264", {"crf": "40"}))
    damaged = video.corrupt_clip(tiny, "bit_error", 1)
    assert damaged.content is not None
    differ = sum(a != b for a, b in zip(packets_of(tiny.content or b""), packets_of(damaged.content), strict=True))
    assert differ >= 1
    assert len(damaged) == len(tiny)
    assert not np.array_equal(damaged.frames, tiny.frames)
    again = video.corrupt_clip(tiny, "bit_error", 1)
    assert again.content == damaged.content
    other = video.corrupt_clip(tiny, "bit_error", 1, seed=1)
    assert other.content != damaged.content


def test_packets_are_lost_whole_at_the_stated_rate() -> None:
    sent = b"".join(bytes([number % 256]) * DATAGRAM for number in range(2000))
    received = lose(sent, 0.06, CounterStream(0, "packet_loss", 5, [0]))
    kept = [received[at : at + DATAGRAM] for at in range(0, len(received), DATAGRAM)]
    assert all(len(set(datagram)) == 1 for datagram in kept)
    assert abs(1 - len(kept) / 2000 - 0.06) < 4 * (0.06 * 0.94 / 2000) ** 0.5
    for seed in range(20):  # the first always arrives
        assert lose(sent[: 3 * DATAGRAM], 0.999, CounterStream(seed, "x", 1, [0])) == sent[:DATAGRAM]


def test_a_loss_that_leaves_no_frame_is_drawn_again(moving: Moving) -> None:
    record, clip, share = video.get("packet_loss"), Clip(moving(30), RATE), 0.9
    content = clips.encode(clips.frames_of(clip.frames), RATE, "libx264", clips.DEFAULT_CRF)
    sent = clips.transcode(content, "libx264", {"crf": "23", "g": "25"}, container="mpegts")
    assert len(sent) > 5 * DATAGRAM
    draws = []
    for seed in range(6):
        stream, found = CounterStream(seed, "clip/packet_loss", 5, [2]), None
        draws.append(0)
        while found is None:
            received = lose(sent, share, stream)
            draws[-1] += 1
            with contextlib.suppress(DataError):
                found = clips.read(received, len(clip))
        lossy = record.apply(clip, share, Randomness("packet_loss", 5, seed=seed, index=2))
        assert lossy.content == received
        np.testing.assert_array_equal(lossy.frames, found.frames)
        assert len(lossy) == len(clip)
    assert max(draws) > 1
    whole = record.apply(clip, 1.0, Randomness("packet_loss", 5))  # no draw leaves a frame
    assert whole.content == sent
    np.testing.assert_array_equal(whole.frames, clips.read(sent, len(clip)).frames)


def test_a_stream_that_lost_nothing_is_the_coded_clip(coded: Clip) -> None:
    record = video.get("packet_loss")
    whole = record.apply(coded, 0.0, Randomness("packet_loss", 1))
    plain = clips.read(clips.transcode(coded.content or b"", "libx264", {"crf": "23", "g": "25"}))
    np.testing.assert_array_equal(whole.frames, plain.frames)
    assert whole.rate == coded.rate


def test_frames_that_are_not_decoded_repeat_the_last_one(moving: Moving) -> None:
    content = clips.encode(clips.frames_of(moving(12)), RATE, "libx264", {"g": "1", "bf": "0"}, container="mpegts")
    whole = clips.read(content)
    kept = io.BytesIO()
    with av.open(io.BytesIO(content)) as source, av.open(kept, "w", format="mpegts") as out:
        target = out.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for number, packet in enumerate(packets):
            if number not in (4, 5, 11):
                packet.stream = target
                out.mux(packet)
    assert len(clips.read(kept.getvalue())) == 9
    held = clips.read(kept.getvalue(), n_frames=12).frames
    source_of = [0, 1, 2, 3, 3, 3, 6, 7, 8, 9, 10, 10]
    np.testing.assert_array_equal(held, whole.frames[source_of])


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_encoders_give_the_same_bytes_each_time(moving: Moving, encoder: str) -> None:
    frames = moving(40, 120, 160)
    found = set()
    for size in (1, 300_001, 70_003, 1_000_003):
        junk = [np.full(size, 7 * number, np.uint8) for number in range(9)]  # other memory for each
        found.add(clips.encode(clips.frames_of(frames), RATE, encoder, {}))
        del junk
    assert len(found) == 1


def test_coded_clips_keep_frames_and_lose_quality(coded: Clip) -> None:
    for name in ("h264_crf", "h265_crf", "h264_abr", "h265_abr"):
        sizes, errors = [], []
        for severity in range(1, 6):
            done = video.corrupt_clip(coded, name, severity)
            assert done.frames.shape == coded.frames.shape
            sizes.append(len(done.content or b""))
            errors.append(np.abs(done.frames.astype(float) - coded.frames).mean())
        assert sizes == sorted(sizes, reverse=True), name
        assert errors == sorted(errors), name


def test_odd_sides_are_cut_and_clips_without_a_file_are_coded_first(moving: Moving) -> None:
    done = video.corrupt_clip(Clip(moving(6, 97, 63), RATE), "h264_crf", 1)
    assert done.frames.shape == (6, 96, 62, 3)
    assert np.abs(done.frames.astype(float) - moving(6, 97, 63)[:, :96, :62]).mean() < 12


@pytest.mark.parametrize("name", video.names())
def test_every_corruption_changes_every_clip(moving: Moving, coded: Clip, name: str) -> None:
    square = Clip(moving(40), RATE)
    given = coded if video.get(name).level == "file" else square
    before = given.frames.copy()
    for severity in (1, 5):
        done = video.corrupt_clip(given, name, severity)
        np.testing.assert_array_equal(given.frames, before)
        if name == "motion_blur":
            reference = before[(3, 0, 0, 0, 11)[severity - 1] :][: len(done)]
            assert len(done) == 40 - 2 * (3, 0, 0, 0, 11)[severity - 1]
        elif name == "frame_rate":
            reference = np.stack(list(clips.resampled(iter(before), RATE, done.rate)))
        else:
            reference = before
        assert done.frames.shape == reference.shape
        delta = np.abs(done.frames.astype(float) - reference).mean()
        assert delta > (1 if severity == 5 and name not in ("saturate", "frame_rate") else 0)
        again = video.corrupt_clip(given, name, severity)
        np.testing.assert_array_equal(done.frames, again.frames)
        if done.content is not None:
            assert done.content == again.content
            read = clips.read(done.content, len(done))
            np.testing.assert_array_equal(read.frames, done.frames)


def test_saved_frames_are_read_as_they_were_stored(moving: Moving) -> None:
    frames = moving(5, 64, 80)
    content = clips.as_mjpeg(frames, Fraction(30000, 1001))
    read = clips.read(content)
    assert read.rate == Fraction(30000, 1001)
    np.testing.assert_array_equal(read.frames, clips.through_jpeg(frames))
    with av.open(io.BytesIO(content)) as container:  # and another decoder finds the same but for its rounding
        decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert decoded.shape == frames.shape
    assert np.abs(decoded.astype(float) - read.frames).mean() < 3
    stored = video.corrupt_clip(Clip(moving(5), RATE), "brightness", 1, stored=True)
    plain = video.corrupt_clip(Clip(moving(5), RATE), "brightness", 1)
    np.testing.assert_array_equal(stored.frames, clips.through_jpeg(plain.frames))


def test_what_cannot_be_done_is_said(moving: Moving, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = Clip(moving(4), RATE)
    with pytest.raises(UnknownNameError, match="'shot_noise'"):
        video.corrupt_clip(clip, "shot_noize", 1)
    with pytest.raises(UnknownNameError, match="it is in the column imagenet"):
        video.corrupt_clip(clip, "frost", 1)
    with pytest.raises(UnknownNameError, match="'kinetics'"):
        video.corrupt_clip(clip, "fog", 1, column="kinetic")
    with pytest.raises(InputError, match="square"):
        video.corrupt_clip(Clip(moving(4, 96, 64), RATE), "fog", 1)
    with pytest.raises(InputError, match="severity"):
        video.corrupt_clip(clip, "fog", 6)
    with pytest.raises(InputError, match="no frame"):
        video.corrupt_clip(Clip(clip.frames[:0], RATE), "fog", 1)
    for content in (b"", b"no video at all", clips.as_mjpeg(clip.frames, RATE)[:200]):
        with pytest.raises(InputError, match=r"no video that can be read|no frame|no video stream"):
            clips.read(content)
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(InputError, match=r"regrow\[video\]"):
        video.corrupt_clip(clip, "h264_crf", 1)
    assert len(video.corrupt_clip(clip, "fog", 1)) == 4  # frames need no PyAV


def tagged(frames: np.ndarray, colorspace: str, full: bool = False) -> bytes:
    """A clip of another colour matrix and range, losslessly coded and tagged, as cameras write them."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.colorspace = av.video.reformatter.Colorspace[colorspace]
        stream.codec_context.color_range = av.video.reformatter.ColorRange["JPEG" if full else "MPEG"]
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=colorspace, dst_color_range="JPEG" if full else "MPEG"
            )
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()


@pytest.mark.parametrize(("colorspace", "full"), [("ITU709", False), ("ITU601", False), ("ITU709", True)])
@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_coding_keeps_colours_of_any_tagged_source(colorspace: str, full: bool, encoder: str) -> None:
    frames = np.empty((3, 64, 64, 3), np.uint8)
    frames[:, :, :32], frames[:, :, 32:] = (212, 54, 36), (17, 157, 55)
    clean = clips.read(tagged(frames, colorspace, full))
    assert np.abs(clean.frames.astype(int) - frames).mean() < 3
    done = clips.read(clips.transcode(clean.content or b"", encoder, {"crf": "4"}))
    assert np.abs(done.frames.astype(int) - clean.frames).mean() < 2


def mjpeg(moving: Moving) -> Clip:
    content = clips.as_mjpeg(moving(12, 64, 64), RATE)
    return Clip(clips.read(content).frames, RATE, content, ".avi")


@pytest.mark.parametrize("severity", range(1, 6))
def test_damaged_motion_jpeg_is_read_without_the_pictures_that_are_lost(moving: Moving, severity: int) -> None:
    clean = mjpeg(moving)
    damaged = video.corrupt_clip(clean, "bit_error", severity)
    assert damaged.frames.shape == clean.frames.shape
    assert not np.array_equal(damaged.frames, clean.frames)
    content = clean.content or b""
    packets = packets_of(content)
    broken = content.replace(packets[5], packets[5][:4] + bytes(len(packets[5]) - 4))
    held = clips.read(broken, n_frames=12).frames
    np.testing.assert_array_equal(held, clean.frames[[0, 1, 2, 3, 4, 4, 6, 7, 8, 9, 10, 11]])
    assert len(clips.read(content[: len(content) // 2])) < 12


def test_a_gap_in_a_clip_of_varying_rate_is_filled_where_it_is(moving: Moving) -> None:
    content = clips.encode(clips.frames_of(moving(12)), RATE, "libx264", {"g": "1", "bf": "0"})
    whole, varying = clips.read(content).frames, io.BytesIO()
    with av.open(io.BytesIO(content)) as source, av.open(varying, "w", format="mp4") as out:
        target = out.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            tick = packet.duration or 1
            packet.pts = packet.dts = tick * (number if number < 6 else 6 + 5 * (number - 6))
            packet.stream = target
            if number == 4:
                packet.update(packet_without_picture(bytes(packet)))
            out.mux(packet)
    with clips.opened(varying.getvalue()) as container:
        assert sum(1 for _ in clips.decoded(container)) == 11
    held = clips.read(varying.getvalue(), n_frames=12).frames
    np.testing.assert_array_equal(held, whole[[0, 1, 2, 3, 3, 5, 6, 7, 8, 9, 10, 11]])


def packet_without_picture(content: bytes) -> bytes:
    """The same length, but one unit of a type that decoders pass over (filler data)."""
    return (len(content) - 4).to_bytes(4, "big") + bytes([12]) + b"\xff" * (len(content) - 5)


def test_frames_of_varying_rate_are_dropped_by_their_times() -> None:
    times = [Fraction(n, 25) if n < 20 else Fraction(20 + 5 * (n - 20), 25) for n in range(40)]
    shown = list(clips.resampled(iter(range(40)), Fraction(25), Fraction(10), lambda n: times[n]))
    # at each tick of the new clock, the last frame whose time is nearest to this tick or an earlier one
    ticks = [int(np.floor(float(t) * 10 + 0.5)) for t in times]
    end = int(np.floor(float(times[-1] + Fraction(1, 25)) * 10 + 0.5))
    assert shown == [max(n for n in range(40) if ticks[n] <= k) for k in range(end)]


def test_times_that_do_not_rise_are_not_trusted() -> None:
    """AVI files with B-frames of Xvid tell times in the order of coding: frames are then placed by their number."""
    frames = [np.full((1, 1, 3), value, np.uint8) for value in range(4)]

    def held(times: list[int | None]) -> list[int]:
        place = clips._places([1, 2, 3, 4, 5], 5, Fraction(1, 25), Fraction(25))
        return clips._held(list(zip(times, frames, strict=True)), 5, place)[:, 0, 0, 0].tolist()

    assert held([1, 2, 4, 5]) == [0, 1, 1, 2, 3]
    for times in ([1, 2, 4, 3], [1, 2, 2, 3], [1, None, 3, 4]):
        assert held(times) == [0, 1, 2, 3, 3]


def test_turned_video_is_shown_upright() -> None:
    class Turned:
        rotation = -90

        @staticmethod
        def to_ndarray(format: str) -> np.ndarray:
            return np.arange(24, dtype=np.uint8).reshape(2, 4, 3)

    # -90: a quarter clockwise, as FFmpeg turns such a file: the first row becomes the last column
    np.testing.assert_array_equal(clips.upright(Turned())[:, -1], Turned.to_ndarray("")[0])


def test_what_an_encoder_refuses_is_one_line(moving: Moving) -> None:
    with pytest.raises(InputError, match="libx265 cannot code the clip"):
        video.corrupt_clip(Clip(moving(3, 8, 8), RATE), "h265_crf", 1)
