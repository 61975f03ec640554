"""Shared by the tests of analyses: a network that would show any change done to it, random and planted masks."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
import torch
from torch import nn


@pytest.fixture
def untouched() -> Callable[[nn.Module], AbstractContextManager[None]]:
    """Check that weights, buffers, gradients, modes and hooks of a network are the same after as before, to the bit."""

    def seen(model: nn.Module) -> tuple[object, ...]:
        return (
            {name: value.clone() for name, value in model.state_dict().items()},
            {name: (p.requires_grad, p.grad, p.data_ptr()) for name, p in model.named_parameters()},
            [module.training for module in model.modules()],
            [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()],
        )

    @contextlib.contextmanager
    def check(model: nn.Module) -> Iterator[None]:
        state, *before = seen(model)
        try:
            yield
        finally:
            now, *after = seen(model)
            assert after == before
            assert all(torch.equal(now[name], value) for name, value in state.items())

    return check


@pytest.fixture
def network() -> nn.Module:
    """A small network in training mode, one part in evaluation mode, with batch norm and dropout."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.Tanh(),
        nn.Dropout(0.5),
        nn.Conv2d(4, 6, 3, padding=1, groups=2),
        nn.Softplus(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    ).train()
    model[1].running_mean.copy_(torch.randn(4))
    model[4].eval()
    return model


@pytest.fixture(scope="session")
def random_mask() -> Callable[..., torch.Tensor]:
    """A mask of a shape with that many active places, uniformly at random."""

    def of(shape: tuple[int, ...], n_active: int, seed: int = 0) -> torch.Tensor:
        mask = torch.zeros(math.prod(shape), dtype=torch.bool)
        mask[torch.randperm(mask.numel(), generator=torch.Generator().manual_seed(seed))[:n_active]] = True
        return mask.reshape(shape)

    return of


@pytest.fixture(scope="session")
def planted_mask(random_mask: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The same, with a share of the places taken from the second half of the filters and given to the first."""

    def of(shape: tuple[int, ...], n_active: int, moved: float, seed: int = 0) -> torch.Tensor:
        half = (shape[0] // 2, *shape[1:])
        more = round(n_active * (1 + moved) / 2)
        return torch.cat([random_mask(half, more, seed), random_mask(half, n_active - more, seed + 1000)])

    return of
