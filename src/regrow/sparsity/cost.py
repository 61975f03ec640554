"""What training and inference cost, in floating-point operations."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regrow.errors import InputError
from regrow.sparsity.layers import plain_name

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def flops(model: nn.Module, input_shape: Sequence[int], densities: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Forward operations per sample of the Linear and Conv layers: 2 per multiply-add.

    Biases, norms, activations, pooling and attention products are not counted.

    Args:
        model: the model; a copy without data runs once on the meta device, in evaluation mode.
        input_shape: shape of one sample, without the batch, e.g. ``(3, 32, 32)``.
        densities: density by parameter name (`Sparsifier.densities`); layers not named are dense.

    Returns:
        ``dense`` and ``sparse`` (operations per sample) and ``layers`` (rows: name, dense, sparse, density).

    Raises:
        InputError: the model cannot take such an input.

    Example:
        >>> flops(nn.Linear(30, 20), (30,), {"weight": 0.5})["sparse"]
        600.0
    """
    ghost = copy.deepcopy(model).to("meta").eval()
    operations: dict[str, int] = {}
    handles = [
        module.register_forward_hook(_counter(plain_name(f"{name}.weight" if name else "weight"), operations))
        for name, module in ghost.named_modules()
        if isinstance(module, (nn.Linear, *CONVOLUTIONS, *TRANSPOSED))
    ]
    dtype = next((p.dtype for p in ghost.parameters() if p.is_floating_point()), torch.float32)
    try:
        with torch.no_grad():
            ghost(torch.empty((1, *input_shape), device="meta", dtype=dtype))
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"the model does not run on one sample of shape {tuple(input_shape)}: {reason}") from error
    finally:
        for handle in handles:
            handle.remove()
    known = densities or {}
    rows = [
        {"name": name, "dense": n, "sparse": n * known.get(name, 1.0), "density": known.get(name, 1.0)}
        for name, n in operations.items()
    ]
    return {"dense": sum(operations.values()), "sparse": sum(r["sparse"] for r in rows), "layers": rows}


def _counter(name: str, operations: dict[str, int]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    """A forward hook that adds the operations of one call of a layer."""

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weight = module.get_parameter("weight")
        if isinstance(module, nn.Linear):
            multiply_adds = output.numel() * weight.shape[1]
        elif isinstance(module, CONVOLUTIONS):
            multiply_adds = output.numel() * math.prod(weight.shape[1:])
        else:
            multiply_adds = inputs[0].numel() * math.prod(weight.shape[1:])
        operations[name] = operations.get(name, 0) + 2 * multiply_adds

    return count


def training_flops(dense: float, sparse: float, *, interval: int = 0, needs_gradient: bool = False) -> float:
    """Operations per training sample: forward once and backward twice the forward's.

    Args:
        dense: forward operations per sample of the dense model.
        sparse: the same with the masks.
        interval: steps from update to update; 0 for none.
        needs_gradient: whether updates need dense weight gradients (RigL): those steps cost ``2 sparse + dense``
            (Evci et al. 2020, arXiv:1911.11134, appendix H).

    Example:
        >>> training_flops(100.0, 10.0)
        30.0
    """
    if interval and needs_gradient:
        return (3 * sparse * interval + 2 * sparse + dense) / (interval + 1)
    return 3 * sparse
