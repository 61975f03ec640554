"""What the engine must know of optimisers: which keep zeros, and what a fresh state is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from regrow.errors import InputError

#: With a zero gradient and zero state these leave a zero weight exactly zero (exact classes: a subclass may differ).
#: Not among them: LBFGS (its direction is a sum of old gradients) and Muon (orthogonalising mixes entries).
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
        torch.optim.Adafactor,
        torch.optim.ASGD,
        torch.optim.Adamax,
        torch.optim.Rprop,
    }
)


def unwrapped(optimizer: Optimizer) -> Optimizer:
    """The optimiser inside wrappers: those of Accelerate and Fabric, and ones that look ahead (timm's Lookahead)."""
    while (inner := next(_inner(optimizer), None)) is not None:
        optimizer = inner
    return optimizer


def _inner(optimizer: Optimizer) -> Iterator[Optimizer]:
    for name in ("optimizer", "_base_optimizer", "base_optimizer"):
        inner = getattr(optimizer, name, None)
        if isinstance(inner, Optimizer) or (name == "optimizer" and inner is not None):
            yield inner


def keeps_zeros(optimizer: Optimizer) -> bool:
    """Whether inactive weights stay zero without masking them after the step."""
    return type(optimizer) in ZERO_PRESERVING and not any(_eps_vanishes(group) for group in optimizer.param_groups)


def _eps_vanishes(group: dict[str, Any]) -> bool:
    """Whether a zero gradient is divided by zero: eps is 0, or is rounded to 0 (1e-8 is, in half precision)."""
    eps = group.get("eps")
    if not isinstance(eps, int | float):
        return False
    return any(float(torch.tensor(eps, dtype=dtype)) == 0 for dtype in {p.dtype for p in group["params"]})


def skipped(optimizer: Optimizer) -> bool:
    """Whether the step that just ended changed nothing, because a gradient scaler found an overflow.

    Only fused optimisers are called then at all; they carry the scaler's ``found_inf``.
    """
    found = getattr(optimizer, "found_inf", None)
    return found is not None and float(found) > 0


def refuse_unfit(optimizer: Optimizer) -> None:
    """Raise for an optimiser whose steps cannot be followed.

    Raises:
        InputError: it takes sparse gradients, or is no torch optimiser.
    """
    if not isinstance(optimizer, Optimizer):
        raise InputError(
            f"{type(optimizer).__name__} is no torch.optim.Optimizer.",
            "pass the optimiser, or its wrapper with .optimizer.",
        )
    if isinstance(optimizer, torch.optim.SparseAdam):
        raise InputError(
            "SparseAdam takes gradients of sparse layout, which weights of Linear and Conv layers do not have.",
            "use Adam or AdamW.",
        )


def forget_directions(optimizer: Optimizer) -> None:
    """Restart an optimiser whose state mixes weights, so that nothing of dropped ones is left in it.

    LBFGS keeps past directions of all weights in one vector: it begins again with the gradient, as at its first step.
    """
    if isinstance(optimizer, torch.optim.LBFGS):
        for state in optimizer.state.values():
            if "n_iter" in state:
                state["n_iter"] = 0


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
