"""How much of a network was ever active (the ITOP rate), beside what random growth would have explored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from regrow.errors import DataError
from regrow.sparsity.exploration import expected_itop_rate
from regrow.sparsity.history import Row


def expected_itop(density: float, drop_fractions: Sequence[float], *, regrow_dropped: bool = True) -> list[float]:
    """Expected ITOP rate after each update of random growth at a density that stays: known before training.

    Args:
        density: share of active weights, in (0, 1].
        drop_fractions: drop fraction of each update.
        regrow_dropped: whether weights dropped in an update are among its candidates.

    Example:
        >>> [round(rate, 4) for rate in expected_itop(0.5, [0.5, 0.5])]
        [0.6667, 0.7778]
    """
    return [
        expected_itop_rate(density, drop_fractions[: n + 1], regrow_dropped=regrow_dropped)
        for n in range(len(drop_fractions))
    ]


def itop_curves(history: Iterable[Row], sizes: Mapping[str, int], *, regrow_dropped: bool = True) -> dict[str, Any]:
    """ITOP rate against updates of each layer and of the network, with its expectation under random growth.

    A weight that was never active is among an update's candidates, the weights that are inactive once others are
    dropped; random growth picks it with probability grown / candidates. The product over updates needs no constant
    density, so falling densities are covered, and a method that grows otherwise is compared with random growth of as
    many links.

    Args:
        history: rows of ``history.jsonl``, in order.
        sizes: number of weights of every layer that may be sparse; those without a row are dense and explored.
        regrow_dropped: whether the method may grow what it has just dropped.

    Returns:
        ``layers``: {layer, n_weights, points}, ``total``: {n_weights, points}, points being rows update, step, itop,
        expected. Update 0, the initial mask, is the first.

    Raises:
        DataError: rows of a layer without a size.
    """
    by_layer: dict[str, list[Row]] = {}
    for row in history:
        by_layer.setdefault(row["layer"], []).append(row)
    if unknown := [name for name in by_layer if name not in sizes]:
        raise DataError(f"the history tells of {unknown[0]}, whose size is not known.", "give sizes of the same run.")
    curves = {name: _curve(rows, sizes[name], regrow_dropped) for name, rows in by_layer.items()}
    total, points = sum(sizes.values()), []
    dense = sum(n for name, n in sizes.items() if name not in curves)
    for together in zip(*curves.values(), strict=True):
        weighted = [(sizes[name], point) for name, point in zip(curves, together, strict=True)]
        points.append(
            {
                "update": together[0]["update"],
                "step": together[0]["step"],
                **{key: (dense + sum(n * point[key] for n, point in weighted)) / total for key in ("itop", "expected")},
            }
        )
    return {
        "layers": [{"layer": name, "n_weights": sizes[name], "points": curve} for name, curve in curves.items()],
        "total": {"n_weights": total, "points": points},
    }


def _curve(rows: Sequence[Row], size: int, regrow_dropped: bool) -> list[dict[str, Any]]:
    before = rows[0]["n_active"] + rows[0]["dropped"] - rows[0]["returned"] - rows[0]["fresh"]
    never = 1 - before / size
    points = [{"update": 0, "step": 0, "itop": before / size, "expected": before / size}]
    for row in rows:
        grown = row["returned"] + row["fresh"]
        before = row["n_active"] + row["dropped"] - grown
        candidates = size - before + (row["dropped"] if regrow_dropped else 0)
        never *= 1 - min(1.0, grown / candidates) if candidates else 1.0
        points.append({"update": row["update"], "step": row["step"], "itop": row["itop_rate"], "expected": 1 - never})
    return points
