"""CHT: grow where the network's own topology predicts links (Zhang et al. 2024, ICLR)."""

from __future__ import annotations

from regrow.sparsity.densities import Uniform
from regrow.sparsity.hebb import CannistraciHebb, Chained
from regrow.sparsity.methods._method import Method, with_parts
from regrow.sparsity.schedules import Constant
from regrow.sparsity.topologies import SmallWorld


def CHT(sparsity: float, **parts: object) -> Method:  # noqa: N802 (the paper's name)
    """Cannistraci-Hebb training: magnitude drop with removal in chains, CH3-L3 growth, no gradients.

    A layer whose growth brings back more than 0.9 of what was dropped stops for good. Densities are uniform; the first
    mask is a bipartite small world, wholly rewired.
    """
    method = Method(
        "cht",
        sparsity,
        "Zhang et al. 2024 (ICLR), Epitopological learning and Cannistraci-Hebb network shape intelligence",
        allocation=Uniform(),
        initial=SmallWorld(),
        grow=CannistraciHebb("CH3"),
        drop_fraction=Constant(0.3),
        step=Chained(early_stop=0.9),
    )
    return with_parts(method, parts)


METHOD = CHT
