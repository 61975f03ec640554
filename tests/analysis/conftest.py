"""Shared by the tests of analyses: random and planted masks."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch


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
