"""MEST (EM&S): mutation with a soft bound on the number of weights (Yuan et al. 2021, arXiv:2110.14032)."""

from __future__ import annotations

from regrow.sparsity.drop import MagnitudeAndGradient
from regrow.sparsity.growth import RandomGrowth
from regrow.sparsity.methods._method import Method, variant_parts, with_parts
from regrow.sparsity.schedules import Epochs, Linear, Stages
from regrow.sparsity.steps import SoftBound

VARIANTS = {
    "library": {},
    "original": {
        "drop_fraction": Stages(((0.0, 0.02), (0.75, 0.01))),
        "step": SoftBound(soft=True, of="all"),
        "timing": Epochs(5, stop=0.75),
    },
}


def MESTEMS(sparsity: float, *, lam: float = 0.0, variant: str = "library", **parts: object) -> Method:  # noqa: N802
    """Elastic mutation with a soft bound: between updates a layer holds a margin above its density.

    Args:
        sparsity: share of inactive weights, met exactly from the last update on.
        lam: lambda, the weight of the gradient in the drop score; 0, as in the authors' code, drops by magnitude.
        variant: ``"library"`` (a tenth more than the final number at first, falling in a straight line) or
            ``"original"`` (0.02 of all weights, then 0.01, then none; every 5 epochs up to 120 of 160).
        parts: parts of the `Method` to exchange; the drop fraction is the margin.
    """
    method = Method(
        "mest_ems",
        sparsity,
        "arXiv:2110.14032",
        drop=MagnitudeAndGradient(lam),
        grow=RandomGrowth(),
        drop_fraction=Linear(0.1),
        step=SoftBound(soft=True),
    )
    return with_parts(method, {**variant_parts("mest_ems", VARIANTS, variant), **parts})


METHOD = MESTEMS
