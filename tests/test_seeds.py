"""Random streams: the same everywhere, independent by name, blind to global state."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from regrow import seeds


def test_the_first_words_are_those_that_any_numpy_gives() -> None:
    words = [int(seeds.raw(0, "mask", 0, 0, n=3)[i]) for i in range(3)]
    assert words == [0x4FB57F3AF5189FA1, 0x5D02D3B1901EA123, 0xF6D789392A537904]


def test_streams_and_keys_differ() -> None:
    drawn = [tuple(seeds.raw(s, stream, k, n=4)) for s in (0, 1) for stream in seeds.STREAMS for k in (0, 1)]
    assert len(set(drawn)) == len(drawn)


def test_global_generators_are_left_alone() -> None:
    np.random.seed(5)
    torch.manual_seed(5)
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    seeds.permutation(1, "data", 0, n=100)
    seeds.torch_seed(1, "init")
    assert (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before


def test_uniform_numbers_are_inside_the_open_interval() -> None:
    ends = seeds.uniform(np.array([0, 2**64 - 1], dtype=np.uint64))
    assert 0 < ends[0] < ends[1] < 1
    many = seeds.uniform(seeds.raw(3, "noise", n=100_000))
    assert abs(many.mean() - 0.5) < 0.005
    assert abs(many.var() - 1 / 12) < 0.002


def test_a_permutation_is_one() -> None:
    order = seeds.permutation(0, "data", 1, n=1000)
    assert sorted(order) == list(range(1000))
    assert (order != np.arange(1000)).any()


@pytest.mark.parametrize("n", [0, 1, 23, 24, 60])  # from 24 on by vector code
@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 2**63 + 5, 2**64, 2**96 + 3, 2**128 - 1, 2**128, 2**200 + 7])
def test_many_philox_keys_are_those_of_numpys_seed_sequence(seed: int, n: int) -> None:
    last = np.array([0, 1, 2**31, 2**32 - 1, *range(1000, 1056)], np.uint64)[:n]
    for shared in ((), (0,), (7, 2**32 - 1, 3), (1, 2, 3, 4, 5, 6)):
        found = seeds.philox_keys(seed, "noise", *shared, last=last)
        assert found.shape == (n, 2)
        assert found.dtype == np.uint64
        for key, k in zip(found, last.tolist(), strict=True):
            sequence = np.random.SeedSequence(seed, spawn_key=(seeds.STREAMS["noise"], *shared, k))
            assert key.tolist() == sequence.generate_state(2, np.uint64).tolist()


def test_a_key_gives_the_words_of_the_stream() -> None:
    keys = seeds.philox_keys(9, "mask", 4, last=np.arange(30, dtype=np.uint64))
    for k in (0, 29):
        assert np.random.Philox(key=keys[k]).random_raw(9).tolist() == seeds.raw(9, "mask", 4, k, n=9).tolist()
