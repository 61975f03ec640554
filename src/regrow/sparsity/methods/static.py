"""Static sparse training: a random mask that never changes."""

from __future__ import annotations

from regrow.sparsity.methods._method import Method, with_parts
from regrow.sparsity.schedules import Constant, Never


def Static(sparsity: float, **parts: object) -> Method:  # noqa: N802 (reads like the other methods)
    """A random mask, fixed at the start; what dynamic methods have to beat."""
    return with_parts(Method("static", sparsity, "", drop_fraction=Constant(0.0), timing=Never()), parts)


METHOD = Static
