"""Noise on training images against the normal distribution, and an order of repeats against timm's sampler."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.data.augmentation import GaussianNoise, repeated, words
from regrow.data.augmentation.noise import add_noise
from regrow.data.augmentation.streams import stream


def test_pixels_are_moved_by_normal_quantiles_and_rounded() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 5, 7, 3), dtype=np.uint8)
    word = words(3, 0, 1)
    raw = stream(word[0], "noise", 0).random_raw(1 + -(-105 // 4))[1:]
    bits = [int(one) >> shift & 0xFFFF for one in raw for shift in (0, 16, 32, 48)][:105]
    z = np.array([NormalDist().inv_cdf((b + 0.5) / 65536) for b in bits]).reshape(5, 7, 3)
    exact = np.clip(image[0] + 255 * 0.2 * z, 0, 255)
    assert np.abs(add_noise(image, word, GaussianNoise(0.2))[0] - exact).max() <= 0.5 + 1e-4


def test_noise_has_the_standard_deviation_of_a_normal_rounded_to_whole_numbers() -> None:
    grey = np.full((40, 32, 32, 3), 128, np.uint8)
    noise = add_noise(grey, words(0, 0, 40), GaussianNoise(0.05)).astype(float) - 128
    n = noise.size
    assert noise.std() == pytest.approx(np.sqrt(12.75**2 + 1 / 12), rel=4 / np.sqrt(2 * n))
    assert abs(noise.mean()) < 4 * 12.75 / np.sqrt(n)
    frames = noise.reshape(40, -1)
    assert np.abs(np.corrcoef(frames[0], frames[1])[0, 1]) < 4 / np.sqrt(3072)


def test_a_share_of_the_images_gets_noise() -> None:
    grey = np.full((400, 4, 4, 3), 128, np.uint8)
    noisy = (add_noise(grey, words(0, 0, 400), GaussianNoise(0.5, share=0.3)) != 128).any((1, 2, 3))
    assert noisy.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 400))


@given(n=st.integers(1, 60), repeats=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_an_epoch_of_repeats_has_as_many_places_and_a_share_of_the_images(n: int, repeats: int) -> None:
    order = np.random.default_rng(n).permutation(n)
    made = repeated(order, repeats)
    assert len(made) == n
    shown, copies = np.unique(made, return_counts=True)
    assert len(shown) == -(-n // repeats)
    assert sorted(copies)[1:] == [repeats] * (len(shown) - 1)
    assert np.array_equal(repeated(order, 1), order)


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize(("n", "repeats"), [(50, 3), (48, 3), (31, 2), (9, 4)])
def test_repeats_are_those_of_timm_s_sampler(n: int, repeats: int) -> None:
    from timm.data.distributed_sampler import RepeatAugSampler

    sampler = RepeatAugSampler(range(n), num_replicas=1, rank=0, shuffle=False, num_repeats=repeats, selected_round=0)
    assert list(sampler) == repeated(np.arange(n), repeats).tolist()
