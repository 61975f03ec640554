"""Structured dynamic sparse training: whole filters are dropped and grown, and fewer of them live."""

from __future__ import annotations

from regrow.sparsity.densities import Uniform
from regrow.sparsity.density_schedules import Cubic
from regrow.sparsity.growth import GradientGrowth
from regrow.sparsity.methods._method import Method, with_parts
from regrow.sparsity.structures.filters import Filters, RandomFilters


def Channel(sparsity: float, *, start_density: float = 1.0, **parts: object) -> Method:  # noqa: N802
    """From dense, filters go by their mean weight while fewer and fewer live; some grow back by gradient.

    ``sparsity`` is the share of filters that are gone in the end, in every layer but the last. The result becomes a
    smaller dense network by `regrow.sparsity.export`.

    Args:
        sparsity: share of removed filters.
        start_density: share of filters at first.
        parts: parts of the `Method` to exchange.
    """
    method = Method(
        "channel",
        sparsity,
        "",
        allocation=Uniform(),
        initial=RandomFilters(),
        grow=GradientGrowth(),
        density=Cubic(start_density),
        step=Filters(),
    )
    return with_parts(method, parts)


METHOD = Channel
