"""N of M with growth: the pattern that sparse tensor cores run, dynamic."""

from __future__ import annotations

from fractions import Fraction

from regrow.errors import InputError
from regrow.sparsity.densities import Uniform
from regrow.sparsity.growth import GradientGrowth
from regrow.sparsity.methods._method import Method, with_parts
from regrow.sparsity.structures.n_of_m import NOfM, RandomNOfM


def NM(sparsity: float, *, m: int = 4, **parts: object) -> Method:  # noqa: N802 (its usual name)
    """In every group of M consecutive inputs N weights are active; a group drops its smallest and grows by gradient.

    Args:
        sparsity: share of inactive weights; ``(1 - sparsity) * m`` must be a whole number N.
        m: weights of a group.
        parts: parts of the `Method` to exchange.

    Raises:
        InputError: the sparsity is no N of M.
    """
    n = (1 - Fraction(str(sparsity))) * m
    if n.denominator != 1 or not 1 <= n <= m:
        near = ", ".join(f"{float(1 - Fraction(i, m)):g}" for i in range(1, m + 1))
        raise InputError(f"sparsity {sparsity:g} is no N of {m}.", f"take one of {near}, or another m.")
    step = NOfM(int(n), m)
    method = Method(
        "nm", sparsity, "", allocation=Uniform(), initial=RandomNOfM(step), grow=GradientGrowth(), step=step
    )
    return with_parts(method, parts)


METHOD = NM
