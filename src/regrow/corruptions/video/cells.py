"""Corrupt one clip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from regrow import clips
from regrow.clips import Clip
from regrow.corruptions.choice import Choice, Frost, Options
from regrow.corruptions.inputs import check_images, check_index, check_rng, check_seed, check_severity
from regrow.corruptions.video import registry
from regrow.corruptions.video.randomness import Randomness
from regrow.corruptions.video.registry import ClipCorruption
from regrow.errors import InputError

_NATIVE_SIDE = 224


def corrupt_clip(
    clip: Clip,
    name: str,
    severity: int,
    *,
    column: str = "kinetics",
    seed: int = 0,
    index: int = 0,
    per_frame: bool | None = None,
    rng: np.random.RandomState | None = None,
    codec: str | None = None,
    frost: Frost = None,
    stored: bool = False,
) -> Clip:
    """Corrupt a clip.

    Args:
        clip: frames uint8 (T, H, W, 3). Corruptions of frames need square ones, published for 224 px (see
            ``regrow.data.clips.prepare``); those of level ``"file"`` work on ``clip.content`` at its own size, or on
            the frames coded by libx264 where there is no file.
        name: which corruption; see ``names``.
        severity: 1 to 5; only 5 in the column ``vitta``.
        column: whose settings: ``"kinetics"``, ``"ssv2"``, ``"vitta"`` or ``"imagenet"`` (the nineteen of ImageNet-C).
        seed: seed of the noise.
        index: number of the clip in its set; with the seed it settles the noise of all its frames.
        per_frame: new noise for each frame (by default for all but fog), or the same for the whole clip.
        rng: a legacy stream that gives the random numbers, frame after frame, in place of ``seed`` and ``index``.
        codec: JPEG encoder of the jpeg corruption.
        frost: photographs of the frost corruption.
        stored: add the JPEG round trip (quality 80) that frames of the published sets have gone through.

    Returns:
        The corrupted clip; of level ``"file"`` with its file as ``content``.

    Raises:
        InputError: a clip, severity, seed or index that cannot be used, or PyAV is needed and not installed.
        UnknownNameError: no such corruption or column.
    """
    record, setting = setting_of(name, severity, column)
    if record.level == "file":
        _check_frames(clip)
    else:
        check_images(clip.frames)
    if len(clip) == 0:
        raise InputError("the clip has no frame.", "give one with frames.")
    if rng is not None:
        check_rng(rng, None, "exact")
    randomness = Randomness(
        name=record.name,
        severity=int(severity),
        seed=check_seed(seed),
        index=check_index([index], 1)[0],
        rng=rng,
        per_frame=per_frame,
        frost=frost,
        codec=codec,
    )
    done = record.apply(clip, setting, randomness)
    return replace(done, frames=clips.through_jpeg(done.frames)) if stored and record.level != "file" else done


def setting_of(name: str, severity: int, column: str) -> tuple[ClipCorruption, registry.Params]:
    """A record and its setting.

    Raises:
        InputError: the column has no such severity of it.
        UnknownNameError: no such corruption or column.
    """
    record = registry.get(name, column)
    settings = record.settings[column]
    if check_severity(severity) not in settings:
        raise InputError(
            f"{name} of {column} has severity {', '.join(map(str, settings))} only, got {severity}.",
            f"ask for severity {max(settings)}.",
        )
    return record, settings[int(severity)]


def _check_frames(clip: Clip) -> None:
    frames = clip.frames
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise InputError(
            f"the frames must be a uint8 array (T, H, W, 3), got {getattr(frames, 'dtype', type(frames).__name__)} "
            f"of shape {getattr(frames, 'shape', '?')}.",
            "read the clip with regrow.clips.read.",
        )


def provenance(
    name: str, side: int, *, column: str = "kinetics", codec: str | None = None, frost: Frost = None
) -> dict[str, str]:
    """What must be said beside numbers that come from a corruption of clips.

    Args:
        name: which corruption.
        side: height and width of the frames in pixels.
        column: as in ``corrupt_clip``.
        codec: as in ``corrupt_clip``.
        frost: as in ``corrupt_clip``.

    Example:
        >>> provenance("packet_loss", 224)["how"][:15]
        'iid packet loss'
        >>> provenance("shot_noise", 224)
        {}
    """
    record = registry.get(name, column)
    notes = {"how": record.note} if record.note else {}
    if record.image is not None:
        codec = codec if record.image.codec else None
        notes |= Choice.of_record(record.image, 5, side, Options("imagenet", codec=codec, frost=frost)).notes
    elif record.level != "file" and side != _NATIVE_SIDE:
        notes["scale"] = f"settings of {_NATIVE_SIDE} px used for frames of {side} px"
    if column == "vitta":
        notes["settings"] = "regrow recipe: the settings of this set are not published"
    return notes
