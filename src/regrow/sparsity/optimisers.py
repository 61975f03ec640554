"""What the engine must know of optimisers: which keep zeros, and what a fresh state is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

#: With a zero gradient and zero state these leave a zero weight exactly zero (exact classes: a subclass may differ).
#: Not among them: LBFGS (its direction mixes old gradients) and Muon (it mixes entries).
ZERO_PRESERVING: frozenset[type[Optimizer]] = frozenset(
    {
        torch.optim.SGD,
        torch.optim.Adam,
        torch.optim.AdamW,
        torch.optim.NAdam,
        torch.optim.RAdam,
        torch.optim.RMSprop,
        torch.optim.Adagrad,
        torch.optim.Adadelta,
        torch.optim.ASGD,
        torch.optim.Adamax,
        torch.optim.Rprop,
    }
)


def unwrapped(optimizer: Optimizer) -> Optimizer:
    """The optimiser inside wrappers such as those of Accelerate and Fabric (their ``.optimizer``)."""
    while (inner := getattr(optimizer, "optimizer", None)) is not None:
        optimizer = inner
    return optimizer


def keeps_zeros(optimizer: Optimizer) -> bool:
    """Whether inactive weights stay zero without masking them after the step."""
    return type(optimizer) in ZERO_PRESERVING


def skipped(optimizer: Optimizer) -> bool:
    """Whether the step that just ended changed nothing, because a gradient scaler found an overflow.

    Only fused optimisers are called then at all; they carry the scaler's ``found_inf``.
    """
    found = getattr(optimizer, "found_inf", None)
    return found is not None and float(found) > 0


def state_tensors(optimizer: Optimizer, parameter: Tensor) -> list[tuple[Tensor, float]]:
    """The state tensors that have an entry per weight, each with the value that the optimiser gives a fresh entry."""
    state = optimizer.state.get(parameter, {})
    group = next(g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))
    return [
        (tensor, _fresh(optimizer, name, group))
        for name, tensor in state.items()
        if isinstance(tensor, Tensor) and tensor.shape == parameter.shape
    ]


def _fresh(optimizer: Optimizer, name: str, group: dict[str, Any]) -> float:
    if isinstance(optimizer, torch.optim.Rprop) and name == "step_size":
        return float(group["lr"])
    if isinstance(optimizer, torch.optim.Adagrad) and name == "sum":
        return float(group["initial_accumulator_value"])
    return 0.0
