"""The networks: CIFAR-style ones of our own, and any of timm's or torchvision's by name.

One file here is one family. It defines one or more `Family` records, each with the pattern of its names; `build`
finds the family by the name and hands over. A new family is a new file; nothing else has to be edited.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from torch import nn

from regrow.errors import InputError, UnknownNameError
from regrow.models._family import Family, InputSpec, Modality, Request

__all__ = ["Family", "InputSpec", "Request", "build", "describe", "families", "input_spec", "names", "usual_width"]


def families() -> tuple[Family, ...]:
    """All families, in the order of their labels."""
    found: dict[str, Family] = {}
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            members = vars(importlib.import_module(f"{__name__}.{module.name}")).values()
            found.update({member.label: member for member in members if isinstance(member, Family)})
    return tuple(found[label] for label in sorted(found))


def names() -> list[str]:
    """What `build` takes: names, and patterns where a family has many.

    Example:
        >>> [name for name in names() if name.startswith("vgg")]
        ['vgg11, vgg13, vgg16, vgg19']
    """
    return [family.label for family in families()]


def describe() -> list[dict[str, str]]:
    """Rows for `regrow list models`: name (or pattern), text, width (channels of the first stage), source."""
    return [
        {
            "name": family.label,
            "text": family.text,
            "width": "" if family.width is None else str(family.width),
            "source": family.source,
        }
        for family in families()
    ]


def _find(name: str) -> tuple[Family, str]:
    for family in families():
        match = family.pattern.fullmatch(name)
        if match:
            return family, match.group(1)
    known = [example for family in families() for example in (*family.examples, *family.prefixes)]
    raise UnknownNameError("model", name, known)


def build(
    name: str,
    n_classes: int,
    *,
    image_size: int = 32,
    width: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a network with new weights, drawn from torch's global generator (seed it first).

    Args:
        name: e.g. ``"resnet20"``, ``"vgg16"``, ``"timm:resnet50"``; see `names`.
        n_classes: number of outputs, >= 1.
        image_size: side of the square input images in pixels; of texts and sounds their length.
        width: channels of the first stage; the others scale with it. Default: the family's own.
        options: of the family; ``{"pretrained": True}`` for timm and torchvision.

    Returns:
        A module in training mode that maps float images (N, 3, image_size, image_size), normalised, to
        logits (N, n_classes); networks for clips (``Family.frames``) take (N, 3, T, image_size, image_size), those for
        texts and sounds (``Family.modality``) (N, image_size).

    Raises:
        UnknownNameError: no family has that name.
        InputError: a depth, width, size or option that cannot be; a library that is not installed; weights that could
            not be had.

    Example:
        >>> sum(p.numel() for p in build("resnet18", 10).parameters())
        11173962
    """
    for key, value in {"n_classes": n_classes, "image_size": image_size, "width": width}.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise InputError(f"{key} must be an integer of at least 1, got {value!r}.", f"give {key} as 1, 2, 3, ...")
    family, part = _find(name)
    if width is not None and family.width is None:
        raise InputError(
            f"{name} has no width to set, got {width}.",
            "leave width out, or choose a network of regrow's own: `regrow list models`.",
        )
    given = dict(options or {})
    unknown = [] if family.options is None else sorted(set(given) - set(family.options))
    if unknown and family.options is not None:
        if not family.options:
            raise InputError(f"{name} takes no options, got {', '.join(unknown)}.", "leave the options out.")
        raise UnknownNameError("model option", unknown[0], family.options, "correct or leave out the option.")
    if image_size < family.min_image_size:
        raise InputError(
            f"{name} needs images of at least {family.min_image_size} pixels, got {image_size}.",
            "choose another network: `regrow list models`.",
        )
    return family.build(Request(name, part, n_classes, image_size, width or family.width or 0, given))


def usual_width(name: str) -> int | None:
    """Channels of the first stage unless another width is given; None where it cannot be set.

    Raises:
        UnknownNameError: no such model.

    Example:
        >>> usual_width("vgg16"), usual_width("timm:resnet18")
        (64, None)
    """
    return _find(name)[0].width


def modality(name: str) -> Modality | None:
    """What a network takes: ``image`` (clips too), ``text`` or ``audio``; None where only its author knows.

    Raises:
        UnknownNameError: no such model.

    Example:
        >>> modality("vgg16"), modality("byte_transformer")
        ('image', 'text')
    """
    family, _ = _find(name)
    return None if family.any_input else family.modality


def takes_clips(name: str) -> bool | None:
    """Whether a network takes clips (N, 3, T, S, S) and not images; None where only its author knows.

    Raises:
        UnknownNameError: no such model.
    """
    family, _ = _find(name)
    return None if family.any_input else family.frames is not None


def input_spec(name: str) -> InputSpec | None:
    """Normalisation and image size that a network's published weights expect.

    Args:
        name: as for `build`.

    Returns:
        The specification, or None where the name has no published weights (then the data set's own holds).

    Raises:
        UnknownNameError: no such model.
        InputError: its library is not installed.
    """
    family, part = _find(name)
    return family.spec(part) if family.spec else None
