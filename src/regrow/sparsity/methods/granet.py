"""GraNet: prune gradually, and regenerate by gradient at every density (Liu et al. 2021, arXiv:2106.10404)."""

from __future__ import annotations

from regrow.sparsity.density_schedules import Cubic
from regrow.sparsity.growth import GradientGrowth
from regrow.sparsity.methods._method import Method, variant_parts, with_parts
from regrow.sparsity.schedules import Cosine, Every

VARIANTS = {
    "library": {},
    "original": {
        "density": Cubic(0.5, until=110 / 160),
        "drop_fraction": Cosine(0.5, 0.005),
        "timing": Every(1000, stop=1.0),
    },
}


def GraNet(  # noqa: N802 (the paper's name)
    sparsity: float,
    *,
    start_density: float | None = None,
    until: float | None = None,
    variant: str = "library",
    **parts: object,
) -> Method:
    """Gradual pruning with zero-cost neuroregeneration: at an update, prune all layers together, then drop and grow.

    Args:
        sparsity: share of inactive weights, met exactly from the last pruning on.
        start_density: share of active weights at first; None takes 0.8 where the final one is at most that, else 1.
        until: share of the updates' window after which the final density is reached; None = the variant's own.
        variant: ``"library"`` or ``"original"`` (start 0.5, drop fraction 0.5 to 0.005, every 1000 steps to the end,
            pruning over the first 110 of 160 epochs).
        parts: parts of the `Method` to exchange; ``grow=RandomGrowth()`` regenerates at random, and
            ``step=DropGrow(pruning="layer")`` prunes every layer to its share.
    """
    method = Method("granet", sparsity, "arXiv:2106.10404", grow=GradientGrowth(), density=Cubic(start_density))
    chosen = variant_parts("granet", VARIANTS, variant)
    if start_density is not None or until is not None:
        own = chosen.get("density", method.density)
        start = getattr(own, "start", None) if start_density is None else start_density
        chosen = {**chosen, "density": Cubic(start, until=getattr(own, "until", 1.0) if until is None else until)}
    return with_parts(method, {**chosen, **parts})


METHOD = GraNet
