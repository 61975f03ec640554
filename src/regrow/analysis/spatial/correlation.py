"""Does what filters do go with how many weights they have kept? Rank correlation, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from regrow.errors import InputError
from regrow.statistics.distributions import t_tail

#: Fewest filters whose correlation is tested.
FEWEST = 4


class RankCorrelation(NamedTuple):
    """Spearman's rho over n pairs, and its two-sided p-value by Student's t; None where they are not defined."""

    n: int
    rho: float | None
    p: float | None


def rank_correlation(x: npt.ArrayLike, y: npt.ArrayLike) -> RankCorrelation:
    """Spearman's rank correlation; ties get their mean rank, and pairs with a value that is not finite are left out.

    Args:
        x: one number per filter, (n,), e.g. the share n_o / K of its weights that are active.
        y: another, e.g. its high-frequency share.

    Raises:
        InputError: vectors of different lengths.

    Example:
        >>> rank_correlation([1, 2, 3, 4], [10, 20, 40, 30]).rho
        0.8
    """
    a, b = (np.asarray(v, dtype=np.float64).reshape(-1) for v in (x, y))
    if a.size != b.size:
        raise InputError(
            f"a rank correlation needs pairs, got {a.size} and {b.size} numbers.", "give one of each per filter."
        )
    known = np.isfinite(a) & np.isfinite(b)
    n = int(known.sum())
    a, b = (rankdata(v[known]) - (n + 1) / 2 for v in (a, b))
    spread = math.sqrt(float((a**2).sum() * (b**2).sum()))
    if n < 2 or spread == 0:
        return RankCorrelation(n, None, None)
    rho = max(-1.0, min(1.0, float((a * b).sum()) / spread))
    if n < FEWEST:
        return RankCorrelation(n, rho, None)
    left = 1 - rho * rho
    p = 2 * t_tail(abs(rho) * math.sqrt((n - 2) / left), n - 2) if left > 0 else 0.0
    return RankCorrelation(n, rho, p)


def filter_correlations(kept: Mapping[str, npt.ArrayLike], values: Mapping[str, npt.ArrayLike]) -> dict[str, Any]:
    """`rank_correlation` of every layer that both have, and their mean over layers weighted by filters.

    Args:
        kept: layer name to n_o / K per filter: ``kernel_map(mask).sum(1) / (n_in * size)``.
        values: layer name to any number per filter.

    Returns:
        ``layers``: rows layer, n, rho, p; ``mean_rho`` over the layers that have one. Layers where all filters hold
        equally many (dense ones) have none.
    """
    rows = [{"layer": name, **rank_correlation(kept[name], values[name])._asdict()} for name in kept if name in values]
    told = [row for row in rows if row["rho"] is not None]
    weight = sum(row["n"] for row in told)
    return {"layers": rows, "mean_rho": sum(row["n"] * row["rho"] for row in told) / weight if told else None}
