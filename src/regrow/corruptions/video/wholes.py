"""Corruptions of all frames of a clip together: blur over time, and one fog for all."""

from __future__ import annotations

import numpy as np

from regrow.clips import Clip
from regrow.corruptions import fog as clouds
from regrow.corruptions import registry as images
from regrow.corruptions.video.randomness import Randomness
from regrow.corruptions.video.registry import YI, ClipCorruption, every
from regrow.errors import InputError


def motion_blur(clip: Clip, half: int, _: Randomness) -> Clip:
    """Frame i is the mean of frames i - half to i + half - 1, cut off to bytes; ``half`` frames are lost at each end.

    Raises:
        InputError: the clip has no more frames than would be lost.
    """
    frames = clip.frames
    if len(frames) <= 2 * half:
        raise InputError(
            f"a clip of {len(frames)} frames has none left after a motion blur of {2 * half} frames.",
            f"give clips of more than {2 * half} frames, or a lower severity.",
        )
    out = np.empty((len(frames) - 2 * half, *frames.shape[1:]), np.uint8)
    total = frames[: 2 * half].astype(np.int32).sum(0, dtype=np.int32)  # whole numbers: a running sum is exact
    for i, target in enumerate(out):
        np.copyto(target, total // (2 * half), casting="unsafe")
        total += frames[i + 2 * half]
        total -= frames[i]
    return Clip(out, clip.rate)


MOTION_BLUR = ClipCorruption(
    name="motion_blur",
    family="blur",
    level="clip",
    source=YI,
    settings={"kinetics": every([3, 5, 7, 9, 11]), "ssv2": every([1, 2, 3, 4, 6])},
    apply=motion_blur,
)


def fog(clip: Clip, params: tuple[float, float], randomness: Randomness) -> Clip:
    """One cloud over all frames, each scaled back to its own maximum; ``per_frame`` gives each a cloud of its own."""
    choice = randomness.choose(images.get("fog"), clip.frames.shape[1])._replace(params=params)
    if randomness.per_frame:
        return Clip(randomness.framewise(choice, clip.frames), clip.rate)
    strength, decay = params
    uniform = clouds.draw_fog(randomness.of_clip(), clip.frames.shape[1:], params)
    cloud = clouds.clouds(uniform, clouds.map_side(clip.frames.shape[1]), decay)
    out = np.empty_like(clip.frames)
    for frame, target in zip(clip.frames, out, strict=True):
        target[...] = clouds.lay(frame[None], cloud, strength)[0]
    return Clip(out, clip.rate)


FOG = ClipCorruption(
    name="fog",
    family="weather",
    level="clip",
    source=YI,
    settings=dict.fromkeys(("kinetics", "ssv2"), every([(1.5, 2), (2.0, 2), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)])),
    apply=fog,
)
