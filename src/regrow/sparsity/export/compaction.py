"""Compaction: from a sparse network with idle channels to a smaller dense one with the same outputs.

A channel leaves when no layer that reads it can tell: its value there is the constant 0; or a constant that goes into
the reader's bias, exactly, because the reader pads with no zeros; or the reader's weights for it are all zero. Filters
that only wrote to channels that left make their own inputs idle, so this is repeated until nothing changes. Channels
that a residual add joins leave together, when every reader of the sum allows it; those of a group convolution in whole
groups. Of the constant channels that a reader with zero padding does see, all but one leave: what n constant channels
give such a reader, border and all, one of them gives with the weights sum_i (c_i / c) W_i.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils import _pytree as pytree

from regrow.errors import InputError, RegrowError
from regrow.sparsity.channels import ChannelGraph, trace_channels, unwrap
from regrow.sparsity.export._constants import WEIGHTED, columns, constants, kernels
from regrow.sparsity.export._removal import gone, merge_constants, readers, removable

__all__ = ["Compaction", "GroupRow", "LayerRow", "ZeroedNorms", "compact", "zero_dead_norms"]


class LayerRow(NamedTuple):
    """A layer's weight before and after."""

    name: str
    before: tuple[int, ...]
    after: tuple[int, ...]


class GroupRow(NamedTuple):
    """What became of a group of channels: its first producer, size, channels removed, and why idle ones were kept."""

    producer: str
    size: int
    removed: int
    kept_idle: int
    reason: str


@dataclass(frozen=True)
class Compaction:
    """Report of `compact`.

    Attributes:
        layers: every layer with weights.
        groups: every channel group.
        parameters_before: number of parameters.
        parameters_after: the same of the smaller network.
        max_difference: largest absolute difference of the outputs, on the example and on random input.
        output_scale: largest absolute output, 1 at least; the tolerance is relative to it.
    """

    layers: tuple[LayerRow, ...]
    groups: tuple[GroupRow, ...]
    parameters_before: int
    parameters_after: int
    max_difference: float
    output_scale: float


class ZeroedNorms(NamedTuple):
    """Report of `zero_dead_norms`: channels set to zero, by module; the largest change of the outputs, if measured."""

    channels: dict[str, int]
    max_change: float | None


def compact(
    model: nn.Module, masks: Mapping[str, Tensor] | None = None, *, example: Tensor, tolerance: float = 1e-5
) -> tuple[nn.Module, Compaction]:
    """A physically smaller copy of a network, with the same outputs in evaluation mode.

    The result is of the same class, with smaller ``in_channels``, ``out_channels``, ``num_features`` ..., in the same
    training mode and on the same device, and can be trained and saved. Where a constant is folded into a layer
    without a bias, it gets one. In training mode batch norm takes the batch's own statistics, so there the outputs are
    not those of the large network. The given model is left as it was.

    Args:
        model: the network; traceable by torch.fx.
        masks: name -> bool mask; weights outside it are taken as 0. Default: the weights as they are.
        example: an input batch, for the check; outputs are compared on it and on normal random input of its shape.
        tolerance: largest difference of the outputs that is accepted, relative to max(1, largest output).

    Raises:
        InputError: the model cannot be traced, or a mask does not fit.
        RegrowError: the outputs differ by more than ``tolerance``.

    Example:
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> _ = net[0].weight.data[1].zero_()
        >>> small, report = compact(net, example=torch.randn(5, 3))
        >>> small[0].out_features, small[2].in_features, report.parameters_before - report.parameters_after
        (3, 3, 6)
    """
    modes = {name: module.training for name, module in unwrap(model).named_modules()}
    large = _masked_copy(model, masks or {}).eval()
    graph = trace_channels(copy.deepcopy(large))
    values = constants(graph)
    removed = removable(graph, values)
    with torch.no_grad():
        if merge_constants(graph, values, removed):
            removed = removable(graph, values)
    rows = tuple(_group_row(graph, root, values, removed[root]) for root in graph.groups)
    before = _shapes(graph.model)
    with torch.no_grad():
        _fold(graph, values, removed)
        _cut(graph, removed)
    difference, scale = _difference(large, graph.model, example)
    if not difference <= tolerance * scale:
        raise RegrowError(
            f"the smaller network's outputs differ by {difference:.3g} (largest output {scale:.3g}, tolerance "
            f"{tolerance:g} of it).",
            "please report the network; the large one is as it was.",
        )
    for name, module in graph.model.named_modules():
        module.training = modes[name]
    after = _shapes(graph.model)
    report = Compaction(
        tuple(LayerRow(name, shape, after[name]) for name, shape in before.items()),
        rows,
        sum(p.numel() for p in large.parameters()),
        sum(p.numel() for p in graph.model.parameters()),
        difference,
        scale,
    )
    return graph.model, report


