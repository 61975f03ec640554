"""What chance gives: evenness of random masks with the same number of weights, drawn without drawing masks.

The counts of a random mask's groups are multivariate hypergeometric, so they are drawn as such; of many small kernels
only the histogram of their counts is drawn. Both are exact. Random numbers are those of numpy's legacy generator,
whose distributions are frozen (NEP 19), so a null follows from its seed on every version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from regrow import seeds
from regrow.analysis.spatial.evenness import Places, dispersion_sd, evenness
from regrow.analysis.spatial.kernels import Counts, Floats

#: Active weights that a group must hold on average before its sum of |w| is taken as normal, given its count.
NORMAL_FROM = 30


@dataclass(frozen=True)
class Null:
    """Figures of random masks, each of shape (masks,), or None where they are not known.

    log D is -inf for a mask that is spread perfectly evenly.
    """

    log_dispersion: Floats
    gini: Floats | None
    effective_number: Floats | None


def stream(seed: int, layer: str) -> np.random.RandomState:
    """The random numbers of one layer's null."""
    keys = seeds.name_key("analysis.spatial.null"), seeds.name_key(layer)
    return np.random.RandomState(seeds.bits(seed, "mask", *keys))


def deal(random: np.random.RandomState, active: npt.NDArray[Any], sizes: npt.NDArray[Any]) -> Counts:
    """Deal active places to groups: multivariate hypergeometric counts, one group after the other.

    Args:
        random: the random numbers.
        active: number of active places of each mask, (masks,).
        sizes: places of each group, (groups,) or (masks, groups); their sum is at least ``active``.

    Returns:
        Integers (masks, groups) that add up to ``active``.
    """
    sizes = np.broadcast_to(sizes, (len(active), sizes.shape[-1])).astype(np.int64)
    left, rest = active.astype(np.int64), sizes.sum(axis=1)
    counts = np.empty(sizes.shape, dtype=np.int64)
    for group in range(sizes.shape[1] - 1):
        here = sizes[:, group]
        rest = rest - here
        # the generator refuses to draw nothing, or from nothing
        drawn = random.hypergeometric(here, rest + (here + rest == 0), np.maximum(left, 1))
        counts[:, group] = np.where(left > 0, drawn, 0)
        left = left - counts[:, group]
    counts[:, -1] = left
    return counts


def histograms(random: np.random.RandomState, n_groups: int, size: int, n_active: int, n_masks: int) -> Counts:
    """How many groups hold 0, 1, .. ``size`` active places, for random masks: (masks, size + 1).

    The first place of all groups is filled, then the second, and so on: the number that falls to a place is
    hypergeometric, and those that fall on groups with c so far are again, whichever groups they are.
    """
    by_place = deal(random, np.full(n_masks, n_active), np.full(size, n_groups))
    found = np.zeros((n_masks, size + 1), dtype=np.int64)
    found[:, 0] = n_groups
    for place in range(size):
        hit = deal(random, by_place[:, place], found[:, : place + 1])
        found[:, : place + 1] -= hit
        found[:, 1 : place + 2] += hit
    return found


def count_null(random: np.random.RandomState, n_groups: int, size: int, n_active: int, n_masks: int) -> Null:
    """Figures of the counts of random masks of ``n_active`` of ``n_groups * size`` places."""
    if n_groups <= size * (size + 3) // 2:  # fewer draws
        counts = deal(random, np.full(n_masks, n_active), np.full(n_groups, size))
        found = evenness(np.sort(counts, axis=1))
    else:
        found = evenness(np.arange(size + 1), histograms(random, n_groups, size, n_active, n_masks))
    ratio = found.square / Places.of_counts(n_groups * size, n_active).variance(size)
    logs = np.log(ratio, out=np.full_like(ratio, -np.inf), where=ratio > 0)
    return Null(logs, found.gini, found.effective_number)


def mass_null(
    random: np.random.RandomState,
    n_groups: int,
    size: int,
    n_active: int,
    powers: tuple[float, float, float, float],
    n_masks: int,
) -> Null | None:
    """Figures of the sums of |w| when both the mask's places and the magnitudes on them are random.

    D is drawn from the multiple of a chi-squared variable that has its exact mean and variance. For the others counts
    are exact and, given these, sums are normal with their exact means and covariances (of magnitudes dealt without
    replacement); they are not known where groups are too small for that. None where nothing can vary.
    """
    sd = dispersion_sd(n_groups, size, Places.of_powers(n_groups * size, powers))
    if sd == 0:
        return None
    df = 2 / sd**2
    logs = np.log(random.chisquare(df, n_masks) / df)
    if n_active < NORMAL_FROM * n_groups:
        return Null(logs, None, None)
    counts = deal(random, np.full(n_masks, n_active), np.full(n_groups, size)).astype(np.float64)
    mean = powers[0] / n_active
    spread = np.sqrt(max(0.0, powers[1] / n_active - mean**2) * n_active / (n_active - 1))
    own = np.sqrt(counts) * random.standard_normal(counts.shape)
    sums = counts * mean + spread * (own - counts / n_active * own.sum(axis=1, keepdims=True))
    found = evenness(np.sort(np.maximum(sums, 0.0), axis=1))
    return Null(logs, found.gini, found.effective_number)


def z_value(value: float | None, null: Floats | None) -> float | None:
    """Distance of a value from the null's mean in its standard deviations; None where that is not defined."""
    if value is None or null is None or not np.isfinite(value) or not np.isfinite(null).all():
        return None
    sd = float(null.std(ddof=1))
    return (value - float(null.mean())) / sd if sd > 1e-12 else None
