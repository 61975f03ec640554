"""PRIME's primitives against plain versions in float64, and the whole against the paper's mixture, image by image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage, special

from regrow import seeds
from regrow.data.augmentation import Prime, words
from regrow.data.augmentation.prime import field, filtered, prime, recoloured, temperatures, warped
from regrow.data.augmentation.streams import stream


def close(ours: np.ndarray, exact: np.ndarray) -> None:
    """Ours is the exact value rounded to 8 bits, up to the rounding of float32."""
    assert ours.dtype == np.uint8
    assert np.abs(np.clip(exact, 0, 255) - ours).max() <= 0.5 + 1e-3


def test_filter_equals_torch_s_convolution(pictures: np.ndarray) -> None:
    kernels = np.random.default_rng(0).normal(0, 1, (7, 3, 3))
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).double()
    for i, image in enumerate(filtered(pictures, kernels)):
        weight = torch.from_numpy(kernels[i]).expand(3, 1, 3, 3)
        exact = torch.nn.functional.conv2d(x[i : i + 1], weight, padding=1, groups=3)[0].permute(1, 2, 0).numpy()
        close(image, exact)


def test_a_unit_filter_and_a_zero_colour_function_change_nothing(pictures: np.ndarray) -> None:
    unit = np.zeros((7, 3, 3))
    unit[:, 1, 1] = 1
    assert np.array_equal(filtered(pictures, unit), pictures)
    assert np.array_equal(recoloured(pictures, np.zeros((7, 3, 5))), pictures)
    assert np.array_equal(warped(pictures, np.zeros((7, 20, 24)), np.zeros((7, 20, 24))), pictures)


def test_colour_functions_are_sums_of_sines(pictures: np.ndarray) -> None:
    coefficients = np.random.default_rng(1).normal(0, 0.05, (7, 3, 30))
    c = pictures / 255
    k = np.arange(1, 31)
    exact = c + np.einsum("ick,iyxck->iyxc", coefficients, np.sin(np.pi * k * c[..., None]))
    close(recoloured(pictures, coefficients), 255 * exact)


def test_warp_equals_scipy_s_interpolation(pictures: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    down, right = rng.normal(0, 3, (2, 7, 20, 24))
    y, x = np.mgrid[0:20, 0:24]
    for i, image in enumerate(warped(pictures, down, right)):
        for c in range(3):
            at = [y - down[i], x - right[i]]
            exact = ndimage.map_coordinates(pictures[i, ..., c].astype(float), at, order=1, mode="nearest")
            close(image[..., c], exact)


def test_a_field_is_its_sum_of_modes_and_zero_at_the_border() -> None:
    m, height, width = 4, 7, 9
    c = np.random.default_rng(3).normal(size=(m, m))
    expected = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            for i in range(1, m + 1):
                for j in range(1, m + 1):
                    if i * i + j * j < (m + 0.5) ** 2:
                        wave = np.sin(np.pi * i * column / (width - 1)) * np.sin(np.pi * j * row / (height - 1))
                        expected[row, column] += c[i - 1, j - 1] / np.hypot(i, j) * wave
    made = field(c, height, width)
    assert made == pytest.approx(expected, abs=1e-12)
    assert np.abs(np.concatenate([made[0], made[-1], made[:, 0], made[:, -1]])).max() < 1e-12


@pytest.mark.parametrize(("side", "terms"), [(32, 2), (32, 50), (224, 7)])
def test_the_lowest_temperature_moves_half_a_pixel(side: int, terms: int) -> None:
    """Petrini et al. 2021: the typical displacement is n sqrt(pi T log c) / 2."""
    low, high = temperatures(side, terms)
    assert side * np.sqrt(np.pi * low * np.log(terms)) / 2 == pytest.approx(0.5)
    assert np.pi**3 * terms**2 * high * np.log(terms) / 4 == pytest.approx(1)


def slow(image: np.ndarray, word: np.uint64, settings: Prime, view: int) -> np.ndarray:
    """One image, chain by chain, with the primitives above."""
    uniform = seeds.uniform(stream(word, "prime", view, 255).random_raw(1 + 2 * settings.width))
    m, gaps, lengths = uniform[0], -np.log(uniform[1 : 1 + settings.width]), uniform[1 + settings.width :]
    total = (1 - m) * image
    for chain in range(settings.width):
        current = image[None]
        for place in range(settings.depth or 1 + int(3 * lengths[chain])):
            draws = stream(word, "prime", view, chain, place)
            normal = lambda n, draws=draws: special.ndtri(seeds.uniform(draws.random_raw(n)))  # noqa: E731
            kind = draws.random_raw() % 3
            if kind == 0:
                sd = settings.filter_sd * seeds.uniform(draws.random_raw(1))[0]
                kernel = sd * normal(9).reshape(1, 3, 3)
                kernel[0, 1, 1] += 1
                current = filtered(current, kernel)
            elif kind == 1:
                power, length, start = seeds.uniform(draws.random_raw(3))
                last = 1 + int(length * settings.colour_terms)
                first = 1 + (int(start * last) if settings.colour_band else 0)
                last = min(last, first + (settings.colour_band or last) - 1)
                b = normal(3 * settings.colour_terms).reshape(3, -1) * np.sqrt(settings.colour_power * power)
                b[:, : first - 1] = 0
                b[:, last:] = 0
                current = recoloured(current, b[None])
            else:
                u = seeds.uniform(draws.random_raw(3))
                most = 3 + int(u[0] * (settings.warp_terms - 2))
                terms = 2 + int(special.betaincinv(0.5, 0.5, u[1]) * (most - 1))
                low, high = temperatures(max(image.shape[:2]), terms)
                size = np.sqrt(low + special.betaincinv(0.5, 0.5, u[2]) * max(0, high - low))
                moves = []
                for side in image.shape[:2]:
                    moves.append(size * side * field(normal(terms**2).reshape(terms, terms), *image.shape[:2])[None])
                current = warped(current, *moves)
        total = total + m * gaps[chain] / gaps.sum() * current[0]
    return total


@pytest.mark.parametrize(
    "settings", [Prime(), Prime(2, 4, 1.0, 30, 0.05, 5, 6), Prime(width=1, depth=1, warp_terms=3)], ids=str
)
def test_prime_is_the_paper_s_mixture_image_by_image(pictures: np.ndarray, settings: Prime) -> None:
    own = words(8, 0, 7)
    for image, word, ours in zip(pictures, own, prime(pictures, own, settings, view=1), strict=True):
        close(ours, slow(image, word, settings, 1))


def test_blocks_of_images_leave_no_trace(pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    module = importlib.import_module("regrow.data.augmentation.prime")
    whole = prime(pictures, words(0, 0, 7), Prime())
    monkeypatch.setattr(module, "_BLOCK", 1)
    assert np.array_equal(prime(pictures, words(0, 0, 7), Prime()), whole)


def test_without_filter_and_colour_one_colour_stays_one_colour() -> None:
    plain = np.full((30, 16, 16, 3), (10, 120, 250), np.uint8)
    assert np.array_equal(prime(plain, words(0, 0, 30), Prime(filter_sd=0.0, colour_power=0.0)), plain)


def test_all_primitives_and_depths_occur() -> None:
    kinds, depths = set(), set()
    for word in words(0, 0, 60):
        kinds.add(int(stream(word, "prime", 0, 0, 0).random_raw() % 3))
        depths.add(1 + int(3 * seeds.uniform(stream(word, "prime", 0, 255).random_raw(7))[-1]))
    assert kinds == {0, 1, 2}
    assert depths == {1, 2, 3}
