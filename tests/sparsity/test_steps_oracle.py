"""Every step of the engine against the slow reference in oracle.py: 200 random layers with many ties for each.

Layers have 1 to 4 dimensions, 1 to 5000 weights, any density, and weights and gradients of {0, +-1, +-2}; where the
reference needs all paths of a graph, they are small. Masks, dropped and grown entries must be equal as sets.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regrow import seeds
from regrow.sparsity import (
    CannistraciHebb,
    Chained,
    DropGrow,
    FanIn,
    Filters,
    GradientGrowth,
    Layer,
    Magnitude,
    MagnitudeAndGradient,
    MagnitudeMask,
    NeverActiveFirst,
    NOfM,
    RandomDrop,
    RandomFanIn,
    RandomFilters,
    RandomGrowth,
    RandomMask,
    RandomNOfM,
    ReceptiveField,
    RelativeImportance,
    Rewired,
    Rule,
    SaliencyMask,
    Signs,
    SmallWorld,
    Soft,
    SoftBound,
    Taylor,
    Value,
)
from regrow.sparsity.hebb import Link

_SPEC = importlib.util.spec_from_file_location("sparsity_oracle", Path(__file__).with_name("oracle.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
oracle = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(oracle)

LAYERS = range(200)
GROUPS = range(100)  # where a case has several layers (199 in all), or a test has several variants
VALUES = [0, 1, -1, 2, -2]
ZETAS = [0.0, 0.1, 0.29, 0.3, 0.5, 1.0]
LAMBDA = 0.5


# ---- layers, and what the reference reads of them


def random_shape(rng: np.random.Generator, number: int) -> tuple[int, ...]:
    """Sizes spread evenly by order of magnitude; the smallest and the largest are among them."""
    if number < 2:
        return ((1,), (5000,))[number]
    dims = number % 4 + 1
    return tuple(int(5000 ** (rng.random() / dims)) for _ in range(dims))


def make(rng: np.random.Generator, number: int, shape: tuple[int, ...], mask: np.ndarray, name: str = "w") -> Layer:
    size = mask.size
    weight, gradient, step = (torch.tensor(rng.choice(VALUES, size), dtype=torch.float32) for _ in range(3))
    active = torch.from_numpy(mask.reshape(-1).copy())
    return Layer(
        name,
        weight * active,
        active,
        gradient,
        shape,
        float(rng.choice(ZETAS)),
        key=seeds.name_key(f"{name} {number}"),
        update=7,
        seed=3,
        progress=0.5,
        step_grad=step * active,
        ever=active | torch.from_numpy(rng.random(size) < 0.3),
    )


def some(rng: np.random.Generator, size: int, n: int | None = None) -> np.ndarray:
    """A mask of ``n`` random entries, or of one, all or any number of them."""
    if n is None:
        n = int(rng.choice([1, size, *rng.integers(1, size + 1, 4)]))
    mask = np.zeros(size, bool)
    mask[rng.permutation(size)[:n]] = True
    return mask


@functools.cache
def layer(number: int) -> Layer:
    rng = np.random.default_rng(number)
    shape = random_shape(rng, number)
    return make(rng, number, shape, some(rng, math.prod(shape)))


@functools.cache
def few_layers(number: int) -> list[Layer]:
    """One to three layers that compete."""
    rng = np.random.default_rng(1000 + number)
    found = []
    for i in range(number % 3 + 1):
        shape = tuple(int(n) for n in rng.integers(1, 9, int(rng.integers(1, 5))))
        found.append(make(rng, number, shape, some(rng, math.prod(shape)), f"layer {i}"))
    return [replace(one, drop_fraction=found[0].drop_fraction) for one in found]


def listed(values: torch.Tensor | None) -> list[Any]:
    assert values is not None
    return list(values.tolist())


def wmg(one: Layer) -> tuple[list[float], list[bool], list[float]]:
    return listed(one.weight), listed(one.mask), listed(one.grad)


def words(one: Layer, stream: seeds.Stream, n: int | None = None) -> list[int]:
    n = one.mask.numel() if n is None else n
    return [int(v) for v in seeds.raw(one.seed, stream, one.key, one.update, n=n)]


def in_rows(values: torch.Tensor, one: Layer) -> list[list[Any]]:
    return listed(values.view(one.matrix))


def at(flags: Any) -> set[int]:
    return set(oracle.active(flags if isinstance(flags, list) else listed(flags)))


def rule(layers: Sequence[Layer], drop: Any, grow: Any, **values: Any) -> Rule:
    planned = [int(one.mask.count_nonzero()) for one in layers]
    given = {"regrow_dropped": True, "planned": planned, "progress": 0.5, **values}
    return Rule(drop, grow, total=given.pop("total", sum(given["planned"])), **given)


def agrees(found: Rewired, mask: set[int], dropped: set[int], grown: set[int]) -> None:
    assert (at(found.dropped), at(found.grown), at(found.mask)) == (dropped, grown, mask)


# ---- drop and grow

DROPS = {
    "magnitude": Magnitude(),
    "taylor": Taylor(),
    "mest": MagnitudeAndGradient(LAMBDA),
    "ria": RelativeImportance(),
    "signs": Signs(),
    "random": RandomDrop(),
    "soft": Soft(Magnitude(), Value(1.0, 9.0)),
    "soft ria": Soft(RelativeImportance(), Value(1.0, 9.0)),
}
GROWTHS = {"gradient": GradientGrowth(), "random": RandomGrowth(), "never active": NeverActiveFirst()}


def dropped_by(name: str, one: Layer, k: int) -> set[int]:
    w, m, _ = wmg(one)
    if name == "signs":
        return set(oracle.set_signs(w, m, k, one.drop_fraction))
    if name == "random":
        return set(oracle.pick(oracle.active(m), k, words(one, "drop")))
    step = listed(one.step_grad)
    score = {
        "magnitude": lambda: oracle.magnitude(w),
        "soft": lambda: oracle.magnitude(w),
        "taylor": lambda: oracle.taylor(w, step),
        "mest": lambda: oracle.mest(w, step, LAMBDA),
        "ria": lambda: oracle.ria(w, m, one.shape),
        "soft ria": lambda: oracle.ria(w, m, one.shape),
    }[name]()
    if name.startswith("soft"):
        return set(oracle.soft_drop(score, m, k, 5.0, words(one, "drop")))  # half way from 1 to 9
    return set(oracle.lowest(score, oracle.active(m), k))


def grown_by(name: str, one: Layer, dropped: set[int], k: int, inclusive: bool) -> set[int]:
    _, m, g = wmg(one)
    candidates = oracle.candidates(m, dropped, inclusive)
    if name == "gradient":
        return set(oracle.highest(oracle.magnitude(g), candidates, k))
    if name == "random":
        return set(oracle.pick(candidates, k, words(one, "growth")))
    return set(oracle.pick_never_active(candidates, k, words(one, "growth"), listed(one.ever)))


def drop_grow_agrees(one: Layer, drop: str, growth: str, inclusive: bool) -> int:
    m = listed(one.mask)
    k = oracle.share(one.drop_fraction, sum(m))
    if not inclusive:
        k = min(k, len(m) - sum(m))
    dropped = dropped_by(drop, one, k)
    grown = grown_by(growth, one, dropped, k, inclusive)
    found = DropGrow()([one], rule([one], DROPS[drop], GROWTHS[growth], regrow_dropped=inclusive))[0]
    agrees(found, (at(m) - dropped) | grown, dropped, grown)
    assert int(found.mask.count_nonzero()) == sum(m)
    return int(bool(dropped ^ grown))


@pytest.mark.parametrize("drop", DROPS)
def test_drop_grow(drop: str) -> None:
    moved = 0
    for number in LAYERS:
        growth = list(GROWTHS)[number % 3]
        inclusive = drop == "signs" or number // 3 % 2 == 0
        moved += drop_grow_agrees(layer(number), drop, growth, inclusive)
    assert moved > 60


@pytest.mark.parametrize("inclusive", [True, False])
def test_signs_without_zeros(inclusive: bool) -> None:
    """Where the exclusive rule clamps the count, both signs still give their smallest, in proportion."""
    for number in LAYERS:
        rng = np.random.default_rng(number)
        weight = torch.tensor(rng.choice([-3, -2, -1, 1, 2, 3, 4], layer(number).mask.numel()), dtype=torch.float32)
        zeta = float(rng.choice([0.3, 1 / 3, 1]))
        one = replace(layer(number), weight=weight * layer(number).mask, drop_fraction=zeta)
        drop_grow_agrees(one, "signs", "gradient", inclusive)


# ---- MEST


@pytest.mark.parametrize("of", ["all", "active"])
def test_mest_em(of: Any) -> None:
    for number in LAYERS:
        one = layer(number)
        w, m, _ = wmg(one)
        share = Fraction(str(one.drop_fraction)) * (1 if of == "all" else Fraction(sum(m), len(m)))
        mask, dropped, grown = oracle.mest_em(w, m, listed(one.step_grad), LAMBDA, share, words(one, "growth"))
        found = SoftBound(soft=False, of=of)([one], rule([one], DROPS["mest"], RandomGrowth()))[0]
        agrees(found, at(mask), dropped, grown)


@pytest.mark.parametrize("of", ["all", "active"])
def test_mest_ems_holds_a_margin_until_the_last_update(of: Any) -> None:
    for number in GROUPS:
        one = layer(number)
        w, m, _ = wmg(one)
        planned = int(np.random.default_rng(number).integers(1, sum(m) + 1))
        margin = math.floor(Fraction(str(one.drop_fraction)) * (len(m) if of == "all" else planned))
        for progress in (0.5, 1.0):
            holds = min(len(m), planned + margin) if progress < 1 else planned
            mask, dropped, grown = oracle.mest_ems(
                w, m, listed(one.step_grad), LAMBDA, planned, holds, words(one, "growth")
            )
            due = rule([one], DROPS["mest"], RandomGrowth(), planned=[planned], progress=progress)
            agrees(SoftBound(soft=True, of=of)([one], due)[0], at(mask), dropped, grown)
            assert sum(mask) == holds


# ---- a falling density


def empties(scores: Sequence[list[float]], masks: Sequence[list[bool]], n_total: int) -> bool:
    """Whether a plain ranking of all layers would leave one of them without weights."""
    ranked = sorted((s[i], j, i) for j, (s, m) in enumerate(zip(scores, masks, strict=True)) for i in at(m))
    gone = [j for _, j, _ in ranked[: max(0, len(ranked) - n_total)]]
    return any(gone.count(j) == sum(m) for j, m in enumerate(masks))


@pytest.mark.parametrize("emptied", [False, True])
def test_granet_and_gmp_rank_all_layers_together(emptied: bool) -> None:
    seen = 0
    for number in GROUPS:
        layers = few_layers(number)
        ws, ms, gs = zip(*(wmg(one) for one in layers), strict=True)
        now = sum(map(sum, ms))
        n_total = int(np.random.default_rng(number).integers(len(layers), now + 1))
        if empties([oracle.magnitude(w) for w in ws], ms, n_total) != emptied:
            continue
        seen += 1
        for zeta in (0.0, layers[0].drop_fraction):  # 0: nothing grows, which is GMP
            same = [replace(one, drop_fraction=zeta) for one in layers]
            due = rule(layers, Magnitude(), GradientGrowth(), total=n_total, falling=True)
            new, pruned = oracle.granet(ws, ms, gs, n_total, zeta)
            for found, mask, between, m in zip(DropGrow()(same, due), new, pruned, ms, strict=True):
                assert found.pruned is not None
                assert (at(found.mask), at(found.pruned)) == (at(mask), at(m) - at(between))
                assert not at(found.returned) & at(found.pruned)  # pruned and grown again is fresh
    assert seen > 20


def test_granet_and_gmp_layer_by_layer() -> None:
    for number in GROUPS:
        layers = few_layers(number)
        rng = np.random.default_rng(number)
        planned = [int(rng.integers(1, int(one.mask.count_nonzero()) + 1)) for one in layers]
        due = rule(layers, Magnitude(), GradientGrowth(), planned=planned, falling=True)
        for found, one, n in zip(DropGrow(pruning="layer")(layers, due), layers, planned, strict=True):
            w, m, g = wmg(one)
            between = oracle.prune(oracle.magnitude(w), m, n)
            mask, dropped, grown = oracle.rigl(w, between, g, one.drop_fraction)
            agrees(found, at(mask), dropped | (at(m) - at(between)), grown)


# ---- Cannistraci-Hebb


@functools.cache
def consecutive(number: int) -> list[Layer]:
    """One to three linear layers, each of which reads the one before."""
    rng = np.random.default_rng(2000 + number)
    widths = [int(n) for n in rng.integers(1, 9, number % 3 + 2)]
    found = []
    for i, (fan_in, out) in enumerate(itertools.pairwise(widths)):
        mask = some(rng, fan_in * out) if number % 2 else rng.random(fan_in * out) < 0.35
        found.append(make(rng, number, (out, fan_in), mask, f"layer {i}"))
    return found


def chained(layers: Sequence[Layer], **parts: Any) -> Chained:
    links = [Link(one.shape[0], (one.name,), ((after.name, 0, 1),)) for one, after in itertools.pairwise(layers)]
    return Chained(chains=tuple(links), **parts)


def grown_by_paths(one: Layer, cut: list[bool], index: str, form: str, soft: bool) -> set[int]:
    score = oracle.ch_score(cut, one.shape, index, form)
    grow = oracle.soft_grow if soft else oracle.grow_ch
    found: set[int] = grow(score, cut, int(one.mask.count_nonzero()) - sum(cut), words(one, "growth"))
    return found


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("form", ["node", "path"])
@pytest.mark.parametrize("index", ["CH2", "CH3"])
def test_chained(index: Any, form: Any, soft: bool) -> None:
    chains_broke = 0
    for number in GROUPS:
        layers = consecutive(number)
        drop = "soft" if soft else "magnitude"
        ms, shapes = [listed(one.mask) for one in layers], [one.shape for one in layers]
        ks = [oracle.share(one.drop_fraction, sum(m)) for one, m in zip(layers, ms, strict=True)]
        dropped = [dropped_by(drop, one, k) for one, k in zip(layers, ks, strict=True)]
        cut = oracle.after_chains(ms, shapes, dropped, chain=any(dropped))
        chains_broke += sum(map(sum, cut)) < sum(map(sum, ms)) - sum(ks)
        growth = CannistraciHebb(index, form, soft)
        found = chained(layers)(layers, rule(layers, DROPS[drop], growth))
        for change, one, m, left in zip(found, layers, ms, cut, strict=True):
            grown = grown_by_paths(one, left, index, form, soft)
            agrees(change, at(left) | grown, at(m) - at(left), grown)
            assert int(change.mask.count_nonzero()) == sum(m)
    assert chains_broke > 20


def test_chained_prunes_by_relative_importance_and_looks_at_what_is_left() -> None:
    """CHTss: what is pruned no longer counts in the sums of its row and column."""
    for number in GROUPS:
        layers = consecutive(number)
        rng = np.random.default_rng(number)
        planned = [int(rng.integers(0, int(one.mask.count_nonzero()) + 1)) for one in layers]
        planned = [min(max(1, n), int(one.mask.count_nonzero())) for n, one in zip(planned, layers, strict=True)]
        due = rule(layers, DROPS["ria"], CannistraciHebb("CH2"), planned=planned, falling=True)
        found = Chained(pruning="layer")(layers, due)
        for change, one, n in zip(found, layers, planned, strict=True):
            w, m, _ = wmg(one)
            between = oracle.chtss_prune(w, m, one.shape, n)
            score = oracle.ria(w, between, one.shape)
            k = oracle.share(one.drop_fraction, sum(between))
            cut = oracle.as_mask(at(between) - oracle.lowest(score, oracle.active(between), k), len(m))
            left = replace(one, mask=torch.tensor(between, dtype=torch.bool))
            grown = grown_by_paths(left, cut, "CH2", "node", soft=False)
            agrees(change, at(cut) | grown, at(m) - at(cut), grown)


# ---- structures


def fan_in_layer(rng: np.random.Generator, number: int, *, ties: bool) -> Layer:
    rows, columns = int(rng.integers(1, 9)), int(rng.integers(1, 13))
    fan_in, dead = int(rng.integers(1, columns + 1)), int(rng.integers(0, rows))
    mask = np.zeros((rows, columns), bool)
    for row in rng.permutation(rows)[dead:]:
        mask[row, rng.permutation(columns)[:fan_in]] = True
    one = make(rng, number, (rows, columns), mask)
    distinct = torch.tensor(rng.permutation(mask.size) + 1.0, dtype=torch.float32) * one.mask
    return one if ties else replace(one, weight=distinct)


@pytest.mark.parametrize(
    ("revive", "cut", "ties"),
    [(False, False, True), (True, False, False), (False, True, False), (True, False, True)],
)
def test_fan_in(revive: bool, cut: bool, ties: bool) -> None:
    """With ``cut`` the density falls, so that rows have more kept weights than their new fan-in."""
    ablated = 0
    for number in GROUPS:
        rng = np.random.default_rng(3000 + number)
        one = fan_in_layer(rng, number, ties=ties)
        w, m, g = (in_rows(v, one) for v in (one.weight, one.mask, one.grad) if v is not None)
        n = int(one.mask.count_nonzero())
        k = oracle.share(one.drop_fraction, n)
        if cut and k:
            n = max(sum(map(any, m)), n // 2)
        gamma, last = float(rng.choice([0.0, 0.3, 0.6, 0.9, 1.0])), number % 5 == 0
        one = replace(one, last=last)
        due = rule([one], Magnitude(), GradientGrowth(), planned=[n])
        found = FanIn(gamma, revive)([one], due)[0]
        mask, gone = oracle.srigl(w, m, g, k, gamma, n, last, revive)
        assert in_rows(found.mask, one) == mask
        assert at(found.mask) == (at(one.mask) - at(found.dropped)) | at(found.grown)
        ablated += len(gone) > sum(not any(row) for row in m)
    assert ablated > 2


def test_n_of_m() -> None:
    moved = 0
    for number in LAYERS:
        rng = np.random.default_rng(4000 + number)
        n, m = [(1, 2), (2, 4), (1, 4), (3, 4), (2, 5)][number % 5]
        shape = tuple(int(v) for v in rng.integers(1, 8, number % 3 + 1 + (number % 3 == 0)))
        start = oracle.nm_initial(rng.random((shape[0], math.prod(shape[1:]))).tolist(), n, m)
        one = make(rng, number, shape, np.array(start, bool))
        w, bits, g = (in_rows(v, one) for v in (one.weight, one.mask, one.grad) if v is not None)
        found = NOfM(n, m)([one], rule([one], Magnitude(), GradientGrowth()))[0]
        expected = oracle.nm(w, g, bits, n, m, one.drop_fraction)
        assert in_rows(found.mask, one) == expected
        assert at(found.mask) == (at(one.mask) - at(found.dropped)) | at(found.grown)
        moved += expected != bits
    assert moved > 80


def test_filters_with_and_without_ties_between_layers() -> None:
    moved = 0
    for number in GROUPS:
        rng = np.random.default_rng(5000 + number)
        rows = int(rng.integers(1, 13))
        alive = some(rng, rows)
        shapes = [(rows, *(int(v) for v in rng.integers(1, 4, int(rng.integers(1, 4))))) for _ in range(number % 3 + 1)]
        layers = [
            make(rng, number, shape, np.repeat(alive, math.prod(shape[1:])), f"layer {i}")
            for i, shape in enumerate(shapes)
        ]
        zeta = layers[0].drop_fraction
        layers = [replace(one, drop_fraction=zeta) for one in layers]
        target = int(rng.integers(1, alive.sum() + 1))
        ws, ms, gs = (
            [in_rows(v, one) for one, v in zip(layers, values, strict=True) if v is not None]
            for values in ([x.weight for x in layers], [x.mask for x in layers], [x.grad for x in layers])
        )
        planned = [target * one.matrix[1] for one in layers]
        step = Filters(tied=(tuple(one.name for one in layers),) if len(layers) > 1 else ())
        found = step(layers, rule(layers, Magnitude(), GradientGrowth(), planned=planned, falling=True))
        expected = oracle.tied_channels(ws, ms, gs, target, zeta)
        assert [in_rows(change.mask, one) for change, one in zip(found, layers, strict=True)] == expected
        assert sum(map(any, expected[0])) == target
        moved += expected != ms
    assert moved > 30


# ---- initial masks


def dense(one: Layer) -> Layer:
    """As at the start: all weights are there and compete."""
    rng = np.random.default_rng(one.mask.numel())
    weight = torch.tensor(rng.choice(VALUES, one.mask.numel()), dtype=torch.float32)
    return replace(one, weight=weight, mask=torch.ones_like(one.mask))


@pytest.mark.parametrize("emptied", [False, True])
def test_the_largest_of_all_layers_together(emptied: bool) -> None:
    seen = 0
    for number in GROUPS:
        layers = [dense(one) for one in few_layers(number)]
        ws, ms, gs = zip(*(wmg(one) for one in layers), strict=True)
        n_total = int(np.random.default_rng(number).integers(len(layers), sum(map(len, ws)) + 1))
        planned = [n_total - len(layers) + 1] + [1] * (len(layers) - 1)  # only the sum counts
        for initial, score, expected in (
            (MagnitudeMask(), [oracle.magnitude(w) for w in ws], oracle.global_magnitude(ws, n_total)),
            (SaliencyMask(), [oracle.taylor(*v) for v in zip(ws, gs, strict=True)], oracle.snip(ws, gs, n_total)),
        ):
            if empties(score, ms, n_total) == emptied:
                seen += 1
                assert [listed(mask) for mask in initial.for_all(layers, planned)] == expected
    assert seen > 20


def test_initial_masks_of_one_layer() -> None:
    for number in LAYERS:
        one = dense(layer(number))
        w, m, g = wmg(one)
        n = int(np.random.default_rng(number).integers(1, len(m) + 1))
        assert listed(MagnitudeMask("layer")(one, n)) == oracle.layer_magnitude(w, n)
        assert listed(SaliencyMask("layer")(one, n)) == oracle.snip_layer(w, g, n)
        assert listed(RandomMask()(one, n)) == oracle.random_mask(len(m), n, words(one, "mask"))


def test_random_initial_masks_of_structures() -> None:
    for number in LAYERS:
        rng = np.random.default_rng(6000 + number)
        shape = int(rng.integers(1, 9)), int(rng.integers(1, 14))
        one = make(rng, number, shape, np.ones(shape, bool))
        keys = oracle.in_rows(words(one, "mask"), shape)
        n = int(rng.integers(1, shape[1] + 1))
        expected = [oracle.as_mask(oracle.pick(range(shape[1]), n, row), shape[1]) for row in keys]
        assert in_rows(RandomFanIn()(one, n * shape[0]), one) == expected
        n = int(rng.integers(1, shape[0] + 1))
        rows = oracle.pick(range(shape[0]), n, words(one, "mask", shape[0]))
        assert at(RandomFilters()(one, n * shape[1]).view(shape).any(1)) == rows
        step = NOfM(2, 4)
        for row, bits in zip(keys, in_rows(RandomNOfM(step)(one, sum(step.group_counts(shape[1]))), one), strict=True):
            for group in oracle.nm_groups(shape[1], 4):
                chosen = oracle.pick(group, oracle.nm_keep(len(group), 2, 4), [row[j] for j in group])
                assert {j for j in group if bits[j]} == chosen


def by_rows(links: list[set[int]], rows: int, columns: int) -> list[bool]:
    """Links of each row or, if there are more columns than rows and so many lists, of each column: as a flat mask."""
    if len(links) == rows:
        return [j in links[i] for i in range(rows) for j in range(columns)]
    return [i in links[j] for i in range(rows) for j in range(columns)]


def test_small_world() -> None:
    for number in LAYERS:
        rng = np.random.default_rng(7000 + number)
        rows, columns = (int(v) for v in rng.integers(1, 15, 2))
        one = make(rng, number, (rows, columns), np.ones((rows, columns), bool))
        n = int(rng.integers(1, rows * columns + 1))
        small, large = sorted((rows, columns))
        links = oracle.bsw(small, large, 0, oracle.spread_evenly(n, large))
        assert listed(SmallWorld(0.0)(one, n)) == by_rows(links, rows, columns)
        for beta in (0.1, 0.5, 1.0):
            assert int(SmallWorld(beta)(one, n).count_nonzero()) == n


def test_receptive_field() -> None:
    for number in LAYERS:
        rng = np.random.default_rng(8000 + number)
        rows, columns = (int(v) for v in rng.integers(1, 15, 2))
        one = make(rng, number, (rows, columns), np.ones((rows, columns), bool))
        n = int(rng.integers(1, rows * columns + 1))
        small, large = sorted((rows, columns))
        degrees = oracle.spread_evenly(n, small)
        nearest = oracle.brf_nearest(small, large, degrees)
        assert listed(ReceptiveField(0.0)(one, n)) == by_rows(nearest, rows, columns)
        keys = oracle.in_rows(words(one, "mask"), (small, large))
        for r in (0.3, 1.0):
            odds = oracle.brf_probabilities(small, large, r)
            drawn = [
                oracle.highest(oracle.soft_keys(p, 1, row), range(large), k)
                for p, row, k in zip(odds, keys, degrees, strict=True)
            ]
            assert listed(ReceptiveField(r)(one, n)) == by_rows(drawn, rows, columns)
            assert int(ReceptiveField(r, "uniform")(one, n).count_nonzero()) == n
