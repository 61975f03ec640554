"""Slips of typing: a neighbouring key, a key too many, twice or not at all, the wrong case."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from regrow.corruptions.text.edits import doubled, letters, rebuilt
from regrow.corruptions.text.registry import Draws, TextCorruption, Texts

#: Rows of letters of a QWERTY keyboard, and how far each starts to the right, in widths of a key.
_ROWS = (("qwertyuiop", 0.0), ("asdfghjkl", 0.25), ("zxcvbnm", 0.75))
#: Keys are neighbours up to this distance of their middles, in widths of a key.
_REACH = 1.3
_CASE = 0x20  # the bit in which lower and upper case of ASCII differ


def neighbours(letter: str) -> str:
    """The keys around that of a lower-case letter, sorted.

    Example:
        >>> neighbours("s"), neighbours("q")
        ('adewxz', 'aw')
    """
    place = {key: (start + x, y) for y, (keys, start) in enumerate(_ROWS) for x, key in enumerate(keys)}
    return "".join(sorted(key for key in place if key != letter and math.dist(place[key], place[letter]) <= _REACH))


def _keys() -> tuple[Texts, npt.NDArray[np.int64]]:
    """By byte: neighbouring keys, uint8 (256, 6) in the case of the letter, and how many there are, int64 (256,)."""
    table, count = np.zeros((256, 6), np.uint8), np.zeros(256, np.int64)
    for keys, _ in _ROWS:
        for key in keys:
            for written in (key, key.upper()):
                found = neighbours(key)
                found = found.upper() if written.isupper() else found
                table[ord(written), : len(found)] = list(found.encode())
                count[ord(written)] = len(found)
    return table, count


_NEAR, _N_NEAR = _keys()


def _near(texts: Texts, draws: Draws) -> Texts:
    """A neighbouring key for each letter, by its second number; 0 for what is no letter."""
    return _NEAR[texts, (draws[..., 1] * _N_NEAR[texts]).astype(np.int64)]


def _keyboard(texts: Texts, draws: Draws, rate: float) -> Texts:
    return np.where(letters(texts) & (draws[..., 0] < rate), _near(texts, draws), texts)


def _insert(texts: Texts, draws: Draws, rate: float) -> Texts:
    return doubled(texts, _near(texts, draws), letters(texts) & (draws[..., 0] < rate))


def _repeat(texts: Texts, draws: Draws, rate: float) -> Texts:
    return doubled(texts, texts, letters(texts) & (draws[..., 0] < rate))


def _drop(texts: Texts, draws: Draws, rate: float) -> Texts:
    keep = (texts > 0) & ~(letters(texts) & (draws[..., 0] < rate))
    return rebuilt(texts[..., None], keep[..., None])


def _case(texts: Texts, draws: Draws, rate: float) -> Texts:
    return np.where(letters(texts) & (draws[..., 0] < rate), texts ^ np.uint8(_CASE), texts)


_SLIPS = (0.02, 0.05, 0.10, 0.15, 0.25)
_PRUTHI = "as in Pruthi et al. 2019, arXiv:1905.11268, section 3"

KEYBOARD = TextCorruption(
    name="keyboard",
    family="typing",
    source="as `key` in Belinkov and Bisk 2018, arXiv:1711.02173, section 3.2",
    strikes="letters, each replaced by a neighbouring key",
    rates=_SLIPS,
    apply=_keyboard,
)
INSERT = TextCorruption(
    name="insert",
    family="typing",
    source=f"as `add`, {_PRUTHI}",
    strikes="letters, each followed by a neighbouring key",
    rates=_SLIPS,
    apply=_insert,
)
REPEAT = TextCorruption(
    name="repeat",
    family="typing",
    source="a key that bounces; regrow",
    strikes="letters, each typed twice",
    rates=_SLIPS,
    apply=_repeat,
)
DROP = TextCorruption(
    name="drop",
    family="typing",
    source=f"as `drop`, {_PRUTHI}",
    strikes="letters, each left out",
    rates=_SLIPS,
    apply=_drop,
)
CASE = TextCorruption(
    name="case",
    family="typing",
    source="lower for upper case and the reverse; regrow",
    strikes="letters, each in the other case",
    rates=(0.05, 0.10, 0.20, 0.30, 0.50),
    apply=_case,
)
