"""Gradients at initialisation, taken without leaving a trace in the model."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from regrow.errors import InputError

Loss = Callable[[], Tensor]


def initial_gradients(
    model: nn.Module, parameters: Sequence[nn.Parameter], loss: Loss | None, batches: int
) -> list[Tensor | None]:
    """Mean gradient of ``batches`` losses with respect to each parameter; None where a loss does not reach it.

    Gradients that were there, buffers (running statistics) and all random generators are as before afterwards.

    Args:
        model: whose buffers are restored.
        parameters: what to differentiate by.
        loss: returns the loss of one batch, another one at each call.
        batches: how many, >= 1.

    Raises:
        InputError: no loss was given, or it does not depend on the parameters.
    """
    if loss is None:
        raise InputError(
            "this method scores the initial weights by their gradients and needs a loss.",
            "pass attach(..., init_loss=function without arguments that returns the loss of one batch).",
        )
    total: list[Tensor | None] = [None] * len(parameters)
    with _untouched(model):
        for _ in range(batches):
            with torch.enable_grad():
                value = loss()
                _refuse_unfit(value)
                found = torch.autograd.grad(value, list(parameters), allow_unused=True)
            for i, gradient in enumerate(found):
                if gradient is not None:
                    so_far = total[i]
                    total[i] = gradient / batches if so_far is None else so_far + gradient / batches
    return total


def _refuse_unfit(value: object) -> None:
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise InputError("init_loss returned no single number.", "return the mean loss of one batch, as a tensor.")
    if not value.requires_grad:
        raise InputError("init_loss returned a loss without a gradient.", "return the loss itself, attached.")


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda = torch.cuda.get_rng_state_all() if started else []
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])
        for i, state in enumerate(cuda):
            torch.cuda.set_rng_state(state, i)
