"""A difference that speaks of other seeds and of other images: both vary, and each run meets each image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from regrow.errors import InputError
from regrow.statistics._roots import root
from regrow.statistics._samples import FEWEST, ROUNDING, probability, table
from regrow.statistics.distributions import t_quantile, t_tail

#: From this many seeds up Satterthwaite's t keeps its level; below, its critical value is too small.
_SATTERTHWAITE_FROM = 5


@dataclass(frozen=True)
class CrossedDifference:
    """Mean of a table seeds x images of differences, with seeds and images as random samples.

    With fewer than three seeds, or differences that do not vary at all, all figures but the mean are None.

    Attributes:
        n_seeds: number of seeds S.
        n_images: number of images I.
        mean: grand mean.
        level: confidence level of the interval.
        se: standard error of the mean.
        t: mean / se.
        df: Satterthwaite's degrees of freedom; from five seeds up, interval and p come from t with so many.
        p: two-sided p-value of "the mean is 0"; below 1 - level exactly if the interval excludes 0.
        low: lower end of the two-sided interval.
        high: upper end.
        ms_seed: mean square of the seeds, S - 1 degrees of freedom.
        ms_image: mean square of the images, I - 1.
        ms_rest: mean square of what is left, (S - 1)(I - 1).
        var_seed: variance between seeds beyond what images explain, (ms_seed - ms_rest) / I, not below 0.
        var_image: variance between images likewise, (ms_image - ms_rest) / S, not below 0.
    """

    n_seeds: int
    n_images: int
    mean: float
    level: float
    se: float | None = None
    t: float | None = None
    df: float | None = None
    p: float | None = None
    low: float | None = None
    high: float | None = None
    ms_seed: float | None = None
    ms_image: float | None = None
    ms_rest: float | None = None
    var_seed: float | None = None
    var_image: float | None = None


def crossed(differences: npt.ArrayLike, *, level: float = 0.95) -> CrossedDifference:
    """Interval of the mean difference for other seeds and other images (two-way random effects, no replication).

    With mean squares M of seeds (s), images (i) and the rest (r) of the table, the mean has the variance V / (S I),
    V = max(M_s + M_i - M_r, M_s, M_i): the maximum keeps it from falling below what one of the two gives alone.
    Degrees of freedom by Satterthwaite (1946), V^2 / (M_s^2 / (S-1) + M_i^2 / (I-1) + M_r^2 / ((S-1)(I-1))). Below five
    seeds that is too short, and the critical value is the mean of those of t_(S-1) and t_(I-1) with weights M_s
    and P = max(M_i - M_r, 0) (as Cochran 1964 for two means); p is then the level at which the interval reaches 0.
    The coverage is bounded from below: 94 % and more at a nominal 95 %.

    `paired` on the means over images speaks of other seeds on these images; this, of other seeds on images like these.

    Args:
        differences: a - b for each run and image, e.g. the share of corruptions that one network gets right and the
            other does not, in points; shape (S, I).
        level: confidence level in (0, 1).

    Raises:
        InputError: not a table of finite numbers with two images or more, a level outside (0, 1).

    Example:
        >>> found = crossed([[2, 1, 3, 0], [1, 1, 2, -1], [3, 2, 4, 2]])
        >>> f"{found.mean:.6f} {found.se:.6f} {found.t:.6f} {found.df:.6f}"
        '1.666667 0.799305 2.085144 4.486748'
    """
    level, d = probability(level, "level"), table(differences, "differences")
    n_seeds, n_images = d.shape
    if n_images < 2:
        raise InputError("differences must have two images or more.", "use `paired` for one value per seed.")
    mean = float(d.mean())
    if n_seeds < FEWEST:
        return CrossedDifference(n_seeds, n_images, mean, level)
    ms_seed, ms_image, ms_rest = _mean_squares(d, mean)
    v = max(ms_seed + ms_image - ms_rest, ms_seed, ms_image)
    if math.sqrt(v) <= ROUNDING * max(float(d.max()), -float(d.min())):
        return CrossedDifference(n_seeds, n_images, mean, level)
    se = math.sqrt(v / d.size)
    t, df_seed, df_image = mean / se, n_seeds - 1, n_images - 1
    df = v**2 / (ms_seed**2 / df_seed + ms_image**2 / df_image + ms_rest**2 / (df_seed * df_image))
    if n_seeds >= _SATTERTHWAITE_FROM:
        critical, p = t_quantile((1 + level) / 2, df), 2 * t_tail(abs(t), df)
    else:
        beyond = max(ms_image - ms_rest, 0.0)
        weight = ms_seed / (ms_seed + beyond) if beyond > 0 else 1.0
        critical = weight * t_quantile((1 + level) / 2, df_seed) + (1 - weight) * t_quantile((1 + level) / 2, df_image)
        p = _p_of_two(abs(t), weight, df_seed, df_image)
    return CrossedDifference(
        n_seeds,
        n_images,
        mean,
        level,
        se=se,
        t=t,
        df=df,
        p=p,
        low=mean - critical * se,
        high=mean + critical * se,
        ms_seed=ms_seed,
        ms_image=ms_image,
        ms_rest=ms_rest,
        var_seed=max(ms_seed - ms_rest, 0.0) / n_images,
        var_image=max(ms_image - ms_rest, 0.0) / n_seeds,
    )


def _mean_squares(d: npt.NDArray[np.float64], mean: float) -> tuple[float, float, float]:
    """Mean squares of rows, columns and the rest of a table."""
    n, m = d.shape
    rows, columns = d.mean(axis=1) - mean, d.mean(axis=0)
    rest = d - columns
    rest -= rows[:, None]
    columns -= mean
    return (
        m * float(rows @ rows) / (n - 1),
        n * float(columns @ columns) / (m - 1),
        float(np.vdot(rest, rest)) / ((n - 1) * (m - 1)),
    )


def _p_of_two(t: float, weight: float, df: int, other_df: int) -> float:
    """The two-sided p at which the weighted mean of the two critical values, of ``df`` and ``other_df``, is t >= 0."""
    if weight == 0 or t == 0:
        return 2 * t_tail(t, other_df)

    def beyond(x: float) -> float:
        """How far the mean exceeds t where the first critical value is x and the other has the same tail."""
        return weight * x - (1 - weight) * t_quantile(t_tail(x, df), other_df) - t

    return 2 * t_tail(root(beyond, 0.0, 2 * t / weight), df)
