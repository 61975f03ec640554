"""A multilayer perceptron on the pixels."""

from __future__ import annotations

import re

from torch import nn

from regrow.errors import InputError
from regrow.models._family import Family, Request


def mlp(request: Request) -> nn.Module:
    """``hidden`` layers of ``width`` units with ReLUs, torch's own initial weights; images (N, 3, S, S) are flattened.

    Raises:
        InputError: the option hidden is no whole number from 1 to 64.
    """
    hidden = request.options.get("hidden", 2)
    if isinstance(hidden, bool) or not isinstance(hidden, int) or not 1 <= hidden <= 64:
        raise InputError(f"the option hidden must be a whole number from 1 to 64, got {hidden!r}.", "e.g. 2.")
    layers: list[nn.Module] = [nn.Flatten()]
    n_in = 3 * request.image_size**2
    for _ in range(hidden):
        layers += [nn.Linear(n_in, request.width), nn.ReLU(inplace=True)]
        n_in = request.width
    return nn.Sequential(*layers, nn.Linear(n_in, request.n_classes))


FAMILY = Family(
    label="mlp",
    pattern=re.compile(r"(mlp)"),
    text="multilayer perceptron: two hidden layers of width units; option hidden for another number",
    source="as the MLPs of Mocanu et al. 2018, arXiv:1707.04780, without its sparse input",
    build=mlp,
    examples=("mlp",),
    width=1000,
    options=("hidden",),
)
