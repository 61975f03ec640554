"""The streams of random numbers: pinned, in bounds, of their law, and continued where they stopped."""

import math

import numpy as np
import pytest
from scipy import special, stats

from regrow import seeds
from regrow.corruptions import quantile
from regrow.corruptions.draws import CounterStream, LegacyStream, stack

IDENTITY = (3, "fog", 2)  # seed, corruption, severity


def stream(*index: int) -> CounterStream:
    return CounterStream(*IDENTITY, index or (0, 7, 2**32 - 1))


def words_by_numpy(index: int, count: int) -> list[int]:
    """The words of one image by numpy's own classes, written out."""
    key = (seeds.STREAMS["noise"], seeds.name_key(IDENTITY[1]), IDENTITY[2], index)
    return np.random.Philox(np.random.SeedSequence(IDENTITY[0], spawn_key=key)).random_raw(count).tolist()


def test_numbers_are_pinned():
    """They are part of every seeded result: a change of one of them changes results."""
    one = stream(4)
    assert one.words(2).tolist() == [PINNED_WORDS]
    assert one.integers(-3, 12, (6,)).tolist() == [PINNED_INTEGERS]
    assert one.permutation(8).tolist() == [PINNED_PERMUTATION]
    np.testing.assert_array_equal(one.uniform((2,))[0], PINNED_UNIFORM)
    np.testing.assert_allclose(one.normal((2,))[0], PINNED_NORMAL, rtol=1e-14)
    assert CounterStream(0, "gaussian_noise", 1, [0]).uniform((2,)).tolist() == [PINNED_OF_IMAGE_0]
    np.testing.assert_allclose(
        CounterStream(1, "shot_noise", 5, [9999]).normal((2,)), [PINNED_OF_IMAGE_9999], rtol=1e-14
    )


@pytest.mark.parametrize("n", [3, 40])  # few streams and many are keyed by different code
def test_words_are_those_of_numpys_generator(n):
    index = [0, 7, 2**32 - 1, *range(100, 97 + n)]
    ours = stream(*index)
    taken = np.concatenate([ours.words(count) for count in (3, 1, 4, 0, 6)], axis=1)
    assert taken.tolist() == [words_by_numpy(k, 14) for k in index]


def test_laws_are_made_of_words_as_documented():
    index, count = (0, 7, 2**32 - 1), 9
    words = [words_by_numpy(k, count) for k in index]
    uniform = [[min(((w >> 11) + 0.5) / 2**53, 1 - 2.0**-53) for w in row] for row in words]
    halves = [[half for w in row for half in (w & 0xFFFFFFFF, w >> 32)][: 2 * count - 1] for row in words]
    np.testing.assert_array_equal(stream().uniform((3, 3)).reshape(3, -1), uniform)
    np.testing.assert_allclose(stream().normal((count,)), special.ndtri(uniform), rtol=1e-13)
    for low, high in ((0, 1), (-4, 4), (0, 1000), (0, 2**32)):
        expected = [[low + (half * (high - low) >> 32) for half in row] for row in halves]
        assert stream().integers(low, high, (2 * count - 1,)).tolist() == expected
    ends = np.array([2, 300, 70_000])
    expected = [[5 + (half * (end - 5) >> 32) for half in row] for row, end in zip(halves[1:], ends[1:], strict=True)]
    assert stream(7, 2**32 - 1).integers(5, ends[1:], (2 * count - 1,)).tolist() == expected
    assert stream().permutation(count).tolist() == [sorted(range(count), key=row.__getitem__) for row in words]


