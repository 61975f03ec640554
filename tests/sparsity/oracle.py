"""Every mask rule a second time: slow, obvious, and sharing no code with the engine.

Plain loops over flat (row-major) indices in float64; only the random streams of ``regrow.seeds`` are common ground. A
layer is a list of weights, a list of gradients and a list of mask bits of one length; a 2-D layer is a list of rows.
What is dropped first is what comes first by (score, flat index); what is grown first, by (-score, flat index). Pruning
to a number is a drop, at initialisation too: of equal scores the one with the higher index is kept.
Words are raw 64-bit numbers of a stream, one per candidate in flat order; the smallest words win.
``EXAMPLES`` at the end has one case per method that can be checked with a pencil.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from regrow import seeds

Floats = Sequence[float]
Mask = list[bool]
Rows = Sequence[Floats]
MaskRows = list[list[bool]]
Shape = tuple[int, ...]


# --- counting ---------------------------------------------------------------------------------------------------------


def exact(value: float | Fraction) -> Fraction:
    """A number as the decimal a user would write: 0.3 is 3/10."""
    return value if isinstance(value, Fraction) else Fraction(str(value))


def total(d: float | Fraction, n: int) -> int:
    """Active weights at density ``d`` of ``n``: floor(d n + 1/2), exactly."""
    return math.floor(exact(d) * n + Fraction(1, 2))


def share(zeta: float, n: int) -> int:
    """floor(zeta n), where a product that misses a whole number by rounding alone counts as that number."""
    return math.floor(zeta * n + 1e-9)


def size(shape: Shape) -> int:
    """Number of weights of a shape."""
    return math.prod(shape)


def at_least_one(n: list[int], available: Sequence[int]) -> list[int]:
    """Give empty layers one weight (where they have any), each taken from the layer that has most (ties: first)."""
    n = list(n)
    for layer in range(len(n)):
        if n[layer] == 0 and available[layer] > 0:
            richest = max(range(len(n)), key=lambda j: (n[j], -j))
            if n[richest] > 1:
                n[richest] -= 1
                n[layer] += 1
    return n


def counts(x: Sequence[float | Fraction], sizes: Sequence[int], d: float | Fraction) -> list[int]:
    """Whole numbers near the targets ``x`` whose sum is T: largest remainder, full layers skipped, none empty."""
    targets = [exact(v) for v in x]
    n = [math.floor(v) for v in targets]
    missing = total(d, sum(sizes)) - sum(n)
    order = sorted(range(len(n)), key=lambda j: (-(targets[j] - n[j]), j))
    while missing > 0:
        for layer in order:
            if missing > 0 and n[layer] < sizes[layer]:
                n[layer] += 1
                missing -= 1
    return at_least_one(n, sizes)


def uniform(shapes: Sequence[Shape], d: float | Fraction) -> list[Fraction]:
    """Density of each layer: the same."""
    return [exact(d) for _ in shapes]


def erk(shapes: Sequence[Shape], d: float | Fraction, power: float = 1) -> list[Fraction]:
    """Density of each layer: eps * (sum / product of the shape) ** power, layers that would exceed 1 kept dense."""
    ratio = [Fraction(sum(s), size(s)) for s in shapes]
    p = [r ** int(power) if float(power).is_integer() else Fraction(float(r) ** power) for r in ratio]
    return _solve(p, [size(s) for s in shapes], exact(d))


def er(shapes: Sequence[Shape], d: float | Fraction) -> list[Fraction]:
    """Density of each layer: eps * (fan_in + fan_out) / (fan_in * fan_out), from the first two dimensions."""
    return _solve([Fraction(s[0] + s[1], s[0] * s[1]) for s in shapes], [size(s) for s in shapes], exact(d))


def _solve(p: list[Fraction], sizes: list[int], d: Fraction) -> list[Fraction]:
    dense: set[int] = set()
    while True:
        rest = [j for j in range(len(p)) if j not in dense]
        if not rest:
            return [Fraction(1) for _ in p]
        budget = sum((d * sizes[j] for j in rest), Fraction(0)) - sum(((1 - d) * sizes[j] for j in dense), Fraction(0))
        eps = budget / sum(p[j] * sizes[j] for j in rest)
        largest = max(p[j] for j in rest)
        if eps * largest <= 1:
            return [Fraction(1) if j in dense else eps * p[j] for j in range(len(p))]
        dense |= {j for j in rest if p[j] == largest}


# --- schedules --------------------------------------------------------------------------------------------------------


def cosine(zeta: float, t: float, end: float, smallest: float = 0.0) -> float:
    """Drop fraction: half a cosine from zeta at 0 to ``smallest`` at ``end``; constant afterwards."""
    return smallest + (zeta - smallest) * (1 + math.cos(math.pi * min(t, end) / end)) / 2


def linear(zeta: float, t: float, end: float) -> float:
    """Drop fraction: zeta (1 - t / end)."""
    return zeta * (1 - min(t, end) / end)


def exponential_power(zeta: float, t: float, end: float, power: float) -> float:
    """Drop fraction: zeta (1 - t / end) ** power."""
    return zeta * float((1 - min(t, end) / end) ** power)


def cubic(d_i: float, d_f: float, u: float, n: float) -> float:
    """Density after ``u`` of ``n`` pruning steps: d_f + (d_i - d_f)(1 - u / n)^3; the ends are exact."""
    if u <= 0:
        return d_i
    if u >= n:
        return d_f
    return d_f + (d_i - d_f) * (1 - u / n) ** 3


def sigmoid(d_i: float, d_f: float, t: float, end: float, kk: float = 6.0) -> float:
    """Density of CHTss: a sigmoid through both end points; the ends are exact."""

    def f(x: float) -> float:
        return 1 / (1 + math.exp(-kk * (2 * x - 1)))

    if t <= 0:
        return d_i
    if t >= end:
        return d_f
    return d_i + (d_f - d_i) * ((f(t / end) - 0.5) / (f(1) - f(0)) + 0.5)


# --- scores -----------------------------------------------------------------------------------------------------------


def magnitude(w: Floats) -> list[float]:
    """|w|."""
    return [abs(float(v)) for v in w]


def mest(w: Floats, g: Floats, lam: float) -> list[float]:
    """|w| + lam |g|."""
    return [abs(float(a)) + lam * abs(float(b)) for a, b in zip(w, g, strict=True)]


def taylor(w: Floats, g: Floats) -> list[float]:
    """|w g|; also SNIP's score."""
    return [abs(float(a) * float(b)) for a, b in zip(w, g, strict=True)]


