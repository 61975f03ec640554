"""RigL: drop by magnitude, grow by gradient (Evci et al. 2020, arXiv:1911.11134)."""

from __future__ import annotations

from regrow.sparsity.growth import GradientGrowth
from regrow.sparsity.methods._method import Method, with_parts


def RigL(sparsity: float, **parts: object) -> Method:  # noqa: N802 (the paper's name)
    """Rigging the lottery: the largest dense gradients say what grows.

    Departs from the authors' code in one point: the optimiser's step is taken at updates too, since a hook cannot
    skip it without touching the loop.
    """
    return with_parts(Method("rigl", sparsity, "arXiv:1911.11134", grow=GradientGrowth()), parts)


METHOD = RigL
