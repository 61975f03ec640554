"""The best of many cells is too good: how much of it chance alone gives."""

from __future__ import annotations

import numpy as np

from regrow.statistics._samples import at_least
from regrow.statistics.distributions import log_normal


def expected_maximum(m: int) -> float:
    """Expected maximum of m independent standard normals.

    Times the standard deviation of a cell it is what the best of m cells gains under no effect at all; cells that
    share runs or images go together and gain less.

    Args:
        m: number of cells, >= 1.

    Returns:
        The integral of m x phi(x) Phi(x)^(m-1), by the trapezoidal rule, which is exact to rounding for it.

    Raises:
        InputError: not a whole number from 1 up.

    Example:
        >>> [round(expected_maximum(m), 4) for m in (3, 5, 9, 15, 30, 45)]
        [0.8463, 1.163, 1.485, 1.7359, 2.0428, 2.2077]
    """
    m = at_least(m, 1, "m")
    x = np.linspace(-12.0, 12.0, 4801)
    density = np.exp((m - 1) * log_normal(x) - x * x / 2) / np.sqrt(2 * np.pi)
    return float(m * np.sum(x * density) * (x[1] - x[0]))
