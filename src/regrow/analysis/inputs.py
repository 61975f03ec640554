"""What probes that change a network's input share: where black and white lie, and how it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from regrow.errors import InputError


class Normalisation(NamedTuple):
    """y = x * scale + black: what becomes of pixels x in [0, 1]; each (C, 1, ...), to broadcast over images.

    To clip a pixel to [0, 1] and then to normalise it is to clip its normalised value to black and white.

    Attributes:
        scale: 1 / std.
        black: -mean / std, of the pixel value 0.
        white: (1 - mean) / std, of the pixel value 1.
    """

    scale: Tensor
    black: Tensor
    white: Tensor


def normalisation(mean: Sequence[float] | None, std: Sequence[float] | None, like: Tensor) -> Normalisation:
    """The constants by which images are normalised.

    Args:
        mean: of each channel, in units of the 0..1 range.
        std: likewise, above 0.
        like: images (N, C, ...), which give the number of channels, dtype and device.

    Raises:
        InputError: not one mean and one standard deviation above 0 for each channel.
    """
    channels = like.shape[1]
    if mean is None or std is None or not len(mean) == len(std) == channels or min(std) <= 0:
        raise InputError(
            f"pixels in [0, 1] need a mean and a standard deviation above 0 for each of {channels} channels, "
            f"got mean {mean} and std {std}.",
            "give those by which the images are normalised, e.g. of `data.spec(NAME)`.",
        )
    shape = (channels, *[1] * (like.ndim - 2))
    m, s = (torch.tensor(tuple(given), dtype=torch.float64).reshape(shape) for given in (mean, std))
    return Normalisation((1 / s).to(like), (-m / s).to(like), ((1 - m) / s).to(like))


def predicted_classes(answer: Tensor) -> Tensor:
    """Classes (n,) on the host, from logits (n, classes) or from classes."""
    return (answer.argmax(dim=1) if answer.ndim == 2 else answer).cpu()