def zero_dead_norms(
    model: nn.Module, masks: Mapping[str, Tensor] | None = None, *, example: Tensor | None = None
) -> ZeroedNorms:
    """Make the channels of dead filters exactly 0, in place, so that `compact` can take them out.

    **This changes the function.** A filter of zeros still gives the constant beta - gamma * mean / sqrt(var + eps)
    after batch norm, and a constant other than 0 cannot leave before a convolution that pads with zeros. Here gamma
    and beta of such channels become 0, or the filter's bias where no batch norm follows it. A later training step may
    move beta again, so call this last, or train on after `compact`.

    Args:
        model: the network.
        masks: name -> bool mask; a filter is dead when its row has no active weight. Default: no weight but 0.
        example: an input batch; when given, the change of the outputs on it is measured.

    Raises:
        InputError: the model cannot be traced, or a mask does not fit.
    """
    masked = _masked_copy(model, masks or {})
    graph, inner = trace_channels(masked), unwrap(model)
    steps = {step.node: step for step in graph.steps}
    done: dict[str, int] = {}
    before = copy.deepcopy(inner) if example is not None else None
    for step in graph.steps:
        if step.kind not in WEIGHTED or not _prunable(graph, step.node):
            continue
        dead = _dead_rows(masked.get_submodule(step.module))
        norms = [steps[user].module for user in step.node.users if user in steps and steps[user].kind == "norm"]
        for name in norms or [step.module]:
            count = _zero_channels(inner.get_submodule(name), dead, weight=bool(norms))
            done.update({name: count} if count else {})
    change = None
    if before is not None and example is not None:
        change = _max_difference(_outputs(before, example), _outputs(inner, example))
    return ZeroedNorms(done, change)


def _prunable(graph: ChannelGraph, node: fx.Node) -> bool:
    roots = {graph.find(span.key) for span in graph.layouts[node].spans}
    return all(graph.groups[root].prunable or root in graph.whole for root in roots)


def _zero_channels(module: nn.Module, dead: Tensor, *, weight: bool) -> int:
    """Zero bias (and weight) of channels; the number of those that were not zero."""
    named = [module._parameters.get(name) for name in (("weight", "bias") if weight else ("bias",))]
    tensors = [tensor for tensor in named if tensor is not None]
    if not tensors or len(dead) != len(tensors[0]):
        return 0
    changed = torch.stack([(t.detach() != 0).cpu() & dead for t in tensors]).any(0)
    with torch.no_grad():
        for tensor in tensors:
            tensor[dead.to(tensor.device)] = 0
    return int(changed.sum())


