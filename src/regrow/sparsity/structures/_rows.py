"""What the structures share: scores laid out by row, and choosing within rows by (score, index)."""

from __future__ import annotations

import torch
from torch import Tensor

from regrow.sparsity.select import count
from regrow.sparsity.update import Criterion, Layer, scores


def full_scores(layer: Layer, criterion: Criterion, where: Tensor) -> Tensor:
    """Scores of all N entries as float64 or int64, those outside ``where`` at the type's lowest value."""
    n = count(where)
    found = scores(layer, criterion, where, max(1, n))
    found = found.double() if found.is_floating_point() else found
    lowest = -torch.inf if found.is_floating_point() else torch.iinfo(torch.int64).min
    if found.numel() == where.numel():
        return found.masked_fill(~where, lowest)
    return torch.full(where.shape, lowest, dtype=found.dtype, device=where.device).masked_scatter_(where, found)


def descending(values: Tensor) -> Tensor:
    """Rank of every entry within its row, 0 for the largest, ties to the lower index; (rows, columns)."""
    order = torch.sort(values, dim=-1, descending=True, stable=True).indices
    return torch.empty_like(order).scatter_(-1, order, torch.arange(values.shape[-1]).to(order).expand_as(order))


def ascending(values: Tensor, where: Tensor) -> Tensor:
    """Rank within the row among the flagged entries, 0 for the smallest, ties to the lower index; others come last."""
    order = torch.sort(values, dim=-1, stable=True).indices
    outside = torch.sort((~where).gather(-1, order).to(torch.uint8), dim=-1, stable=True).indices
    order = order.gather(-1, outside)
    return torch.empty_like(order).scatter_(-1, order, torch.arange(values.shape[-1]).to(order).expand_as(order))
