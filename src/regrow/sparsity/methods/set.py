"""SET: drop by magnitude, regrow at random (Mocanu et al. 2018, arXiv:1707.04780)."""

from __future__ import annotations

from regrow.sparsity.densities import ER
from regrow.sparsity.drop import Signs
from regrow.sparsity.growth import RandomGrowth
from regrow.sparsity.methods._method import Method, variant_parts, with_parts
from regrow.sparsity.schedules import Constant, Cosine, Epochs, Every

VARIANTS = {
    "library": {},
    "original": {
        "allocation": ER(),
        "drop": Signs(),
        "drop_fraction": Constant(0.3),
        "timing": Epochs(1, stop=1.0),
    },
    "itop": {"drop_fraction": Cosine(0.5, 0.005), "timing": Every(1500, stop=1.0)},
}


def SET(sparsity: float, *, variant: str = "library", **parts: object) -> Method:  # noqa: N802 (the paper's name)
    """Sparse evolutionary training.

    Args:
        sparsity: share of inactive weights.
        variant: ``"library"`` (ERK, drop fraction 0.3 falling as a cosine, 48 updates up to 0.75 of the run: it then
            differs from `RigL` in growth alone), ``"original"`` (ER, drop by sign, 0.3 always, once an epoch: needs
            ``attach(..., steps_per_epoch=)``) or ``"itop"`` (arXiv:2102.02887: 0.5 to 0.005, every 1500 steps).
        parts: parts of the `Method` to exchange.
    """
    method = Method("set", sparsity, "arXiv:1707.04780", grow=RandomGrowth())
    return with_parts(method, {**variant_parts("set", VARIANTS, variant), **parts})


METHOD = SET
