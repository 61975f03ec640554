"""Allocations: worked examples, published tables, and exact totals for any shapes."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.errors import InputError
from regrow.sparsity.densities import ERK, Uniform, counts, exact_density

SMALL = [(8, 3, 3, 3), (16, 8, 3, 3), (10, 16)]


def resnet18() -> list[tuple[int, ...]]:
    """Weights of ResNet-18 with the stem for 32 px and ten classes, in registration order."""
    shapes: list[tuple[int, ...]] = [(64, 3, 3, 3)]
    width_in = 64
    for width in (64, 128, 256, 512):
        for block in range(2):
            shapes += [(width, width_in, 3, 3), (width, width, 3, 3)]
            if block == 0 and width != 64:
                shapes.append((width, width_in, 1, 1))
            width_in = width
    return [*shapes, (10, 512)]


def allocate(rule, shapes, sparsity, dense=()):
    density = exact_density(sparsity)
    return counts(rule(shapes, density, dense), [math.prod(s) for s in shapes], density)


def test_worked_example() -> None:
    assert allocate(ERK(), SMALL, 0.7) == [108, 190, 160]
    assert allocate(Uniform(), SMALL, 0.7) == [65, 345, 48]
    assert allocate(ERK(), SMALL, 0.5) == [216, 388, 160]
    assert allocate(ERK(), [(4, 3), (3, 4), (2, 3)], 0.5) == [6, 5, 4]
    assert ERK()([(4, 3), (3, 4), (2, 3)], Fraction(1, 2), ())[0] == Fraction(7, 12) * Fraction(15, 19)


def test_resnet18_counts() -> None:
    shapes = resnet18()
    assert len(shapes) == 21
    assert sum(math.prod(s) for s in shapes) == 11_164_352
    half = [1728, *[36864] * 4, 73728, 147456, 8192, 147456, 147456, 294912, 424958, 32768, 424958, 424958]
    half += [634976, 844994, 131072, 844994, 844994, 5120]
    assert allocate(ERK(), shapes, 0.5) == half
    assert sum(half) == 5_582_176
    tenth = [1728, *[17683] * 4, 26128, 34574, 8192, 34574, 34574, 51465, 68356, 32768, 68356, 68356]
    tenth += [102138, 135921, 101611, 135921, 135921, 5120]
    assert allocate(ERK(), shapes, 0.9) == tenth


@pytest.mark.parametrize(
    ("sparsity", "dense", "rest"),
    [
        (0.1, 18, 0.634),
        (0.2, 18, 0.634),
        (0.3, 17, 0.740),
        (0.4, 14, 0.898),
        (0.5, 14, 0.898),
        (0.7, 10, 0.964),
        (0.9, 4, 0.996),
    ],
)
def test_layers_that_erk_keeps_dense_in_resnet18(sparsity: float, dense: int, rest: float) -> None:
    shapes = resnet18()
    sizes = [math.prod(s) for s in shapes]
    full = [n == size for n, size in zip(allocate(ERK(), shapes, sparsity), sizes, strict=True)]
    assert sum(full) == dense
    share = sum(size for size, is_full in zip(sizes, full, strict=True) if not is_full) / sum(sizes)
    assert round(share, 3) == rest


SHAPES = st.lists(st.lists(st.integers(1, 9), min_size=2, max_size=4).map(tuple), min_size=1, max_size=8)


@given(SHAPES, st.integers(0, 99), st.sampled_from([ERK(), Uniform(), ERK(power=0.5)]))
def test_totals_are_exact_and_every_layer_keeps_a_weight(shapes, percent: int, rule) -> None:
    sparsity = percent / 100
    sizes = [math.prod(s) for s in shapes]
    total = (2 * (100 - percent) * sum(sizes) + 100) // 200  # floor(d N + 1/2), in integers
    if total < len(shapes):
        with pytest.raises(InputError, match="active weights for"):
            allocate(rule, shapes, sparsity)
        return
    result = allocate(rule, shapes, sparsity)
    assert sum(result) == total
    assert all(1 <= n <= size for n, size in zip(result, sizes, strict=True))


@given(SHAPES, st.integers(1, 99))
def test_erk_of_power_zero_is_uniform(shapes, percent: int) -> None:
    density = Fraction(percent, 100)
    assert ERK(power=0.0)(shapes, density, ()) == Uniform()(shapes, density, ())


@pytest.mark.parametrize("rule", [ERK(), Uniform()])
def test_layers_kept_dense_count_in_the_total(rule) -> None:
    assert allocate(rule, SMALL, 0.5, dense=[0])[0] == 216
    assert sum(allocate(rule, SMALL, 0.5, dense=[0])) == 764
    with pytest.raises(InputError, match="more than the 153 that may be active"):
        allocate(rule, SMALL, 0.9, dense=[0])


def test_density_is_the_decimal_that_was_written() -> None:
    assert exact_density(0.9) == Fraction(1, 10)
    assert allocate(Uniform(), [(10, 100)], 0.9) == [100]
    assert allocate(Uniform(), [(10, 10)], 0.71) == [29]
