"""Random crops and mirrors: the law of torchvision's RandomResizedCrop, windows, and the streams that decide them."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from regrow import seeds
from regrow.data import pictures
from regrow.data.geometry import RATIOS, Draws, enough_for, mirrored, padded_window, resized_crop

WORDS = seeds.raw(11, "data", 0, n=4000)


def test_equal_words_give_equal_numbers_and_others_do_not() -> None:
    def first(word: int) -> list[float]:
        draws = Draws(word)
        return [draws.next() for _ in range(5)]

    high = (1 << 63) + 5
    words = [0, 1, 5, high, high + 1, (1 << 64) - 1, (1 << 64) - 2]
    assert all(first(word) == first(word) for word in words)
    assert len({tuple(first(word)) for word in words}) == len(words)
    assert first(int(np.uint64(high))) == first(high)
    # the documented generator: Philox keyed by (word, 0), read as uniform numbers
    raw = np.random.Philox(key=np.array([high, 0], np.uint64)).random_raw(5)
    assert first(high) == seeds.uniform(raw).tolist()


def test_draws_are_uniform() -> None:
    numbers = np.array([[draws.next() for _ in range(4)] for draws in map(Draws, WORDS.tolist())])
    assert stats.kstest(numbers.ravel(), "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(numbers.T) - np.eye(4)).max() < 4 / len(WORDS) ** 0.5
    for n in (2, 3, 7):
        counts = np.bincount([Draws(word).below(n) for word in WORDS.tolist()], minlength=n)
        assert len(counts) == n
        assert stats.chisquare(counts).pvalue > 1e-3
    between = [Draws(word).between(-2, 5) for word in WORDS.tolist()]
    assert stats.kstest(between, stats.uniform(-2, 7).cdf).pvalue > 1e-3


def windows(width: int, height: int, low: float, high: float) -> np.ndarray:
    """Windows as training draws them: left, top, width, height."""
    rows = []
    for word in WORDS.tolist():
        draws = Draws(word)
        left, top, right, bottom = resized_crop(width, height, draws.between(low, high), draws)
        rows.append((left, top, right - left, bottom - top))
    return np.array(rows)


def torchvisions(width: int, height: int, low: float, high: float) -> np.ndarray:
    from torchvision.transforms import RandomResizedCrop

    image = torch.empty(3, height, width)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        rows = [RandomResizedCrop.get_params(image, [low, high], list(RATIOS)) for _ in WORDS]
    return np.array([(left, top, w, h) for top, left, h, w in rows])


@pytest.mark.parametrize(
    ("size", "share"),
    [
        ((400, 300), (0.08, 0.5)),  # every window fits: the two laws are one
        ((500, 375), (0.35, 0.35)),
        ((300, 500), (0.9, 0.9)),  # most do not: drawn again, or the middle
        ((640, 200), (0.7, 0.7)),
        ((100, 300), (0.5, 0.5)),
    ],
)
def test_windows_have_the_law_of_torchvision(
    libraries: None, size: tuple[int, int], share: tuple[float, float]
) -> None:
    ours, theirs = windows(*size, *share), torchvisions(*size, *share)
    for name, of in {
        "area": lambda w: w[:, 2] * w[:, 3],
        "ratio": lambda w: w[:, 2] / w[:, 3],
        "left": lambda w: w[:, 0] / np.maximum(1, size[0] - w[:, 2]),
        "top": lambda w: w[:, 1] / np.maximum(1, size[1] - w[:, 3]),
    }.items():
        assert stats.ks_2samp(of(ours), of(theirs)).pvalue > 1e-3, name


def test_the_share_of_the_area_stays_uniform_where_windows_do_not_fit() -> None:
    """In this torchvision draws anew, and so prefers small windows; here a picture is decoded for its share."""
    found = windows(400, 400, 0.6, 0.9)
    areas = found[:, 2] * found[:, 3] / 400**2
    assert stats.kstest(areas, stats.uniform(0.6, 0.3).cdf).statistic < 0.03


@settings(max_examples=200, deadline=None)
@given(
    width=st.integers(1, 700),
    height=st.integers(1, 700),
    share=st.floats(0.01, 1),
    word=st.integers(0, 2**64 - 1),
)
def test_a_window_lies_inside_and_has_its_share_and_ratio(width: int, height: int, share: float, word: int) -> None:
    left, top, right, bottom = resized_crop(width, height, share, Draws(word))
    w, h = right - left, bottom - top
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    is_middle = (left, top) == ((width - w) // 2, (height - h) // 2)
    slack = 1 / w + 1 / h  # of rounding to pixels
    assert RATIOS[0] * (1 - slack) <= w / h <= RATIOS[1] * (1 + slack)
    assert abs(w * h / (width * height * share) - 1) <= 2 * slack or is_middle


@pytest.mark.parametrize(
    ("size", "window"),
    [((100, 40), (53, 40)), ((40, 100), (40, 53)), ((60, 50), (60, 50)), ((301, 3), (4, 3))],
)
def test_a_window_that_never_fits_becomes_the_largest_in_the_middle(
    libraries: None, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], window: tuple[int, int]
) -> None:
    from torchvision.transforms import RandomResizedCrop

    left, top, right, bottom = resized_crop(*size, 1.5, Draws(1))  # more than there is never fits
    assert (right - left, bottom - top) == window
    theirs = RandomResizedCrop.get_params(torch.empty(3, *size[::-1]), [1.5, 1.5], list(RATIOS))
    assert (top, left, bottom - top, right - left) == tuple(theirs)


@settings(max_examples=200, deadline=None)
@given(
    width=st.integers(8, 900),
    height=st.integers(8, 900),
    share=st.floats(0.05, 1),
    side=st.integers(4, 224),
    word=st.integers(0, 2**64 - 1),
)
def test_a_picture_decoded_at_a_reduced_size_has_pixels_enough(
    width: int, height: int, share: float, side: int, word: int
) -> None:
    """Where the whole picture has them; `enough_for` is the shorter side, and the JPEG is at least as large."""
    least = enough_for(share, side)
    content = io.BytesIO()
    Image.new("RGB", (width, height)).save(content, "JPEG")
    picture = pictures.open_picture(io.BytesIO(content.getvalue()), least)
    if min(picture.size) < least:
        assert picture.size == (width, height)  # it is too small as it is
        return
    left, top, right, bottom = resized_crop(*picture.size, share, Draws(word))
    assert min(right - left, bottom - top) >= side


@pytest.mark.parametrize(("share", "side"), [(0.08, 32), (0.35, 64), (0.6, 224), (0.9, 7)])
def test_enough_is_enough_for_every_ratio_and_no_more(share: float, side: int) -> None:
    least = enough_for(share, side)
    found = np.array([resized_crop(least, least, share, Draws(word)) for word in WORDS[:1500].tolist()])
    shortest = (found[:, 2:] - found[:, :2]).min()
    assert side <= shortest <= side + 1  # the narrowest window has just as many pixels


def test_windows_of_padded_pictures_are_all_there_are() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(1, 256, (2, 5, 7, 3), dtype=np.uint8)
    around = np.zeros((2, 5 + 4, 7 + 4, 3), np.uint8)
    around[:, 2:7, 2:9] = frames
    every = {around[:, y : y + 5, x : x + 7].tobytes() for y in range(5) for x in range(5)}
    seen = {padded_window(frames, 2, Draws(word)).tobytes() for word in WORDS[:600].tolist()}
    assert seen == every
    alone = padded_window(frames[1], 2, Draws(7))
    np.testing.assert_array_equal(alone, padded_window(frames, 2, Draws(7))[1])  # frames are cut alike


def test_every_second_picture_is_mirrored() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    turned = [np.array_equal(mirrored(image, Draws(word)), image[:, ::-1]) for word in WORDS.tolist()]
    plain = [np.array_equal(mirrored(image, Draws(word)), image) for word in WORDS.tolist()]
    assert turned == [not same for same in plain]
    assert stats.binomtest(sum(turned), len(turned)).pvalue > 1e-3
