"""Corruptions of the coded stream on its way: altered bytes and lost packets, concealed by the decoder."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from regrow import clips
from regrow.clips import Clip
from regrow.corruptions.draws import Stream
from regrow.corruptions.pixels import Floats
from regrow.corruptions.video.coding import content_of
from regrow.corruptions.video.randomness import Randomness
from regrow.corruptions.video.registry import YI, ClipCorruption, every
from regrow.errors import DataError

#: Bytes of a datagram: seven packets of an MPEG transport stream, as they are sent over UDP.
DATAGRAM = 7 * 188

#: Bytes that are tried, at most, where the filter alters none that is seen.
_MOST_FURTHER = 256

#: Period at which the filter alters nothing.
_NEVER = 2**31 - 1

#: File type -> FFmpeg's name of the format that streams of it are copied to; others go to Matroska.
_CONTAINERS = {".avi": "avi", ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov"}


def bit_error(clip: Clip, period: int, randomness: Randomness) -> Clip:
    """Alter one byte in ``period`` of the coded video, on average, by FFmpeg's bit stream filter ``noise``.

    Which bytes follows from the stream alone, as published. Where no frame changes by it, since the clip is short, a
    further byte is drawn and altered; where no frame can be decoded any more, one is altered in place of the filter's.
    """
    content = content_of(clip)
    clean = clip.frames if clip.content is not None else clips.read(content).frames
    suffix = clip.suffix if clip.suffix in _CONTAINERS else ".mkv"
    none: Floats = np.empty((0, 2))

    def damaged(further: Floats, period: int) -> Clip | None:
        """The clip so damaged, or ``None`` where nothing is left of it."""
        container = _CONTAINERS.get(suffix, "matroska")
        copy = clips.copied(content, container, f"noise={period}", lambda packets: _alter(packets, further))
        try:
            return Clip(clips.read(copy, len(clean)).frames, clip.rate, copy, suffix)
        except DataError:
            return None

    by_filter = damaged(none, period)
    if by_filter is not None and not np.array_equal(by_filter.frames, clean):
        return by_filter
    for draw in randomness.of_clip().uniform((_MOST_FURTHER, 1, 2))[0]:
        found = damaged(draw, period if by_filter is not None else _NEVER)
        if found is not None and not np.array_equal(found.frames, clean):
            return found
    raise DataError(f"none of {_MOST_FURTHER} altered bytes changed a frame.", "leave this clip out.")


def _alter(packets: Sequence[Any], places: Floats) -> None:
    """Change the byte at a share ``at`` of all to another value, for each (at, shift) of ``places`` in [0, 1)."""
    for at, shift in places.tolist():
        ends = np.cumsum([packet.size for packet in packets])
        place = int(at * ends[-1])
        which = int(np.searchsorted(ends, place, side="right"))
        altered = bytearray(bytes(packets[which]))
        altered[place - int(ends[which])] ^= 1 + int(shift * 255)  # counted from the packet's end
        packets[which].update(bytes(altered))


#: How often a loss that leaves no frame is drawn again before the clip is left whole.
_TRIES = 100


def packet_loss(clip: Clip, share: float, randomness: Randomness) -> Clip:
    """H.264 in a transport stream of which each datagram but the first is lost with probability ``share``.

    A group of pictures lasts a second. Frames that are never decoded repeat the last one. A loss after which no frame
    at all can be decoded, as happens to clips of few datagrams, is drawn again.
    """
    sent = clips.transcode(
        content_of(clip), "libx264", {"crf": "23", "g": str(max(1, round(clip.rate)))}, container="mpegts"
    )
    stream = randomness.of_clip()
    for _ in range(_TRIES):
        received = lose(sent, share, stream)
        with contextlib.suppress(DataError):
            return Clip(clips.read(received, len(clip)).frames, clip.rate, received, ".ts")
    return Clip(clips.read(sent, len(clip)).frames, clip.rate, sent, ".ts")


def lose(sent: bytes, share: float, stream: Stream) -> bytes:
    """What arrives of a transport stream; the first datagram, which describes the stream, always does."""
    datagrams = [sent[at : at + DATAGRAM] for at in range(0, len(sent), DATAGRAM)]
    kept = stream.uniform((len(datagrams),))[0] >= share
    kept[:1] = True
    return b"".join(datagram for datagram, arrives in zip(datagrams, kept, strict=True) if arrives)


BIT_ERROR = ClipCorruption(
    name="bit_error",
    family="transmission",
    level="file",
    source=YI,
    settings=dict.fromkeys(("kinetics", "ssv2"), every([100_000, 50_000, 30_000, 20_000, 10_000])),
    apply=bit_error,
    note="FFmpeg's filter noise on a copied stream; where no frame of a short clip changes, one "
    "further byte is altered; where none can be decoded any more, one in place of the filter's",
)
PACKET_LOSS = ClipCorruption(
    name="packet_loss",
    family="transmission",
    level="file",
    source=YI,
    settings=dict.fromkeys(("kinetics", "ssv2"), every([0.01, 0.02, 0.03, 0.04, 0.06])),
    apply=packet_loss,
    note="iid packet loss: the published set was sent through an emulated network; here each datagram is lost by "
    "itself, anew where no frame of a clip is left",
)