def momentum(mean: Floats, square: Floats) -> list[float]:
    """Adam's |exp_avg| / (sqrt(exp_avg_sq) + 1e-8)."""
    return [abs(float(a)) / (math.sqrt(b) + 1e-8) for a, b in zip(mean, square, strict=True)]


def ria(w: Floats, m: Sequence[bool], shape: Shape) -> list[float]:
    """|w| relative to its row's sum plus relative to its column's; convolutions seen as (out, rest)."""
    columns = size(shape[1:])
    row_sum = [0.0] * shape[0]
    column_sum = [0.0] * columns
    for i in range(len(w)):
        if m[i]:
            row_sum[i // columns] += abs(float(w[i]))
            column_sum[i % columns] += abs(float(w[i]))
    score = []
    for i in range(len(w)):
        a = abs(float(w[i])) if m[i] else 0.0
        score.append(a / (row_sum[i // columns] + 1e-5) + a / (column_sum[i % columns] + 1e-5))
    return score


def soft_keys(score: Floats, temperature: float, words: Sequence[int]) -> list[float]:
    """Keys whose largest are a sample without replacement, p ~ score ** temperature: T log s - log(-log u)."""
    u = seeds.uniform(np.array(list(words)[: len(score)], dtype=np.uint64))
    keys = []
    for s, v in zip(score, u, strict=True):
        keys.append(-math.inf if s == 0 else temperature * math.log(s) - math.log(-math.log(float(v))))
    return keys


def inclusion(p: Floats, k: int) -> list[float]:
    """Chance of each item to be among ``k`` drawn one after the other with probability ~ p: every order summed."""
    chance = [0.0] * len(p)
    for order in itertools.permutations(range(len(p)), k):
        left, prob = sum(p), 1.0
        for i in order:
            prob *= p[i] / left
            left -= p[i]
        for i in order:
            chance[i] += prob
    return chance


# --- choosing ---------------------------------------------------------------------------------------------------------


def lowest(scores: Floats, where: Iterable[int], k: int) -> set[int]:
    """The ``k`` indices of ``where`` with the smallest score; ties: lower index first."""
    return _first(_ordered(scores, where), k)


def highest(scores: Floats, where: Iterable[int], k: int) -> set[int]:
    """The ``k`` indices of ``where`` with the largest score; ties: lower index first."""
    return _first(_ordered([-s for s in scores], where), k)


def _first(order: list[int], k: int) -> set[int]:
    if not 0 <= k <= len(order):
        raise ValueError(f"cannot choose {k} of {len(order)}")
    return set(order[:k])


def _ordered(scores: Floats, where: Iterable[int]) -> list[int]:
    where = list(where)
    if any(math.isnan(scores[i]) for i in where):
        raise ValueError("a score is NaN")
    return sorted(where, key=lambda i: (scores[i], i))


def pick(candidates: Iterable[int], k: int, words: Sequence[int]) -> set[int]:
    """``k`` candidates at random: those with the smallest words; the j-th word belongs to the j-th candidate."""
    numbered = [(int(words[j]), i) for j, i in enumerate(sorted(candidates))]
    return {i for _, i in sorted(numbered)[:k]}


def pick_never_active(candidates: Iterable[int], k: int, words: Sequence[int], ever: Sequence[bool]) -> set[int]:
    """As ``pick``, but positions that never were active come before all others."""
    numbered = [(bool(ever[i]), int(words[j]), i) for j, i in enumerate(sorted(candidates))]
    return {i for _, _, i in sorted(numbered)[:k]}


def random_mask(n_all: int, n: int, words: Sequence[int]) -> Mask:
    """A mask of ``n`` random entries."""
    return as_mask(pick(range(n_all), n, words), n_all)


def active(m: Sequence[bool]) -> list[int]:
    """Flat indices of active entries."""
    return [i for i in range(len(m)) if m[i]]


def as_mask(indices: Iterable[int], n_all: int) -> Mask:
    """The mask with these flat indices."""
    indices = set(indices)
    return [i in indices for i in range(n_all)]


def set_signs(w: Floats, m: Sequence[bool], k: int, zeta: float) -> set[int]:
    """SET's drop: zeros first, then smallest positive and largest negative weights, the same share of each.

    The share is ``zeta``; where zeros took part of it, or ``k`` is not floor(zeta n), what is left over their number.
    """
    zeros = [i for i in active(m) if w[i] == 0]
    signs = [[i for i in active(m) if w[i] > 0], [i for i in active(m) if w[i] < 0]]
    dropped = set(zeros[:k])
    q = k - len(dropped)
    if q == 0:
        return dropped
    part = exact(zeta)
    if zeros or k != share(zeta, len(active(m))):
        part = Fraction(q, len(signs[0]) + len(signs[1]))
    wanted = [part * len(side) for side in signs]
    take = [math.floor(v + Fraction(1, 10**9)) for v in wanted]
    while sum(take) < q:  # one more where the remainder is larger and there is one to take; ties: positive
        side = max((s for s in (0, 1) if take[s] < len(signs[s])), key=lambda s: (wanted[s] - take[s], -s))
        take[side] += 1
    return dropped | lowest(magnitude(w), signs[0], take[0]) | lowest(magnitude(w), signs[1], take[1])


def drop_grow(
    w: Floats, m: Sequence[bool], g_score: Floats, drop_score: Floats, k: int, regrow_dropped: bool = True
) -> tuple[Mask, set[int], set[int]]:
    """The common update: drop the ``k`` lowest active entries, grow the ``k`` highest others.

    Returns:
        The new mask, the dropped and the grown indices (a returned entry is in both).
    """
    if not regrow_dropped:
        k = min(k, len(w) - len(active(m)))
    dropped = lowest(drop_score, active(m), k)
    grown = highest(g_score, candidates(m, dropped, regrow_dropped), k)
    return _after(m, dropped, grown), dropped, grown


def candidates(m: Sequence[bool], dropped: set[int], regrow_dropped: bool = True) -> list[int]:
    """Entries that may grow: the inactive ones and, if allowed, those just dropped."""
    return [i for i in range(len(m)) if not m[i] or (regrow_dropped and i in dropped)]


def _after(m: Sequence[bool], dropped: set[int], grown: set[int]) -> Mask:
    return as_mask((set(active(m)) - dropped) | grown, len(m))


def bookkeeping(m: Sequence[bool], dropped: set[int], grown: set[int], ever: Sequence[bool]) -> dict[str, set[int]]:
    """What an update does to weights and their optimiser state.

    Returns:
        zeroed (weight and state become their rest values), returned (untouched), fresh (start anew), ever (history).
    """
    new = _after(m, dropped, grown)
    return {
        "zeroed": dropped - grown,
        "returned": dropped & grown,
        "fresh": {i for i in grown if not m[i]},
        "ever": {i for i in range(len(m)) if ever[i] or m[i] or new[i]},
    }


# --- initial masks and pruning ----------------------------------------------------------------------------------------


def global_top(scores: Sequence[Floats], n_total: int) -> list[Mask]:
    """Keep the largest scores over all layers; each layer's best is safe."""
    return prune_all(scores, [[True] * len(row) for row in scores], n_total)


def global_magnitude(ws: Sequence[Floats], n_total: int) -> list[Mask]:
    """Magnitude at initialisation, one ranking over all layers."""
    return global_top([magnitude(w) for w in ws], n_total)


def layer_magnitude(w: Floats, n: int) -> Mask:
    """Magnitude at initialisation, ``n`` of one layer."""
    return keep(magnitude(w), n)


def snip(ws: Sequence[Floats], gs: Sequence[Floats], n_total: int) -> list[Mask]:
    """SNIP: |w g| of one batch, one ranking over all layers."""
    return global_top([taylor(w, g) for w, g in zip(ws, gs, strict=True)], n_total)


def snip_layer(w: Floats, g: Floats, n: int) -> Mask:
    """SNIP with a given count per layer."""
    return keep(taylor(w, g), n)


def keep(scores: Floats, n: int) -> Mask:
    """Keep the ``n`` largest: the others are pruned."""
    if n > len(scores):
        raise ValueError(f"cannot choose {n} of {len(scores)}")
    return prune(scores, [True] * len(scores), n)


def gmp(ws: Sequence[Floats], ms: Sequence[Sequence[bool]], n_total: int) -> list[Mask]:
    """Prune to a total: the lowest |w| of all layers go; each layer's best is safe."""
    return prune_all([magnitude(w) for w in ws], ms, n_total)


def prune_all(scores: Sequence[Floats], ms: Sequence[Sequence[bool]], n_total: int) -> list[Mask]:
    """Drop the lowest of all layers until ``n_total`` are active; ties: lower layer, then index, dropped first.

    Each layer's best (the last that pruning it alone would leave) does not compete, so no layer is emptied.
    """
    ranked = []
    for j, (score, m) in enumerate(zip(scores, ms, strict=True)):
        ranked += [(score[i], j, i) for i in _ordered(score, active(m))[:-1]]
    surplus = max(0, sum(map(sum, ms)) - n_total)
    gone = {(j, i) for _, j, i in sorted(ranked)[:surplus]}
    return [[bool(v) and (j, i) not in gone for i, v in enumerate(m)] for j, m in enumerate(ms)]


def gmp_layerwise(ws: Sequence[Floats], ms: Sequence[Sequence[bool]], d: float) -> list[Mask]:
    """Prune every layer to the same density d; a layer that has less already stays as it is."""
    return [prune(magnitude(w), m, max(1, total(d, len(w)))) for w, m in zip(ws, ms, strict=True)]


def prune(score: Floats, m: Sequence[bool], n: int) -> Mask:
    """Drop the lowest scores until ``n`` are active."""
    return _after(m, lowest(score, active(m), max(0, len(active(m)) - n)), set())


# --- drop-and-grow methods --------------------------------------------------------------------------------------------


def set_step(
    w: Floats, m: Sequence[bool], zeta: float, words: Sequence[int], signs: bool = False
) -> tuple[Mask, set[int], set[int]]:
    """SET: drop by magnitude (or by sign), grow at random."""
    k = share(zeta, len(active(m)))
    dropped = set_signs(w, m, k, zeta) if signs else lowest(magnitude(w), active(m), k)
    grown = pick(candidates(m, dropped), k, words)
    return _after(m, dropped, grown), dropped, grown


def rigl(
    w: Floats, m: Sequence[bool], g: Floats, zeta: float, regrow_dropped: bool = True
) -> tuple[Mask, set[int], set[int]]:
    """RigL: drop by magnitude, grow by |gradient|."""
    return drop_grow(w, m, magnitude(g), magnitude(w), share(zeta, len(active(m))), regrow_dropped)


def mest_em(
    w: Floats, m: Sequence[bool], g: Floats, lam: float, m_t: float, words: Sequence[int]
) -> tuple[Mask, set[int], set[int]]:
    """MEST EM: drop floor(m_t N) by |w| + lam |g| (one entry always stays), grow as many at random."""
    k = min(math.floor(exact(m_t) * len(w)), len(active(m)) - 1)
    dropped = lowest(mest(w, g, lam), active(m), k)
    grown = pick(candidates(m, dropped), k, words)
    return _after(m, dropped, grown), dropped, grown


def held(n_all: int, d: float, m_t: float) -> int:
    """EM&S: entries a layer holds between updates, floor((d + m_t) N), at most N."""
    return min(n_all, math.floor((exact(d) + exact(m_t)) * n_all))


def mest_ems(
    w: Floats, m: Sequence[bool], g: Floats, lam: float, n: int, h: int, words: Sequence[int]
) -> tuple[Mask, set[int], set[int]]:
    """MEST EM&S: drop from what is held to ``n``, then grow at random to ``h``."""
    dropped = lowest(mest(w, g, lam), active(m), max(0, len(active(m)) - n))
    kept = len(active(m)) - len(dropped)
    grown = pick(candidates(m, dropped), min(h, len(w)) - kept, words)
    return _after(m, dropped, grown), dropped, grown


def granet(
    ws: Sequence[Floats], ms: Sequence[Sequence[bool]], gs: Sequence[Floats], n_total: int, zeta: float
) -> tuple[list[Mask], list[Mask]]:
    """GraNet: prune to a total over all layers, then RigL's update in each.

    Returns:
        The new masks and, for the bookkeeping, those between (an entry pruned and grown again is fresh).
    """
    pruned = gmp(ws, ms, n_total)
    return [rigl(w, m, g, zeta)[0] for w, m, g in zip(ws, pruned, gs, strict=True)], pruned


def granet_layerwise(
    ws: Sequence[Floats], ms: Sequence[Sequence[bool]], gs: Sequence[Floats], d: float, zeta: float
) -> tuple[list[Mask], list[Mask]]:
    """GraNet with the same density in every layer; returns as ``granet``."""
    pruned = gmp_layerwise(ws, ms, d)
    return [rigl(w, m, g, zeta)[0] for w, m, g in zip(ws, pruned, gs, strict=True)], pruned


# --- Cannistraci-Hebb -------------------------------------------------------------------------------------------------


def twelve_digits(x: float) -> float:
    """Rounded to 12 significant digits, so that the order of a sum cannot break a tie."""
    return float(f"{x:.11e}")


def _links(b: Sequence[Sequence[bool]]) -> tuple[list[set[int]], list[set[int]]]:
    rows = [{j for j in range(len(b[0])) if b[i][j]} for i in range(len(b))]
    columns = [{i for i in range(len(b)) if b[i][j]} for j in range(len(b[0]))]
    return rows, columns


def ch_path(b: Sequence[Sequence[bool]], index: str = "CH3") -> list[list[float]]:
    """CHx-L3p of every non-link: a sum over its paths of length three, each judged by its two inner nodes."""
    rows, columns = _links(b)
    score = [[0.0] * len(b[0]) for _ in b]
    for i in range(len(b)):
        for j in range(len(b[0])):
            if not b[i][j]:
                score[i][j] = twelve_digits(_paths(rows, columns, i, j, index))
    return score


def _paths(rows: list[set[int]], columns: list[set[int]], a: int, b: int, index: str) -> float:
    paths = [(x, y) for y in sorted(rows[a]) for x in sorted(columns[b]) if y in rows[x]]
    inner_rows, inner_columns = {x for x, _ in paths}, {y for _, y in paths}
    result = 0.0
    for x, y in paths:
        i_x = len(rows[x] & inner_columns)
        i_y = len(columns[y] & inner_rows)
        e_x = len(rows[x]) - i_x - (1 if b in rows[x] else 0)
        e_y = len(columns[y]) - i_y - (1 if a in columns[y] else 0)
        gain = math.sqrt((1 + i_x) * (1 + i_y)) if index == "CH2" else 1.0
        result += gain / math.sqrt((1 + e_x) * (1 + e_y))
    return result


def ch_node(b: Sequence[Sequence[bool]], index: str = "CH3") -> list[list[float]]:
    """CHx-L3n of every non-link: how alike row ``i`` is to the rows linked to ``j``, plus the same for columns."""
    rows, columns = _links(b)
    score = [[0.0] * len(b[0]) for _ in b]
    for i in range(len(b)):
        for j in range(len(b[0])):
            if not b[i][j]:
                value = sum(_alike(rows[i], rows[other], index) for other in sorted(columns[j]))
                value += sum(_alike(columns[j], columns[other], index) for other in sorted(rows[i]))
                score[i][j] = twelve_digits(value)
    return score


def _alike(mine: set[int], other: set[int], index: str) -> float:
    common = len(mine & other)
    if common == 0:
        return 0.0
    outside = max(len(other) - common, 1) - 1
    return (common + 1 if index == "CH2" else 1) / (1 + outside)


def chain_removal(masks: Sequence[Sequence[Sequence[bool]]]) -> tuple[list[MaskRows], list[int]]:
    """Remove links that lead nowhere: backward for neurons without output, then forward for those without input.

    Returns:
        The masks (first layer first; rows = outputs) and how many links each lost, all of which must be regrown.
    """
    new = [[[bool(v) for v in row] for row in m] for m in masks]
    for layer in range(len(new) - 2, -1, -1):
        for neuron in range(len(new[layer])):
            if not any(row[neuron] for row in new[layer + 1]):
                new[layer][neuron] = [False] * len(new[layer][neuron])
    for layer in range(1, len(new)):
        for neuron in range(len(new[layer - 1])):
            if not any(new[layer - 1][neuron]):
                for row in new[layer]:
                    row[neuron] = False
    lost = [sum(map(sum, m)) - sum(map(sum, n)) for m, n in zip(masks, new, strict=True)]
    return new, lost


def in_rows(flat: Sequence[Any], shape: Shape) -> list[list[Any]]:
    """A flat list seen as (out, rest)."""
    columns = size(shape[1:])
    return [list(flat[i * columns : (i + 1) * columns]) for i in range(shape[0])]


def flatten(rows: Iterable[Iterable[Any]]) -> list[Any]:
    """Rows one after the other."""
    return [v for row in rows for v in row]


def ch_score(m: Sequence[bool], shape: Shape, index: str, form: str) -> list[float]:
    """CH score of one layer, flat."""
    rows = in_rows(m, shape)
    return flatten(ch_path(rows, index) if form == "path" else ch_node(rows, index))


def grow_ch(score: Floats, m: Sequence[bool], k: int, words: Sequence[int]) -> set[int]:
    """The ``k`` best inactive entries by CH score; entries with score 0 come last, at random."""
    numbered = [(i, int(words[j])) for j, i in enumerate(i for i in range(len(m)) if not m[i])]
    best = sorted((i for i, _ in numbered if score[i] > 0), key=lambda i: (-score[i], i))
    rest = [i for _, i in sorted((word, i) for i, word in numbered if score[i] == 0)]
    return set((best + rest)[:k])


def cht(
    ws: Sequence[Floats],
    ms: Sequence[Sequence[bool]],
    shapes: Sequence[Shape],
    zeta: float,
    words: Sequence[Sequence[int]],
    index: str = "CH3",
    form: str = "path",
    chain: bool = True,
) -> list[Mask]:
    """CHT over consecutive layers: drop by magnitude, remove broken chains, regrow all that is missing by CH score."""
    dropped = [lowest(magnitude(w), active(m), share(zeta, sum(m))) for w, m in zip(ws, ms, strict=True)]
    cut = after_chains(ms, shapes, dropped, chain)
    new = []
    for m, left, shape, word in zip(ms, cut, shapes, words, strict=True):
        grown = grow_ch(ch_score(left, shape, index, form), left, sum(m) - sum(left), word)
        new.append(_after(left, set(), grown))
    return new


def after_chains(
    ms: Sequence[Sequence[bool]], shapes: Sequence[Shape], dropped: Sequence[set[int]], chain: bool = True
) -> list[Mask]:
    """What is left of consecutive layers after a drop, without the chains that it broke."""
    cut = [_after(m, gone, set()) for m, gone in zip(ms, dropped, strict=True)]
    if not chain:
        return cut
    linked, _ = chain_removal([in_rows(m, s) for m, s in zip(cut, shapes, strict=True)])
    return [flatten(m) for m in linked]


def stops_early(dropped: set[int], grown: set[int], threshold: float = 0.9) -> bool:
    """CHT's early stop of a layer: more than this share of the grown links had just been dropped."""
    return bool(grown) and len(grown & dropped) / len(grown) > threshold


def soft_drop(score: Floats, m: Sequence[bool], k: int, temperature: float, words: Sequence[int]) -> set[int]:
    """CHTs removal: keep all but ``k``, sampled with p ~ score ** temperature; one word per active entry."""
    index = active(m)
    keys = soft_keys([score[i] for i in index], temperature, words)
    return {index[j] for j in lowest(keys, range(len(index)), k)}


def soft_grow(score: Floats, m: Sequence[bool], k: int, words: Sequence[int]) -> set[int]:
    """CHTs regrowth: sampled with p ~ score; if too few are positive, all of them and the rest uniformly."""
    index = [i for i in range(len(m)) if not m[i]]
    keys = soft_keys([score[i] for i in index], 1.0, words)
    positive = [j for j in range(len(index)) if score[index[j]] > 0]
    if len(positive) >= k:
        return {index[j] for j in highest(keys, positive, k)}
    zero = sorted((int(words[j]), j) for j in range(len(index)) if score[index[j]] == 0)
    return {index[j] for j in positive} | {index[j] for _, j in zero[: k - len(positive)]}


def chts(
    w: Floats,
    m: Sequence[bool],
    shape: Shape,
    zeta: float,
    temperature: float,
    drop_words: Sequence[int],
    grow_words: Sequence[int],
    by_ria: bool = False,
) -> tuple[Mask, set[int], set[int]]:
    """CHTs: soft removal by magnitude or RIA, soft regrowth by CH2-L3n."""
    k = share(zeta, len(active(m)))
    dropped = soft_drop(ria(w, m, shape) if by_ria else magnitude(w), m, k, temperature, drop_words)
    cut = _after(m, dropped, set())
    grown = soft_grow(ch_score(cut, shape, "CH2", "node"), cut, k, grow_words)
    return _after(cut, set(), grown), dropped, grown


def chtss_prune(w: Floats, m: Sequence[bool], shape: Shape, n: int) -> Mask:
    """CHTss: before the CHTs update, the lowest RIA go until the layer has the schedule's ``n``."""
    return prune(ria(w, m, shape), m, n)


def bsw_degrees(n_small: int, m_large: int, d: float) -> list[int]:
    """Degrees of the larger side: floor(d n) or one more, as many of the latter as rounding gives, spread evenly."""
    k = exact(d) * n_small
    return spread_evenly(m_large * math.floor(k) + math.floor((k - math.floor(k)) * m_large + Fraction(1, 2)), m_large)


def spread_evenly(n: int, nodes: int) -> list[int]:
    """Degrees that add up to ``n``: the j-th node has what a line from 0 to n passes in whole numbers, j to j + 1."""
    return [(j + 1) * n // nodes - j * n // nodes for j in range(nodes)]


def bsw(n_small: int, m_large: int, d: float, degrees: Sequence[int] | None = None) -> list[set[int]]:
    """Bipartite small world at beta 0: for each node of the larger side, its nodes on the smaller side."""
    degrees = bsw_degrees(n_small, m_large, d) if degrees is None else degrees
    links = []
    for j, k in enumerate(degrees):
        start = math.floor(Fraction(j * n_small, m_large) - Fraction(k, 2))
        links.append({(start + step) % n_small for step in range(k)})
    return links


def brf_distances(n_small: int, m_large: int) -> list[list[int]]:
    """BRF: distance round the ring of the larger side from each smaller-side node's centre."""
    distances = []
    for i in range(n_small):
        centre = (i * max(1, m_large // n_small)) % m_large
        distances.append([min(abs(j - centre), m_large - abs(j - centre)) for j in range(m_large)])
    return distances


def brf_probabilities(n_small: int, m_large: int, r: float) -> list[list[float]]:
    """BRF: chance of each larger-side node to be a node's first partner, ~ (1 + D) ** (-(1 - r) / r), for r > 0."""
    result = []
    for row in brf_distances(n_small, m_large):
        p = [(1 + distance) ** (-(1 - r) / r) for distance in row]
        result.append([v / sum(p) for v in p])
    return result


def brf_nearest(n_small: int, m_large: int, degrees: Sequence[int]) -> list[set[int]]:
    """BRF at r = 0: each smaller-side node's nearest partners."""
    return [lowest(row, range(m_large), k) for row, k in zip(brf_distances(n_small, m_large), degrees, strict=True)]


def csti(x: Rows, n: int) -> Mask:
    """Correlated start of a square layer: the ``n`` largest |Pearson| between inputs; x is (samples, inputs)."""
    columns = [[float(row[j]) for row in x] for j in range(len(x[0]))]
    score = []
    for i, a in enumerate(columns):
        for j, b in enumerate(columns):
            da = [v - sum(a) / len(a) for v in a]
            db = [v - sum(b) / len(b) for v in b]
            norm = math.sqrt(sum(v * v for v in da) * sum(v * v for v in db))
            dot = sum(p * q for p, q in zip(da, db, strict=True))
            score.append(0.0 if i == j or norm == 0 else twelve_digits(abs(dot / norm)))
    return as_mask(highest(score, range(len(score)), n), len(score))


# --- structured -------------------------------------------------------------------------------------------------------


def srigl(
    w: Rows,
    m: Sequence[Sequence[bool]],
    g: Rows,
    k: int,
    gamma: float,
    n: int,
    last: bool = False,
    revive: bool = False,
) -> tuple[MaskRows, set[int]]:
    """SRigL: constant fan-in, neurons with few salient weights ablated.

    Args:
        w: weights, rows = neurons.
        m: mask before.
        g: dense gradient.
        k: entries to replace, floor(zeta * count of the mask); with 0 nothing happens.
        gamma: share of the fan-in a neuron needs to be salient.
        n: the layer's budget.
        last: the last layer loses no neuron.
        revive: neurons without weights take part, too.

    Returns:
        The new mask and all rows without weights.
    """
    fan, flat_w, flat_g, flat_m = len(w[0]), magnitude(flatten(w)), magnitude(flatten(g)), flatten(m)
    rows = [i for i in range(len(w)) if any(m[i])]
    if k == 0:
        return in_rows(flat_m, (len(w), fan)), set(range(len(w))) - set(rows)
    open_rows = list(range(len(w))) if revive else rows
    kept = set(active(flat_m)) - lowest(flat_w, active(flat_m), k)
    free = {i for i in range(len(flat_m)) if i not in kept and i // fan in open_rows}
    salient = kept | highest(flat_g, free, min(k, len(free)))
    count = [sum(1 for i in salient if i // fan == row) for row in range(len(w))]
    stay = _surviving(count, rows, open_rows, gamma * (n // len(rows)), math.ceil(n / fan)) if not last else rows
    fan_in = min(fan, n // len(stay))
    new: set[int] = set()
    for row in stay:
        mine = {i for i in kept if i // fan == row}
        mine -= lowest(flat_w, mine, max(0, len(mine) - fan_in))
        others = set(range(row * fan, (row + 1) * fan)) - mine
        new |= mine | highest(flat_g, others, fan_in - len(mine))
    return in_rows(as_mask(new, len(flat_m)), (len(w), fan)), set(range(len(w))) - set(stay)


def _surviving(count: list[int], rows: list[int], open_rows: list[int], limit: float, fewest: int) -> list[int]:
    stay = [row for row in open_rows if count[row] >= max(1, limit)]
    if len(stay) < fewest:
        stay = sorted(open_rows, key=lambda row: (-count[row], row))[:fewest]
    return stay


def nm_groups(columns: int, big_m: int) -> list[range]:
    """Groups of M consecutive columns; the last one has what is left over."""
    return [range(start, min(start + big_m, columns)) for start in range(0, columns, big_m)]


def nm_keep(width: int, big_n: int, big_m: int) -> int:
    """Active entries of a group: N of M, ceil(N / M * rest) of the leftover columns."""
    return big_n if width == big_m else math.ceil(Fraction(big_n, big_m) * width)


def nm_initial(w: Rows, big_n: int, big_m: int) -> MaskRows:
    """N:M at initialisation: the largest |w| of each group."""
    mask = []
    for row in w:
        kept: set[int] = set()
        for group in nm_groups(len(row), big_m):
            kept |= highest(magnitude(row), group, nm_keep(len(group), big_n, big_m))
        mask.append(as_mask(kept, len(row)))
    return mask


def nm(w: Rows, g: Rows, m: Sequence[Sequence[bool]], big_n: int, big_m: int, zeta: float) -> MaskRows:
    """N:M with growth: in each group of M columns drop floor(zeta N), grow the largest |g| of the group.

    Where that is 0, the group still replaces one if it holds one of the layer's floor(zeta n) smallest active |w|. No
    group drops more than it has (the leftover columns), and with floor(zeta n) = 0 nothing happens.
    """
    columns, flat_w, flat_m = len(w[0]), magnitude(flatten(w)), flatten(m)
    small = lowest(flat_w, active(flat_m), share(zeta, len(active(flat_m))))
    new = []
    for i, row in enumerate(m):
        kept = set(active(row))
        for group in nm_groups(columns, big_m) if small else []:
            mine = [j for j in group if row[j]]
            touched = any(i * columns + j in small for j in mine)
            z = min(len(mine), max(share(zeta, big_n), 1 if touched else 0))
            kept -= lowest(magnitude(w[i]), mine, z)
            kept |= highest(magnitude(g[i]), [j for j in group if j not in kept], z)
        new.append(as_mask(kept, columns))
    return new


def channel_scores(w: Rows, m: Sequence[Sequence[bool]]) -> list[float]:
    """Sum of |w| over the number of active weights, of each filter; 0 for removed ones."""
    score = []
    for row, bits in zip(w, m, strict=True):
        mine = active(bits)
        score.append(sum(abs(float(row[j])) for j in mine) / len(mine) if mine else 0.0)
    return score


def tied(scores: Sequence[Floats]) -> list[float]:
    """Score of channels that a residual add ties together: the sum over the layers."""
    return [sum(values) for values in zip(*scores, strict=True)]


def channels(w: Rows, m: MaskRows, g: Rows, alive_target: int, zeta: float) -> MaskRows:
    """Structured DST of one layer; see ``tied_channels``."""
    return tied_channels([w], [m], [g], alive_target, zeta)[0]


def tied_channels(
    ws: Sequence[Rows], ms: Sequence[MaskRows], gs: Sequence[Rows], alive_target: int, zeta: float
) -> list[MaskRows]:
    """Structured DST: the schedule's surplus and floor(zeta * alive after that) lowest channels go, as many of the
    removed grow back by sum |g|, whole; tied layers share sums of scores and live or die together."""
    rows = range(len(ms[0]))
    alive = [i for i in rows if any(any(m[i]) for m in ms)]
    surplus = max(0, len(alive) - alive_target)
    dropped = lowest(
        tied([channel_scores(w, m) for w, m in zip(ws, ms, strict=True)]),
        alive,
        surplus + share(zeta, len(alive) - surplus),
    )
    gain = tied([[sum(abs(float(v)) for v in row) for row in g] for g in gs])
    kept = set(alive) - dropped
    kept |= highest(gain, [i for i in rows if i not in kept], alive_target - len(kept))
    return [[[i in kept] * len(m[i]) for i in rows] for m in ms]


# --- worked by hand ---------------------------------------------------------------------------------------------------


def word(u: float) -> int:
    """The raw word whose uniform number is ``u`` (up to 2**-54)."""
    return int(u * 2**53) << 11


#: method -> "call" (function here), "inputs" (its arguments), "expected" (what the pencil gives), "why" (the working).
#: Masks are 0/1. Where a function returns more than the mask, "expected" has the same parts in the same order.
EXAMPLES: dict[str, dict[str, Any]] = {
    "set": {
        "call": "set_step",
        "inputs": {
            "w": [0.3, -0.5, 0.1, 0, -0.7, 0.2, -0.4, 0],
            "m": [1, 1, 1, 0, 1, 1, 1, 0],
            "zeta": 0.5,
            "words": [50, 10, 30, 40, 20],
        },
        "expected": ([0, 1, 1, 1, 1, 0, 1, 1], {0, 2, 5}, {2, 3, 7}),
        "why": "n = 6, k = 3. |w|: .1 at 2, .2 at 5, .3 at 0 go. Candidates 0 2 3 5 7 have words 50 10 30 40 20: 2, "
        "7, 3.",
    },
    "set-signs": {
        "call": "set_step",
        "inputs": {
            "w": [0.3, -0.5, 0.1, 0, -0.7, 0.2, -0.4, 0],
            "m": [1, 1, 1, 0, 1, 1, 1, 0],
            "zeta": 0.5,
            "words": [50, 10, 30, 40, 20],
            "signs": True,
        },
        "expected": ([1, 1, 0, 1, 1, 1, 0, 1], {2, 5, 6}, {3, 5, 7}),
        "why": "3 positive, 3 negative, 1.5 each, k = 3: the tie goes to the positive, so .1 at 2, .2 at 5 and -.4 "
        "at 6 go. Candidates 2 3 5 6 7 have words 50 10 30 40 20: 3, 7, 5 grow; 5 returned.",
    },
    "rigl": {
        "call": "rigl",
        "inputs": {
            "w": [0.4, -0.1, 0.3, -0.2, 0, 0],
            "m": [1, 1, 1, 1, 0, 0],
            "g": [0, 0.9, 0, 0.1, 0.5, -0.2],
            "zeta": 0.5,
        },
        "expected": ([1, 1, 1, 0, 1, 0], {1, 3}, {1, 4}),
        "why": "k = 2: 1 and 3 go. |g| of 1 3 4 5: .9 .1 .5 .2, so 1 returns and 4 is fresh.",
    },
    "rigl-exclusive": {
        "call": "rigl",
        "inputs": {
            "w": [0.4, -0.1, 0.3, -0.2, 0, 0],
            "m": [1, 1, 1, 1, 0, 0],
            "g": [0, 0.9, 0, 0.1, 0.5, -0.2],
            "zeta": 0.5,
            "regrow_dropped": False,
        },
        "expected": ([1, 0, 1, 0, 1, 1], {1, 3}, {4, 5}),
        "why": "As above, but only 4 and 5 may grow.",
    },
    "mest-em": {
        "call": "mest_em",
        "inputs": {
            "w": [0.5, -0.1, 0.2, 0.3, 0, 0, 0, 0],
            "m": [1, 1, 1, 1, 0, 0, 0, 0],
            "g": [0, 0.6, 0, 0, 0.9, 0, 0, 0],
            "lam": 0.5,
            "m_t": 0.25,
            "words": [40, 30, 60, 10, 50, 20],
        },
        "expected": ([1, 1, 0, 0, 0, 1, 0, 1], {2, 3}, {5, 7}),
        "why": "k = .25 * 8 = 2. Scores .5 .4 .2 .3: 2 and 3 go (by |w| alone it would be 1 and 2). Candidates 2 3 4"
        " 5 6 7 have words 40 30 60 10 50 20: 5, 7.",
    },
    "mest-ems": {
        "call": "mest_ems",
        "inputs": {
            "w": [0.6, 0.1, -0.5, 0.2, 0.4, -0.3, 0, 0, 0, 0],
            "m": [1, 1, 1, 1, 1, 1, 0, 0, 0, 0],
            "g": [0] * 10,
            "lam": 0,
            "n": 4,
            "h": 5,
            "words": [60, 50, 40, 30, 10, 20],
        },
        "expected": ([1, 0, 1, 0, 1, 1, 0, 0, 1, 0], {1, 3}, {8}),
        "why": "d = .4 with m = .2 holds 6; down to 4: .1 at 1 and .2 at 3 go; m is now .1, so one grows. Candidates"
        " 1 3 6 7 8 9 have words 60 50 40 30 10 20: 8.",
    },
    "gmp": {
        "call": "gmp",
        "inputs": {
            "ws": [[0.9, 0.1, -0.5, 0.3], [0.2, -0.8, 0.4, 0.1, 0.6, -0.05]],
            "ms": [[1, 1, 1, 1], [1, 1, 1, 1, 1, 1]],
            "n_total": 5,
        },
        "expected": [[1, 0, 1, 0], [0, 1, 1, 0, 1, 0]],
        "why": "Step 1 of 2 from density 1 to .4: .4 + .6 / 8 = .475 of 10 gives 5. .05 .1 .1 .2 .3 go. (Step 2: 4, "
        ".4 goes.)",
    },
    "granet": {
        "call": "granet",
        "inputs": {
            "ws": [[0.9, 0.1, -0.5, 0], [0.2, -0.8, 0.4, 0, 0, 0]],
            "ms": [[1, 1, 1, 0], [1, 1, 1, 0, 0, 0]],
            "gs": [[0, 0.3, 0.2, -0.1], [0.1, 0, 0.7, 0.3, -0.2, 0.4]],
            "n_total": 4,
            "zeta": 0.5,
        },
        "expected": ([[1, 1, 0, 0], [0, 1, 1, 0, 0, 0]], [[1, 0, 1, 0], [0, 1, 1, 0, 0, 0]]),
        "why": "6 to 4: .1 and .2 are pruned, two stay in each layer, k = 1. Layer 1: .5 goes, |g| .3 .2 .1 of 1 2 3"
        " grows 1, just pruned and so fresh. Layer 2: .4 goes and returns with the largest |g|, .7.",
    },
    "snip": {
        "call": "snip",
        "inputs": {
            "ws": [[0.5, -0.1, 0.3, 0.2], [1, -1, 0.5]],
            "gs": [[0.2, 0.8, 0, -0.5], [0.05, 0.3, -0.1]],
            "n_total": 5,
        },
        "expected": [[1, 1, 0, 1], [0, 1, 1]],
        "why": "|w g|: .1 .08 0 .1 | .05 .3 .05. Two of seven go: 0 and, of the tie at .05, the lower index.",
    },
    "magnitude": {
        "call": "global_magnitude",
        "inputs": {"ws": [[0.1, -0.4, 0.3, 0.2], [0.9, 0.8, -0.7, 0.6]], "n_total": 4},
        "expected": [[0, 1, 0, 0], [1, 1, 1, 0]],
        "why": "The four largest are all in layer 2, but each layer's best is safe: .4 and .9. Of the others .1 .2 .3 "
        ".6 go.",
    },
    "magnitude-per-layer": {
        "call": "layer_magnitude",
        "inputs": {"w": [0.1, -0.4, 0.3, 0.2], "n": 2},
        "expected": [0, 1, 1, 0],
        "why": ".4 and .3.",
    },
    "cht": {
        "call": "cht",
        "inputs": {
            "ws": [[0.5, 0.6, 0, 0.05, 0.7, 0.8, 0.9, -0.02, 0, 0.1, 0.5, 0.6]],
            "ms": [[1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1]],
            "shapes": [(3, 4)],
            "zeta": 0.3,
            "words": [[1, 2, 3, 4, 5]],
        },
        "expected": [[1, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 1]],
        "why": "n = 10, k = 3: (0,3), (1,3), (2,1) go; left are rows {0,1}, {0,1,2}, {2,3}. CH3 over paths: (0,2) "
        "has 0-y0-x1-2 and 0-y1-x1-2, no outside links: 2. (1,3) has 1-y2-x2-3: 1. (2,0) and (2,1) have one "
        "path over y2 and x1, and x1 one outside link: 1/sqrt(2) each. (0,3) has none. Grown: (0,2), (1,3) "
        "and of the tie the lower index, (2,0).",
    },
    "cht-s": {
        "call": "chts",
        "inputs": {
            "w": [0.4, 0.8, 0, 0.2, 0, 0.6, 0, 0, 0.1],
            "m": [1, 1, 0, 1, 0, 1, 0, 0, 1],
            "shape": (3, 3),
            "zeta": 0.4,
            "temperature": 1,
            "drop_words": [word(u) for u in (0.5, 0.75, 0.875, 0.125, 0.25)],
            "grow_words": [word(u) for u in (0.6, 0.5, 0.4, 0.1, 0.2, 0.3)],
        },
        "expected": ([1, 1, 0, 1, 1, 0, 1, 0, 0], {5, 8}, {4, 6}),
        "why": "k = 2. Keys order like s / -ln u: .4/.693 = .577, .8/.288 = 2.78, .2/.134 = 1.50, .6/2.079 = .289, "
        ".1/1.386 = .072: 5 and 8 go (by |w| 3 and 8 would). Rows {0,1}, {0}, {} are left: only (1,1) has a "
        "path, CH2 = 2 + 2. It grows; of 2 5 6 7 8 with .6 .4 .1 .2 .3 also 6.",
    },
    "cht-ss": {
        "call": "sigmoid",
        "inputs": {"d_i": 0.5, "d_f": 0.1, "t": 500, "end": 1000},
        "expected": 0.3,
        "why": "Half way f = 1/2, so the mean of .5 and .1. With kk = 6, f(.25) = 1/(1 + e^3) = .047426, f(0) = 1/(1"
        " + e^6) = .002473: at 250 .5 - .4 (-.452574 / .995055 + .5) = .481929. Of 100 weights at 0 250 500 "
        "750 1000: 50 48 30 12 10.",
    },
    "srigl": {
        "call": "srigl",
        "inputs": {
            "w": [[0.9, 0.8, 0], [0.1, 0, 0.2], [0, 0.7, 0.6]],
            "m": [[1, 1, 0], [1, 0, 1], [0, 1, 1]],
            "g": [[0, 0, 0.1], [0.05, 0.2, 0.3], [0.9, 0, 0]],
            "k": 2,
            "gamma": 0.3,
            "n": 6,
        },
        "expected": ([[1, 1, 0], [0, 1, 1], [0, 1, 1]], set()),
        "why": "Kept .9 .8 .7 .6; salient to grow .9 (2,0) and .3 (1,2); counts 2 1 3, all at least max(1, .6). Fan-"
        "in stays 2: row 1 has nothing kept and takes its |g| .3 and .2, row 2 has two already.",
    },
    "srigl-ablation": {
        "call": "srigl",
        "inputs": {
            "w": [[0.9, 0.8, 0], [0.1, 0, 0.2], [0, 0.7, 0.6]],
            "m": [[1, 1, 0], [1, 0, 1], [0, 1, 1]],
            "g": [[0, 0, 0.1], [0.05, 0.2, 0.3], [0.9, 0, 0]],
            "k": 2,
            "gamma": 0.9,
            "n": 6,
        },
        "expected": ([[1, 1, 1], [0, 0, 0], [1, 1, 1]], {1}),
        "why": "The limit is .9 * 2 = 1.8, so row 1 with count 1 goes; 6 weights on 2 rows: fan-in 3, both rows full.",
    },
    "nm": {
        "call": "nm",
        "inputs": {
            "w": [[0.5, -0.1, 0, 0, 0, 0.3, 0.4, 0, 0.2, 0]],
            "g": [[0.1, 0.2, 0.9, 0.3, 0.8, 0.2, 0.1, 0.5, 0.1, 0.6]],
            "m": [[1, 1, 0, 0, 0, 1, 1, 0, 1, 0]],
            "big_n": 2,
            "big_m": 4,
            "zeta": 0.5,
        },
        "expected": [[1, 0, 1, 0, 1, 0, 1, 0, 0, 1]],
        "why": "One of two per group: .1 at 1 goes and 2 grows (.9); .3 at 5 goes and 4 grows (.8). The leftover "
        "pair holds 1 and replaces it, too: .2 at 8 goes and 9 grows (.6).",
    },
    "channel": {
        "call": "channels",
        "inputs": {
            "w": [[0.4, 0.6], [0.1, -0.1], [-0.4, 0.4], [0.2, 0.4], [0, 0]],
            "m": [[1, 1], [1, 1], [1, 1], [1, 1], [0, 0]],
            "g": [[0, 0], [0.1, 0.2], [0, 0], [0, 0.2], [0.5, -0.4]],
            "alive_target": 3,
            "zeta": 0.4,
        },
        "expected": [[1, 1], [0, 0], [1, 1], [0, 0], [1, 1]],
        "why": "Means of |w| .5 .1 .4 .3: one of four is too many, and of the other three floor(1.2) = 1 is swapped: "
        "rows 1 and 3 go. Sum |g| of 1 3 4: .3 .2 .9, so 4 grows.",
    },
}
