"""SNIP: a mask by saliency at initialisation, which then stays (Lee et al. 2019, arXiv:1810.02340)."""

from __future__ import annotations

from regrow.sparsity.initial import SaliencyMask
from regrow.sparsity.methods._method import Method, with_parts
from regrow.sparsity.schedules import Constant, Never


def SNIP(sparsity: float, *, batches: int = 1, **parts: object) -> Method:  # noqa: N802 (the paper's name)
    """Single-shot pruning before training: the largest ``|w g|`` of all layers together stay.

    Needs ``attach(..., init_loss=)``.

    Args:
        sparsity: share of inactive weights.
        batches: losses whose gradients are averaged.
        parts: parts of the `Method` to exchange.
    """
    method = Method(
        "snip",
        sparsity,
        "arXiv:1810.02340",
        initial=SaliencyMask(batches=batches),
        drop_fraction=Constant(0.0),
        timing=Never(),
    )
    return with_parts(method, parts)


METHOD = SNIP
