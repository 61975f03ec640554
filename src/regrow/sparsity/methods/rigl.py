"""RigL: drop by magnitude, grow by gradient (Evci et al. 2020, arXiv:1911.11134)."""

from __future__ import annotations

from regrow.sparsity.growth import GradientGrowth
from regrow.sparsity.methods._method import Method, variant_parts, with_parts
from regrow.sparsity.schedules import Cosine, Every

VARIANTS = {
    "library": {},
    "original": {"drop_fraction": Cosine(0.3), "timing": Every(100, stop=0.75)},
    "itop": {"drop_fraction": Cosine(0.5, 0.005), "timing": Every(4000, stop=1.0)},
}


def RigL(sparsity: float, *, variant: str = "library", **parts: object) -> Method:  # noqa: N802 (the paper's name)
    """Rigging the lottery: the largest dense gradients say what grows.

    Departs from the authors' code in one point: the optimiser's step is taken at updates too, since a hook cannot
    skip it without touching the loop.

    Args:
        sparsity: share of inactive weights.
        variant: ``"library"`` (48 updates up to 0.75 of the run), ``"original"`` (every 100 steps) or ``"itop"``
            (arXiv:2102.02887: 0.5 to 0.005, every 4000 steps, no stop).
        parts: parts of the `Method` to exchange.
    """
    method = Method("rigl", sparsity, "arXiv:1911.11134", grow=GradientGrowth())
    return with_parts(method, {**variant_parts("rigl", VARIANTS, variant), **parts})


METHOD = RigL