def _masked_copy(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    inner = copy.deepcopy(unwrap(model))
    parameters = dict(inner.named_parameters(remove_duplicate=False))
    for name, mask in masks.items():
        if name not in parameters or parameters[name].shape != mask.shape or mask.dtype != torch.bool:
            raise InputError(
                f"the mask of {name!r} fits no weight of the model.", "give masks and model of the same run."
            )
        with torch.no_grad():
            parameters[name].masked_fill_(~mask.to(parameters[name].device), 0.0)
    return inner


def _group_row(graph: ChannelGraph, root: int, values: dict[fx.Node, Tensor], removed: Tensor) -> GroupRow:
    """The report of a group: channels with a dead filter that stay, and the reason of most of them."""
    group = graph.groups[root]
    name = group.producers[0]
    dead = torch.stack(
        [_dead_rows(graph.model.get_submodule(p.rpartition(".")[0])) for p in group.producers]
    )  # producers x channels
    idle = dead.any(0) & ~removed
    if not group.prunable and root not in graph.whole:
        return GroupRow(name, group.size, 0, int(idle.sum()), group.reason)
    reasons = {
        "a filter of the same add is alive": int((idle & ~dead.all(0)).sum()),
        "it carries constants that a layer with padding reads, or is the last channel": int((idle & dead.all(0)).sum()),
    }
    reason = max(reasons, key=lambda text: reasons[text]) if bool(idle.any()) else ""
    reason = group.reason if reason and root in graph.whole else reason
    return GroupRow(name, group.size, int(removed.sum()), int(idle.sum()), reason)


def _dead_rows(module: nn.Module) -> Tensor:
    weight = cast(Tensor, module.weight).detach().cpu()
    return (weight == 0).flatten(1).all(1)


def _fold(graph: ChannelGraph, values: dict[fx.Node, Tensor], removed: dict[int, Tensor]) -> None:
    """Add what removed channels of constants other than 0 gave to the biases of the layers that read them."""
    for step, module in readers(graph):
        constant = values[step.sources[0]].masked_fill(~gone(graph, step.sources[0], removed), 0.0)
        shift = (kernels(module).sum(2) * columns(constant, module).nan_to_num(0.0, 0.0, 0.0)).sum(1)
        shift = shift.masked_fill(gone(graph, step.node, removed), 0.0)
        if not bool((shift != 0).any()):
            continue
        weight = module.weight
        if module.bias is None:
            module.bias = nn.Parameter(torch.zeros(len(shift), dtype=weight.dtype, device=weight.device))
        exact = module.bias.detach().cpu().double() + shift
        module.bias.copy_(exact.to(weight.dtype))


def _cut(graph: ChannelGraph, removed: dict[int, Tensor]) -> None:
    """Take the removed channels out of every weight, bias and norm."""
    for step in graph.steps:
        if step.kind not in (*WEIGHTED, "norm"):
            continue
        module: Any = graph.model.get_submodule(step.module)
        rows = (~gone(graph, step.node, removed)).nonzero().flatten()
        if step.kind == "norm":
            for name in ("weight", "bias", "running_mean", "running_var"):
                _take(module, name, rows, 0)
            module.num_features = len(rows)
            continue
        if step.kind in ("depthwise", "grouped"):
            groups = module.groups * len(rows) // len(module.weight)
            module.groups, module.in_channels = groups, groups * module.weight.shape[1]
        elif step.sources[0] in graph.layouts:
            stays = ~gone(graph, step.sources[0], removed)
            kept = stays.repeat_interleave(module.weight.shape[1] // len(stays)).nonzero().flatten()
            _take(module, "weight", kept, 1)
            setattr(module, "in_features" if step.kind == "linear" else "in_channels", len(kept))
        _take(module, "weight", rows, 0)
        _take(module, "bias", rows, 0)
        setattr(module, "out_features" if step.kind == "linear" else "out_channels", len(rows))


def _take(module: nn.Module, name: str, index: Tensor, dim: int) -> None:
    """Keep some slices of a parameter or buffer; its kind, gradient flag and memory format stay."""
    tensor = getattr(module, name)
    if tensor is None or len(index) == tensor.shape[dim]:
        return
    last = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()
    value = tensor.detach().index_select(dim, index.to(tensor.device))
    value = value.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    kept = nn.Parameter(value, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else value
    setattr(module, name, kept)


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    skipped = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, _BatchNorm)}
    return {n: tuple(p.shape) for n, p in model.named_parameters() if n.endswith("weight") and n not in skipped}


def _outputs(model: nn.Module, example: Tensor) -> list[Tensor]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            leaves = pytree.tree_leaves(model(example.clone()))
    finally:
        for module, mode in modes:
            module.training = mode
    return [leaf.detach().clone() for leaf in leaves if isinstance(leaf, Tensor)]


def _max_difference(one: list[Tensor], two: list[Tensor]) -> float:
    if [t.shape for t in one] != [t.shape for t in two]:
        return float("inf")
    worst = [float((a.double() - b.double()).abs().max()) for a, b in zip(one, two, strict=True) if a.numel()]
    return float("nan") if any(value != value for value in worst) else max(worst, default=0.0)


def _difference(large: nn.Module, small: nn.Module, example: Tensor) -> tuple[float, float]:
    """Largest difference of the outputs on the example and on random input, and the largest output (1 at least)."""
    inputs = [example]
    if example.is_floating_point():
        generator = torch.Generator().manual_seed(0)
        inputs.append(torch.randn(example.shape, generator=generator).to(example))
    differences, scale = [], 1.0
    for one in inputs:
        expected = _outputs(large, one)
        differences.append(_max_difference(expected, _outputs(small, one)))
        scale = max([scale, *(float(t.abs().max()) for t in expected if t.numel())])
    worst = float("nan") if any(value != value for value in differences) else max(differences)
    return worst, scale
