"""Magnitude at initialisation: the largest initial weights stay, and the mask with them."""

from __future__ import annotations

from regrow.sparsity.initial import MagnitudeMask
from regrow.sparsity.methods._method import Method, with_parts
from regrow.sparsity.schedules import Constant, Never


def MagnitudeAtInit(sparsity: float, **parts: object) -> Method:  # noqa: N802 (reads like the other methods)
    """The largest initial weights of all layers together, for ever; a control without data for `SNIP`."""
    method = Method("magnitude", sparsity, "", initial=MagnitudeMask(), drop_fraction=Constant(0.0), timing=Never())
    return with_parts(method, parts)


METHOD = MagnitudeAtInit
