"""One example per method that a pencil can check, and densities followed step by step.

The numbers are those of EXAMPLES in oracle.py, with the working beside them; the second half counts paths of small
graphs by brute force and compares a short run of every method whose density falls with its closed form.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from regrow.sparsity import (
    CHT,
    GMP,
    MESTEM,
    MESTEMS,
    NM,
    SET,
    SETITOP,
    SNIP,
    CannistraciHebb,
    Channel,
    CHTs,
    CHTss,
    Constant,
    Every,
    GraNet,
    Layer,
    MagnitudeAtInit,
    Method,
    PulsedDense,
    Rewired,
    RigL,
    RigLITOP,
    Rule,
    SoftBound,
    SRigL,
    Stages,
    Static,
    Uniform,
    attach,
    methods,
)
from regrow.sparsity.hebb import node_scores, path_scores

_SPEC = importlib.util.spec_from_file_location("sparsity_oracle", Path(__file__).with_name("oracle.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
oracle = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(oracle)

Words = Callable[..., None]


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> Words:
    """Sets the words of random streams: ``words(growth=[...], drop=[...])``; others are refused."""

    def give(**streams: Sequence[int]) -> None:
        def of_stream(self: Layer, stream: str, n: int) -> np.ndarray:
            assert n <= len(streams[stream]), f"{n} words of {stream} asked for"
            return np.array(streams[stream][:n], dtype=np.uint64)

        monkeypatch.setattr(Layer, "words", of_stream)

    return give


def example(name: str) -> tuple[dict[str, Any], Any]:
    case = oracle.EXAMPLES[name]
    return case["inputs"], case["expected"]


def layer(w: Any, m: Any = None, g: Any = None, zeta: float = 0.0, name: str = "w", **values: Any) -> Layer:
    weight = torch.tensor(w, dtype=torch.float32)
    mask = torch.ones(weight.shape, dtype=torch.bool) if m is None else torch.tensor(m).bool()
    grad = None if g is None else torch.tensor(g, dtype=torch.float32).reshape(-1)
    shape = values.pop("shape", tuple(weight.shape) if weight.dim() > 1 else (1, weight.numel()))
    return Layer(name, weight.reshape(-1), mask.reshape(-1), grad, shape, zeta, **values)


def update(method: Method, layers: Sequence[Layer], **values: Any) -> list[Rewired]:
    """The method's own step with its own criteria; counts stay unless planned otherwise."""
    given = {"planned": [int(one.mask.count_nonzero()) for one in layers], "progress": 0.5, **values}
    total = given.pop("total", sum(given["planned"]))
    return method.step(layers, Rule(method.drop, method.grow, method.regrow_dropped, total=total, **given))


def at(flags: torch.Tensor) -> set[int]:
    return set(flags.flatten().nonzero().flatten().tolist())


def parts(change: Rewired) -> tuple[list[int], set[int], set[int]]:
    return change.mask.int().tolist(), at(change.dropped), at(change.grown)


def test_every_method_has_its_example() -> None:
    missing = [name for name in methods.names() if name != "dense" and f"test_{name}_by_hand" not in globals()]
    assert missing == []


# ---- masks that stay


def test_static_by_hand(words: Words) -> None:
    # five words, the two smallest are at 1 and 3; no update is ever due
    method = Static(0.6)
    words(mask=[50, 10, 40, 20, 30])
    assert method.initial(layer([1.0] * 5), 2).int().tolist() == [0, 1, 0, 1, 0]
    assert method.timing.window(1000, None).steps() == []


def test_magnitude_by_hand() -> None:
    # the four largest are all in the second layer, but each layer's best is safe: of the others .1 .2 .3 .6 go
    given, expected = example("magnitude")
    assert MagnitudeAtInit(0.5).timing.window(1000, None).steps() == []
    initial: Any = MagnitudeAtInit(0.5).initial
    masks = initial.for_all([layer(w) for w in given["ws"]], [2, 2])
    assert [m.int().tolist() for m in masks] == expected


def test_snip_by_hand() -> None:
    # |w g|: .1 .08 0 .1 | .05 .3 .05; two of seven go, 0 and, of the tie at .05, the lower index
    given, expected = example("snip")
    initial: Any = SNIP(0.3).initial
    layers = [layer(w, g=g) for w, g in zip(given["ws"], given["gs"], strict=True)]
    assert [m.int().tolist() for m in initial.for_all(layers, [3, 2])] == expected


