"""SRigL: RigL with a constant fan-in and neuron ablation (Lasby et al. 2023, arXiv:2305.02299)."""

from __future__ import annotations

from regrow.sparsity.growth import GradientGrowth
from regrow.sparsity.methods._method import Method, with_parts
from regrow.sparsity.structures.fan_in import FanIn, RandomFanIn


def SRigL(sparsity: float, *, min_salient: float = 0.3, **parts: object) -> Method:  # noqa: N802 (the paper's name)
    """Every neuron has the same number of active inputs, and those with few salient ones are ablated.

    A layer's number of weights is rounded to a multiple of its neurons, so the total may miss the sparsity by that.

    Args:
        sparsity: share of inactive weights.
        min_salient: gamma_sal: 0.3 for convolutional networks, 0.95 for transformers.
        parts: parts of the `Method` to exchange; the authors' ImageNet runs have ``window=8``.
    """
    method = Method(
        "srigl",
        sparsity,
        "arXiv:2305.02299",
        initial=RandomFanIn(),
        grow=GradientGrowth(),
        step=FanIn(min_salient),
    )
    return with_parts(method, parts)


METHOD = SRigL
