"""What happened at the updates: one row per update and layer."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import numpy.typing as npt

from regrow.sparsity import select
from regrow.sparsity.masks import pack
from regrow.sparsity.update import Rewired

Bits = npt.NDArray[np.uint8]
_bitwise_count = getattr(np, "bitwise_count", None)
_SET_BITS = np.array([byte.bit_count() for byte in range(256)], dtype=np.uint8)


class Row(TypedDict):
    """One layer at one update; all but the rates are counts of weights.

    ``dropped`` weights went, ``pruned`` of them because the density falls; ``returned`` ones were dropped and grew back
    at once with their value, ``fresh`` ones grew and start from nothing. At a density that stays, ``dropped`` is
    ``returned + fresh``. ``itop_rate`` is the share of the layer's weights that were active at any time so far
    (arXiv:2102.02887), this update included. ``survival`` is the share of what was fresh at the layer's update before
    that is still active (None without any), and ``distance`` the share of the active weights that were not in the
    initial mask.
    """

    step: int
    update: int
    layer: str
    n_active: int
    dropped: int
    returned: int
    fresh: int
    pruned: int
    drop_fraction: float
    itop_rate: float
    survival: float | None
    distance: float


class Track:
    """Packed bits of what a layer's history needs: the initial mask, all that was ever active, what grew last.

    Args:
        mask: the initial mask as packed bits, row-major.
        size: number of weights.
    """

    def __init__(self, mask: Bits, size: int) -> None:
        self.size = size
        self.first, self.ever = mask, mask.copy()
        self.fresh = np.zeros_like(mask)

    @property
    def n_bytes(self) -> int:
        """Bytes that are held."""
        return self.first.nbytes + self.ever.nbytes + self.fresh.nbytes

    @property
    def n_ever(self) -> int:
        """Weights that were active at any time."""
        return count(self.ever)

    def row(self, step: int, update: int, layer: str, change: Rewired, drop_fraction: float) -> Row:
        """Take an update into account, and tell it."""
        mask, returned = pack(change.mask), change.returned
        before, n_active = count(self.fresh), select.count(change.mask)
        survival = count(self.fresh & mask) / before if before else None
        self.ever |= mask
        self.fresh = pack(change.grown & ~returned)
        return {
            "step": step,
            "update": update,
            "layer": layer,
            "n_active": n_active,
            "dropped": select.count(change.dropped),
            "returned": select.count(returned),
            "fresh": count(self.fresh),
            "pruned": 0 if change.pruned is None else select.count(change.pruned),
            "drop_fraction": drop_fraction,
            "itop_rate": self.n_ever / self.size,
            "survival": survival,
            "distance": 1 - count(self.first & mask) / n_active if n_active else 0.0,
        }


def count(bits: Bits) -> int:
    """How many bits are set."""
    if _bitwise_count is not None:  # numpy 2
        return int(_bitwise_count(bits).sum(dtype=np.int64))
    return int(_SET_BITS[bits].sum(dtype=np.int64))
