"""Editing many texts at once: which bytes are what, and putting texts together again when their lengths change."""

from __future__ import annotations

import string
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from regrow.corruptions.text.registry import Texts

Flags = npt.NDArray[np.bool_]
T = TypeVar("T", bound=np.generic)


def _table(characters: str) -> Flags:
    table = np.zeros(256, np.bool_)
    table[list(characters.encode("ascii"))] = True
    return table


_LETTERS, _SPACE = _table(string.ascii_letters), ord(" ")


def letters(texts: Texts) -> Flags:
    """Which bytes are ASCII letters."""
    return np.asarray(_LETTERS[texts])


def spaces(texts: Texts) -> Flags:
    """Which bytes are spaces."""
    return np.asarray(texts == _SPACE)


def following(values: npt.NDArray[T]) -> npt.NDArray[T]:
    """What stands one place further on in each row; zero after the last."""
    out = np.zeros_like(values)
    out[:, :-1] = values[:, 1:]
    return out


def apart(chosen: Flags) -> Flags:
    """Of chosen places in each row those that can be had, from the left, without two of them side by side.

    Example:
        >>> apart(np.array([[True, True, True, False, True]]))[0].tolist()
        [True, False, True, False, True]
    """
    out = chosen.copy()
    for place in range(1, out.shape[1]):
        out[:, place] &= ~out[:, place - 1]
    return out


def rebuilt(parts: Texts, keep: Flags) -> Texts:
    """Texts from what stands in the place of each byte.

    Args:
        parts: uint8 (N, L, K), up to K bytes for each byte.
        keep: which of them there are, bool (N, L, K).

    Returns:
        uint8 (N, L): the kept bytes in order, cut to L, zeros after the end.

    Example:
        >>> parts = np.array([[[97, 98], [99, 0], [0, 0]]], np.uint8)
        >>> rebuilt(parts, parts > 0).tolist()
        [[97, 98, 99]]
    """
    n, length, _ = parts.shape
    flat, kept = parts.reshape(n, -1), keep.reshape(n, -1)
    place = np.cumsum(kept, axis=1) - 1
    row, column = np.nonzero(kept & (place < length))
    out = np.zeros((n, length), np.uint8)
    out[row, place[row, column]] = flat[row, column]
    return out


def doubled(texts: Texts, second: Texts, where: Flags) -> Texts:
    """Texts with a further byte after some of their own.

    Args:
        texts: uint8 (N, L).
        second: what follows each byte, uint8 (N, L).
        where: which bytes are followed by it.
    """
    return rebuilt(np.stack([texts, second], axis=2), np.stack([texts > 0, where], axis=2))
