"""Errors of optical character recognition: shapes taken for others, spaces lost and gained, characters not read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from regrow.corruptions.text.edits import Flags, apart, following, letters, rebuilt, spaces
from regrow.corruptions.text.registry import Draws, TextCorruption, Texts

#: What looks alike in print: a character, and the one or two that it is taken for.
CONFUSIONS = {
    "l": ("1", "I"),
    "I": ("l", "1"),
    "1": ("l", "I"),
    "i": ("l", "j"),
    "O": ("0", "Q"),
    "0": ("O",),
    "o": ("c", "0"),
    "e": ("c", "o"),
    "c": ("e", "o"),
    "a": ("o",),
    "S": ("5",),
    "5": ("S",),
    "s": ("5",),
    "B": ("8",),
    "8": ("B",),
    "Z": ("2",),
    "2": ("Z",),
    "g": ("9", "q"),
    "h": ("b", "li"),
    "b": ("h", "6"),
    "n": ("ri", "u"),
    "u": ("n", "ii"),
    "m": ("rn",),
    "w": ("vv",),
    "d": ("cl",),
    "t": ("f",),
    "f": ("t",),
    ".": (",",),
    ",": (".",),
}
#: Two characters that are taken for one.
JOINED = {"rn": "m", "cl": "d", "vv": "w", "li": "h", "ii": "u", "ri": "n"}
_ILLEGIBLE = np.frombuffer(b"~*.'", np.uint8)
#: Letters are parted by a space so many times as rarely as a space is lost.
_PARTED = 10


def _tables() -> tuple[Texts, npt.NDArray[np.int64], Texts]:
    """By byte: what it is taken for, uint8 (256, 2, 2), and how many forms; by two bytes: what both are taken for."""
    table, count, joined = np.zeros((256, 2, 2), np.uint8), np.zeros(256, np.int64), np.zeros((256, 256), np.uint8)
    for one, forms in CONFUSIONS.items():
        count[ord(one)] = len(forms)
        for number, form in enumerate(forms):
            table[ord(one), number, : len(form)] = list(form.encode())
    for two, form in JOINED.items():
        joined[ord(two[0]), ord(two[1])] = ord(form)
    return table, count, joined


_FORMS, _N_FORMS, _JOINED = _tables()


def _ocr(texts: Texts, draws: Draws, rate: float) -> Texts:
    struck = draws[..., 0] < rate
    both = _JOINED[texts, following(texts)]
    first = apart(struck & (both > 0))
    second: Flags = np.zeros_like(first)
    second[:, 1:] = first[:, :-1]
    form = _FORMS[texts, (draws[..., 1] * _N_FORMS[texts]).astype(np.int64)]
    alone = struck & (_N_FORMS[texts] > 0) & ~first & ~second
    parts = np.where(alone[..., None], form, np.stack([texts, np.zeros_like(texts)], axis=2))
    parts[..., 0] = np.where(first, both, parts[..., 0])
    return rebuilt(parts, (parts > 0) & ~second[..., None])


def _spacing(texts: Texts, draws: Draws, rate: float) -> Texts:
    is_letter = letters(texts)
    lost = spaces(texts) & (draws[..., 0] < rate)
    gained = is_letter & following(is_letter) & (draws[..., 0] < rate / _PARTED)
    parts = np.stack([texts, np.full_like(texts, ord(" "))], axis=2)
    return rebuilt(parts, np.stack([(texts > 0) & ~lost, gained], axis=2))


def _blot(texts: Texts, draws: Draws, rate: float) -> Texts:
    mark = _ILLEGIBLE[(draws[..., 1] * len(_ILLEGIBLE)).astype(np.int64)]
    return np.where(letters(texts) & (draws[..., 0] < rate), mark, texts)


OCR = TextCorruption(
    name="ocr",
    family="scan",
    source="shapes that are confused in print; the table is regrow's",
    strikes="characters, and pairs of them, that look like others",
    rates=(0.03, 0.08, 0.15, 0.25, 0.40),
    apply=_ocr,
)
SPACING = TextCorruption(
    name="spacing",
    family="scan",
    source="words run together and torn apart; regrow",
    strikes="spaces, each lost; and a tenth as often pairs of letters, parted by one",
    rates=(0.05, 0.10, 0.20, 0.40, 0.70),
    apply=_spacing,
)
BLOT = TextCorruption(
    name="blot",
    family="scan",
    source="characters that cannot be read; regrow",
    strikes="letters, each replaced by a mark",
    rates=(0.02, 0.05, 0.10, 0.20, 0.30),
    apply=_blot,
)
