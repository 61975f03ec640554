"""Which channels of a network are one constant, whatever the input: worked out step by step, in float64."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from regrow.sparsity import _channel_rules as rules
from regrow.sparsity.channels import ChannelGraph, Step

UNKNOWN = float("nan")
#: Kinds of steps that have a weight.
WEIGHTED = ("conv", "linear", "depthwise", "grouped")


def constants(graph: ChannelGraph) -> dict[fx.Node, Tensor]:
    """The constant of every channel of every traced value, float64; NaN where it is none (or not known).

    A filter of zeros gives its bias; batch norm in evaluation gives beta - gamma * mean / sqrt(var + eps), or beta
    where gamma is 0; an activation its value there; an add the sum. A constant other than 0 does not survive a
    convolution that pads with zeros, because the border sees less of it.
    """
    found: dict[fx.Node, Tensor] = {}
    made = {step.node: step for step in graph.steps}
    for step in graph.steps:
        layout = graph.layouts.get(step.node)
        if layout is None:
            continue
        found[step.node] = _step(graph, step, found, layout.size)
        module = graph.model.get_submodule(step.module) if step.module else None
        if rules.in_place(step.node, module):
            _write_back(made, step.sources[0], found, found[step.node])
    return found


def is_unpadded(module: nn.Module) -> bool:
    """Whether a layer sees a constant channel as the same constant everywhere: no zeros stand beside the image."""
    if isinstance(module, nn.Linear):
        return True
    conv = cast(nn.Conv2d, module)
    if conv.padding_mode != "zeros" or conv.padding == "valid":
        return True
    if conv.padding == "same":
        return all(side == 1 for side in conv.kernel_size)
    return not any(conv.padding)


def kernels(module: nn.Module) -> Tensor:
    """The weight of a layer as (out, columns, positions), float64 on the CPU."""
    weight = cast(Tensor, module.weight).detach().cpu().double()
    return weight.flatten(2) if weight.ndim > 2 else weight.unsqueeze(-1)


def columns(constant: Tensor | None, module: nn.Module) -> Tensor:
    """The constants that each filter of a layer reads, (out, columns): several for one channel after a flatten."""
    out, width = cast(Tensor, module.weight).shape[:2]
    if constant is None:
        return torch.full((out, width), UNKNOWN, dtype=torch.float64)
    groups = cast(int, getattr(module, "groups", 1))
    if groups > 1:
        return constant.reshape(groups, width).repeat_interleave(out // groups, 0)
    return constant.repeat_interleave(width // constant.numel()).expand(out, -1)


def _step(graph: ChannelGraph, step: Step, found: dict[fx.Node, Tensor], size: int) -> Tensor:
    inputs = [found.get(source) for source in step.sources]
    module = graph.model.get_submodule(step.module) if step.module else None
    if step.kind in WEIGHTED:
        return _weighted(cast(nn.Conv2d, module), inputs[0])
    known = [value for value in inputs if value is not None]
    if len(known) != len(inputs) or step.kind == "other":
        return torch.full((size,), UNKNOWN, dtype=torch.float64)
    if step.kind == "norm":
        return _norm(cast(_BatchNorm, module), known[0])
    if step.kind == "map":
        mapped = _map(step, module, known[0])
        return mapped.masked_fill(known[0].isnan(), UNKNOWN)
    if step.kind == "combine":
        return _combine(step, known)
    if step.kind == "concat":
        return torch.cat(known)
    return known[0] if step.kind == "same" else known[0].masked_fill(known[0] != 0, UNKNOWN)


def _weighted(module: nn.Conv2d, constant: Tensor | None) -> Tensor:
    weight, given = kernels(module), columns(constant, module)
    used = (weight != 0).any(-1)
    unclear = given.isnan() | ((given != 0) & (not is_unpadded(module)))
    out = (weight.sum(-1) * given.nan_to_num(0.0, 0.0, 0.0)).sum(1)
    if module.bias is not None:
        out = out + module.bias.detach().cpu().double()
    return out.masked_fill((used & (unclear | given.isinf())).any(1), UNKNOWN)


def _norm(module: _BatchNorm, constant: Tensor) -> Tensor:
    if module.running_mean is None or module.running_var is None:
        return torch.full_like(constant, UNKNOWN)
    mean, var = module.running_mean.cpu().double(), module.running_var.cpu().double()
    gamma = torch.ones_like(mean) if module.weight is None else module.weight.detach().cpu().double()
    beta = torch.zeros_like(mean) if module.bias is None else module.bias.detach().cpu().double()
    shifted = (constant - mean) / (var + module.eps).sqrt() * gamma + beta
    return torch.where(gamma == 0, beta, shifted)


def _map(step: Step, module: nn.Module | None, constant: Tensor) -> Tensor:
    if isinstance(module, nn.PReLU):
        return torch.where(constant >= 0, constant, constant * module.weight.detach().cpu().double())
    value = constant.clone()  # it may be written to
    if module is not None:
        return cast(Tensor, module(value))
    return rules.call(step.node, {step.sources[0]: value})


def _combine(step: Step, known: list[Tensor]) -> Tensor:
    values: dict[fx.Node, Any] = {n: value.clone() for n, value in zip(step.sources, known, strict=True)}
    unknown = known[0].isnan() | known[1].isnan()
    result = rules.call(step.node, values).masked_fill(unknown, UNKNOWN)
    if rules.function_name(step.node) in ("mul", "imul", "rmul"):
        result = result.masked_fill((known[0] == 0) | (known[1] == 0), 0.0)
    return result


def _write_back(made: dict[fx.Node, Step], node: fx.Node, found: dict[fx.Node, Tensor], value: Tensor) -> None:
    """What an operation in place leaves in its input, and in the values that share the input's memory."""
    while node in found:
        found[node] = value
        step = made[node]
        if step.kind != "same":
            return
        node = step.sources[0]
