"""Which filters are dead: not by their own weights alone, but by what reaches them and what they reach.

Only masks count. Biases and norms are left out: a filter without inputs still puts out a constant, which says nothing
about the image. What may leave a network without its outputs changing is another question; see
`regrow.sparsity.export.compaction`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor, fx, nn

from regrow.sparsity import _channel_rules as rules
from regrow.sparsity.channels import ChannelGraph, Step, trace_channels

#: Kinds of steps that have a weight.
_WEIGHTED = ("conv", "linear", "depthwise", "grouped")


class DeadFilters(NamedTuple):
    """Flags of a layer's filters, each bool (out,).

    Attributes:
        without_inputs: no active weight of its own.
        without_outputs: no layer has an active weight for its channel.
        dead: no path of active weights leads from the network's input through it to an output. Includes the others.
    """

    without_inputs: Tensor
    without_outputs: Tensor
    dead: Tensor


def dead_filters(model: nn.Module, masks: Mapping[str, Tensor]) -> dict[str, DeadFilters]:
    """The dead filters of every layer that the trace follows.

    A sum of two branches carries a signal where either does; what is not followed (attention, reshapes) is taken to
    read everything and to carry a signal.

    Args:
        model: the network, wrapped or not; nothing is run.
        masks: parameter name to bool mask; other weights count as active.

    Returns:
        Parameter name to flags.

    Raises:
        InputError: torch.fx cannot trace the model.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> masks = {"0.weight": torch.tensor([[True, True], [False, False], [True, False]])}
        >>> masks["2.weight"] = torch.tensor([[True, True, False]])
        >>> found = dead_filters(net, masks)["0.weight"]
        >>> found.without_inputs.tolist(), found.without_outputs.tolist(), found.dead.tolist()
        ([False, True, False], [False, False, True], [False, True, True])
    """
    graph = trace_channels(model)
    weighted = [step for step in graph.steps if step.kind in _WEIGHTED]
    active = {step.node: _active(graph, step, masks) for step in weighted}
    reads = {step.node: _by_channel(graph, step, active[step.node]) for step in weighted}
    signal = _signals(graph, active, reads)
    read, reaches = (_readers(graph, reads, through=through) for through in (False, True))
    found: dict[str, DeadFilters] = {}
    for step in weighted:
        node, name = step.node, f"{step.module}.weight"
        flags = DeadFilters(~active[node].any(1), ~read[node], ~(signal[node] & reaches[node]))
        if name in found:  # a module that is used twice is dead where it is so in both places
            flags = DeadFilters(*(one & two for one, two in zip(found[name], flags, strict=True)))
        found[name] = flags
    return found


def _active(graph: ChannelGraph, step: Step, masks: Mapping[str, Tensor]) -> Tensor:
    """Whether a filter has an active weight in each column of its weight, (out, columns)."""
    weight = cast(Tensor, graph.model.get_submodule(step.module).weight)
    mask = masks.get(f"{step.module}.weight")
    if mask is None:
        return torch.ones(weight.shape[:2], dtype=torch.bool)
    return mask.cpu().reshape(*weight.shape[:2], -1).any(2)


def _by_channel(graph: ChannelGraph, step: Step, active: Tensor) -> Tensor | None:
    """The same by channel of the layer's input, (out, channels); None where its input is not followed."""
    layout = graph.layouts.get(step.sources[0])
    if layout is None:
        return None
    out, width = active.shape
    groups = cast(int, getattr(graph.model.get_submodule(step.module), "groups", 1))
    if groups > 1:
        if layout.size != groups * width:
            return None
        spread = torch.zeros(groups, out // groups, groups, width, dtype=torch.bool)
        one = torch.arange(groups)
        spread[one, :, one] = active.reshape(groups, out // groups, width)
        return spread.reshape(out, groups * width)
    if width != layout.size and not (layout.flat and width % layout.size == 0):
        return None
    return active.reshape(out, layout.size, -1).any(2)


def _signals(
    graph: ChannelGraph, active: Mapping[fx.Node, Tensor], reads: Mapping[fx.Node, Tensor | None]
) -> dict[fx.Node, Tensor]:
    """Whether each channel of each value depends on the network's input."""
    found: dict[fx.Node, Tensor] = {}
    for step in graph.steps:
        layout = graph.layouts.get(step.node)
        if layout is None:
            continue
        inputs = [found[source] for source in step.sources if source in found]
        if step.node in active:
            own = reads[step.node]
            found[step.node] = active[step.node].any(1) if own is None else (own & inputs[0]).any(1)
        elif len(inputs) != len(step.sources):
            found[step.node] = torch.ones(layout.size, dtype=torch.bool)
        elif step.kind == "concat":
            found[step.node] = torch.cat(inputs)
        else:
            found[step.node] = torch.stack(inputs).any(0)
    return found


def _readers(graph: ChannelGraph, reads: Mapping[fx.Node, Tensor | None], *, through: bool) -> dict[fx.Node, Tensor]:
    """Whether each channel of each value is read; with ``through`` only by filters that are read themselves."""
    followed = {step.node for step in graph.steps if step.node in graph.layouts and reads.get(step.node, 0) is not None}
    found = {
        node: torch.full((layout.size,), any(user not in followed and not _is_size(user) for user in node.users))
        for node, layout in graph.layouts.items()
    }
    for step in reversed(graph.steps):
        if step.node not in found:
            continue
        own = found[step.node]
        rows = reads.get(step.node)
        if rows is not None:
            found[step.sources[0]] |= (rows[own] if through else rows).any(0)
        elif step.kind == "concat":
            sizes = [graph.layouts[source].size for source in step.sources]
            for source, part in zip(step.sources, torch.split(own, sizes), strict=True):
                found[source] |= part
        elif step.kind not in _WEIGHTED:
            for source in step.sources:
                if source in found:
                    found[source] |= own
    return found


def _is_size(node: fx.Node) -> bool:
    """Whether a node is a size of a value, which tells nothing of what is in it."""
    return rules.is_shape(node) or (node.op == "call_method" and node.target == "size")
