"""SET: drop by magnitude, regrow at random (Mocanu et al. 2018, arXiv:1707.04780)."""

from __future__ import annotations

from regrow.sparsity.growth import RandomGrowth
from regrow.sparsity.methods._method import Method, with_parts


def SET(sparsity: float, **parts: object) -> Method:  # noqa: N802 (the paper's name)
    """Sparse evolutionary training, with the library's shared allocation, timing and drop fraction.

    It differs from `RigL` in growth alone. Of the paper's own settings, ``drop=Signs()``,
    ``drop_fraction=Constant(0.3)`` and ``timing=Epochs(1)`` are parts to give.
    """
    return with_parts(Method("set", sparsity, "arXiv:1707.04780", grow=RandomGrowth()), parts)


METHOD = SET
