"""What random growth will have explored, in expectation: known before the first step."""

from __future__ import annotations

from collections.abc import Sequence


def expected_returned(density: float, drop_fraction: float) -> float:
    """Expected share of dropped weights that random growth brings back in the same update.

    Of N weights, ``z d N`` are dropped and as many are drawn from the ``(1 - d + z d) N`` that are then inactive: the
    share is ``q = z d / (1 - d + z d)``.

    Args:
        density: share d of the layer's weights that are active, in (0, 1].
        drop_fraction: share z of the active weights that an update drops, in [0, 1].

    Example:
        >>> round(expected_returned(0.9, 0.5), 3)
        0.818
    """
    candidates = 1 - density + drop_fraction * density
    return drop_fraction * density / candidates if candidates > 0 else 0.0


def expected_itop_rate(density: float, drop_fractions: Sequence[float], *, regrow_dropped: bool = True) -> float:
    """Expected share of a layer's weights that were ever active after updates that grow at random.

    A weight that was never active stays so with probability ``1 - q`` at each update, where ``q`` is the share of the
    candidates that grow (Liu et al. 2021, arXiv:2102.02887, name the rate R_s; the product is elementary).

    Args:
        density: share of active weights, in (0, 1].
        drop_fractions: drop fraction of each update so far.
        regrow_dropped: whether weights dropped in an update are among its candidates.

    Example:
        >>> round(expected_itop_rate(0.5, [0.5]), 3)
        0.667
    """
    never = 1 - density
    for z in drop_fractions:
        inclusive = expected_returned(density, z)
        never *= 1 - (inclusive if regrow_dropped else min(1.0, z * density / (1 - density)) if density < 1 else 0.0)
    return 1 - never
