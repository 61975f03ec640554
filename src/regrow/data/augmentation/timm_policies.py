"""RandAugment and AugMix by timm's transforms, seeded for each image alone."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from regrow import extras
from regrow.data.augmentation.streams import Kind, draw, global_generators
from regrow.data.spec import Images
from regrow.errors import InputError
from regrow.seeds import UINT64

#: The nine operations of AugMix, by timm's names; the authors left out what resembles a common corruption.
OPERATIONS = (
    "AutoContrast",
    "Equalize",
    "Rotate",
    "PosterizeIncreasing",
    "SolarizeIncreasing",
    "ShearX",
    "ShearY",
    "TranslateXRel",
    "TranslateYRel",
)
#: Four more of the paper's code, which do resemble some: off unless asked for.
MORE_OPERATIONS = ("ColorIncreasing", "ContrastIncreasing", "BrightnessIncreasing", "SharpnessIncreasing")


@dataclass(frozen=True)
class AugMix:
    """Chains of operations, mixed (Hendrycks et al. 2020, arXiv:1912.02781): (1 - m) x + m sum_k w_k chain_k(x).

    w ~ Dirichlet(alpha), m ~ Beta(alpha, alpha), both by timm's ``AugMixAugment``, with the paper's nine operations,
    black outside the image and shifts of up to a third of it. Where timm differs from the paper's code: strengths begin
    at 0 (0.1 there), angles and shifts are not cut to whole numbers, and mixtures are cut to 8 bits twice, which makes
    them up to 2 of 255 darker.

    Args:
        severity: strength of the operations, 1 to 10.
        width: chains.
        depth: operations of a chain; None = 1 to 3, at random.
        alpha: of the Dirichlet and Beta distributions.
        all_ops: also colour, contrast, brightness and sharpness, which resemble common corruptions.
    """

    severity: int = 3
    width: int = 3
    depth: int | None = None
    alpha: float = 1.0
    all_ops: bool = False


def rand_augment(
    images: Images, words: UINT64, config: str, *, fill: tuple[int, int, int] = (128, 128, 128), view: int = 0
) -> Images:
    """RandAugment (Cubuk et al. 2020, arXiv:1909.13719) by timm's ``rand_augment_transform``.

    Args:
        images: uint8, shape (B, H, W, 3) or clips (B, T, H, W, 3), whose frames are all treated alike.
        words: uint64, shape (B,): each image's own random word.
        config: timm's notation, e.g. ``"rand-m9-mstd0.5-inc1"``.
        fill: colour outside the image; timm takes the mean of the data set.
        view: which view of the images.

    Returns:
        uint8, same shape.

    Raises:
        InputError: timm cannot be had, or does not know the notation.
    """
    return _each(images, words, "randaugment", view, _rand_augment(config, fill))


def augmix(images: Images, words: UINT64, settings: AugMix, *, view: int = 0) -> Images:
    """AugMix; arguments as of :func:`rand_augment`."""
    return _each(images, words, "augmix", view, _augmix(settings))


def _each(images: Images, words: UINT64, kind: Kind, view: int, transform: Callable[[Any], Any]) -> Images:
    from PIL import Image

    out = np.empty(images.shape, np.uint8)
    with global_generators() as seed:
        for one, image, word in zip(out, images, words, strict=True):
            number = int(draw(word, kind, view, n=1)[0])
            frames = zip(*(part.reshape(-1, *part.shape[-3:]) for part in (one, image)), strict=True)
            for made, frame in frames:
                seed(number)
                made[...] = np.asarray(transform(Image.fromarray(frame)))
    return out


@functools.cache
def _rand_augment(config: str, fill: tuple[int, int, int]) -> Any:
    timm = extras.library("timm.data.auto_augment", "RandAugment's operations")
    try:
        made = timm.rand_augment_transform(config, {"img_mean": fill, "translate_const": 0})
    except (AssertionError, KeyError, ValueError) as error:
        raise InputError(
            f"{config!r} is no RandAugment in timm's notation{f' ({error})' if str(error) else ''}.",
            "e.g. rand-m9-mstd0.5-inc1.",
        ) from error
    for op in made.ops:
        if op.aug_fn is timm.posterize:
            op.aug_fn = functools.partial(_posterize, timm.posterize)
    return made


def _posterize(theirs: Callable[..., Any], picture: Any, bits: int, **options: Any) -> Any:
    """Black where timm's strongest posterisation keeps no bit, as older Pillow had it; version 13 raises an error."""
    return theirs(picture, bits, **options) if bits else picture.point(lambda value: 0)


@functools.cache
def _augmix(settings: AugMix) -> Any:
    from PIL import Image

    timm = extras.library("timm.data.auto_augment", "AugMix's operations")
    hparams = {
        "img_mean": (0, 0, 0),
        "translate_pct": 1 / 3,
        "interpolation": Image.Resampling.BILINEAR,
        "magnitude_std": float("inf"),  # timm's way to say: uniform from 0 to the severity
    }
    names = [*OPERATIONS, *(MORE_OPERATIONS if settings.all_ops else ())]
    return timm.AugMixAugment(
        timm.augmix_ops(magnitude=settings.severity, hparams=hparams, transforms=names),
        alpha=settings.alpha,
        width=settings.width,
        depth=settings.depth or -1,
    )
