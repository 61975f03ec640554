"""The types of ImageNet-3DCC that a video coder makes: bit_error, h265_crf, h265_abr.

Kar, Yeo, Atanov and Zamir 2022, arXiv:2203.01441, take the last picture of a clip in which a camera moves through the
scene and back (119 pictures, 25 a second, coded by libx264 at its default quality), after that clip has gone through
the commands of Yi et al. 2021. The motion needs a depth map. Here the camera stands still and the stream is the one
picture: the same coders, commands and settings, other pictures than the published ones (``provenance`` says so).

A picture whose sides are odd or below 16 px, which the coders do not take, is made larger by repeating its last row and
column, and cut to its size again. Needs PyAV (the extra ``video``).
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from regrow import clips
from regrow.corruptions.registry import Corruption, Images
from regrow.corruptions.scales import SCALES
from regrow.errors import DataError

_SOURCE = "Kar et al. 2022, arXiv:2203.01441; commands of Yi et al. 2021, arXiv:2110.06513"

_RATE = Fraction(25)

#: Smallest side that libx265 takes.
_SMALLEST = 16

#: Bytes of a clip of 119 pictures of 224 px as published: 30 to 73 thousand for photographs moved as planes.
_CLIP_BYTES = 50_000

#: Leaves out x264's note of its own options: as long as a small picture, and no part of it.
_WITHOUT_NOTE = "filter_units=remove_types=6"

_STILL = "a stream of the one picture: the published ones are the last of a clip that a camera's motion through a depth "
_STILL += "map makes, and differ"


def one_picture(image: Images) -> bytes:
    """A picture, uint8 (H, W, 3), as the only one of an MP4 file: libx264 at its default quality, sides made to fit."""
    more = [(0, max(_SMALLEST, length + length % 2) - length) for length in image.shape[:2]]
    padded = np.pad(image, (*more, (0, 0)), "edge")
    return clips.encode(clips.frames_of(padded[None]), _RATE, "libx264", clips.DEFAULT_CRF)


def shown(content: bytes, like: Images) -> Images:
    """The picture of such a file, cut to the size of another one.

    Raises:
        DataError: nothing of it can be decoded.
    """
    picture: Images = clips.read(content, name="the picture").frames[0, : like.shape[0], : like.shape[1]]
    return picture


def _each(change: Callable[[bytes, Images, int], Images]) -> Callable[[Images, Any, int], Images]:
    """A change of a picture's stream as one of a batch (N, H, W, 3)."""

    def apply(images: Images, _: None, setting: int) -> Images:
        out = np.empty_like(images, order="C")
        for image, target in zip(images, out, strict=True):
            target[...] = change(one_picture(image), image, setting)
        return out

    return apply


@_each
def h265_crf(content: bytes, image: Images, crf: int) -> Images:
    """Coded anew by libx265 at constant quality ``crf``."""
    return shown(clips.transcode(content, "libx265", {"crf": str(crf)}), image)


@_each
def h265_abr(content: bytes, image: Images, divisor: int) -> Images:
    """Coded anew by libx265 at the file's bit rate divided by ``divisor``."""
    return shown(clips.at_part_of_rate(content, "libx265", divisor), image)


@_each
def bit_error(content: bytes, image: Images, period: int) -> Images:
    """Bytes of the stream altered by FFmpeg's filter ``noise``, which depends on the stream alone.

    A published clip loses one byte in ``period``, and its last picture shows most of the damage. So many bytes are
    altered here in the one picture, whatever its size: 0.5 of them on average at severity 1, and 5 at severity 5. Where
    nothing is left that can be decoded, they become fewer until something is.
    """
    clean = clips.copied(content, "mp4", _WITHOUT_NOTE)
    with clips.opened(clean) as container:
        n_bytes = sum(packet.size for packet in clips.packets_of(container))
    own = max(1, round(period * n_bytes / _CLIP_BYTES))
    while True:
        try:
            return shown(clips.copied(clean, "mp4", f"noise={own}"), image)
        except DataError:
            own += 1


def _prepare(setting: int, _: Any, side: int) -> tuple[int, dict[str, str]]:
    """The setting, and with what and how it is applied."""
    found = clips.versions()
    return setting, {"codec": f"libx264 and libx265 of PyAV {found['av']}, FFmpeg {found['ffmpeg']}", "how": _STILL}


def _record(name: str, apply: Callable[[Images, Any, int], Images], settings: tuple[int, ...]) -> Corruption:
    return Corruption(
        name=name,
        family="digital",
        source=_SOURCE,
        benchmark="3dcc",
        apply=apply,
        prepare=_prepare,
        needs="video",
        settings=dict.fromkeys(SCALES, settings),
    )


BIT_ERROR = _record("bit_error", bit_error, (100_000, 50_000, 30_000, 20_000, 10_000))
H265_CRF = _record("h265_crf", h265_crf, (24, 26, 32, 39, 41))
H265_ABR = _record("h265_abr", h265_abr, (2, 4, 8, 16, 32))
