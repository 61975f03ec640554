"""The plane of discrete frequencies: radius of every bin, power in it, share above a radius and radial profile.

Power is that of the orthonormal transform, |fft2(x)|^2 / (H W), so that its sum over the plane is the sum of squares
of ``x``. Of a real signal the half plane of ``rfft2`` says everything; columns that stand for their mirrors too count
twice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from regrow.analysis.frequencies import frequency_radii

#: Power outside the zero frequency below this share of the whole is rounding of the transform (float64).
_ROUNDING = 1e-24
#: Numbers transformed at a time, so that float64 spectra stay small beside the images.
_CHUNK = 1 << 22


def radii(height: int, width: int) -> Tensor:
    """Radius rho = sqrt(u^2 + v^2) in cycles per image of the bins of ``rfft2``: float64 (height, width // 2 + 1)."""
    return frequency_radii(height, width, centred=False)[:, : width // 2 + 1]


def multiplicity(height: int, width: int) -> Tensor:
    """Bins of the whole plane that each bin of ``rfft2`` stands for, 1 or 2: float64 (height, width // 2 + 1)."""
    columns = torch.full((width // 2 + 1,), 2.0, dtype=torch.float64)
    columns[0] = 1
    if width % 2 == 0:
        columns[-1] = 1
    return columns.expand(height, -1)


def power(x: Tensor) -> Tensor:
    """Power of each item in each frequency, summed over channels and all that lies between.

    Args:
        x: real numbers (n, ..., H, W) of any type.

    Returns:
        Float64 (n, H, W // 2 + 1) on the same device, of single bins; a sum over the plane weighs it with
        `multiplicity`.
    """
    height, width = x.shape[-2:]
    found = x.new_empty((len(x), height, width // 2 + 1), dtype=torch.float64)
    start = 0
    for part in torch.split(x, max(1, _CHUNK // max(1, x[:1].numel()))):
        spectrum = torch.fft.rfft2(part.double().contiguous(), norm="ortho")
        squared = spectrum.real.square() + spectrum.imag.square()
        found[start : start + len(part)] = squared.reshape(len(part), -1, *squared.shape[-2:]).sum(dim=1)
        start += len(part)
    return found


def total(spectrum: Tensor, width: int) -> Tensor:
    """Sum over the whole plane of a half plane's values: (..., H, W // 2 + 1) -> (...)."""
    weight = multiplicity(spectrum.shape[-2], width).to(spectrum.device)
    return (spectrum * weight).sum(dim=(-2, -1))


def power_above(spectrum: Tensor, width: int, radius: float) -> Tensor:
    """Sum over the bins of the whole plane at rho > radius: (..., H, W // 2 + 1) -> (...)."""
    rho = radii(spectrum.shape[-2], width).to(spectrum.device)
    return total(spectrum * (rho > radius), width)


def share_above(spectrum: Tensor, width: int, radius: float) -> Tensor:
    """Share of the power outside the zero frequency that lies at rho > radius.

    Args:
        spectrum: power by bin of the half plane, (..., H, W // 2 + 1).
        width: W, which the half plane alone does not tell.
        radius: in cycles per image.

    Returns:
        Float64 (...), in [0, 1]; NaN where there is no power but at the zero frequency.
    """
    everything, varying = total(spectrum, width), power_above(spectrum, width, 0)
    share = power_above(spectrum, width, radius) / varying
    return share.masked_fill(varying <= _ROUNDING * everything, torch.nan)


def profile(spectrum: Tensor, width: int) -> list[dict[str, Any]]:
    """Mean power of the bins in rings one cycle wide, r - 1/2 <= rho < r + 1/2 for r = 0, 1, ...

    Args:
        spectrum: power by bin of the half plane, (H, W // 2 + 1).
        width: W.

    Returns:
        Rows of radius, bins (of the whole plane) and power (their mean). The sum of bins times power is the sum over
        the plane.
    """
    ring = (radii(spectrum.shape[-2], width) + 0.5).floor().long().reshape(-1)
    weight = multiplicity(spectrum.shape[-2], width).reshape(-1)
    bins = torch.bincount(ring, weight)
    sums = torch.bincount(ring, weight * spectrum.detach().cpu().reshape(-1))
    return [
        {"radius": radius, "bins": int(n), "power": value / n}
        for radius, (n, value) in enumerate(zip(bins.tolist(), sums.tolist(), strict=True))
    ]
