"""Corruptions of single frames: image corruptions with the settings of the video sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from regrow.clips import Clip
from regrow.corruptions import registry as images
from regrow.corruptions.noise import IMPULSE_NOISE, draw_uniform
from regrow.corruptions.pixels import Floats
from regrow.corruptions.registry import Corruption, Images
from regrow.corruptions.video.rain import RAIN
from regrow.corruptions.video.randomness import Randomness
from regrow.corruptions.video.registry import VITTA, YI, ClipCorruption, Settings, every

#: The setting of an image corruption at the severity that was asked for, as published for 224 px.
AS_IMAGE = "the image corruption's own"


def framewise(name: str, image: Corruption, source: str, settings: Mapping[str, Settings]) -> ClipCorruption:
    """A clip corruption that gives frames, one by one, to an image corruption, with new noise for each frame."""

    def apply(clip: Clip, setting: Any, randomness: Randomness) -> Clip:
        choice = randomness.choose(image, clip.frames.shape[1])
        if setting is not AS_IMAGE:
            choice = choice._replace(params=setting)
        return Clip(randomness.framewise(choice, clip.frames), clip.rate)

    return ClipCorruption(
        name=name, family=image.family, level="frame", source=source, settings=settings, apply=apply, image=image
    )


def _of_image(name: str) -> ClipCorruption:
    image = images.get(name)
    return framewise(name, image, f"{image.source}; frame by frame", {"imagenet": every([AS_IMAGE] * 5)})


#: The nineteen of ImageNet-C.
NINETEEN = tuple(_of_image(name) for name in images.names())


def _of_yi(image: Corruption, settings: list[Any]) -> ClipCorruption:
    return framewise(image.name, image, YI, dict.fromkeys(("kinetics", "ssv2"), every(settings)))


SHOT_NOISE = _of_yi(images.get("shot_noise"), [60.0, 25.0, 12.0, 5.0, 3.0])
CONTRAST = _of_yi(images.get("contrast"), [0.5, 0.4, 0.3, 0.2, 0.1])
BRIGHTNESS = _of_yi(images.get("brightness"), [0.1, 0.2, 0.3, 0.4, 0.5])
SATURATE = _of_yi(images.get("saturate"), [(0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2)])
RAINY = _of_yi(RAIN, [AS_IMAGE] * 5)


def _one_sided(name: str, level: int) -> Corruption:
    """Impulse noise of one kind: a share of the values, every channel by itself, becomes ``level``."""

    def apply(pictures: Images, draws: Floats, share: float) -> Images:
        return np.where(draws < share, np.uint8(level), pictures)

    return Corruption(
        name=name,
        family="noise",
        source=VITTA,
        draw=draw_uniform,
        apply=apply,
        settings={"imagenet": IMPULSE_NOISE.settings["imagenet"]},
    )


_VITTA_IMAGES = {
    "gauss": "gaussian_noise",
    "shot": "shot_noise",
    "impulse": "impulse_noise",
    "zoom": "zoom_blur",
    "defocus": "defocus_blur",
    "motion": "motion_blur",
    "jpeg": "jpeg_compression",
    "contrast": "contrast",
}
_FIVE = {"vitta": {5: AS_IMAGE}}

#: Those of ViTTA's twelve that are image corruptions, by its names.
OF_VITTA = tuple(
    framewise(name, image, VITTA, _FIVE)
    for name, image in {
        **{name: images.get(of) for name, of in _VITTA_IMAGES.items()},
        "salt": _one_sided("salt", 255),
        "pepper": _one_sided("pepper", 0),
        "rain": RAIN,
    }.items()
)