@pytest.mark.parametrize("law", ["uniform", "normal"])
def test_a_call_goes_on_where_the_last_one_stopped(law):
    whole, parts = stream(), stream()
    expected = getattr(whole, law)((8,))
    np.testing.assert_array_equal(np.concatenate([getattr(parts, law)((n,)) for n in (3, 5)], axis=1), expected)
    np.testing.assert_array_equal(parts.uniform(), whole.uniform())
    assert parts.uniform().shape == (3,)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_integers_take_whole_words(count):
    """An odd number of them leaves the upper half of the last word unused."""
    ours, plain = stream(), stream()
    ours.integers(0, 9, (count,))
    plain.words((count + 1) // 2)
    np.testing.assert_array_equal(ours.words(3), plain.words(3))


def test_nothing_drawn_takes_nothing():
    ours = stream()
    assert ours.uniform((0, 4)).shape == (3, 0, 4)
    assert ours.integers(0, 5, (0,)).shape == (3, 0)
    np.testing.assert_array_equal(ours.words(5), stream().words(5))
    none = CounterStream(*IDENTITY, [])
    assert none.normal((2, 2)).shape == (0, 2, 2)
    assert none.permutation(4).shape == (0, 4)


@pytest.mark.parametrize(("low", "high", "dtype"), [(0, 5, "int64"), (-4, 4, "int8"), (100, 107, "int64")])
def test_integers_are_equally_likely(low, high, dtype):
    found = CounterStream(11, "glass_blur", 1, range(30)).integers(low, high, (40, 25), dtype)
    assert found.dtype == np.dtype(dtype)
    assert (found.min(), found.max()) == (low, high - 1)
    seen = np.bincount(found.ravel().astype(int) - low, minlength=high - low)
    assert stats.chisquare(seen).pvalue > 1e-4


def test_every_order_of_four_is_equally_likely():
    orders = CounterStream(11, "glass_blur", 1, range(6000)).permutation(4)
    assert (np.sort(orders, axis=1) == np.arange(4)).all()
    _, seen = np.unique(orders, axis=0, return_counts=True)
    assert len(seen) == math.factorial(4)
    assert stats.chisquare(seen).pvalue > 1e-4


def test_uniform_and_normal_numbers_follow_their_laws_and_are_independent():
    ours = CounterStream(1, "gaussian_noise", 1, range(30))
    uniform, normal = ours.uniform((1000,)), ours.normal((1000,))
    assert 0 < uniform.min() < uniform.max() < 1
    assert stats.kstest(uniform.ravel(), "uniform").pvalue > 1e-4
    assert stats.kstest(normal.ravel(), "norm").pvalue > 1e-4
    between = np.corrcoef(np.concatenate([uniform, normal]))[np.triu_indices(60, 1)]
    assert np.abs(between).max() < 5.5 / 1000**0.5  # of images, and of the laws within one


@pytest.mark.parametrize(
    "other",
    [(4, "fog", 2, [7]), (3, "snow", 2, [7]), (3, "fog", 3, [7]), (3, "fog", 2, [8]), (3 + 2**32, "fog", 2, [7])],
)
def test_each_coordinate_changes_the_stream(other):
    assert not np.isin(CounterStream(*other).words(64), stream(7).words(64)).any()


def test_normal_numbers_are_the_inverse_of_their_law_to_the_ends():
    uniform = np.concatenate(
        [np.linspace(0.001, 0.999, 4001), 2.0 ** -np.linspace(1, 53.9, 4001), [2.0**-54, 2.0**-53, 0.5, 1 - 2.0**-53]]
    )
    np.testing.assert_allclose(quantile.normal(uniform), special.ndtri(uniform), rtol=1e-12, atol=2e-15)
    some = np.arange(1, 2**16) / 2**17  # below a half, and with an exact complement
    np.testing.assert_array_equal(quantile.normal(1 - some), -quantile.normal(some))
    steps = quantile.normal(np.arange(1, 2**17) / 2**17)
    assert (np.diff(steps) > 0).all()


def test_a_legacy_stream_calls_the_generator_in_order():
    ours, theirs = LegacyStream(np.random.RandomState(5)), np.random.RandomState(5)
    for _ in range(2):
        np.testing.assert_array_equal(ours.uniform((2, 3))[0], theirs.random_sample((2, 3)))
        np.testing.assert_array_equal(ours.normal((7,))[0], theirs.standard_normal(7))  # odd: one is kept for later
        np.testing.assert_array_equal(ours.integers(-2, 2, (3, 2), "int8")[0], theirs.randint(-2, 2, (3, 2)))
        assert ours.integers(0, np.array([50])).tolist() == [theirs.randint(0, 50)]
        np.testing.assert_array_equal(ours.permutation(6)[0], theirs.permutation(6))
        assert (-45 + 90 * ours.uniform()).tolist() == [theirs.uniform(-45, 45)]
        np.testing.assert_array_equal(0.3 + 0.2 * ours.normal((4,))[0], theirs.normal(0.3, 0.2, 4))
    assert ours.integers(0, 9, (2,), "int8").dtype == np.int8


def test_draws_of_single_images_stack_to_those_of_a_batch():
    both = [(np.ones((1, 2)), np.zeros(1)), (np.full((1, 2), 3.0), np.ones(1))]
    first, second = stack(both)
    assert first.tolist() == [[1, 1], [3, 3]]
    assert second.tolist() == [0, 1]
    assert stack([part[0] for part in both]).tolist() == [[1, 1], [3, 3]]


PINNED_WORDS = [0xC0265AEA9F9F71C4, 0xD7986771CA5CA8A0]
PINNED_INTEGERS = [-2, 1, 1, 11, 0, 7]
PINNED_PERMUTATION = [7, 4, 6, 0, 1, 3, 5, 2]
PINNED_UNIFORM = [0.3100493578755707, 0.28291632000190864]
PINNED_NORMAL = [-0.25370625969222815, -2.9443826505128445]
PINNED_OF_IMAGE_0 = [0.4334295593119644, 0.8469045743216368]
PINNED_OF_IMAGE_9999 = [0.6818475418546649, -1.1620046178997672]