# ---- drop and grow


def test_set_by_hand(words: Words) -> None:
    # |w|: .1 .2 .3 go, at 2 5 0; candidates 0 2 3 5 7 have words 50 10 30 40 20: 2, 7, 3 grow
    given, expected = example("set")
    words(growth=given["words"])
    one = layer(given["w"], given["m"], zeta=given["zeta"])
    assert parts(update(SET(0.25), [one])[0]) == expected


def test_set_original_by_hand(words: Words) -> None:
    # 1.5 of 3 positive and of 3 negative, k = 3: the tie goes to the positive, so .1, .2 and -.4 go
    given, expected = example("set-signs")
    words(growth=given["words"])
    one = layer(given["w"], given["m"], zeta=given["zeta"])
    assert parts(update(SET(0.25, variant="original"), [one])[0]) == expected


def test_set_itop_by_hand(words: Words) -> None:
    # half way .005 + .495 / 2; at 1500, 3000 and 4500 of 6000, for 6000 is the stop; the step is SET's
    method = SETITOP(0.25)
    assert [method.drop_fraction(x) for x in (0.0, 0.5, 1.0)] == pytest.approx([0.5, 0.2525, 0.005])
    assert method.timing.window(6000, None).steps() == [1500, 3000, 4500]
    given, expected = example("set")
    words(growth=given["words"])
    one = layer(given["w"], given["m"], zeta=method.drop_fraction(0.0))
    assert parts(update(method, [one])[0]) == expected


def test_rigl_by_hand() -> None:
    # k = 2: .1 at 1 and .2 at 3 go; |g| of 1 3 4 5 is .9 .1 .5 .2, so 1 returns and 4 is fresh
    given, expected = example("rigl")
    one = layer(given["w"], given["m"], given["g"], given["zeta"])
    change = update(RigL(0.3), [one])[0]
    assert parts(change) == expected
    assert at(change.returned) == {1}
    # only 4 and 5 may grow
    assert parts(update(RigL(0.3, regrow_dropped=False), [one])[0]) == example("rigl-exclusive")[1]


def test_rigl_itop_by_hand() -> None:
    # half way .005 + .495 / 2; at 4000 and 8000 of 12 000; the step is RigL's
    method = RigLITOP(0.3)
    assert [method.drop_fraction(x) for x in (0.0, 0.5, 1.0)] == pytest.approx([0.5, 0.2525, 0.005])
    assert method.timing.window(12_000, None).steps() == [4000, 8000]
    given, expected = example("rigl")
    one = layer(given["w"], given["m"], given["g"], method.drop_fraction(0.0))
    assert parts(update(method, [one])[0]) == expected


def test_mest_em_by_hand(words: Words) -> None:
    # scores .5 .4 .2 .3 (|w| + .5 |g|): 2 and 3 go; candidates 2 .. 7 have words 40 30 60 10 50 20: 5 and 7 grow
    given, expected = example("mest-em")
    words(growth=given["words"])
    for variant, m in (("original", 0.25), ("library", 0.5)):  # k = .25 of all 8, or .5 of 4 active: 2
        step_grad = torch.tensor(given["g"]) * torch.tensor(given["m"])  # what the optimiser saw
        one = layer(given["w"], given["m"], zeta=m, step_grad=step_grad)
        assert parts(update(MESTEM(0.5, lam=0.5, variant=variant), [one])[0]) == expected


def test_mest_ems_by_hand(words: Words) -> None:
    # 6 held; down to .4 * 10 = 4: .1 and .2 go; the margin is .1 now, so one grows: word 10 at 8
    given, expected = example("mest-ems")
    words(growth=given["words"])
    method = MESTEMS(0.6, lam=0.0, variant="original")
    one = layer(given["w"], given["m"], zeta=0.1)
    assert parts(update(method, [one], planned=[4])[0]) == expected
    # the last update grows none
    assert int(update(method, [one], planned=[4], progress=1.0)[0].mask.sum()) == 4
    # 20 weights at density .3 with a margin of .1 hold 8
    assert method.step.held([6], [20], 0.1) == [8]


