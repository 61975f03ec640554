"""What happened at the updates: one row per update and layer."""

from __future__ import annotations

from typing import TypedDict

from torch import Tensor

from regrow.sparsity.update import Rewired


class Row(TypedDict):
    """One layer at one update.

    ``dropped`` counts the weights that were dropped, ``returned`` those of them that grew back at once, ``fresh`` those
    that were inactive before and grew; ``dropped == returned + fresh``. ``itop_rate`` is the share of the layer's
    weights that were active at any time so far (arXiv:2102.02887), this update included.
    """

    step: int
    update: int
    layer: str
    n_active: int
    dropped: int
    returned: int
    fresh: int
    drop_fraction: float
    itop_rate: float


def row(step: int, update: int, layer: str, change: Rewired, drop_fraction: float, ever: Tensor) -> Row:
    """The row of one layer; ``ever`` is its history of active weights, bool (N,)."""
    dropped = int(change.dropped.count_nonzero())
    returned = int((change.dropped & change.grown).count_nonzero())
    return {
        "step": step,
        "update": update,
        "layer": layer,
        "n_active": int(change.mask.count_nonzero()),
        "dropped": dropped,
        "returned": returned,
        "fresh": dropped - returned,
        "drop_fraction": drop_fraction,
        "itop_rate": int(ever.count_nonzero()) / ever.numel(),
    }
