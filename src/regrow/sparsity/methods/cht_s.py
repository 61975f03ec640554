"""CHTs: Cannistraci-Hebb training with soft removal and regrowth (Zhang et al. 2025, arXiv:2501.19107)."""

from __future__ import annotations

from regrow.sparsity.densities import Uniform
from regrow.sparsity.drop import Magnitude, Soft
from regrow.sparsity.hebb import CannistraciHebb, Chained
from regrow.sparsity.methods._method import Method, with_parts
from regrow.sparsity.schedules import Cosine, Value
from regrow.sparsity.topologies import ReceptiveField


def CHTs(sparsity: float, **parts: object) -> Method:  # noqa: N802 (the paper's name)
    """Weights stay with odds in proportion to a power of their size that rises from 1 to 9; CH2-L3 scores are odds too.

    The first mask is a bipartite receptive field.
    """
    method = Method(
        "cht_s",
        sparsity,
        "arXiv:2501.19107",
        allocation=Uniform(),
        initial=ReceptiveField(0.3, "uniform"),
        drop=Soft(Magnitude(), Value(1.0, 9.0)),
        grow=CannistraciHebb("CH2", soft=True),
        drop_fraction=Cosine(0.1),
        step=Chained(),
    )
    return with_parts(method, parts)


METHOD = CHTs
