"""CHTss: CHTs from a higher density, which falls in an S-shaped curve (Zhang et al. 2025, arXiv:2501.19107)."""

from __future__ import annotations

from regrow.sparsity.density_schedules import Sigmoid
from regrow.sparsity.drop import RelativeImportance, Soft
from regrow.sparsity.hebb import Chained
from regrow.sparsity.methods._method import Method, with_parts
from regrow.sparsity.methods.cht_s import CHTs
from regrow.sparsity.schedules import Value


def CHTss(sparsity: float, *, start_density: float | None = None, **parts: object) -> Method:  # noqa: N802
    """`CHTs` with a density that falls, and relative importance as the score of what stays.

    Args:
        sparsity: share of inactive weights, met exactly from the last pruning on.
        start_density: share of active weights at first (the authors: 0.5); None takes 0.8 where the final one is at
            most that, else 1.
        parts: parts of the `Method` to exchange.
    """
    own = {
        "name": "cht_ss",
        "density": Sigmoid(start_density),
        "drop": Soft(RelativeImportance(), Value(1.0, 9.0)),
        "step": Chained(pruning="layer"),
    }
    return with_parts(CHTs(sparsity), {**own, **parts})


METHOD = CHTss
