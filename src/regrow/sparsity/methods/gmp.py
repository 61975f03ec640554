"""GMP: gradual magnitude pruning from dense (Zhu and Gupta 2017, arXiv:1710.01878)."""

from __future__ import annotations

from regrow.sparsity.density_schedules import Cubic
from regrow.sparsity.growth import RandomGrowth
from regrow.sparsity.methods._method import Method, with_parts
from regrow.sparsity.schedules import Constant


def GMP(sparsity: float, *, start_density: float = 1.0, **parts: object) -> Method:  # noqa: N802 (its usual name)
    """The smallest weights of all layers together go, fast at first and then ever more slowly; none comes back.

    Args:
        sparsity: share of inactive weights, met exactly from the last update on.
        start_density: share of active weights at first.
        parts: parts of the `Method` to exchange; ``step=DropGrow(pruning="layer")`` prunes every layer to its share.
    """
    method = Method(
        "gmp",
        sparsity,
        "arXiv:1710.01878",
        grow=RandomGrowth(),
        drop_fraction=Constant(0.0),
        density=Cubic(start_density),
    )
    return with_parts(method, parts)


METHOD = GMP
