"""The plane of spatial frequencies: whole cycles per image along both axes, and their distance from zero.

An even side H has the frequencies -H/2 .. H/2 - 1, an odd one -(H - 1)/2 .. (H - 1)/2.
"""

from __future__ import annotations

import torch
from torch import Tensor


def frequency_radii(height: int, width: int, *, centred: bool = True) -> Tensor:
    """Distance rho = sqrt(u^2 + v^2) of every bin from the zero frequency, in cycles per image.

    Args:
        height: rows.
        width: columns.
        centred: zero frequency at row H // 2, column W // 2 (the order of ``fftshift``); else first, as ``fft2`` gives
            it.

    Returns:
        float64 (height, width).

    Example:
        >>> frequency_radii(3, 2)[1].tolist(), frequency_radii(3, 2, centred=False)[0].tolist()
        ([1.0, 0.0], [0.0, 1.0])
    """
    u = torch.arange(height, dtype=torch.float64) - height // 2
    v = torch.arange(width, dtype=torch.float64) - width // 2
    rho: Tensor = (u[:, None].square() + v.square()).sqrt()
    return rho if centred else torch.fft.ifftshift(rho)
