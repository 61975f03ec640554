"""Dropout before the classifier, for the networks that have none of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from regrow.errors import InputError


@dataclass(frozen=True)
class _DropInput:
    """Hook before a layer."""

    p: float

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Any, ...]:
        return F.dropout(inputs[0], self.p, training=module.training), *inputs[1:]


def with_dropout(model: nn.Module, p: float, name: str) -> nn.Module:
    """Drop features before the last linear layer in training (Srivastava et al. 2014), in place.

    Names, number and initial values of the parameters stay as they are.

    Args:
        model: one of regrow's own networks.
        p: share of the features that are zeroed, in [0, 1).
        name: its name, for the message.

    Returns:
        ``model``.

    Raises:
        InputError: the network is another library's, or has a dropout there already.
    """
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if ":" in name or not linear or isinstance(getattr(model, "dropout", None), nn.Dropout):
        raise InputError(
            f"model.dropout is for networks of regrow's own that have none before the classifier, which {name} is not.",
            "set the network's own: model.options, e.g. {dropout: 0.5}.",
        )
    linear[-1].register_forward_pre_hook(_DropInput(p))
    return model
