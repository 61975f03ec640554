"""One mean across scenarios whose true effects differ."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from regrow.errors import InputError
from regrow.statistics._samples import FEWEST, pair, probability
from regrow.statistics.distributions import chi2_tail, t_quantile, t_tail


@dataclass(frozen=True)
class RandomEffects:
    """Mean effect over scenarios.

    Attributes:
        k: number of scenarios.
        mean: weighted mean of their effects.
        se: its standard error; None, as the interval and p, for k < 3 or effects that do not vary.
        low: lower end of the two-sided interval.
        high: upper end.
        p: two-sided p-value of "the mean effect is 0".
        tau2: variance of the true effects between scenarios.
        q: Cochran's Q, weighted squares about the fixed-effect mean.
        p_q: p-value of "all scenarios have one effect".
        level: confidence level.
    """

    k: int
    mean: float
    se: float | None
    low: float | None
    high: float | None
    p: float | None
    tau2: float
    q: float
    p_q: float | None
    level: float


def hartung_knapp(y: npt.ArrayLike, se: npt.ArrayLike, *, level: float = 0.95) -> RandomEffects:
    """Random-effects mean with the interval of Hartung and Knapp 2001; tau^2 by DerSimonian and Laird 1986.

    With weights w = 1 / (se^2 + tau^2) the variance of the mean is sum w (y - mean)^2 / ((k - 1) sum w), and
    t has k - 1 degrees of freedom. Where effects agree better than their standard errors say, the interval can be
    narrower than that of one common effect.

    The effects must be independent: scenarios that share trained models are one scenario, or one is left out.

    Args:
        y: effect in each scenario, shape (k,).
        se: their standard errors, > 0, shape (k,).
        level: confidence level in (0, 1).

    Raises:
        InputError: lengths that differ, values that are not finite, a standard error that is not positive.

    Example:
        >>> found = hartung_knapp([0.4, 4, 0.34, 1.06, 0.46], [0.3, 0.5, 0.2, 0.4, 0.3])
        >>> f"{found.mean:.6f} [{found.low:.6f}, {found.high:.6f}]"
        '1.178781 [-0.696253, 3.053814]'
    """
    level, (effects, errors) = probability(level, "level"), pair(y, se, ("y", "se"))
    if errors.min() <= 0:
        raise InputError("standard errors must be greater than 0.", "leave out scenarios without a standard error.")
    k = effects.size
    w = errors**-2.0
    q = float(w @ (effects - np.average(effects, weights=w)) ** 2)
    tau2 = max(0.0, (q - (k - 1)) / float(w.sum() - w @ w / w.sum())) if k > 1 else 0.0
    w = 1 / (errors**2 + tau2)
    mean = float(np.average(effects, weights=w))
    p_q = chi2_tail(q, k - 1) if k > 1 else None
    if k < FEWEST or np.ptp(effects) == 0:
        return RandomEffects(k, mean, None, None, None, None, tau2, q, p_q, level)
    error = math.sqrt(float(w @ (effects - mean) ** 2) / ((k - 1) * float(w.sum())))
    half = t_quantile((1 + level) / 2, k - 1) * error
    p = 2 * t_tail(abs(mean) / error, k - 1)
    return RandomEffects(k, mean, error, mean - half, mean + half, p, tau2, q, p_q, level)
