"""The pure mask update against a slow, plain reference that shares no code with it."""

import hashlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from regrow import seeds
from regrow.errors import InputError, RegrowError
from regrow.sparsity import select
from regrow.sparsity.drop import Magnitude, Signs
from regrow.sparsity.growth import GradientGrowth, RandomGrowth
from regrow.sparsity.initial import RandomMask
from regrow.sparsity.update import Layer, drop_count, largest, rewire, smallest

W = torch.tensor([0.5, -0.1, 0.0, 0.3, 0.0, -0.8, 0.2, 0.0])
M = torch.tensor([1, 1, 0, 1, 0, 1, 1, 0], dtype=torch.bool)
G = torch.tensor([0.1, -0.9, 0.7, 0.05, -0.2, 0.3, 0.6, 0.4])
EXAMPLE = Layer("w", W, M, G, (2, 4), drop_fraction=0.4, key=0, update=1, seed=0)


def at(flags: torch.Tensor) -> set[int]:
    return set(flags.nonzero().flatten().tolist())


# ---- the reference: loops and sorted tuples


def slow_keys(seed: int, stream: int, key: int, number: int, n: int) -> list[int]:
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(stream, key, number))
    return [int(word) for word in np.random.Philox(sequence).random_raw(n)]


def slow_update(w, m, g, zeta, *, growth, drop="magnitude", inclusive=True, seed=0, key=0, number=1):
    """The next mask as a set of flat indices, and the dropped set."""
    active = [i for i in range(len(w)) if m[i]]
    k = math.floor(zeta * len(active) + 1e-9)
    if not inclusive:
        k = min(k, len(w) - len(active))
    if drop == "magnitude":
        dropped = set(sorted(active, key=lambda i: (abs(w[i]), i))[:k])
    else:
        dropped = slow_signs(w, active, k, zeta)
    candidates = [i for i in range(len(w)) if not m[i] or (inclusive and i in dropped)]
    if growth == "gradient":
        grown = sorted(candidates, key=lambda i: (-abs(g[i]), i))[:k]
    else:
        keys = dict(zip(candidates, slow_keys(seed, 2, key, number, len(candidates)), strict=True))
        grown = sorted(candidates, key=lambda i: (keys[i], i))[:k]
    return (set(active) - dropped) | set(grown), dropped


def slow_signs(w, active, k, zeta):
    zeros = [i for i in active if w[i] == 0]
    positive = sorted((i for i in active if w[i] > 0), key=lambda i: (w[i], i))
    negative = sorted((i for i in active if w[i] < 0), key=lambda i: (-w[i], i))
    left = k - min(k, len(zeros))
    if left == 0:
        return set(zeros[:k])
    share = left / (len(positive) + len(negative)) if zeros else zeta
    p, q = share * len(positive), share * len(negative)
    n_p, n_q = math.floor(p + 1e-9), math.floor(q + 1e-9)
    if n_p + n_q < left:
        if p - n_p >= q - n_q - 1e-9:
            n_p += 1
        else:
            n_q += 1
    assert n_p + n_q == left
    return set(zeros[:k]) | set(positive[:n_p]) | set(negative[:n_q])


def random_layer(number: int):
    """One of many layers with many ties: 1 to 4 dimensions, sizes 1 to 5000, any density, weights of five values."""
    rng = np.random.default_rng(number)
    dims = int(rng.integers(1, 5))
    limit = {1: 5000, 2: 70, 3: 17, 4: 8}[dims]
    shape = tuple(int(n) for n in rng.integers(1, limit + 1, dims))
    size = math.prod(shape)
    n_active = int(rng.choice([1, size, *rng.integers(1, size + 1, 3)]))
    mask = np.zeros(size, bool)
    mask[rng.permutation(size)[:n_active]] = True
    weight = np.where(mask, rng.choice([0, 1, -1, 2, -2], size), 0).astype(np.float32)
    gradient = rng.choice([0, 1, -1, 2, -2], size).astype(np.float32)
    return shape, weight, mask, gradient, float(rng.choice([0.0, 0.1, 0.29, 0.3, 0.5, 1.0]))


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("drop", ["magnitude", "signs"])
@pytest.mark.parametrize("growth", ["gradient", "random"])
def test_200_layers_agree_with_the_slow_reference(growth: str, drop: str, inclusive: bool) -> None:
    moved = 0
    for number in range(200):
        shape, weight, mask, gradient, zeta = random_layer(number)
        layer = Layer(
            "layer",
            torch.from_numpy(weight),
            torch.from_numpy(mask),
            torch.from_numpy(gradient),
            shape,
            zeta,
            key=number,
            update=7,
            seed=3,
        )
        drop_part = Magnitude() if drop == "magnitude" else Signs()
        grow_part = GradientGrowth() if growth == "gradient" else RandomGrowth()
        result = rewire(layer, drop_part, grow_part, regrow_dropped=inclusive)
        expected, dropped = slow_update(
            weight.tolist(),
            mask.tolist(),
            gradient.tolist(),
            zeta,
            growth=growth,
            drop=drop,
            inclusive=inclusive,
            seed=3,
            key=number,
            number=7,
        )
        assert at(result.mask) == expected
        assert at(result.dropped) == dropped
        assert len(expected) == mask.sum()
        moved += expected != at(torch.from_numpy(mask))
    assert moved > 80