def test_pulse_by_hand() -> None:
    # at density .5 six of twelve weights would be active, half of those dropped: the three smallest of all, 1 4 and 8;
    # of the second layer, dense at that density, none
    method = PulsedDense(0.5)
    first = layer([0.4, -0.1, 0.3, -0.9, 0.2, 0.8, 0.7, -0.6, 0.15, 1.0, -1.1, 0.5], zeta=0.5)
    second = layer([0.1, 0.2], zeta=0.0)
    changes = update(method, [first, second], planned=[6, 2])
    assert [parts(change) for change in changes] == [([1] * 12, {1, 4, 8}, {1, 4, 8}), ([1, 1], set(), set())]
    assert at(changes[0].pruned) == {1, 4, 8}  # zeroed, not returned with their value
    assert not changes[0].returned.any()
    assert method.step.held([6, 2], [12, 2], 0.5) == [12, 2]


# ---- a falling density


def test_gmp_by_hand() -> None:
    # half way from 1 to .4: .4 + .6 / 8 = .475 of 10 weights is 4.75, so 5; .05 .1 .1 .2 .3 go, and then .4
    given, expected = example("gmp")
    method = GMP(0.6)
    density = method.density(Fraction(1, 2), method.target_density)
    assert density == Fraction(475, 1000)
    layers = [layer(w, m) for w, m in zip(given["ws"], given["ms"], strict=True)]
    due = math.floor(density * 10 + Fraction(1, 2))
    for total, masks in ((due, expected), (4, [[1, 0, 1, 0], [0, 1, 0, 0, 1, 0]])):
        changes = update(method, layers, total=total, falling=True)
        assert [c.mask.int().tolist() for c in changes] == masks
        assert not any(c.grown.any() for c in changes)


def test_granet_by_hand() -> None:
    # 6 to 4: .1 and .2 are pruned; then one of two in each layer: .5 goes and 1, just pruned, comes: fresh;
    # .4 goes and returns with the largest |g|
    given, (masks, between) = example("granet")
    values = zip(given["ws"], given["ms"], given["gs"], strict=True)
    layers = [layer(w, m, g, given["zeta"]) for w, m, g in values]
    changes = update(GraNet(0.5), layers, total=given["n_total"], falling=True)
    assert [c.mask.int().tolist() for c in changes] == masks
    pruned = [c.pruned for c in changes if c.pruned is not None]
    assert [(one.mask & ~gone).int().tolist() for one, gone in zip(layers, pruned, strict=True)] == between
    assert [at(gone) for gone in pruned] == [{1}, {0}]
    assert [at(c.returned) for c in changes] == [set(), {2}]


# ---- Cannistraci-Hebb


def test_cht_by_hand() -> None:
    # .02 .05 .1 go: rows {0,1}, {0,1,2}, {2,3} are left. CH3 in node form, Q = 1 but between rows 2 and 1, where
    # row 1 has one link outside: 1/2. (0,2): 1 + 2, (1,3): 1 + 1, (2,0) and (2,1): 1/2 + 1, (0,3): none.
    # In path form 2, 1, .707, .707, 0: the same order. The lower index of the tie grows.
    given, (expected,) = example("cht")
    one = layer(given["ws"][0], given["ms"][0], zeta=given["zeta"], shape=(3, 4))
    for method in (CHT(0.2), CHT(0.2, grow=CannistraciHebb("CH3", "path"))):
        assert update(method, [one])[0].mask.int().tolist() == expected
    left = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1]]).bool()
    assert node_scores(left, "CH3").tolist() == [[0, 0, 3, 0], [0, 0, 0, 2], [1.5, 1.5, 0, 0]]


def test_cht_s_by_hand(words: Words) -> None:
    # temperature 1 at the start: keys order like s / -ln u, .577 2.78 1.50 .289 .072, so 5 and 8 go (by |w| 3 and 8
    # would); rows {0,1}, {0}, {} are left, only (1,1) has a path; it grows, and of the others the smallest word, 6
    given, expected = example("cht-s")
    words(drop=given["drop_words"], growth=given["grow_words"])
    one = layer(given["w"], given["m"], zeta=given["zeta"], shape=given["shape"], progress=0.0)
    assert parts(update(CHTs(0.4), [one])[0]) == expected


