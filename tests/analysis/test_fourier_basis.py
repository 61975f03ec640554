"""The Fourier basis against its definition: an explicit plane, numpy's inverse transform, one cell after the other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow import analysis

SIDES = st.tuples(st.integers(1, 12), st.integers(1, 12))


def mirror(row: int, column: int, height: int, width: int) -> tuple[int, int]:
    return (
        (height - row) % height if height % 2 == 0 else height - 1 - row,
        (width - column) % width if width % 2 == 0 else width - 1 - column,
    )


def by_definition(row: int, column: int, height: int, width: int) -> np.ndarray:
    """sqrt(HW) Re ifft2 of a plane with (1 + i)/2 at the first of the pair and (1 - i)/2 at its mirror."""
    other = mirror(row, column, height, width)
    plane = np.zeros((height, width), np.complex128)
    if other == (row, column):
        plane[row, column] = 1
    else:
        plane[min((row, column), other)] = (1 + 1j) / 2
        plane[max((row, column), other)] = (1 - 1j) / 2
    image = np.fft.ifft2(np.fft.ifftshift(plane)) * math.sqrt(height * width)
    assert np.abs(image.imag).max() < 1e-15
    return image.real


def of_cells(height: int, width: int) -> np.ndarray:
    """Our image of every cell, (H, W, H, W)."""
    frequencies, place = analysis.distinct_frequencies(height, width)
    return analysis.basis_images(frequencies, height, width)[place]


@settings(max_examples=40, deadline=None)
@given(SIDES)
def test_every_cell_shows_the_image_of_the_definition(sides):
    found = of_cells(*sides)
    for row in range(sides[0]):
        for column in range(sides[1]):
            expected = by_definition(row, column, *sides)
            np.testing.assert_allclose(found[row, column], expected, atol=1e-14)
            np.testing.assert_array_equal(found[row, column], found[mirror(row, column, *sides)])


@settings(max_examples=40, deadline=None)
@given(SIDES)
def test_the_images_have_norm_one_are_real_waves_of_their_frequency_and_span_half_of_all(sides):
    frequencies, place = analysis.distinct_frequencies(*sides)
    flat = analysis.basis_images(frequencies, *sides).reshape(len(frequencies), -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(len(flat)), atol=1e-13)
    assert sorted(np.unique(place)) == list(range(len(frequencies)))
    assert np.bincount(place.ravel()).max() <= 2
    for (u, v), image in zip(frequencies, flat, strict=True):
        power = np.abs(np.fft.fftshift(np.fft.fft2(image.reshape(sides))))
        cell = u + sides[0] // 2, v + sides[1] // 2
        where = {tuple(index) for index in np.argwhere(power > 1e-9)}
        assert where == {cell, mirror(*cell, *sides)}
        assert min(where) == cell


def test_figures_at_32_pixels():
    frequencies, place = analysis.distinct_frequencies(32, 32)
    assert len(frequencies) == 514
    images = analysis.basis_images(frequencies, 32, 32)
    np.testing.assert_allclose((images**2).sum(axis=(1, 2)), 1, atol=1e-14)
    assert place[19, 21] == place[13, 11]
    image = images[place[19, 21]]
    bins = np.argwhere(np.abs(np.fft.fftshift(np.fft.fft2(image))) > 1e-12)
    assert bins.tolist() == [[13, 11], [19, 21]]
    assert image.max() == pytest.approx(0.0441942, abs=5e-8)
    assert image[0, 0] == pytest.approx(0.03125, abs=1e-15)
    for cell in ((16, 16), (0, 16), (0, 0)):
        image = images[place[cell]]
        bins = np.argwhere(np.abs(np.fft.fftshift(np.fft.fft2(image))) > 1e-12)
        assert bins.tolist() == [list(cell)]
        assert image.max() == pytest.approx(0.03125, abs=1e-15)


@settings(max_examples=20, deadline=None)
@given(SIDES, st.integers(0, 5))
def test_the_middle_of_the_plane_has_the_images_of_the_whole(sides, reach):
    size = 2 * min(reach, (min(sides) - 1) // 2) + 1
    whole = of_cells(*sides)
    frequencies, place = analysis.distinct_frequencies(size, size)
    middle = analysis.basis_images(frequencies, *sides)[place]
    top, left = sides[0] // 2 - size // 2, sides[1] // 2 - size // 2
    np.testing.assert_array_equal(middle, whole[top : top + size, left : left + size])


def test_a_large_image_keeps_its_precision():
    image = analysis.basis_images([[-111, -97]], 224, 224)[0]
    expected = by_definition(112 - 111, 112 - 97, 224, 224)
    np.testing.assert_allclose(image, expected, atol=1e-15)
