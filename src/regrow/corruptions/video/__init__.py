"""Corruptions of clips: noise, weather and colour on frames, blur over time, coding, and errors on the way.

    clip = regrow.clips.read(path)                      frames (T, H, W, 3), frame rate, and the file itself
    corrupt_clip(clip, "packet_loss", 3)                by default with the settings of Mini Kinetics-C
    names("kinetics" | "ssv2" | "vitta" | "imagenet")   what there is
    provenance("frame_rate", 224)                       what must be said beside numbers that come from it

A corruption is one :class:`~regrow.corruptions.video.registry.ClipCorruption` in a file of this folder: ``frames``
and ``rain`` corrupt frames one by one, ``wholes`` all of a clip together, ``coding`` and ``transmission`` its file
(PyAV: the extra ``video``).
"""

from __future__ import annotations

from regrow.corruptions.video.cells import corrupt_clip, provenance, setting_of
from regrow.corruptions.video.registry import COLUMNS, ClipCorruption, get, names

__all__ = ["COLUMNS", "ClipCorruption", "corrupt_clip", "get", "names", "provenance", "setting_of"]
