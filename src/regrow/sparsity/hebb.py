"""Cannistraci-Hebb training: growth where the network's own topology predicts links, and removal in chains.

A layer is a bipartite graph: rows (outputs) and columns (inputs; inputs times kernel for convolutions, which is ours:
the authors treat linear layers). Scores are float64, rounded to 12 significant digits, so that the order of a sum
breaks no tie. Sources: Zhang et al. 2024 (CHT, ICLR) and 2025 (CHTs, arXiv:2501.19107); formulae as in their code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from regrow import seeds
from regrow.errors import InputError
from regrow.sparsity.drop import soft_keys
from regrow.sparsity.select import count, lowest
from regrow.sparsity.steps import DropGrow
from regrow.sparsity.update import Layer, Rewired, Rule, drop_count, regrow, scores

Index = Literal["CH2", "CH3"]
#: Columns whose similarities are computed at a time: bounds the memory by this many times the number of columns.
_BLOCK = 512


@dataclass(frozen=True)
class CannistraciHebb:
    """Growth where paths of length three of the layer's own graph suggest a link.

    Attributes:
        index: ``"CH2"`` or ``"CH3"``.
        form: ``"node"`` (matrix products, for any size) or ``"path"`` (every path by itself; small layers only).
        soft: draw with odds in proportion to the score instead of taking the highest; then any of the rest at random.
    """

    index: Index = "CH3"
    form: Literal["node", "path"] = "node"
    soft: bool = False

    needs_gradient: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the values."""
        if self.index not in ("CH2", "CH3") or self.form not in ("node", "path"):
            raise InputError(f"index must be CH2 or CH3 and form node or path, got {self.index!r} and {self.form!r}.")

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        """See `regrow.sparsity.update.Criterion`; entries of score 0 come after all others, in random order."""
        links = layer.mask.view(layer.matrix)
        found = (node_scores if self.form == "node" else path_scores)(links, self.index)
        own = found.view(-1)[where]
        positive = own > 0
        if not self.soft and count(positive) >= k:
            return own
        words = layer.words("growth", own.numel())
        chance = torch.from_numpy(seeds.uniform(words)).to(own.device)
        if self.soft:
            own = soft_keys(own, 1.0, words)  # log-odds: above -1000 for any score that is a number
            return torch.where(positive, own, -1e6 - chance)
        return torch.where(positive, own, -chance)


def node_scores(links: Tensor, index: Index) -> Tensor:
    """CH2-L3 or CH3-L3 of every non-link, in node form; 0 at links.

    Two rows that share neighbours vouch for each other's links, the more the fewer others they have; so do columns.

    Args:
        links: bool (rows, columns).
        index: which of the two.

    Returns:
        float64 (rows, columns).

    Example:
        >>> graph = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 1, 1]], dtype=torch.bool)
        >>> node_scores(graph, "CH2").tolist()
        [[0.0, 0.0, 7.0, 3.0], [0.0, 7.0, 0.0, 3.0], [8.0, 0.0, 0.0, 0.0]]
    """
    by_rows = _vouched(links, index)
    by_columns = _vouched(links.T, index).T
    return _rounded(by_rows.add_(by_columns).masked_fill_(links, 0.0))


def _vouched(links: Tensor, index: Index) -> Tensor:
    """For each row and column, the weight with which similar rows vouch for that column; float64, shape of links."""
    counts = links.float()  # whole numbers below 2**24 are exact
    degree = links.sum(1).double()
    values = links.double()
    out = torch.empty(links.shape, dtype=torch.float64, device=links.device)
    for start in range(0, links.shape[0], _BLOCK):
        block = slice(start, start + _BLOCK)
        shared = (counts[block] @ counts.T).double()
        external = (degree - shared).clamp_(min=1.0)  # 1 + E, since E is one less
        weight = (shared + 1.0).div_(external) if index == "CH2" else external.reciprocal_()
        weight.masked_fill_(shared == 0, 0.0)
        torch.mm(weight, values, out=out[block])
    return out


def path_scores(links: Tensor, index: Index) -> Tensor:
    """CH2-L3 or CH3-L3 of every non-link, summed over its paths of length three; 0 at links.

    For a non-link (a, b), the local community are the columns y and rows x of all paths a - y - x - b; i counts a
    member's links within it, e its links to others than a and b.

    Args:
        links: bool (rows, columns).
        index: which of the two.

    Returns:
        float64 (rows, columns).
    """
    graph = links.cpu().numpy()
    out = np.zeros(graph.shape)
    row_degree, column_degree = graph.sum(1), graph.sum(0)
    for a, b in zip(*np.nonzero(~graph), strict=True):
        columns, rows = np.flatnonzero(graph[a]), np.flatnonzero(graph[:, b])
        paths = graph[np.ix_(rows, columns)]
        inside_x, inside_y = paths.sum(1), paths.sum(0)
        outside_x = row_degree[rows] - inside_x - 1
        outside_y = column_degree[columns] - inside_y - 1
        weight = 1.0 / np.sqrt(np.outer(1.0 + outside_x, 1.0 + outside_y))
        if index == "CH2":
            weight = weight * np.sqrt(np.outer(1.0 + inside_x, 1.0 + inside_y))
        out[a, b] = (weight * paths).sum()
    return _rounded(torch.from_numpy(out)).to(links.device)


def _rounded(values: Tensor) -> Tensor:
    """To 12 significant digits."""
    exponent = torch.floor(torch.log10(values.clamp(min=1e-300)))
    scale = torch.pow(torch.tensor(10.0, dtype=torch.float64, device=values.device), 11.0 - exponent)
    return torch.where(values > 0, torch.round(values * scale) / scale, torch.zeros_like(values))


