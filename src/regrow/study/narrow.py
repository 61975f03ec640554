"""Narrow dense networks: as many weights as a sparse one has active, by fewer channels."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from regrow.errors import InputError
from regrow.training.settings import ModelSettings


@dataclass(frozen=True)
class Narrow:
    """A narrow network.

    Attributes:
        model: its settings.
        full_width: width of the network that it stands for.
        n_weights: its weights that could be masked.
        n_full: those of the full network.
    """

    model: ModelSettings
    full_width: int
    n_weights: int
    n_full: int


def narrowed(model: ModelSettings, sparsity: float, n_classes: int, side: int) -> Narrow:
    """The network of the width at which its maskable weights are nearest to ``1 - sparsity`` times the full network's.

    Args:
        model: the full network.
        sparsity: in [0, 1).
        n_classes: outputs.
        side: of the input, pixels.

    Raises:
        InputError: the network has no width.
    """
    from regrow import models

    full = model.width or models.usual_width(model.name)
    if full is None:
        raise InputError(
            f"a narrow network needs a width to set, and {model.name} has none.",
            "leave the narrow arm out, or choose a network of regrow's own: `regrow list models`.",
        )

    def weights(width: int) -> int:
        return _n_weights(model.model_copy(update={"width": width}).model_dump_json(), n_classes, side)

    target = (1 - sparsity) * weights(full)
    low, high = 1, full  # more channels, more weights: the first width that reaches the target
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if weights(middle) >= target else (middle + 1, high)
    width = min({max(1, low - 1), low}, key=lambda w: (abs(weights(w) - target), w))
    return Narrow(model.model_copy(update={"width": width}), full, weights(width), weights(full))


@functools.lru_cache(maxsize=256)
def _n_weights(model: str, n_classes: int, side: int) -> int:
    """Weights that could be masked; the network has shapes and no values."""
    import torch

    from regrow import sparsity
    from regrow.training.network import build_network
    from regrow.training.settings import Precision

    settings = ModelSettings.model_validate_json(model)
    with torch.device("meta"):
        network = build_network(settings, n_classes, side, seed=0, precision=Precision())
    return int(sparsity.plan(network, sparsity.Dense(), total_steps=1)["n_weights"])
