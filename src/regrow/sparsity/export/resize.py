"""Give a network the shapes of a stored state: how a smaller dense network is loaded again."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from regrow.errors import InputError
from regrow.sparsity._channel_rules import CONVOLUTIONS

__all__ = ["fit_to_state"]


def fit_to_state(model: nn.Module, state_dict: Mapping[str, Tensor]) -> nn.Module:
    """A copy of a model with the shapes and values of a state that `compaction.compact` made from it.

    Linear, convolution and batch-norm modules are resized; biases that the compaction added are added.

    Args:
        model: the network before compaction, e.g. freshly built.
        state_dict: state of the smaller network.

    Raises:
        InputError: the state is not one of this model made smaller.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> smaller = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
        >>> fit_to_state(net, smaller.state_dict())[2].in_features
        5
    """
    resized = copy.deepcopy(model)
    for name, module in resized.named_modules():
        if isinstance(module, (nn.Linear, _BatchNorm, *CONVOLUTIONS)):
            _resize(module, {key: state_dict.get(f"{name}.{key}" if name else key) for key in _keys(module)})
    try:
        resized.load_state_dict(dict(state_dict))
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise InputError(
            f"the state is not one of this network made smaller: {first}", "build the same model."
        ) from None
    return resized


def _keys(module: nn.Module) -> tuple[str, ...]:
    return ("weight", "bias", "running_mean", "running_var") if isinstance(module, _BatchNorm) else ("weight", "bias")


def _resize(module: Any, tensors: dict[str, Tensor | None]) -> None:
    for name, tensor in tensors.items():
        old = getattr(module, name)
        if tensor is None or (old is not None and old.shape == tensor.shape):
            continue
        if old is not None and old.ndim != tensor.ndim:
            return  # load_state_dict says it
        like = module.weight if old is None else old
        new = torch.empty(tensor.shape, dtype=like.dtype, device=like.device)
        is_parameter = old is None or isinstance(old, nn.Parameter)
        setattr(module, name, nn.Parameter(new, requires_grad=like.requires_grad) if is_parameter else new)
    weight = module.weight
    if isinstance(module, _BatchNorm):
        module.num_features = module.num_features if weight is None else len(weight)
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = weight.shape
    elif module.groups == 1:
        module.out_channels, module.in_channels = weight.shape[:2]
    else:
        module.groups = module.groups * len(weight) // module.out_channels
        module.out_channels, module.in_channels = len(weight), module.groups * weight.shape[1]
