"""Which frames clips have: closed forms of windows and of temporal segments, at test and in training."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow import seeds
from regrow.data.geometry import Draws
from regrow.data.sampling import Sampling

lengths = st.integers(1, 500)
frames_of_a_clip = st.integers(1, 40)
words = st.integers(0, 2**64 - 1)


@given(length=lengths, frames=frames_of_a_clip, views=st.integers(1, 10))
def test_spread_frames_are_the_middles_of_equal_parts(length: int, frames: int, views: int) -> None:
    """Wang et al. 2016: part k is [k L / T, (k + 1) L / T); a view takes the middle of its own equal share of it."""
    found = Sampling(frames, "uniform", views=views).at_test(length)
    part = Fraction(length, frames)
    slow = [[int(part * k + part * Fraction(2 * v + 1, 2 * views)) for k in range(frames)] for v in range(views)]
    assert found.tolist() == slow
    assert found.dtype == np.int64
    assert 0 <= found.min() <= found.max() < length


def test_spread_frames_have_no_error_of_rounding() -> None:
    """Places that are whole numbers, such as (5 + 1/2) 30 / 11 = 15, may fall short in floating point."""
    for frames, views in itertools.product((1, 2, 3, 5, 6, 7, 8, 10, 12, 15, 16, 24, 32), (1, 2, 3, 5, 10)):
        sampling = Sampling(frames, "uniform", views=views)
        for length in range(1, 200, 1 if views < 3 else 7):
            slow = [
                [length * (2 * (views * k + v) + 1) // (2 * views * frames) for k in range(frames)]
                for v in range(views)
            ]
            assert sampling.at_test(length).tolist() == slow


@given(length=lengths, frames=frames_of_a_clip, word=words)
def test_training_takes_a_frame_of_each_part(length: int, frames: int, word: int) -> None:
    found = Sampling(frames, "uniform").in_training(length, Draws(word))
    part = Fraction(length, frames)
    for k, number in enumerate(found.tolist()):
        # the frame that is shown at some moment of the part
        assert int(part * k) <= number <= min(length - 1, int(part * (k + 1)))
        if part >= 1 and (part * (k + 1)).denominator == 1:
            assert number < part * (k + 1)


def test_training_reaches_every_frame_of_each_part_alike() -> None:
    draws = [Sampling(4, "uniform").in_training(20, Draws(w)) for w in seeds.raw(5, "data", 0, n=4000).tolist()]
    counts = np.stack([np.bincount(column, minlength=20) for column in np.array(draws).T])
    for k, row in enumerate(counts):
        assert set(np.flatnonzero(row)) == set(range(5 * k, 5 * k + 5))
        assert (np.abs(row[5 * k : 5 * k + 5] - 800) < 4 * (4000 * 0.2 * 0.8) ** 0.5).all()


@given(length=lengths, frames=frames_of_a_clip, stride=st.integers(1, 8), views=st.integers(1, 10))
def test_windows_are_evenly_placed_from_end_to_end(length: int, frames: int, stride: int, views: int) -> None:
    sampling = Sampling(frames, "window", stride, views)
    found = sampling.at_test(length)
    assert sampling.span == (frames - 1) * stride + 1
    assert found.shape == (views, frames)
    if length < sampling.span:  # every window starts at the first frame, and the last one stays
        assert found.tolist() == [[min(k * stride, length - 1) for k in range(frames)]] * views
        return
    assert (np.diff(found, axis=1) == stride).all()
    room, starts = length - sampling.span, found[:, 0]
    if views == 1:
        assert abs(2 * starts[0] - room) <= 1  # the middle
    else:
        assert starts[0] == 0
        assert found[-1, -1] == length - 1
        for v, start in enumerate(starts.tolist()):
            assert abs(start - Fraction(v * room, views - 1)) <= Fraction(1, 2)


@given(length=lengths, frames=frames_of_a_clip, stride=st.integers(1, 8), word=words)
def test_training_windows_lie_inside(length: int, frames: int, stride: int, word: int) -> None:
    sampling = Sampling(frames, "window", stride)
    found = sampling.in_training(length, Draws(word))
    if length < sampling.span:
        assert found.tolist() == [min(k * stride, length - 1) for k in range(frames)]
    else:
        assert (np.diff(found) == stride).all()
        assert 0 <= found[0] <= found[-1] < length


@pytest.mark.parametrize(("length", "n_starts"), [(7, 1), (8, 2), (12, 6)])
def test_training_windows_start_everywhere_alike(length: int, n_starts: int) -> None:
    sampling = Sampling(4, "window", 2)
    starts = [sampling.in_training(length, Draws(w))[0] for w in seeds.raw(6, "data", 0, n=3000).tolist()]
    counts = np.bincount(starts)
    assert len(counts) == n_starts
    assert (np.abs(counts - 3000 / n_starts) <= 4 * (3000 / n_starts) ** 0.5).all()