def test_cht_ss_by_hand(words: Words) -> None:
    # half way f = 1/2, the mean of .5 and .1; f(.25) = .047426 and f(0) = .002473: .5 - .4 (-.452574 / .995055 + .5)
    method = CHTss(0.9, start_density=0.5)
    density = [method.density(Fraction(t, 4), method.target_density) for t in range(5)]
    assert [float(d) for d in density] == pytest.approx([0.5, 0.481929, 0.3, 0.118071, 0.1], abs=1e-6)
    assert float(density[2]) == pytest.approx(example("cht-ss")[1])
    # equal words leave the order to the score. Relative importance of 0 1 3 5 6: 1.56 .22 1.33 1.69 1.2, so 1 is
    # pruned; of 4, floor(.25 * 4) = 1 goes: 6. Rows {0,3}, {1} share nothing, so no path: word .1 at 2 grows.
    words(drop=[oracle.word(0.5)] * 5, growth=[oracle.word(u) for u in (0.5, 0.1, 0.9, 0.3, 0.7)])
    one = layer([[0.5, -0.1, 0, 0.3], [0, -0.8, 0.2, 0]], [[1, 1, 0, 1], [0, 1, 1, 0]], zeta=0.25, progress=0.0)
    change = update(method, [one], planned=[4], falling=True)[0]
    assert parts(change) == ([1, 0, 1, 1, 0, 1, 0, 0], {1, 6}, {2})
    assert change.pruned is not None
    assert at(change.pruned) == {1}


# ---- structures


def test_srigl_by_hand() -> None:
    # kept .9 .8 .7 .6; to grow .9 at (2,0) and .3 at (1,2); counts 2 1 3. Limit max(1, .3 * 2): all stay, fan-in 2.
    # Limit .9 * 2: row 1 goes, and 6 weights on 2 rows fill both
    for name in ("srigl", "srigl-ablation"):
        given, (mask, gone) = example(name)
        one = layer(given["w"], given["m"], given["g"], given["k"] / given["n"])
        found = update(SRigL(1 / 3, min_salient=given["gamma"]), [one])[0].mask.view(3, 3)
        assert found.int().tolist() == mask
        assert at(~found.any(1)) == gone


def test_nm_by_hand() -> None:
    # one of two per group: .1 at 1 gives way to 2 (.9), .3 at 5 to 4 (.8); the leftover pair replaces its one: 9 (.6)
    given, expected = example("nm")
    one = layer(given["w"], given["m"], given["g"], given["zeta"])
    assert update(NM(0.5), [one])[0].mask.view(1, -1).int().tolist() == expected


def test_channel_by_hand() -> None:
    # means .5 .1 .4 .3: one of four is too many, one of three is swapped, so 1 and 3 go; sum |g| of 1 3 4: .3 .2 .9
    given, expected = example("channel")
    one = layer(given["w"], given["m"], given["g"], given["zeta"])
    change = update(Channel(0.4), [one], planned=[2 * given["alive_target"]], falling=True)[0]
    assert change.mask.view(5, 2).int().tolist() == expected
    assert change.pruned is not None
    assert at(change.pruned) == {2, 3}  # row 1 is the surplus, row 3 was swapped


# ---- Cannistraci-Hebb scores, by brute force


def brute_paths(graph: np.ndarray, a: int, b: int, index: str) -> float:
    """The definition on the whole graph: rows are nodes 0.., columns follow; every path a - y - x - b by trial."""
    rows, columns = graph.shape
    linked = np.zeros((rows + columns,) * 2, dtype=int)
    linked[:rows, rows:], linked[rows:, :rows] = graph, graph.T
    nodes, b = range(rows + columns), rows + b
    paths = [
        (y, x)
        for y, x in itertools.permutations(nodes, 2)
        if y not in (a, b) and x not in (a, b) and linked[a, y] and linked[y, x] and linked[x, b]
    ]
    community = {z for path in paths for z in path}
    score = 0.0
    for path in paths:
        weight = 1.0
        for z in path:
            inside = sum(linked[z, other] for other in community)
            outside = linked[z].sum() - inside - linked[z, a] - linked[z, b]
            weight *= math.sqrt((1 + inside if index == "CH2" else 1) / (1 + outside))
        score += weight
    return score


def brute_nodes(graph: np.ndarray, a: int, b: int, index: str) -> float:
    """The same for the node form: every neighbour of one end that shares neighbours with the other end."""

    def vouched(links: np.ndarray, a: int, b: int) -> float:
        total = 0.0
        for other in range(len(links)):
            shared = int((links[a] & links[other]).sum())
            if links[other, b] and shared:
                outside = max(int(links[other].sum()) - shared, 1) - 1
                total += (shared + 1 if index == "CH2" else 1) / (1 + outside)
        return total

    return vouched(graph, a, b) + vouched(graph.T, b, a)