def test_worked_example() -> None:
    inclusive = rewire(EXAMPLE, Magnitude(), GradientGrowth())
    assert at(inclusive.dropped) == {1, 6}
    assert at(inclusive.mask) == {0, 1, 2, 3, 5}
    assert at(inclusive.dropped & inclusive.grown) == {1}
    assert at(rewire(EXAMPLE, Magnitude(), GradientGrowth(), regrow_dropped=False).mask) == {0, 2, 3, 5, 7}
    assert at(rewire(EXAMPLE, Signs(), GradientGrowth()).dropped) == {1, 6}
    assert at(rewire(EXAMPLE, Magnitude(), RandomGrowth()).grown) == {2, 4}
    other = Layer("w", W, M, G, (2, 4), drop_fraction=0.4, key=0, update=1, seed=1)
    assert at(rewire(other, Magnitude(), RandomGrowth()).grown) == {1, 6}
    assert at(RandomMask()(Layer("w", W, M), 5)) == {0, 1, 3, 5, 7}


def test_signs_drops_the_negatives_closest_to_zero() -> None:
    weight = torch.from_numpy(np.random.default_rng(0).normal(size=1000).astype(np.float32))
    layer = Layer("w", weight, torch.ones(1000, dtype=torch.bool), weight, drop_fraction=0.3)
    dropped = rewire(layer, Signs(), RandomGrowth()).dropped
    assert int(dropped.sum()) == 300
    for side in (weight > 0, weight < 0):
        assert weight[side & dropped].abs().max() < weight[side & ~dropped].abs().min()


def test_streams_are_the_published_words() -> None:
    assert [int(w) for w in seeds.raw(0, "mask", 0, 0, n=3)] == slow_keys(0, 1, 0, 0, 3)
    assert slow_keys(0, 1, 0, 0, 3) == [0x4FB57F3AF5189FA1, 0x5D02D3B1901EA123, 0xF6D789392A537904]
    expected = int.from_bytes(hashlib.sha256(b"fc.weight").digest()[:4], "big")
    assert seeds.name_key("fc.weight") == expected
    drawn = EXAMPLE.draw("growth", 100).numpy()
    words = np.array(slow_keys(0, 2, 0, 1, 100), dtype=np.uint64)
    assert np.argsort(drawn).tolist() == np.argsort(words).tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64])
@given(values=st.lists(st.integers(-4, 4), min_size=1, max_size=40), data=st.data())
def test_selection_is_by_value_then_index(dtype: torch.dtype, values: list[int], data) -> None:
    k = data.draw(st.integers(0, len(values)))
    tensor = torch.tensor(values).to(dtype)
    assert at(smallest(tensor, k)) == set(sorted(range(len(values)), key=lambda i: (values[i], i))[:k])
    assert at(largest(tensor, k)) == set(sorted(range(len(values)), key=lambda i: (-values[i], i))[:k])


def test_the_path_for_accelerators_selects_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.from_numpy(np.random.default_rng(1).integers(-3, 4, 500)).float()
    expected = smallest(values, 123)
    monkeypatch.setattr(select, "_kth_smallest", lambda v, k: torch.cat(v).kthvalue(k).values)
    assert torch.equal(smallest(values, 123), expected)


def test_inputs_are_left_alone_and_nan_is_refused() -> None:
    copies = W.clone(), M.clone(), G.clone()
    rewire(EXAMPLE, Magnitude(), GradientGrowth())
    assert all(torch.equal(a, b) for a, b in zip((W, M, G), copies, strict=True))
    bad = Layer("conv.weight", W.clone().index_fill_(0, torch.tensor([5]), torch.nan), M, G, drop_fraction=0.4)
    for drop in (Magnitude(), Signs()):
        with pytest.raises(RegrowError, match=r"NaN in layer conv\.weight"):
            rewire(bad, drop, RandomGrowth())
    with pytest.raises(InputError, match="needs its dense gradient"):
        rewire(Layer("w", W, M, None, drop_fraction=0.4), Magnitude(), GradientGrowth())


def test_drop_count_is_not_bitten_by_floats() -> None:
    assert [drop_count(z, n) for z, n in ((0.29, 100), (0.3, 9), (1.0, 7), (0.0, 7), (0.1, 9))] == [29, 2, 7, 0, 0]


# ---- relations between runs that need no reference


@given(st.integers(0, 10_000))
def test_relations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = torch.from_numpy(rng.permutation(60) < 25)
    weight = torch.from_numpy(rng.normal(size=60)).float() * mask
    gradient = torch.from_numpy(rng.normal(size=60)).float()

    def grown(w=weight, m=mask, g=gradient, **options) -> torch.Tensor:
        return rewire(Layer("w", w, m, g, (6, 10), 0.4), Magnitude(), GradientGrowth(), **options).mask

    plain = grown()
    rows = torch.from_numpy(rng.permutation(6))

    def turn(x: torch.Tensor) -> torch.Tensor:
        return x.view(6, 10)[rows].flatten()

    assert torch.equal(turn(plain), grown(turn(weight), turn(mask), turn(gradient)))
    assert torch.equal(plain, grown(g=gradient * 8))
    assert torch.equal(plain, grown(w=-weight, g=-gradient))
    assert torch.equal(mask, grown(g=weight))
    dropped = rewire(Layer("w", weight, mask, gradient, (6, 10), 0.4), Magnitude(), GradientGrowth()).dropped
    flat = at(grown(g=torch.ones(60))) - at(mask & ~dropped)
    assert flat == set(sorted(at(~mask | dropped))[:10])
