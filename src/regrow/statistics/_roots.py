"""Where a function is zero: Brent's method from ``scipy.optimize``, imported when first needed."""

from __future__ import annotations

import importlib
from collections.abc import Callable


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """The zero of a continuous function whose signs at ``low`` and ``high`` differ.

    Example:
        >>> round(root(lambda x: x * x - 2, 0, 2), 9)
        1.414213562
    """
    return float(importlib.import_module("scipy.optimize").brentq(function, low, high, maxiter=1000))
