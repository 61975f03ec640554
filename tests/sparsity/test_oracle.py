"""The slow reference itself: the specification's worked examples, published schedules, and budgets that always hold."""

import importlib.util
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regrow import seeds

_SPEC = importlib.util.spec_from_file_location("sparsity_oracle", Path(__file__).with_name("oracle.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
oracle = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(oracle)

W = [0.5, -0.1, 0, 0.3, 0, -0.8, 0.2, 0]
M = [True, True, False, True, False, True, True, False]
G = [0.1, -0.9, 0.7, 0.05, -0.2, 0.3, 0.6, 0.4]
B = [[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 1, 1]]
NON_LINKS = [(0, 2), (0, 3), (1, 1), (1, 3), (2, 0)]


def ones(mask: Any) -> set[int]:
    return set(oracle.active(mask))


def near(values: list[float], expected: list[float], digits: float = 1e-6) -> bool:
    return bool(np.allclose(values, expected, rtol=0, atol=digits))


@pytest.mark.parametrize("name", sorted(oracle.EXAMPLES))
def test_examples_worked_by_hand(name: str) -> None:
    case = oracle.EXAMPLES[name]
    result = getattr(oracle, case["call"])(**case["inputs"])
    assert result == (pytest.approx(case["expected"]) if isinstance(result, float) else case["expected"])


# --- E1, and the counts of a real network -----------------------------------------------------------------------------


def test_e1_allocations() -> None:
    shapes = [(8, 3, 3, 3), (16, 8, 3, 3), (10, 16)]
    sizes = [216, 1152, 160]
    d = oracle.erk(shapes, 0.3)
    assert near([float(v) for v in d], [0.499685, 0.165337, 1])
    assert near([float(v * n) for v, n in zip(d, sizes, strict=True)], [107.9319, 190.4681, 160], 1e-4)
    assert oracle.counts([v * n for v, n in zip(d, sizes, strict=True)], sizes, 0.3) == [108, 190, 160]
    half = oracle.erk(shapes, 0.5)
    assert half == [1, Fraction(388, 1152), 1]
    assert oracle.counts([v * n for v, n in zip(half, sizes, strict=True)], sizes, 0.5) == [216, 388, 160]
    x = [v * n for v, n in zip(oracle.uniform(shapes, 0.3), sizes, strict=True)]
    assert oracle.counts(x, sizes, 0.3) == [65, 345, 48]
    assert oracle.erk(shapes, 0.3, power=0) == oracle.uniform(shapes, 0.3)
    small = [(4, 3), (3, 4), (2, 3)]
    er = oracle.er(small, 0.5)
    assert near([float(v) for v in er], [0.460526, 0.460526, 0.657895])
    assert oracle.counts([v * oracle.size(s) for v, s in zip(er, small, strict=True)], [12, 12, 6], 0.5) == [6, 5, 4]


def resnet18() -> list[tuple[int, ...]]:
    shapes: list[tuple[int, ...]] = [(64, 3, 3, 3)]
    width = 64
    for out in (64, 128, 256, 512):
        shapes += [(out, width, 3, 3), (out, out, 3, 3)]
        if out != width:
            shapes.append((out, width, 1, 1))
        shapes += [(out, out, 3, 3)] * 2
        width = out
    return [*shapes, (10, 512)]


def test_erk_of_resnet18() -> None:
    shapes = resnet18()
    sizes = [oracle.size(s) for s in shapes]
    assert sum(sizes) == 11_164_352

    def n(d: float) -> list[int]:
        return list(
            oracle.counts([v * k for v, k in zip(oracle.erk(shapes, d), sizes, strict=True)], sizes, d)  # real targets
        )

    tail = [147456, 147456, 294912, 424958, 32768, 424958, 424958, 634976, 844994, 131072, 844994, 844994, 5120]
    assert n(0.5) == [1728, *[36864] * 4, 73728, 147456, 8192, *tail]
    tail = [34574, 34574, 51465, 68356, 32768, 68356, 68356, 102138, 135921, 101611, 135921, 135921, 5120]
    assert n(0.1) == [1728, *[17683] * 4, 26128, 34574, 8192, *tail]
    for d, dense in {0.9: 18, 0.8: 18, 0.7: 17, 0.6: 14, 0.5: 14, 0.3: 10, 0.1: 4}.items():
        assert sum(v == 1 for v in oracle.erk(shapes, d)) == dense


def test_counts_skip_full_layers_and_leave_none_empty() -> None:
    assert oracle.counts([Fraction(1), Fraction(5, 2), Fraction(3, 2)], [1, 5, 4], 0.5) == [1, 3, 1]
    assert oracle.counts([1, 4], [1, 9], 0.6) == [1, 5]
    assert oracle.counts([0.2, 9.8], [2, 98], 0.1) == [1, 9]
    assert [oracle.total(0.29, 100), oracle.total(0.1, 1000), oracle.total(0.5, 5)] == [29, 100, 3]
    assert [oracle.share(0.29, 100), oracle.share(1 / 3, 6), oracle.share(0.3, 9)] == [29, 2, 2]


# --- schedules of section 2 -------------------------------------------------------------------------------------------


def test_schedule_goldens() -> None:
    rigl = [oracle.cosine(0.3, t, 750) for t in (100, 200, 375, 700, 750, 900)]
    assert near(rigl, [0.287032, 0.250370, 0.15, 0.003278, 0, 0])
    assert near([oracle.cosine(0.5, t, 1000, 0.005) for t in (100, 500, 1000)], [0.487886, 0.2525, 0.005])
    assert near([1 - oracle.cubic(1, 0.1, t, 1000) for t in (250, 500, 750)], [0.520313, 0.7875, 0.885938])
    granet = [oracle.cubic(0.5, 0.1, t // 100, 10) for t in (100, 200, 300, 500, 900, 1000)]
    assert near(granet, [0.3916, 0.3048, 0.2372, 0.15, 0.1004, 0.1])
    chtss = [oracle.sigmoid(0.5, 0.1, t, 1000) for t in (100, 250, 500, 750, 900)]
    assert near(chtss, [0.497713, 0.481929, 0.3, 0.118071, 0.102287])
    assert [oracle.sigmoid(0.5, 0.1, t, 1000) for t in (0, 1000, 2000)] == [0.5, 0.1, 0.1]
    assert oracle.cubic(0.7, 0.1, 10, 10) == 0.1
    steps = [oracle.total(round(oracle.sigmoid(0.5, 0.1, t, 1000), 9), 100) for t in (0, 250, 500, 750, 1000)]
    assert steps == [50, 48, 30, 12, 10]
    assert near([oracle.linear(0.4, t, 100) for t in (0, 25, 100, 101)], [0.4, 0.3, 0, 0])
    assert near([oracle.exponential_power(0.4, 50, 100, 3)], [0.05])


# --- E2 ---------------------------------------------------------------------------------------------------------------


def test_e2_drops() -> None:
    on = oracle.active(M)
    assert oracle.lowest(oracle.magnitude(W), on, 2) == {1, 6}
    assert oracle.set_signs(W, M, 2, 0.4) == {1, 6}
    assert near([oracle.mest(W, G, 0.5)[i] for i in on], [0.55, 0.55, 0.325, 0.95, 0.5])
    assert near([oracle.mest(W, G, 0.1)[i] for i in on], [0.51, 0.19, 0.305, 0.83, 0.26])
    assert oracle.lowest(oracle.mest(W, G, 0.5), on, 2) == {3, 6}
    assert oracle.lowest(oracle.mest(W, G, 0.1), on, 2) == {1, 6}
    assert near([oracle.taylor(W, G)[i] for i in on], [0.05, 0.09, 0.015, 0.24, 0.12])
    assert oracle.lowest(oracle.taylor(W, G), on, 2) == {0, 3}
    ria = oracle.ria(W, M, (2, 4))
    assert near([ria[i] for i in on], [1.5556, 0.2222, 1.3333, 1.6889, 1.2], 2e-4)
    assert oracle.lowest(ria, on, 2) == {1, 6}
    assert oracle.ria(W, M, (2, 2, 1, 2)) == ria


def test_e2_growth_and_books() -> None:
    new, dropped, grown = oracle.rigl(W, M, G, 0.4)
    assert (dropped, grown, ones(new)) == ({1, 6}, {1, 2}, {0, 1, 2, 3, 5})
    books = oracle.bookkeeping(M, dropped, grown, M)
    assert books == {"zeroed": {6}, "returned": {1}, "fresh": {2}, "ever": {0, 1, 2, 3, 5, 6}}
    new, _, grown = oracle.rigl(W, M, G, 0.4, regrow_dropped=False)
    assert (grown, ones(new)) == ({2, 7}, {0, 2, 3, 5, 7})
    assert ones(oracle.snip_layer(W, G, 5)) == {0, 1, 3, 5, 6}
    assert [ones(m) for m in oracle.snip([W], [G], 5)] == [{0, 1, 3, 5, 6}]


def test_e2_random() -> None:
    for seed, chosen in ((0, {2, 4}), (1, {1, 6})):
        assert oracle.pick([1, 2, 4, 6, 7], 2, seeds.raw(seed, "growth", 0, 1, n=5)) == chosen
    assert ones(oracle.random_mask(8, 5, seeds.raw(0, "mask", 0, 0, n=8))) == {0, 1, 3, 5, 7}
    assert oracle.pick_never_active([1, 2, 4, 6], 3, [4, 3, 2, 1], [0, 0, 0, 0, 1, 0, 1, 0]) == {1, 2, 6}


def test_exclusive_rule_drops_no_more_than_there_is_room_for() -> None:
    new, dropped, grown = oracle.rigl([5, 1, 2, 3, 0], [1, 1, 1, 1, 0], [0, 9, 0, 0, 0.1], 0.5, regrow_dropped=False)
    assert (ones(new), dropped, grown) == ({0, 2, 3, 4}, {1}, {4})


def test_signs_keep_the_far_weights_on_both_sides() -> None:
    w = np.random.default_rng(0).normal(size=1000)
    dropped = oracle.set_signs(w, [True] * 1000, 300, 0.3)
    assert len(dropped) == 300
    for side in (w > 0, w < 0):
        gone = {i for i in dropped if side[i]}
        assert max(abs(w[i]) for i in gone) < min(abs(w[i]) for i in np.flatnonzero(side) if i not in gone)
        assert abs(len(gone) - 0.3 * side.sum()) < 1
    zeros_first = oracle.set_signs([0, 0, 0, 0.1, 0.2, -0.3, -0.4, -0.5], [True] * 8, 4, 0.5)
    assert zeros_first == {
        0,
        1,
        2,
        5,
    }  # one left of 1 and 1: the smaller remainder gives way


# --- E3, E4: pruning and soft bounds ----------------------------------------------------------------------------------


def test_e3_granet() -> None:
    w = [0.9, -0.1, 0.4, 0, 0.3, 0, -0.7, 0.2, 0, 0]
    m = [1, 1, 1, 0, 1, 0, 1, 1, 0, 0]
    g = [0.1, 0.6, 0.1, 0.8, 0.1, 0.05, 0.1, 0.2, 0.9, 0.3]
    (new,), (pruned,) = oracle.granet([w], [m], [g], 4, 0.5)
    assert ones(pruned) == {0, 2, 4, 6}
    assert ones(new) == {0, 3, 6, 8}
    assert oracle.granet_layerwise([w], [m], [g], 0.4, 0.5) == ([new], [pruned])
    assert oracle.gmp([w], [m], 9) == [m]


def test_pruning_drops_ties_by_layer_then_index_and_empties_no_layer() -> None:
    assert oracle.gmp([[1, 1], [1, 1, 1]], [[1, 1], [1, 1, 1]], 3) == [[0, 1], [0, 1, 1]]
    assert oracle.gmp([[1, 1], [2, 2, 2]], [[1, 1], [1, 1, 1]], 2) == [[0, 1], [0, 0, 1]]
    assert oracle.gmp_layerwise([[1, 2], [3, 2, 1, 4]], [[1, 1], [1, 0, 1, 1]], 0.5) == [[0, 1], [1, 0, 0, 1]]


def test_e4_soft_bound() -> None:
    assert [oracle.held(20, 0.3, m) for m in (0.1, 0)] == [8, 6]
    w, m = list(range(1, 9)) + [0] * 12, [1] * 8 + [0] * 12
    new, dropped, grown = oracle.mest_ems(w, m, [0] * 20, 0, 6, 8, list(range(14)))
    assert (dropped, grown, sum(new)) == ({0, 1}, {0, 1}, 8)
    assert sum(oracle.mest_ems(w, m, [0] * 20, 0, 6, 6, list(range(14)))[0]) == 6


# --- E5, E8, E9, E10: Cannistraci-Hebb --------------------------------------------------------------------------------


def test_e5_scores_and_tie() -> None:
    expected = {
        ("ch_path", "CH2"): [3.414214, 1.414214, 3.414214, 1.414214, 4],
        ("ch_path", "CH3"): [1.707107, 0.707107, 1.707107, 0.707107, 2],
        ("ch_node", "CH2"): [7, 3, 7, 3, 8],
        ("ch_node", "CH3"): [3.5, 1.5, 3.5, 1.5, 4],
    }
    for (form, index), values in expected.items():
        score = getattr(oracle, form)(B, index)
        assert near([score[a][b] for a, b in NON_LINKS], values)
        assert all(score[a][b] == 0 for a in range(3) for b in range(4) if B[a][b])
        assert oracle.grow_ch(oracle.flatten(score), oracle.flatten(B), 2, [0] * 5) == {8, 2}


def test_node_scores_are_the_matrix_products() -> None:
    rng = np.random.default_rng(1)
    for index in ("CH2", "CH3"):
        m = (rng.random((7, 9)) < 0.4).astype(float)

        def rows(m: np.ndarray, index: str = index) -> np.ndarray:
            c = m @ m.T
            e = np.maximum(m.sum(1)[None, :] - c, 1) - 1
            return (c > 0) * ((c + 1 if index == "CH2" else 1) / (1 + e)) @ m

        expected = (rows(m) + rows(m.T).T) * (1 - m)
        assert np.allclose(oracle.ch_node(m.astype(bool).tolist(), index), expected, rtol=1e-11, atol=0)


def test_scores_are_rounded_so_that_the_order_of_a_sum_breaks_no_tie() -> None:
    assert 0.1 + 0.2 != 0.3
    assert oracle.twelve_digits(0.1 + 0.2) == 0.3
    assert oracle.twelve_digits(1234567.891234) == 1234567.89123


def test_path_scores_turn_with_the_layer() -> None:
    m = np.random.default_rng(2).random((6, 8)) < 0.4
    for index in ("CH2", "CH3"):
        score = np.array(oracle.ch_path(m.tolist(), index))
        assert np.allclose(score, np.array(oracle.ch_path(m.T.tolist(), index)).T, rtol=1e-11, atol=0)
        assert ((score > 0) == ((m.astype(int) @ m.T @ m > 0) & ~m)).all()  # a score exactly where there is a path


def test_e10_chain_removal() -> None:
    masks, lost = oracle.chain_removal([[[1, 0], [0, 1], [0, 0]], [[0, 1, 1], [0, 0, 0]]])
    assert masks == [[[0, 0], [0, 1], [0, 0]], [[0, 1, 0], [0, 0, 0]]]
    assert lost == [1, 1]


def test_cht_refills_what_the_chains_lost() -> None:
    ms = [[1, 0, 0, 1, 0, 0], [0, 1, 1, 0, 0, 0]]
    new = oracle.cht([[1, 0, 0, 1, 0, 0], [0, 1, 1, 0, 0, 0]], ms, [(3, 2), (2, 3)], 0, [range(6), range(6)])
    assert [sum(m) for m in new] == [2, 2]
    assert new == [
        [1, 0, 0, 1, 0, 0],
        [1, 1, 0, 0, 0, 0],
    ]  # no paths: the first words
    assert oracle.stops_early({1, 2}, {1, 2})
    assert not oracle.stops_early({1, 2}, {1, 3})


def test_e9_soft_sampling() -> None:
    s = [0.5, 0.1, 0.3, 0.8, 0.2]
    words = seeds.raw(0, "drop", 0, 1, n=5)
    assert near(list(seeds.uniform(words)), [0.696867, 0.229726, 0.844544, 0.015256, 0.782550])
    assert near(oracle.soft_keys(s, 1, words), [0.3253, -2.6884, 0.5741, -1.6541, -0.2037], 6e-5)
    assert near(oracle.soft_keys(s, 9, words), [-5.2199, -21.1091, -9.0577, -3.4393, -13.0792], 6e-5)
    assert oracle.soft_drop(s, [True] * 5, 2, 1, words) == {1, 3}
    assert oracle.soft_drop(s, [True] * 5, 2, 9, words) == {1, 4}
    assert near(oracle.inclusion(s, 2), [0.5495, 0.1258, 0.3565, 0.7233, 0.2450], 6e-5)
    seen = np.zeros(5)
    for draw in range(4000):
        seen[list(oracle.highest(oracle.soft_keys(s, 1, seeds.raw(0, "drop", 9, draw, n=5)), range(5), 2))] += 1
    assert np.abs(seen / 4000 - oracle.inclusion(s, 2)).max() < 0.03  # about four standard deviations


def test_soft_growth_samples_the_positive_alone() -> None:
    score = [0, 3, 0, 1, 2, 0]
    m = [True, False, False, False, False, False]
    for draw in range(50):
        words = seeds.raw(0, "growth", 3, draw, n=5)
        assert oracle.soft_grow(score, m, 2, words) <= {1, 3, 4}
        assert oracle.soft_grow(score, m, 4, words) > {1, 3, 4}


def test_e8_small_world() -> None:
    links = [{4, 5, 0}, {5, 0, 1}, {0, 1, 2}, {1, 2, 3}, {2, 3, 4}, {3, 4, 5}]
    assert oracle.bsw(6, 6, 0.5) == links
    assert [sum(i in row for row in links) for i in range(6)] == [3] * 6
    degrees = oracle.bsw_degrees(5, 8, 0.45)  # K = 2.25: two of eight have three
    assert sorted(degrees) == [2] * 6 + [3] * 2
    assert [len(row) for row in oracle.bsw(5, 8, 0.45)] == degrees


def test_receptive_fields() -> None:
    assert oracle.brf_distances(2, 6) == [[0, 1, 2, 3, 2, 1], [3, 2, 1, 0, 1, 2]]
    assert oracle.brf_nearest(2, 6, [3, 2]) == [{0, 1, 5}, {2, 3}]
    half = oracle.brf_probabilities(2, 6, 0.5)[0]  # 1 / (1 + D): 1 1/2 1/3 1/4 1/3 1/2 of 35/12
    assert near([v * 35 / 12 for v in half], [1, 1 / 2, 1 / 3, 1 / 4, 1 / 3, 1 / 2])
    cube = oracle.brf_probabilities(2, 6, 0.25)[0]  # exponent -.75 / .25 = -3
    assert near([v / cube[0] for v in cube], [1, 1 / 8, 1 / 27, 1 / 64, 1 / 27, 1 / 8])
    assert near(oracle.brf_probabilities(2, 6, 1.0)[1], [1 / 6] * 6)


def test_correlated_start() -> None:
    x = [[0, 0, 1, 5], [1, -2, 0, 5], [2, -4, 1, 5], [3, -6, 0, 5]]  # 1 is -2 times 0, 2 nearly free, 3 constant
    assert ones(oracle.csti(x, 2)) == {1, 4}
    assert np.abs(np.corrcoef(np.array(x)[:, :3].T)[0, 2]) < 0.5


# --- E6, E7: structures -----------------------------------------------------------------------------------------------


def test_e6_srigl() -> None:
    w = [[0.9, -0.8, 0, 0], [0.05, 0, 0, -0.04], [0, 0.6, -0.7, 0]]
    m = [[1, 1, 0, 0], [1, 0, 0, 1], [0, 1, 1, 0]]
    g = [[0.1, 0.2, 0.3, 0], [0.01, 0.02, 0.9, 0], [0.5, 0.1, 0.1, 0.4]]
    k = oracle.share(1 / 3, 6)
    plain = [[1, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0]]
    assert oracle.srigl(w, m, g, k, 0.3, 6) == (plain, set())
    ablated = [[1, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 0]]
    assert oracle.srigl(w, m, g, k, 0.9, 6) == (ablated, {1})
    assert oracle.srigl(w, m, g, k, 0.9, 6, last=True) == (plain, set())
    assert oracle.srigl(w, m, g, k, 2.0, 6) == (ablated, {1})  # none reaches 4; ceil(6 / 4) = 2 rows with most stay


def test_srigl_cuts_the_smallest_of_a_full_row() -> None:
    w = [[5, 4, 3], [0.1, 0, 0], [0, 0.2, 0]]
    m = [[1, 1, 1], [1, 0, 0], [0, 1, 0]]  # a start that is not yet constant fan-in
    g = [[0, 0, 0], [0, 1, 3], [2, 0, 0]]
    new, gone = oracle.srigl(w, m, g, 1, 0.3, 5)
    assert gone == set()
    assert new == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]  # fan-in floor(5 / 3) = 1


def test_e7_two_of_four() -> None:
    first = oracle.nm_initial([[0.5, -0.1, 0.2, 0.3, 0, -0.8, 0.2, 0.7]], 2, 4)
    assert first == [[1, 0, 0, 1, 0, 1, 0, 1]]
    new = oracle.nm([[0.5, 0, 0, -0.1]], [[0.3, 0.2, -0.9, 0.4]], [[1, 0, 0, 1]], 2, 4, 0.5)
    assert new == [[1, 0, 1, 0]]
    w, g = [[1, 2, 0, 0], [3, 4, 0, 0]], [[0, 0, 1, 0], [0, 0, 1, 0]]
    new = oracle.nm(w, g, [[1, 1, 0, 0], [1, 1, 0, 0]], 2, 4, 0.3)  # floor(.6) = 0, floor(1.2) = 1: row 0's group alone
    assert new == [[0, 1, 1, 0], [1, 1, 0, 0]]


def test_channel_ties_and_shared_scores() -> None:
    rows = [[1.0, 1.0]] * 4
    full = [[1, 1]] * 4
    assert oracle.channels(rows, full, [[0, 0]] * 4, 2, 0) == [[0, 0], [0, 0], [1, 1], [1, 1]]
    assert oracle.channels(rows, full, [[0, 0]] * 4, 4, 0.5) == full  # dropped and grown again: rows 0 and 1
    assert oracle.tied([[1, 2, 3], [10, 20, 30]]) == [11, 22, 33]


# --- properties over many layers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_budgets_hold_with_many_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 7)), int(rng.integers(1, 9)))
    n_all = oracle.size(shape)
    w, g = (rng.choice([0, 1, -1, 2, -2], n_all).tolist() for _ in range(2))
    n = int(rng.integers(1, n_all + 1))
    m = oracle.random_mask(n_all, n, rng.permutation(n_all).tolist())
    words = rng.permutation(10 * n_all).tolist()
    zeta = float(rng.random())
    masks = {
        "set": oracle.set_step(w, m, zeta, words)[0],
        "signs": oracle.set_step(w, m, zeta, words, signs=True)[0],
        "rigl": oracle.rigl(w, m, g, zeta)[0],
        "exclusive": oracle.rigl(w, m, g, zeta, regrow_dropped=False)[0],
        "mest": oracle.mest_em(w, m, g, 0.5, 0.1, words)[0],
        "chts": oracle.chts(w, m, shape, zeta, 2, words, words)[0],
        "ria": oracle.chts(w, m, shape, zeta, 2, words, words, by_ria=True)[0],
        "cht": oracle.cht([w], [m], [shape], zeta, [words])[0],
        "node": oracle.cht([w], [m], [shape], zeta, [words], "CH2", "node", chain=False)[0],
    }
    assert {name: sum(mask) for name, mask in masks.items()} == dict.fromkeys(masks, n)
    assert oracle.rigl(w, m, [1 + abs(v) if on else 0 for v, on in zip(w, m, strict=True)], zeta)[0] == m


@pytest.mark.parametrize("seed", range(20))
def test_structures_hold_with_many_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = int(rng.integers(1, 6)), int(rng.integers(1, 14))
    w, g = (rng.choice([0, 1, -1, 2, -2], (rows, columns)).tolist() for _ in range(2))
    zeta = float(rng.random())
    m = oracle.nm_initial(w, 2, 4)
    for row in oracle.nm(w, g, m, 2, 4, zeta):
        for group in oracle.nm_groups(columns, 4):
            assert sum(row[j] for j in group) == math.ceil(len(group) / 2)
    fan_in = int(rng.integers(1, columns + 1))
    m = [[j < fan_in for j in range(columns)] for _ in range(rows)]
    n = fan_in * rows
    new, gone = oracle.srigl(w, m, g, oracle.share(zeta, n), float(rng.random()) * 2, n)
    assert {sum(row) for i, row in enumerate(new) if i not in gone} == {min(columns, n // (rows - len(gone)))}
    assert all(not any(new[i]) for i in gone)
    target = int(rng.integers(1, rows + 1))
    assert sum(map(any, oracle.channels(w, m, g, target, zeta))) == target


def test_nan_and_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        oracle.rigl([1, math.nan], [1, 1], [0, 0], 0.5)
    with pytest.raises(ValueError, match="cannot choose 3 of 2"):
        oracle.snip_layer([1, 2], [1, 2], 3)
