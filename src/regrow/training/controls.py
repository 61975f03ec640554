"""Controls of training that act on the weights and their gradients: an L1 penalty, sharpness-aware minimisation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

#: Keeps the length of a zero gradient from dividing by zero.
_TINY = 1e-12


def l1_penalty(parameters: Iterable[Tensor]) -> Tensor:
    """Sum of absolute weights; its gradient is their sign, and 0 where a weight is 0."""
    return torch.stack([p.abs().sum() for p in parameters]).sum()


@contextlib.contextmanager
def ascended(model: nn.Module, rho: float, masks: Mapping[str, Tensor] | None = None) -> Iterator[None]:
    """The weights moved by ``rho g / ||g||`` up their gradient ``g``, and back to the bit at the end.

    Sharpness-aware minimisation takes the gradient there (Foret et al. 2021, arXiv:2010.01412, equation 2 and algorithm
    1, with the norm over all parameters). Running statistics of batch norms stay as they are meanwhile: they belong to
    the weights themselves.

    Args:
        model: its parameters hold the gradient of a first pass.
        rho: length of the move, > 0.
        masks: parameter name to bool mask; weights outside are not moved. Needed only where their gradients are not
            masked already.
    """
    moved = [(name, p, p.grad) for name, p in model.named_parameters() if p.grad is not None]
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    with torch.no_grad():
        gradients = [g if masks is None or name not in masks else g * masks[name] for name, _, g in moved]
        length = torch.stack([torch.linalg.vector_norm(g) for g in gradients]).norm()
        before = [p.detach().clone() for _, p, _ in moved]
        for (_, p, _), gradient in zip(moved, gradients, strict=True):
            p.add_(gradient * (rho / (length + _TINY)))
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
        with torch.no_grad():
            for (_, p, _), value in zip(moved, before, strict=True):
                p.copy_(value)
