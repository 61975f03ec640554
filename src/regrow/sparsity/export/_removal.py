"""Which channels can leave a network without its outputs seeing it, and how constant ones are made to."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, fx, nn

from regrow.sparsity.channels import ChannelGraph, Step
from regrow.sparsity.export._constants import WEIGHTED, is_unpadded

#: Largest factor by which a merged channel's weights are multiplied.
LARGEST_RATIO = 1e3

Values = dict[fx.Node, Tensor]
Removed = dict[int, Tensor]


class _Reading(NamedTuple):
    """A layer that reads a group of channels.

    Attributes:
        module: the layer.
        place: the group's first channel in its input.
        used: for each channel of the group, whether a filter that stays has a weight other than 0 for it.
        constant: for each channel of the group, its constant there, or NaN.
    """

    module: nn.Conv2d
    place: int
    used: Tensor
    constant: Tensor


def readers(graph: ChannelGraph) -> list[tuple[Step, nn.Conv2d]]:
    """The steps whose weights mix channels of a followed input, with their modules (depthwise ones mix none)."""
    return [
        (step, cast(nn.Conv2d, graph.model.get_submodule(step.module)))
        for step in graph.steps
        if step.kind in WEIGHTED and step.kind != "depthwise" and step.sources[0] in graph.layouts
    ]


def gone(graph: ChannelGraph, node: fx.Node, removed: Removed) -> Tensor:
    """Which channels of a value were removed, in the value's order."""
    return torch.cat([removed[graph.find(span.key)] for span in graph.layouts[node].spans])


def removable(graph: ChannelGraph, values: Values) -> Removed:
    """For each group which channels can leave: the largest set, found by going on until nothing changes."""
    removed = {root: torch.zeros(group.size, dtype=torch.bool) for root, group in graph.groups.items()}
    while True:
        allowed = {
            root: torch.full((group.size,), group.prunable or root in graph.whole)
            for root, group in graph.groups.items()
        }
        for root, reading in _readings(graph, values, removed):
            constant = reading.constant
            folded = constant.isfinite() & is_unpadded(reading.module)
            allowed[root] &= ~reading.used | (constant == 0) | folded
        _keep_whole(graph, allowed)
        if all(torch.equal(allowed[root], removed[root]) for root in removed):
            return removed
        removed = allowed


def _keep_whole(graph: ChannelGraph, allowed: Removed) -> None:
    """Of every group one channel stays (a layer without any cannot run), and group convolutions lose whole groups."""
    for channels in allowed.values():
        if bool(channels.all()):
            channels[:1] = False
    steps = [step for step in graph.steps if step.kind == "grouped" and step.sources[0] in graph.layouts]
    changed = True
    while changed:
        changed = False
        for step in steps:
            groups = cast(int, graph.model.get_submodule(step.module).groups)
            ends = [graph.find(graph.layouts[node].spans[0].key) for node in (step.sources[0], step.node)]
            stays = ~(allowed[ends[0]].reshape(groups, -1).all(1) & allowed[ends[1]].reshape(groups, -1).all(1))
            for root in ends:
                fewer = allowed[root] & ~stays.repeat_interleave(len(allowed[root]) // groups)
                changed = changed or not torch.equal(fewer, allowed[root])
                allowed[root] = fewer


def _readings(graph: ChannelGraph, values: Values, removed: Removed) -> list[tuple[int, _Reading]]:
    """Every group's readers, by the group's number."""
    found = []
    for step, module in readers(graph):
        layout, place = graph.layouts[step.sources[0]], 0
        used, constant = _used(module, layout.size, ~gone(graph, step.node, removed)), values[step.sources[0]]
        for span in layout.spans:
            end = place + span.size
            reading = _Reading(module, place, used[place:end], constant[place:end])
            found.append((graph.find(span.key), reading))
            place = end
    return found


def _used(module: nn.Conv2d, size: int, stays: Tensor) -> Tensor:
    """Which of a layer's ``size`` input channels have a weight other than 0 in a filter that stays."""
    weight = module.weight.detach().cpu()
    groups = cast(int, getattr(module, "groups", 1))
    nonzero = (weight != 0) & stays.reshape(-1, *[1] * (weight.ndim - 1))
    return nonzero.reshape(groups, len(weight) // groups, size // groups, -1).any(3).any(1).reshape(-1)


def merge_constants(graph: ChannelGraph, values: Values, removed: Removed) -> int:
    """Let one constant channel of each group speak for all, in the layers that pad with zeros; how many it made idle.

    A reader with weights W sees sum_i c_i W_i * 1, where 1 is an image of ones with a border of zeros. One channel of
    constant c with the weights sum_i (c_i / c) W_i gives the same. The weights of the others become 0, in place.
    """
    readings: dict[int, list[_Reading]] = {}
    for root, reading in _readings(graph, values, removed):
        readings.setdefault(root, []).append(reading)
    idle = 0
    for root, group in graph.groups.items():
        if group.prunable and root in readings:
            idle += _merge(readings[root], removed[root])
    return idle


def _merge(readings: list[_Reading], removed: Tensor) -> int:
    used = torch.stack([r.used for r in readings])
    constant = torch.stack([r.constant for r in readings])
    padded = torch.tensor([not is_unpadded(r.module) for r in readings]).unsqueeze(1)
    alive = (used & ~constant.isfinite()).any(0)
    bound = (used & padded & (constant != 0)).any(0) & ~alive & ~removed
    needed = (used & padded & (constant != 0))[:, bound].any(1)
    if int(bound.sum()) < 2:
        return 0
    strength = constant[needed].abs().nan_to_num(0.0).amin(0).masked_fill(~bound, 0.0)
    speaker = int(strength.argmax())
    if strength[speaker] == 0:
        return 0
    ratios = constant[needed].nan_to_num(0.0) / constant[needed][:, speaker : speaker + 1]
    bound &= (ratios.abs() <= LARGEST_RATIO).all(0)
    if int(bound.sum()) < 2:
        return 0
    chosen = bound.nonzero().flatten()
    padders = [r for r, wanted in zip(readings, needed.tolist(), strict=True) if wanted]
    for reading, ratio in zip(padders, ratios, strict=True):
        weight, where = reading.module.weight, reading.place + chosen
        part = weight.detach().double()[:, where]
        shape = (1, -1, *[1] * (weight.ndim - 2))
        total = (part * ratio[chosen].to(part.device).reshape(shape)).sum(1)
        weight[:, where] = 0
        weight[:, reading.place + speaker] = total.to(weight.dtype)
    return len(chosen) - 1
