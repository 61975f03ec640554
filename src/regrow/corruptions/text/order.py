"""Letters out of order: neighbours that changed places, words whose inner letters are shuffled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from regrow.corruptions.text.edits import Flags, apart, following, letters
from regrow.corruptions.text.registry import Draws, TextCorruption, Texts

#: Letters of the shortest word that has two inner ones.
_SHORTEST = 4


def _swap(texts: Texts, draws: Draws, rate: float) -> Texts:
    is_letter = letters(texts)
    first = apart(is_letter & following(is_letter) & (draws[..., 0] < rate))
    out = np.where(first, following(texts), texts)
    out[:, 1:] = np.where(first[:, :-1], texts[:, :-1], out[:, 1:])
    return out


def _shuffle(texts: Texts, draws: Draws, rate: float) -> Texts:
    """Inner letters in the order of their second numbers, where the first number of the word's first letter says so."""
    is_letter, place = letters(texts), np.arange(texts.shape[1])
    before = np.zeros_like(is_letter)
    before[:, 1:] = is_letter[:, :-1]
    start = np.maximum.accumulate(np.where(is_letter & ~before, place, 0), axis=1)  # of the word a letter is in
    end = _last(is_letter)
    struck = np.take_along_axis(draws[..., 0], start, axis=1) < rate
    inner = is_letter & (place > start) & (place < end) & (end - start >= _SHORTEST - 1) & struck
    # inner letters of a word share the place of the first of them, and are told apart by a share of one place
    key = np.where(inner, start + 1 + draws[..., 1], place)
    return np.take_along_axis(texts, np.argsort(key, axis=1, kind="stable"), axis=1)


def _last(is_letter: Flags) -> npt.NDArray[np.int64]:
    """Place of the last letter of the word that each letter is in."""
    length = is_letter.shape[1]
    after = np.zeros_like(is_letter)
    after[:, :-1] = is_letter[:, 1:]
    ends = np.where(is_letter & ~after, np.arange(length), length)
    return np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]


SWAP = TextCorruption(
    name="swap",
    family="order",
    source="as `swap` in Belinkov and Bisk 2018, arXiv:1711.02173, section 3.2",
    strikes="pairs of neighbouring letters, each in the other order",
    rates=(0.02, 0.05, 0.10, 0.15, 0.25),
    apply=_swap,
)
SHUFFLE = TextCorruption(
    name="shuffle",
    family="order",
    source="as `mid` in Belinkov and Bisk 2018, arXiv:1711.02173, section 3.2",
    strikes="words of four letters and more, all but the first and last of each in a random order",
    rates=(0.10, 0.20, 0.40, 0.60, 0.80),
    apply=_shuffle,
)
