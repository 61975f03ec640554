"""Weights of a network for images as the start of its sibling for clips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from regrow.errors import InputError


class Inflated(NamedTuple):
    """What `inflate` did with the names of the network for clips.

    Attributes:
        inflated: weights that got a time dimension.
        copied: tensors taken as they are.
        left: tensors that keep their new values: no counterpart, or another shape (a head for other classes).
    """

    inflated: list[str]
    copied: list[str]
    left: list[str]


def inflate(model: nn.Module, images: Mapping[str, Tensor]) -> Inflated:
    """Give a network for clips the weights of one for images: each kernel is repeated over time and divided by it.

    On a clip of one repeated picture a layer then answers as the other does on the picture, away from the first and
    last frames, where the padding is. Carreira and Zisserman 2017 (arXiv:1705.07750), section 2.3.

    Args:
        model: takes clips; changed in place.
        images: state of a network whose parts have the same names, e.g. torchvision's ``resnet50`` for ``resnet3d50``.

    Raises:
        InputError: not one weight fits.
    """
    state = model.state_dict()
    done = Inflated([], [], [])
    for name, target in state.items():
        source = images.get(name)
        if source is not None and source.shape == target.shape:
            target.copy_(source)
            done.copied.append(name)
        elif source is not None and target.ndim == 5 and source.shape == (*target.shape[:2], *target.shape[3:]):
            target.copy_(source.unsqueeze(2).expand_as(target) / target.shape[2])
            done.inflated.append(name)
        else:
            done.left.append(name)
    if not done.inflated:
        raise InputError(
            f"no weight of the image network fits, e.g. {next(iter(images), 'it has none')}.",
            "give the state of a network whose parts have the same names and shapes, time aside.",
        )
    return done
