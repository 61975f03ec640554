"""Corruptions of the coded file: H.264 and H.265 at low quality or bit rate, and lower frame rates."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from regrow import clips
from regrow.clips import Clip
from regrow.corruptions.video.randomness import Randomness
from regrow.corruptions.video.registry import VITTA, YI, ClipCorruption, every

_CODED = "files whose sides are odd are cut to even ones; PyAV's encoders, one thread"


def content_of(clip: Clip) -> bytes:
    """The clip's file; of frames alone, those coded by libx264 at its default quality."""
    if clip.content is not None:
        return clip.content
    return clips.encode(clips.frames_of(clip.frames), clip.rate, "libx264", clips.DEFAULT_CRF)


def _coded(content: bytes) -> Clip:
    clip = clips.read(content)
    return Clip(clip.frames, clip.rate, content, ".mp4")


def _crf(encoder: str) -> Callable[[Clip, int, Randomness], Clip]:
    def apply(clip: Clip, crf: int, _: Randomness) -> Clip:
        return _coded(clips.transcode(content_of(clip), encoder, {"crf": str(crf)}))

    return apply


def _abr(encoder: str) -> Callable[[Clip, int, Randomness], Clip]:
    def apply(clip: Clip, divisor: int, _: Randomness) -> Clip:
        return _coded(clips.at_part_of_rate(content_of(clip), encoder, divisor))

    return apply


def frame_rate(clip: Clip, rate: int, _: Randomness) -> Clip:
    """The clip at another frame rate, coded by libx265 at its default quality; never more frames than before."""
    new = min(Fraction(rate), clip.rate)
    return _coded(clips.transcode(content_of(clip), "libx265", {}, rate=new))


def _of_file(
    name: str,
    family: str,
    apply: Callable[[Clip, int, Randomness], Clip],
    settings: dict[str, list[int]],
    note: str = _CODED,
) -> ClipCorruption:
    columns = {column: every(values) for column, values in settings.items()}
    return ClipCorruption(name=name, family=family, level="file", source=YI, settings=columns, apply=apply, note=note)


def _both(values: list[int]) -> dict[str, list[int]]:
    return dict.fromkeys(("kinetics", "ssv2"), values)


H264_CRF = _of_file("h264_crf", "coding", _crf("libx264"), _both([23, 30, 37, 44, 51]))
H265_CRF = _of_file("h265_crf", "coding", _crf("libx265"), _both([27, 33, 39, 45, 51]))
H264_ABR = _of_file("h264_abr", "coding", _abr("libx264"), _both([2, 4, 8, 16, 32]))
H265_ABR = _of_file("h265_abr", "coding", _abr("libx265"), _both([2, 4, 8, 16, 32]))
FRAME_RATE = _of_file(
    "frame_rate",
    "time",
    frame_rate,
    {"kinetics": [20, 16, 12, 9, 6], "ssv2": [10, 8, 6, 4, 2]},
    "each frame at the nearest time of the new rate, as FFmpeg's filter fps; the published command has an option that "
    "FFmpeg does not know",
)
VITTA_H265_ABR = ClipCorruption(
    name="h265_abr",
    family="coding",
    level="file",
    source=VITTA,
    settings={"vitta": {5: 32}},
    apply=_abr("libx265"),
    note=_CODED,
)
