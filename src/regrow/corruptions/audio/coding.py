"""Coders: companded samples of few bits, and adaptive differences."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from regrow.corruptions.audio.registry import AudioCorruption, Waves

_MU = 255.0


def mu_law(waves: Waves, bits: float) -> Waves:
    """Samples companded by the mu-law (G.711's curve, mu = 255), rounded to 2^bits - 1 levels, and expanded again."""
    steps = 2 ** (bits - 1) - 1
    squeezed = np.sign(waves) * np.log1p(_MU * np.minimum(np.abs(waves), 1)) / np.log1p(_MU)
    rounded = np.rint(squeezed * steps) / steps
    return np.asarray(np.sign(rounded) * np.expm1(np.abs(rounded) * np.log1p(_MU)) / _MU)


class Differences(NamedTuple):
    """A coder of differences.

    Attributes:
        bits: of a code: a sign and the size of the difference in steps.
        passes: times that the sound is coded and decoded in turn.
    """

    bits: int
    passes: int


#: Smallest and largest step, as parts of full scale; and by how much a step grows and shrinks.
_SMALLEST, _LARGEST, _GROWTH, _DECAY = 2.0**-12, 2.0**-2, 1.6, 0.9


def differences(waves: Waves, bits: int) -> Waves:
    """Adaptive differential pulse code: each sample as its difference from the last, in steps that follow the sound.

    A code is a sign and a size k of ``bits - 1`` bits and stands for (k + 1/2) steps; after a code of the upper half
    the next step is larger by 1.6, after another smaller by 0.9 (Jayant 1973, Adaptive quantization with a one-word
    memory, Bell System Technical Journal 52).
    """
    top = 2 ** (bits - 1) - 1
    value, step = np.zeros(len(waves)), np.full(len(waves), _SMALLEST)
    out = np.empty_like(waves)
    for place in range(waves.shape[1]):
        ahead = waves[:, place] - value
        size = np.minimum(np.floor(np.abs(ahead) / step), top)
        value = np.clip(value + np.where(ahead < 0, -1, 1) * (size + 0.5) * step, -1, 1)
        step = np.clip(step * np.where(2 * size >= top, _GROWTH, _DECAY), _SMALLEST, _LARGEST)
        out[:, place] = value
    return out


def _adpcm(waves: Waves, _: None, coder: Differences) -> Waves:
    for _pass in range(coder.passes):
        waves = differences(waves, coder.bits)
    return waves


MU_LAW = AudioCorruption(
    name="mu_law",
    family="coding",
    source="ITU-T G.711, continuous curve, with fewer bits than its eight",
    words="bits of a sample",
    settings=(7, 6, 5, 4, 3),
    apply=lambda waves, _, bits: mu_law(waves, bits),
)
ADPCM = AudioCorruption(
    name="adpcm",
    family="coding",
    source="adaptive differential pulse code, Jayant 1973, as ITU-T G.726 has it, without its predictor",
    words="bits of a sample, times coded",
    settings=(Differences(4, 1), Differences(4, 3), Differences(3, 1), Differences(3, 3), Differences(2, 1)),
    apply=_adpcm,
)
