"""Building a run's network and optimiser from its settings."""

from __future__ import annotations

import torch
from torch import nn

from regrow import models, seeds
from regrow.training.settings import ModelSettings, Precision, TrainingSettings


def build_network(
    settings: ModelSettings, n_classes: int, image_size: int, *, seed: int, precision: Precision
) -> nn.Module:
    """The network with its initial weights, a function of ``seed`` alone; torch's global generator is left as it was.

    Args:
        settings: name, width, options.
        n_classes: outputs.
        image_size: side of the square input, pixels.
        seed: seed of the stream ``init``.
        precision: whether 4-D weights lie in channels-last order.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.torch_seed(seed, "init"))
        model = models.build(
            settings.name, n_classes, image_size=image_size, width=settings.width, options=settings.options
        )
    if precision.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def build_optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """SGD with momentum over all parameters, biases and norms included, as the reference codes have it."""
    return torch.optim.SGD(
        model.parameters(),
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
    )
