"""Gaussian noise on training images (Rusak et al. 2020, arXiv:2001.06057)."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from regrow import seeds
from regrow.data.augmentation.streams import draw
from regrow.data.spec import Images
from regrow.errors import InputError
from regrow.seeds import UINT64


@dataclass(frozen=True)
class GaussianNoise:
    """Additive noise, independent for every value.

    Args:
        sd: standard deviation in units of the 0..1 range of pixels, e.g. 0.1 for CIFAR, 0.5 for ImageNet.
        share: share of the images that get it; the others stay as they are.

    Raises:
        InputError: a value out of range.
    """

    sd: float
    share: float = 1.0

    def __post_init__(self) -> None:
        if not self.sd > 0 or not 0 < self.share <= 1:
            raise InputError(
                f"noise needs sd > 0 and a share in (0, 1], got sd={self.sd} and share={self.share}.",
                "e.g. sd=0.1, share=0.5.",
            )


def add_noise(images: Images, words: UINT64, noise: GaussianNoise, view: int = 0) -> Images:
    """Noisy images: pixel + 255 sd z, rounded to the nearest whole number (half to even), cut to 0..255.

    A normal number z is one of the 2**16 mid-quantiles of the normal distribution (so |z| < 4.33): a pixel has 256
    values only. Clips have new noise in every frame.

    Args:
        images: uint8, shape (B, ..., 3).
        words: uint64, shape (B,): each image's own random word.
        noise: how strong, and how often.
        view: which view of the images.

    Returns:
        uint8, same shape.
    """
    out = images.copy()
    values = images[0].size
    quantiles = _quantiles() * np.float32(255 * noise.sd)
    for image, word in zip(out, words, strict=True):
        raw = draw(word, "noise", view, n=1 + -(-values // 4))
        if seeds.uniform(raw[:1])[0] < noise.share:
            sixteenths = raw[1:].astype("<u8").view("<u2")[:values].reshape(image.shape)
            image[...] = np.clip(np.rint(image + quantiles[sixteenths]), 0, 255)
    return out


@functools.cache
def _quantiles() -> npt.NDArray[np.float32]:
    from scipy.special import ndtri

    levels = 1 << 16
    return np.asarray(ndtri((np.arange(levels) + 0.5) / levels), np.float32)
