"""The few distribution functions that the tests need, from ``scipy.special`` (lighter to import than its stats)."""

from __future__ import annotations

import importlib
from typing import Any


def _special() -> Any:
    return importlib.import_module("scipy.special")


def t_tail(t: float, df: float) -> float:
    """P(T >= t) of Student's t with ``df`` degrees of freedom.

    Example:
        >>> round(t_tail(2.776445, 4), 6)
        0.025
    """
    return float(_special().stdtr(df, -t))


def t_quantile(probability: float, df: float) -> float:
    """The t with P(T <= t) = ``probability``.

    Example:
        >>> round(t_quantile(0.975, 4), 6)
        2.776445
    """
    return float(_special().stdtrit(df, probability))


def chi2_tail(x: float, df: float) -> float:
    """P(X >= x) of chi-squared with ``df`` degrees of freedom.

    Example:
        >>> round(chi2_tail(7.814728, 3), 6)
        0.05
    """
    return float(_special().chdtrc(df, x))
