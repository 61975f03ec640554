"""Whole filters: structured dynamic sparse training, whose result becomes a smaller dense network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor, nn

from regrow.errors import InputError
from regrow.sparsity.layers import plain_name
from regrow.sparsity.select import count, highest, lowest
from regrow.sparsity.structures._rows import full_scores
from regrow.sparsity.update import Layer, Rewired, Rule, Step, drop_count


@dataclass(frozen=True)
class Filters(Step):
    """Drop and grow whole filters (rows of the weight), of which fewer live as the density falls.

    A filter's drop score is the mean score of its active weights; its growth score the sum of its weights' scores.
    After the surplus that the density asks for has gone, the drop fraction of the filters that are left is exchanged.
    Filters whose outputs are added (residual branches) share the sum of their scores, and live or die together. The
    network's last layer keeps all.

    Attributes:
        tied: groups of layers whose filters belong together, by parameter name; found when attached.
        followers: pairs of tied layers and a bias or norm parameter with one value a filter; found when attached. Once
            updates are over, those of dead filters are held at zero, so that the filter's channel is zero and can be
            taken out exactly. (Before, they must live: a zero behind a ReLU passes no gradient that could grow it.)
    """

    tied: tuple[tuple[str, ...], ...] = ()
    followers: tuple[tuple[tuple[str, ...], str], ...] = ()

    keeps_last: ClassVar[bool] = True
    ranks_all: ClassVar[bool] = True
    exact_layers: ClassVar[bool] = True

    def holds(self, mask: Tensor, shape: tuple[int, ...]) -> bool:
        """See `Step`: a filter has all its weights, or none."""
        rows = mask.view(shape[0], -1)
        return torch.equal(rows.any(1), rows.all(1))

    def bind(self, model: nn.Module, names: Sequence[str]) -> Filters:
        """The step for one model: ties by its channel graph, if it can be traced; else every layer for itself."""
        if self.tied or self.followers:
            return self
        from regrow.sparsity.channels import channel_groups

        known, tied, followers = set(names), [], []
        try:
            groups = channel_groups(model)
        except InputError:
            groups = []
        parameters = {plain_name(n): p for n, p in model.named_parameters()}
        for group in groups:
            members = tuple(name for name in group.producers if name in known)
            if len(members) > 1:
                tied.append(members)
            if members and group.prunable and len(members) == len(group.producers):
                whole = [n for n, first in zip(group.norms, group.norm_offsets, strict=True) if first == 0]
                values = [f"{norm}.{part}" for norm in whole for part in ("weight", "bias")] + list(group.biases)
                fits = [v for v in values if v in parameters and parameters[v].shape == (group.size,)]
                followers += [(members, value) for value in fits]
        return replace(self, tied=tuple(tied), followers=tuple(followers))

    def groups(self, layers: Sequence[Layer]) -> list[list[int]]:
        """Positions of the layers, tied ones together."""
        of = {name: i for i, members in enumerate(self.tied) for name in members}
        found: dict[object, list[int]] = {}
        for i, layer in enumerate(layers):
            found.setdefault(of.get(layer.name, layer.name), []).append(i)
        return list(found.values())

    def __call__(self, layers: Sequence[Layer], rule: Rule) -> list[Rewired]:
        """See `Step`."""
        changed: dict[int, Rewired] = {}
        for group in self.groups(layers):
            members = [layers[i] for i in group]
            if len({m.matrix[0] for m in members}) > 1:
                raise InputError(f"tied layers {', '.join(m.name for m in members)} differ in their number of filters.")
            target = rule.planned[group[0]] // members[0].matrix[1]
            for i, one in zip(group, self._group(members, target, rule), strict=True):
                changed[i] = one
        return [changed[i] for i in range(len(layers))]

    def _group(self, members: list[Layer], target: int, rule: Rule) -> list[Rewired]:
        alive = torch.stack([m.mask.view(m.matrix).any(1) for m in members]).any(0)
        now = count(alive)
        surplus = max(0, now - target)
        frozen = any(m.frozen for m in members)
        k = 0 if frozen else drop_count(members[0].drop_fraction, now - surplus)
        if not rule.regrow_dropped:
            k = min(k, alive.numel() - now)
        worth = torch.stack([_per_filter(m, rule, grow=False) for m in members]).sum(0)
        gone = lowest(worth, alive, min(surplus, now - 1))
        second = lowest(worth, alive & ~gone, min(k, now - surplus))
        kept = alive & ~gone & ~second
        candidates = ~kept if rule.regrow_dropped else ~alive
        n_grow = target - count(kept)
        if n_grow > 0:
            promise = torch.stack([_per_filter(m, rule, grow=True) for m in members]).sum(0)
            come = highest(promise, candidates, min(n_grow, count(candidates)))
        else:
            come = torch.zeros_like(alive)
        return [_rewired(m, kept, come, gone) for m in members]

    def fit(self, shapes: Sequence[tuple[int, ...]], counts: Sequence[int], names: Sequence[str] = ()) -> list[int]:
        """See `Step`: whole filters, at least one, and as many in tied layers."""
        sizes = [math.prod(shape[1:]) for shape in shapes]
        alive = [Fraction(n, size) for n, size in zip(counts, sizes, strict=True)]
        for members in self.tied:
            places = [i for i, name in enumerate(names) if name in members]
            for i in places:
                alive[i] = sum((Fraction(counts[k], sizes[k]) for k in places), Fraction(0)) / len(places)
        whole = [math.floor(a + Fraction(1, 2)) for a in alive]
        return [size * min(shape[0], max(1, n)) for shape, size, n in zip(shapes, sizes, whole, strict=True)]


def _per_filter(layer: Layer, rule: Rule, *, grow: bool) -> Tensor:
    where = torch.ones_like(layer.mask) if grow else layer.mask
    found = full_scores(layer, rule.grow if grow else rule.drop, where)
    scores = (found.double() if found.is_floating_point() else found.double() / 2.0**63).view(layer.matrix)
    active = where.view(layer.matrix)
    total = scores.masked_fill(~active, 0.0).sum(1)
    return total if grow else total / active.sum(1).clamp(min=1)


def _rewired(layer: Layer, kept: Tensor, come: Tensor, gone: Tensor) -> Rewired:
    rows, columns = layer.matrix
    wide = [flags.unsqueeze(1).expand(rows, columns).reshape(-1) for flags in (kept, come, gone)]
    before = layer.mask
    return Rewired(wide[0] | wide[1], before & ~wide[0], wide[1], before & wide[2])


@dataclass(frozen=True)
class RandomFilters:
    """Initial mask: whole filters at random; see `regrow.sparsity.initial.Initial`."""

    def __call__(self, layer: Layer, n_active: int) -> Tensor:
        """See `regrow.sparsity.initial.Initial`."""
        rows, columns = layer.matrix
        keys = ~layer.draw("mask", rows)
        return highest(
            keys, torch.ones(rows, dtype=torch.bool, device=keys.device), n_active // columns
        ).repeat_interleave(columns)
