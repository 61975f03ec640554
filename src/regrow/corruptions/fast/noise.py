"""Noise in float32, in units of grey levels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regrow.corruptions.draws import BINS, poisson_law
from regrow.corruptions.fast import accelerator_only, device_draws


def _planes(draws: Tensor) -> Tensor:
    """Draws (N, H, W, 3) in the layout of the images."""
    return draws.permute(0, 3, 1, 2)


@accelerator_only
@device_draws
def gaussian_noise(images: Tensor, draws: Tensor, std: float) -> Tensor:
    """See ``regrow.corruptions.noise.gaussian_noise``."""
    noise = _planes(draws).float()
    return noise.mul_(255 * std).add_(images).clamp_(0, 255).to(torch.uint8)


@accelerator_only
@device_draws
def speckle_noise(images: Tensor, draws: Tensor, std: float) -> Tensor:
    """See ``regrow.corruptions.noise.speckle_noise``."""
    noise = _planes(draws).float()
    return noise.mul_(std).add_(1).mul_(images).clamp_(0, 255).to(torch.uint8)


@accelerator_only
@device_draws
def impulse_noise(images: Tensor, draws: Tensor, share: float) -> Tensor:
    """See ``regrow.corruptions.noise.impulse_noise``: the same bytes."""
    number = _planes(draws)
    noisy = torch.where(number < share, 0, images)
    return torch.where(number < share / 2, 255, noisy).to(torch.uint8)


@accelerator_only
@device_draws
def shot_noise(images: Tensor, draws: Tensor, photons: float) -> Tensor:
    """See ``regrow.corruptions.noise.shot_noise``: counts by bisection of the same tables."""
    law, device = poisson_law(float(photons)), images.device
    first, last = (torch.from_numpy(table).to(device) for table in (law.first, law.last))
    cdf = torch.from_numpy(law.cdf).to(device)
    number, level = _planes(draws), images.long()
    cell = level * BINS + (number * BINS).long()
    low, high = first[cell].long(), last[cell].long()
    row = level * law.n_counts
    for _ in range(math.ceil(math.log2(int((law.last - law.first).max()) + 1))):
        middle = (low + high) // 2
        above = cdf[row + middle] > number
        low, high = torch.where(above, low, torch.minimum(middle + 1, high)), torch.where(above, middle, high)
    return (low.double() / photons).clamp_(max=1).mul_(255).to(torch.uint8)
