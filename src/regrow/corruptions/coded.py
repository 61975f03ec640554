"""The types of ImageNet-3DCC that a video coder makes: bit_error, h265_crf, h265_abr.

Kar, Yeo, Atanov and Zamir 2022, arXiv:2203.01441, take the last picture of a clip (119 pictures, 25 a second, coded by
libx264 at its default quality) in which a camera moves through the scene and back, after that clip has gone through
the commands of Yi et al. 2021, arXiv:2110.06513. The motion needs a depth map. Coders, commands and settings are the
same here, and the clip is one that needs none:

    h265_crf, h265_abr   the picture alone: how coarsely it is coded depends little on the pictures before it
    bit_error            the scene as a plane, moved as far as published in a quarter of the pictures: errors are
                         handed on from picture to picture

So they are not the published pictures, as ``provenance`` says. A picture whose sides are odd or below 16 px, which the
coders do not take, is made larger by repeating its last row and column, and cut to its size again. Needs PyAV (the
extra ``video``).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from regrow import clips
from regrow.clips import Frames
from regrow.corruptions.draws import Stream
from regrow.corruptions.pixels import Floats
from regrow.corruptions.registry import Corruption, Draws, Images, Shape
from regrow.corruptions.scales import SCALES
from regrow.errors import DataError

_SOURCE = "Kar et al. 2022, arXiv:2203.01441"

_RATE = Fraction(25)

#: Smallest side that libx265 takes.
_SMALLEST = 16


def coded(frames: Frames) -> bytes:
    """Pictures, uint8 (T, H, W, 3), as an MP4 file: libx264 at its default quality, sides made to fit."""
    more = [(0, max(_SMALLEST, length + length % 2) - length) for length in frames.shape[1:3]]
    fitting = np.pad(frames, ((0, 0), *more, (0, 0)), "edge")
    return clips.encode(clips.frames_of(fitting), _RATE, "libx264", clips.DEFAULT_CRF)


def last(content: bytes, shape: Shape, n_frames: int = 1) -> Images:
    """The last picture of such a file of ``n_frames``, cut to its size before.

    Raises:
        DataError: nothing of the file can be decoded.
    """
    picture: Images = clips.read(content, n_frames).frames[-1, : shape[0], : shape[1]]
    return picture


def h265_crf(images: Images, _: None, crf: int) -> Images:
    """Each picture as a stream of its own, coded anew by libx265 at constant quality ``crf``; (N, H, W, 3)."""
    out = np.empty_like(images, order="C")
    for image, target in zip(images, out, strict=True):
        target[...] = last(clips.transcode(coded(image[None]), "libx265", {"crf": str(crf)}), image.shape)
    return out


def h265_abr(images: Images, _: None, divisor: int) -> Images:
    """The same at the bit rate of its file divided by ``divisor``; (N, H, W, 3)."""
    out = np.empty_like(images, order="C")
    for image, target in zip(images, out, strict=True):
        target[...] = last(clips.at_part_of_rate(coded(image[None]), "libx265", divisor), image.shape)
    return out


#: Pictures on the way out, of which the published clips have 60.
_STEPS = 15

#: The side that published motions are told for, in pixels.
_SIDE = 224


def draw_motion(stream: Stream, shape: Shape, period: int) -> Draws:
    """Uniform numbers of each image's motion, (n, 3)."""
    return stream.uniform((3,))


def moved(image: Images, numbers: Floats) -> Frames:
    """A camera's way along a plane that shows the image, and back, with the edges repeated beyond it.

    Args:
        image: uint8 (H, W, 3).
        numbers: three in [0, 1): left or right, how far (50 to 75 of 224 px), and how far up or down (up to 75).

    Returns:
        uint8 (29, H, W, 3); the last frame is the image.
    """
    side, across, down = numbers.tolist()
    rows, columns = (np.arange(length) for length in image.shape[:2])
    far = (150 * down - 75) / _SIDE * len(rows), (50 + 25 * across) / _SIDE * len(columns) * (1 if side < 0.5 else -1)
    out = np.arange(_STEPS) / (_STEPS - 1)
    frames = []
    for part in [*out, *out[-2::-1]]:
        y, x = (np.rint(part * length).astype(int) for length in far)
        frames.append(image[np.clip(rows + y, 0, rows[-1])[:, None], np.clip(columns + x, 0, columns[-1])])
    return np.stack(frames)


#: Bytes of a clip of 119 pictures of 224 px: 20 to 75 thousand for photographs.
_CLIP_BYTES = 50_000

#: Leaves out x264's note of its own options: as long as the stream of a small picture, and no part of it.
_WITHOUT_NOTE = "filter_units=remove_types=6"


def bit_error(images: Images, draws: Floats, period: int) -> Images:
    """The last picture of a clip whose bytes were altered by FFmpeg's filter ``noise``; (N, H, W, 3).

    As many as in a published clip: one in ``period`` of its about 50,000 bytes, i.e. 0.5 on average at severity 1 and 5
    at severity 5, whatever the size of the picture. Which ones follows from the stream alone. Where nothing is left
    that can be decoded, they become fewer until something is.
    """
    out = np.empty_like(images, order="C")
    for image, target, numbers in zip(images, out, draws, strict=True):
        target[...] = _after_errors(moved(image, numbers), period)
    return out


def _after_errors(frames: Frames, period: int) -> Images:
    clean = clips.copied(coded(frames), "mp4", _WITHOUT_NOTE)
    with clips.opened(clean) as container:
        n_bytes = sum(packet.size for packet in clips.packets_of(container))
    own = max(1, round(period * n_bytes / _CLIP_BYTES))
    while True:
        try:
            return last(clips.copied(clean, "mp4", f"noise={own}"), frames.shape[1:], len(frames))
        except DataError:
            own += 1


def _said(coders: str, how: str) -> Any:
    """What ``prepare`` of a record gives: the setting as it is, with what and how it is applied."""

    def prepare(setting: int, _: Any, side: int) -> tuple[int, dict[str, str]]:
        found = clips.versions()
        return setting, {"codec": f"{coders} of PyAV {found['av']}, FFmpeg {found['ffmpeg']}", "how": how}

    return prepare


_ALONE = _said(
    "libx264, libx265",
    "the picture alone is coded: the published ones are the last of a clip made with a depth map, and differ",
)
_PLANE = _said(
    "libx264",
    "the clip, of which the last picture is taken, shows a plane: the published ones are made with a depth map, and "
    "differ",
)

BIT_ERROR = Corruption(
    name="bit_error",
    family="digital",
    source=_SOURCE,
    benchmark="3dcc",
    draw=draw_motion,
    apply=bit_error,
    prepare=_PLANE,
    needs="video",
    settings=dict.fromkeys(SCALES, (100_000, 50_000, 30_000, 20_000, 10_000)),
)

H265_CRF = Corruption(
    name="h265_crf",
    family="digital",
    source=_SOURCE,
    benchmark="3dcc",
    apply=h265_crf,
    prepare=_ALONE,
    needs="video",
    settings=dict.fromkeys(SCALES, (24, 26, 32, 39, 41)),
)

H265_ABR = Corruption(
    name="h265_abr",
    family="digital",
    source=_SOURCE,
    benchmark="3dcc",
    apply=h265_abr,
    prepare=_ALONE,
    needs="video",
    settings=dict.fromkeys(SCALES, (2, 4, 8, 16, 32)),
)
