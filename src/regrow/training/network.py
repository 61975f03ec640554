"""Building a run's network and optimiser from its settings."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from regrow import models, seeds
from regrow.errors import InputError
from regrow.models.blurpool import antialiased
from regrow.models.dropout import with_dropout
from regrow.training.settings import ModelSettings, Precision, TrainingSettings

#: Largest side of an image in pixels at which AVX-512 kernels were seen to be safe for any number of channels.
_SAFE_SIDE = 48


def build_network(
    settings: ModelSettings, n_classes: int, image_size: int, *, seed: int, precision: Precision
) -> nn.Module:
    """The network with its initial weights, a function of ``seed`` alone; torch's global generator is left as it was.

    Args:
        settings: name, width, options, dropout, anti-aliasing.
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
    if settings.dropout:
        model = with_dropout(model, settings.dropout, settings.name)
    if settings.blurpool:
        model = antialiased(model)
    if precision.channels_last:
        if fault := channels_last_fault(model, image_size):
            raise InputError(fault, "widen the network to 16 channels or more, or set training.channels_last: no.")
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def channels_last_fault(model: nn.Module, image_size: int) -> str:
    """Why this network must not be trained in channels-last order here; empty where it may.

    Strided 1 x 1 convolutions of few input channels overrun memory in the backward pass of oneDNN's kernels for
    processors (seen with torch 2.13.0: heap corruption after some steps). Without AVX-512 at 2 to 6 channels on maps of
    32 pixels, where 8 to 28 are fine; with AVX-512 at 2 to 12 channels on maps of 56 to 128 pixels, where 15 and more
    are fine, as are all on maps of up to 52.

    Args:
        model: the network.
        image_size: side of its input, pixels.
    """
    if torch.cuda.is_available():
        return ""
    has_avx512 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    fewest = 16 if image_size > _SAFE_SIDE else 0 if has_avx512 else 8
    for name, module in model.named_modules():
        if not isinstance(module, nn.Conv2d) or module.in_channels // module.groups >= fewest:
            continue
        if set(module.kernel_size) == {1} and set(module.stride) != {1}:
            return f"torch corrupts memory on this processor when {name} is trained in channels-last order."
    return ""


def build_optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW, over all parameters.

    With ``decay_norms`` biases and norms decay too, as the reference codes for SGD have it; without, only what has two
    or more dimensions does, less what the network itself exempts (timm's ``no_weight_decay``: tokens, positions).
    """
    groups: Any = model.parameters()
    if not settings.decay_norms:
        exempt: set[str] = getattr(model, "no_weight_decay", set)()
        named = list(model.named_parameters())
        free = [p.ndim <= 1 or name in exempt for name, p in named]
        groups = [
            {"params": [p for (_, p), is_free in zip(named, free, strict=True) if not is_free]},
            {"params": [p for (_, p), is_free in zip(named, free, strict=True) if is_free], "weight_decay": 0.0},
        ]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(
            groups, lr=settings.lr, betas=settings.betas, eps=settings.eps, weight_decay=settings.weight_decay
        )
    return torch.optim.SGD(
        groups,
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
    )
