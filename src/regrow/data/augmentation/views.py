"""All that is done to an image of a batch, in one order, and the several views of it that some losses compare."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regrow import seeds
from regrow.data.augmentation.noise import GaussianNoise, add_noise
from regrow.data.augmentation.prime import Prime, prime
from regrow.data.augmentation.streams import WORDS
from regrow.data.augmentation.timm_policies import AugMix, augmix, rand_augment
from regrow.data.spec import Images
from regrow.errors import InputError
from regrow.seeds import UINT64


@dataclass(frozen=True)
class Augmentation:
    """What is done to each image after flip and crop, in this order; by default nothing.

    Args:
        randaugment: RandAugment in timm's notation, e.g. ``"rand-m9-mstd0.5-inc1"``.
        augmix: AugMix.
        prime: PRIME.
        noise: Gaussian noise.
        views: how many views of an image a batch holds.
        clean_first: the first view is the image as it is, and the others share its flip and crop (AugMix's
            consistency loss); otherwise every view has its own.
        fill: colour that RandAugment puts outside the image.

    Raises:
        InputError: fewer than one view, or more than 255.
    """

    randaugment: str | None = None
    augmix: AugMix | None = None
    prime: Prime | None = None
    noise: GaussianNoise | None = None
    views: int = 1
    clean_first: bool = False
    fill: tuple[int, int, int] = (128, 128, 128)

    def __post_init__(self) -> None:
        if not 1 <= self.views <= 255:
            raise InputError(f"an image has from 1 to 255 views, got {self.views}.", "e.g. 3 for AugMix.")

    @property
    def changes(self) -> bool:
        """Whether anything is done to an image at all."""
        return any(part is not None for part in (self.randaugment, self.augmix, self.prime, self.noise))

    def window(self, view: int) -> int:
        """The view whose flip and crop a view has."""
        return 0 if self.clean_first else view


def words(seed: int, step: int, n: int) -> UINT64:
    """The random words of the images of a step, by their place in the batch: uint64 (n,).

    The first words do not depend on ``n``.

    Args:
        seed: seed of the stream ``data``.
        step: counted from 0 over all epochs.
        n: images of the batch.
    """
    return seeds.raw(seed, "data", WORDS, step, n=n)


def augment(images: Images, words: UINT64, augmentation: Augmentation, view: int = 0) -> Images:
    """One view of the images: each a function of the image, its word and the view alone.

    Args:
        images: uint8, shape (B, H, W, 3), of any size; or clips (B, T, H, W, 3), whose frames share the word: they
            are all treated alike, but for Gaussian noise, which is new in each.
        words: uint64, shape (B,).
        augmentation: what to do.
        view: which view, from 0.

    Returns:
        uint8, same shape; the images themselves where nothing is done.

    Raises:
        InputError: images of another shape or type, another number of words, or timm is needed and cannot be had.

    Example:
        >>> images = np.full((2, 8, 8, 3), 100, np.uint8)
        >>> noisy = augment(images, words(0, 0, 2), Augmentation(noise=GaussianNoise(0.1)))
        >>> alone = augment(images[1:], words(0, 0, 2)[1:], Augmentation(noise=GaussianNoise(0.1)))
        >>> bool((noisy[1] == alone[0]).all())
        True
    """
    if images.dtype != np.uint8 or images.ndim not in (4, 5) or images.shape[-1] != 3:
        raise InputError(
            f"images must be uint8 of shape (B, H, W, 3) or (B, T, H, W, 3), got {images.dtype} {images.shape}.",
            "augment before normalisation, in RGB.",
        )
    if words.shape != images.shape[:1]:
        raise InputError(f"{len(images)} images need as many words, got shape {words.shape}.", "see words().")
    if augmentation.clean_first and view == 0:
        return images
    if augmentation.randaugment is not None:
        images = rand_augment(images, words, augmentation.randaugment, fill=augmentation.fill, view=view)
    if augmentation.augmix is not None:
        images = augmix(images, words, augmentation.augmix, view=view)
    if augmentation.prime is not None:
        images = prime(images, words, augmentation.prime, view=view)
    if augmentation.noise is not None:
        images = add_noise(images, words, augmentation.noise, view)
    return images
