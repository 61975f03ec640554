"""The few distribution functions that the tests need, from ``scipy.special`` (lighter to import than its stats)."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt


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


def noncentral_t(t: float, df: float, shift: float) -> float:
    """P(T <= t), t >= 0, of T = (Z + shift) / sqrt(X / df): Z standard normal, X chi-squared of ``df`` degrees.

    Scipy (1.17, Boost) gives nan for some t < 0, which is why they are left out, and for some probabilities below
    1e-50, which are 0 here.

    Example:
        >>> round(noncentral_t(2.776445, 4, 0.0), 6)
        0.975
    """
    return float(np.nan_to_num(_special().nctdtr(df, shift, t), nan=0.0))


def chi2_tail(x: float, df: float) -> float:
    """P(X >= x) of chi-squared with ``df`` degrees of freedom.

    Example:
        >>> round(chi2_tail(7.814728, 3), 6)
        0.05
    """
    return float(_special().chdtrc(df, x))


def f_tail(x: float, df_above: float, df_below: float) -> float:
    """P(F >= x) of the ratio of two mean squares.

    Example:
        >>> round(f_tail(2.776445**2, 1, 4), 6)
        0.05
    """
    return float(_special().fdtrc(df_above, df_below, x))


def binomial(k: int, n: int, share: float) -> float:
    """P(at most ``k`` successes in ``n`` trials), each with probability ``share``.

    Example:
        >>> binomial(1, 3, 0.5)
        0.5
    """
    return float(_special().bdtr(k, n, share))


def log_normal(z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Logarithm of P(Z <= z) of the standard normal, element by element.

    Example:
        >>> [round(float(p), 6) for p in log_normal(np.array([0.0, -40.0]))]
        [-0.693147, -804.608442]
    """
    return np.asarray(_special().log_ndtr(z), np.float64)
