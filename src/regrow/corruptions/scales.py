"""Which column of published settings fits an image size."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from regrow.errors import InputError, UnknownNameError

#: Column of settings -> side in pixels of the images it was published for.
SCALES: dict[str, int] = {"cifar": 32, "tiny": 64, "imagenet": 224, "inception": 299}

#: Smallest side that is corrupted; below it a blur or a pixelation has nothing left to work on.
SMALLEST_SIDE = 8


class Scale(NamedTuple):
    """A column of settings and what has to be said about it (empty where it is the published one)."""

    name: str
    note: str


def choose_scale(side: int, scale: str | None = None, among: Iterable[str] = SCALES) -> Scale:
    """The column of settings for square images, with a note when the size is none of the published ones.

    Args:
        side: height and width in pixels.
        scale: a column to use in any case; by default the nearest by ``|log(side / published side)|``.
        among: the columns that a corruption has.

    Raises:
        InputError: a side below 8 pixels, or an unknown column.

    Example:
        >>> choose_scale(32)
        Scale(name='cifar', note='')
        >>> choose_scale(96).note
        'settings of tiny (64 px) used for images of 96 px'
    """
    if side < SMALLEST_SIDE:
        raise InputError(f"images of {side} px are too small to corrupt.", f"give sides of {SMALLEST_SIDE} px or more.")
    if scale is None:
        scale = min(among, key=lambda name: abs(math.log(side / SCALES[name])))
    elif scale not in among:
        raise UnknownNameError("scale", scale, among, "leave scale out to take it from the image size.")
    published = SCALES[scale]
    note = "" if side == published else f"settings of {scale} ({published} px) used for images of {side} px"
    return Scale(scale, note)


def scale_for(side: int) -> str:
    """Name of the column of settings for images of ``side`` pixels.

    Example:
        >>> [scale_for(side) for side in (28, 32, 48, 64, 224, 299)]
        ['cifar', 'cifar', 'tiny', 'tiny', 'imagenet', 'inception']
    """
    return choose_scale(side).name
