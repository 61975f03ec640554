"""Several tests of one family: Holm's correction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from regrow.errors import InputError
from regrow.statistics._samples import sample


def holm(p_values: npt.ArrayLike) -> list[float]:
    """Adjusted p-values in the order given (Holm 1979): each may be compared with the family's level itself.

    The i-th smallest of m becomes the largest of (m - j + 1) p_(j) over j <= i, at most 1.

    Args:
        p_values: p-values of one family, in [0, 1]; shape (m,).

    Returns:
        Adjusted p-values, same order.

    Raises:
        InputError: an empty family, or a value outside [0, 1].

    Example:
        >>> [round(p, 3) for p in holm([0.004, 0.030, 0.020, 0.200, 0.011])]
        [0.02, 0.06, 0.06, 0.2, 0.044]
    """
    p = sample(p_values, "p_values")
    if p.min() < 0 or p.max() > 1:
        raise InputError("p-values must lie in [0, 1].", "leave tests without a p-value out of the family.")
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return [float(value) for value in adjusted]