def graphs() -> list[np.ndarray]:
    """All graphs of up to 2 x 3 and 3 x 2 nodes, and 200 random ones of at most 8 nodes."""
    found = []
    for rows, columns in itertools.product((1, 2, 3), repeat=2):
        if rows * columns <= 6:
            for bits in itertools.product((False, True), repeat=rows * columns):
                found.append(np.array(bits).reshape(rows, columns))
    rng = np.random.default_rng(0)
    for _ in range(200):
        rows = int(rng.integers(2, 7))
        found.append(rng.random((rows, int(rng.integers(1, 9 - rows)))) < rng.random())
    return found


@pytest.mark.parametrize("index", ["CH2", "CH3"])
def test_hebb_scores_are_those_of_the_definition(index: Any) -> None:
    scored = 0
    for graph in graphs():
        for scores, brute in ((path_scores, brute_paths), (node_scores, brute_nodes)):
            found = scores(torch.from_numpy(graph), index).numpy()
            expected = [[0 if graph[a, b] else brute(graph, a, b, index) for b in range(graph.shape[1])]
                        for a in range(graph.shape[0])]  # fmt: skip
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=0)
            scored += bool(found.any())
    assert scored > 150


# ---- densities, step by step


def follow(method: Method, steps: int = 40) -> list[list[int]]:
    """Active weights of both layers (200 and 100 weights) at the start and after every step of a short run."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = attach(model, optimizer, method, total_steps=steps)
    found = [[int(m.sum()) for m in sparsifier.masks.values()]]
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 10)).square().mean().backward()
        optimizer.step()
        found.append([int(m.sum()) for m in sparsifier.masks.values()])
        weights = [p for p in model.parameters() if p.dim() == 2]
        assert all(int(p.count_nonzero()) <= n for p, n in zip(weights, found[-1], strict=True))
    assert sparsifier.is_final
    return found


EVERY_5 = Every(5, stop=0.75)  # of 40 steps: at 5 10 15 20 25; the last of them meets the final density
FALLING: dict[str, tuple[Method, Callable[[int], float]]] = {
    # d_f + (d_i - d_f)(1 - u / n)^3 after u of n = 5 updates
    "gmp": (GMP(0.8, timing=EVERY_5), lambda u: 0.2 + 0.8 * (1 - u / 5) ** 3),
    "granet": (GraNet(0.8, start_density=0.5, timing=EVERY_5), lambda u: 0.2 + 0.3 * (1 - u / 5) ** 3),
    # the sigmoid through both ends, steepness 6
    "cht_ss": (CHTss(0.8, start_density=0.5, timing=EVERY_5), lambda u: oracle.sigmoid(0.5, 0.2, u, 5)),
}


@pytest.mark.parametrize("name", FALLING)
def test_density_falls_as_the_closed_form_says(name: str) -> None:
    method, density = FALLING[name]
    for step, active in enumerate(follow(method)):
        updates = min(5, step // 5)
        assert sum(active) == math.floor(round(density(updates) * 300, 6) + 0.5)
        if name == "cht_ss":  # every layer by itself
            assert active[0] == pytest.approx(2 * active[1], abs=2)


def test_gmp_of_zero_is_dense_and_prunes_nothing() -> None:
    assert follow(GMP(0.0, timing=EVERY_5)) == [[200, 100]] * 41


def test_mest_holds_its_margin_until_the_last_update() -> None:
    # density .3 plans 60 and 30; the ratio, of all 200 and 100, is .1 before half of the 30 steps and .05 from there:
    # 80 and 40 are held from the start, 70 and 35 from step 15, and from the last update, at 25, the planned ones
    method = MESTEMS(
        0.7,
        allocation=Uniform(),
        timing=EVERY_5,
        drop_fraction=Stages(((0.0, 0.1), (0.5, 0.05))),
        step=SoftBound(soft=True, of="all"),
    )
    assert follow(method) == [[80, 40]] * 15 + [[70, 35]] * 10 + [[60, 30]] * 16


def test_mest_em_keeps_its_numbers() -> None:
    method = MESTEM(0.7, allocation=Uniform(), timing=EVERY_5, drop_fraction=Constant(0.5))
    assert follow(method) == [[60, 30]] * 41