@dataclass(frozen=True)
class Link:
    """Neurons between layers: the weights whose rows feed them, and those whose columns read them.

    Attributes:
        size: number of neurons.
        producers: parameter names.
        consumers: (parameter name, first column, columns a neuron), in units of the weight's dimension 1.
    """

    size: int
    producers: tuple[str, ...]
    consumers: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Chained(DropGrow):
    """Drop, then take out the links of neurons that lead nowhere or come from nowhere, then regrow as many as went.

    Backward from the last layer, links into neurons without an outgoing link go; then forward, links from neurons
    without an incoming one. A neuron between several layers (a residual sum) is connected while any of them has a link.

    Attributes:
        chains: the neurons between layers, in forward order; found when attached. A model that cannot be traced has
            none, and then nothing is removed in chains.
    """

    chains: tuple[Link, ...] = ()

    def bind(self, model: nn.Module, names: Sequence[str]) -> Chained:
        """The step for one model, by its channel graph."""
        if self.chains:
            return self
        from regrow.sparsity.channels import channel_groups

        try:
            groups = channel_groups(model)
        except InputError:
            return self
        known = set(names)
        links = [
            Link(g.size, g.producers, g.consumers)
            for g in groups
            if g.prunable
            and g.producers
            and g.consumers
            and known.issuperset(g.producers)
            and known.issuperset(name for name, _, _ in g.consumers)
        ]
        return replace(self, chains=tuple(links))

    def __call__(self, layers: Sequence[Layer], rule: Rule) -> list[Rewired]:
        """See `Step`."""
        pruned = self.pruned(layers, rule) or [torch.zeros_like(one.mask) for one in layers]
        lefts = [
            replace(one, mask=one.mask & ~gone, weight=one.weight * ~gone)
            for one, gone in zip(layers, pruned, strict=True)
        ]
        dropped, targets = [], []
        for left in lefts:
            active = count(left.mask)
            k = 0 if left.frozen else drop_count(left.drop_fraction, active)
            if not rule.regrow_dropped:
                k = min(k, left.mask.numel() - active)
            gone = lowest(scores(left, rule.drop, left.mask, k), left.mask, k) if k else torch.zeros_like(left.mask)
            dropped.append(gone)
            targets.append(active)
        if any(bool(gone.any()) for gone in dropped):
            kept = {one.name: (one.mask & ~gone).view(one.shape) for one, gone in zip(lefts, dropped, strict=True)}
            still = {one.name for one in layers if one.frozen}
            kept = disconnected_removed(kept, self.chains, still)
            dropped = [one.mask & ~kept[one.name].reshape(-1) for one in lefts]
        changed = []
        for left, gone, early, target, layer in zip(lefts, dropped, pruned, targets, layers, strict=True):
            missing = target - count(left.mask & ~gone)
            if not rule.regrow_dropped:
                gone, missing = self._fitting(left, gone, missing)
            second = regrow(left, rule.grow, gone, missing, regrow_dropped=rule.regrow_dropped)
            changed.append(
                Rewired(second.mask, layer.mask & (gone | early), second.grown, early if rule.falling else None)
            )
        return changed

    @staticmethod
    def _fitting(layer: Layer, gone: Tensor, missing: int) -> tuple[Tensor, int]:
        """No more drops than there are places to grow: the later ones of the chain stay."""
        room = count(~layer.mask)
        if missing <= room:
            return gone, missing
        order = gone.nonzero().flatten()[room:]
        gone = gone.clone()
        gone[order] = False
        return gone, room


def disconnected_removed(
    masks: dict[str, Tensor], chains: Sequence[Link], frozen: set[str] | None = None
) -> dict[str, Tensor]:
    """Masks without links into neurons that lead nowhere (backward), then without links from ones fed by nothing.

    Args:
        masks: bool masks of the weights' shapes, by name; left as they are.
        chains: the neurons between them, in forward order; those with a layer that has no mask here are skipped.
        frozen: layers that keep all their links.

    Example:
        >>> first, second = [[1, 0], [0, 1], [0, 0]], [[0, 1, 1], [0, 0, 0]]
        >>> masks = {"a": torch.tensor(first, dtype=torch.bool), "b": torch.tensor(second, dtype=torch.bool)}
        >>> after = disconnected_removed(masks, [Link(3, ("a",), (("b", 0, 1),))])
        >>> after["a"].int().tolist(), after["b"].int().tolist()
        ([[0, 0], [0, 1], [0, 0]], [[0, 1, 0], [0, 0, 0]])
    """
    masks, frozen = {name: mask.clone() for name, mask in masks.items()}, frozen or set()
    known = [c for c in chains if all(n in masks for n in (*c.producers, *(name for name, _, _ in c.consumers)))]
    for link in reversed(known):
        connected = torch.stack([_columns(masks[name], first, n, link.size) for name, first, n in link.consumers]).any(
            0
        )
        for name in link.producers:
            if name not in frozen:
                masks[name][~connected] = False
    for link in known:
        fed = torch.stack([masks[name].flatten(1).any(1) for name in link.producers]).any(0)
        for name, first, n in link.consumers:
            if name not in frozen:
                view = masks[name][:, first : first + n * link.size]
                view.view(view.shape[0], link.size, n, *view.shape[2:])[:, ~fed] = False
    return masks


def _columns(mask: Tensor, first: int, n: int, size: int) -> Tensor:
    """Whether each neuron has an outgoing link, bool (size,)."""
    view = mask[:, first : first + n * size]
    return view.reshape(mask.shape[0], size, math.prod((n, *mask.shape[2:]))).any(2).any(0)
