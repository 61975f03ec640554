"""RigL in the settings of in-time over-parametrisation (Liu et al. 2021, arXiv:2102.02887)."""

from __future__ import annotations

from regrow.sparsity.methods._method import Method, with_parts
from regrow.sparsity.methods.rigl import RigL


def RigLITOP(sparsity: float, **parts: object) -> Method:  # noqa: N802 (the papers' names)
    """`RigL` that explores longer: drop fraction 0.5 to 0.005 over the whole run, an update every 4000 steps."""
    return with_parts(RigL(sparsity, variant="itop"), {"name": "rigl_itop", "paper": "arXiv:2102.02887", **parts})


METHOD = RigLITOP
