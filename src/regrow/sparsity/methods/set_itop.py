"""SET in the settings of in-time over-parametrisation (Liu et al. 2021, arXiv:2102.02887)."""

from __future__ import annotations

from regrow.sparsity.methods._method import Method, with_parts
from regrow.sparsity.methods.set import SET


def SETITOP(sparsity: float, **parts: object) -> Method:  # noqa: N802 (the papers' names)
    """`SET` that explores longer: drop fraction 0.5 to 0.005 over the whole run, an update every 1500 steps."""
    return with_parts(SET(sparsity, variant="itop"), {"name": "set_itop", "paper": "arXiv:2102.02887", **parts})


METHOD = SETITOP
