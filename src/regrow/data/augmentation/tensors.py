"""What is done to normalised batches: random erasing, Mixup and CutMix, by timm, seeded for each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from regrow import extras, seeds
from regrow.data.augmentation.streams import ERASING, MIXING, global_generators
from regrow.errors import InputError


@dataclass(frozen=True)
class Mixing:
    """Mixup (Zhang et al. 2018, arXiv:1710.09412) and CutMix (Yun et al. 2019, arXiv:1905.04899), one a batch.

    Args:
        mixup: alpha of Mixup's Beta distribution; 0 = no Mixup.
        cutmix: alpha of CutMix's; 0 = no CutMix.
        probability: share of the batches that are mixed.
        switch: where both are on, share of the mixed batches that take CutMix.

    Raises:
        InputError: a value out of range.
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    probability: float = 1.0
    switch: float = 0.5

    def __post_init__(self) -> None:
        if min(self.mixup, self.cutmix) < 0 or not 0 <= self.probability <= 1 or not 0 <= self.switch <= 1:
            raise InputError(f"mixing needs alphas >= 0 and shares in 0..1, got {self}.", "e.g. mixup=0.8, cutmix=1.0.")

    @property
    def is_on(self) -> bool:
        """Whether anything is mixed at all."""
        return (self.mixup > 0 or self.cutmix > 0) and self.probability > 0


def mix(x: Tensor, y: Tensor, mixing: Mixing, n_classes: int, *, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """A batch mixed with itself in reverse order, and its soft targets, by timm's ``Mixup`` in its mode ``batch``.

    All views of an image, all frames of a clip, get the same mixture. Label smoothing is not done here: it commutes
    with mixing, so the loss may do it.

    Args:
        x: float, shape (views * B, C, H, W) or (views * B, C, T, H, W), view by view; may be changed in place.
        y: int64, shape (B,), B even.
        mixing: how.
        n_classes: K.
        seed: seed of the stream ``data``.
        step: counted from 0 over all epochs.

    Returns:
        the mixed batch, and the targets: float32, shape (B, K), rows of sum 1.

    Raises:
        InputError: an odd batch, or timm cannot be had.
    """
    if len(y) % 2:
        raise InputError(f"Mixup and CutMix pair the images of a batch, which has {len(y)}.", "take an even batch.")
    target = F.one_hot(y, n_classes).float()
    if not mixing.is_on:
        return x, target
    timm = extras.library("timm.data.mixup", "Mixup and CutMix")
    mixer = timm.Mixup(
        mixup_alpha=mixing.mixup,
        cutmix_alpha=mixing.cutmix,
        prob=mixing.probability,
        switch_prob=mixing.switch,
        label_smoothing=0.0,
        num_classes=n_classes,
    )
    planes = _planes(x)
    with global_generators() as seeded:
        for view in planes.view(-1, len(y), *planes.shape[1:]):
            seeded(seeds.torch_seed(seed, "data", MIXING, step))
            _, target = mixer(view, y)
    return planes.view(x.shape), target


def erase(x: Tensor, probability: float, *, seed: int, step: int, skip: int = 0) -> Tensor:
    """Random erasing (Zhong et al. 2020, arXiv:1708.04896) by timm's ``RandomErasing``, pixels from N(0, 1).

    Rectangles of 2 % to 1/3 of the area; all frames of a clip lose the same one.

    Args:
        x: float, normalised, shape (N, C, H, W) or (N, C, T, H, W); may be changed in place.
        probability: share of the images that lose a rectangle.
        seed: seed of the stream ``data``.
        step: counted from 0 over all epochs.
        skip: how many images at the beginning stay as they are (clean views).

    Returns:
        the batch, same shape.

    Raises:
        InputError: timm cannot be had.
    """
    if probability == 0:
        return x
    timm = extras.library("timm.data.random_erasing", "the rectangles of random erasing")
    eraser: Any = timm.RandomErasing(probability, mode="pixel", device=x.device)
    number = seeds.torch_seed(seed, "data", ERASING, step)
    devices = [x.device] if x.is_cuda else []
    with global_generators() as seeded, torch.random.fork_rng(devices=devices):
        seeded(number)
        torch.manual_seed(number)
        planes = _planes(x)
        eraser(planes[skip:])
    return planes.view(x.shape)


def _planes(x: Tensor) -> Tensor:
    """Frames of clips as further channels: timm knows images alone."""
    return x if x.ndim == 4 else x.flatten(1, 2)
