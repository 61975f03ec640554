"""MEST (EM): drop by ``|w| + lambda |g|``, regrow at random (Yuan et al. 2021, arXiv:2110.14032)."""

from __future__ import annotations

from regrow.sparsity.drop import MagnitudeAndGradient
from regrow.sparsity.growth import RandomGrowth
from regrow.sparsity.methods._method import Method, variant_parts, with_parts
from regrow.sparsity.schedules import Epochs, Stages
from regrow.sparsity.steps import SoftBound

VARIANTS = {
    "library": {},
    "original": {
        "drop_fraction": Stages(((0.0, 0.02), (0.75, 0.01))),
        "step": SoftBound(soft=False, of="all"),
        "timing": Epochs(5, stop=0.75),
    },
}


def MESTEM(sparsity: float, *, lam: float = 0.0, variant: str = "library", **parts: object) -> Method:  # noqa: N802
    """Elastic mutation: as many weights grow at random as were dropped.

    Args:
        sparsity: share of inactive weights.
        lam: lambda, the weight of the gradient in the drop score; 0, as in the authors' code, drops by magnitude.
        variant: ``"library"`` (the drop fraction is a share of the active weights, as in `SET`) or ``"original"`` (of
            all weights: 0.02, then 0.01 from three quarters of the updates on; every 5 epochs up to 120 of 160).
        parts: parts of the `Method` to exchange; ``grow=GradientGrowth()`` is the variant of the robustness study.
    """
    method = Method(
        "mest_em",
        sparsity,
        "arXiv:2110.14032",
        drop=MagnitudeAndGradient(lam),
        grow=RandomGrowth(),
        step=SoftBound(soft=False),
    )
    return with_parts(method, {**variant_parts("mest_em", VARIANTS, variant), **parts})


METHOD = MESTEM
