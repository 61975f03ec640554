"""Dense training as a method: nothing is registered and no bit changes."""

from __future__ import annotations

from regrow.errors import InputError
from regrow.sparsity.methods._method import Method, with_parts
from regrow.sparsity.schedules import Constant, Never


def Dense(sparsity: float = 0.0, **parts: object) -> Method:  # noqa: N802 (reads like the other methods)
    """Ordinary training, for comparison.

    Raises:
        InputError: ``sparsity`` is not 0.
    """
    method = Method("dense", sparsity, "", drop_fraction=Constant(0.0), timing=Never())
    if sparsity != 0:
        raise InputError(f"dense training has sparsity 0, got {sparsity:g}.", "leave it out, or use Static.")
    return with_parts(method, parts)


METHOD = Dense
