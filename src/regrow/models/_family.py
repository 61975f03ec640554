"""The record of a family of networks, and what `build` hands to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

#: What networks take; as of ``regrow.data.spec``, which is another room.
Modality = Literal["image", "text", "audio"]


@dataclass(frozen=True)
class Request:
    """A checked request for a network.

    Attributes:
        name: the whole name as given.
        part: what the family's pattern captured: a depth, or the name in another library.
        n_classes: number of outputs.
        image_size: side of the square images in pixels; of texts and sounds their length.
        width: channels of the first stage (0 where the family has no width).
        options: options of the family, known keys alone.
    """

    name: str
    part: str
    n_classes: int
    image_size: int
    width: int
    options: Mapping[str, Any]


@dataclass(frozen=True)
class InputSpec:
    """What published weights expect as input.

    Attributes:
        mean: per channel, of images in [0, 1].
        std: per channel, of images in [0, 1].
        image_size: side in pixels of the (centre-cropped) images.
        resize: side in pixels to which the shorter side is brought before the crop.
        n_classes: classes of the published weights.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int
    resize: int
    n_classes: int


@dataclass(frozen=True)
class Family:
    """A family of networks: one file in this folder.

    Attributes:
        label: its names or their pattern, for people.
        pattern: the names it answers to (whole match); group 1 is what tells its members apart.
        text: one line for people.
        source: paper or library.
        build: makes a network from a checked request.
        examples: names that can be built, for tests and for the nearest name in an error.
        prefixes: for the error too, where the members are another library's.
        width: default number of channels of the first stage, or None where it cannot be set.
        min_image_size: smallest side in pixels.
        options: names of the options it takes; ``None`` = any.
        frames: frames of a clip that it was published for, where it takes clips (N, 3, T, S, S); None for images.
        any_input: whether only its author knows what it takes.
        modality: what it takes: images or clips (N, 3, ...), bytes of texts (N, L), or samples of sounds (N, L); for
            the latter two ``image_size`` is L.
        spec: input specification of the published weights, by group 1 of the pattern; None where there are none.
    """

    label: str
    pattern: re.Pattern[str]
    text: str
    source: str
    build: Callable[[Request], nn.Module]
    examples: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    width: int | None = None
    min_image_size: int = 1
    options: tuple[str, ...] | None = ()
    frames: int | None = None
    any_input: bool = False
    modality: Modality = "image"
    spec: Callable[[str], InputSpec | None] | None = None
