"""Frequencies that are lost: above, below, or in a band."""

from __future__ import annotations

import numpy as np

from regrow.corruptions.audio.registry import RATE, AudioCorruption, Waves
from regrow.corruptions.draws import Stream

#: Half of the width of a filter's edge, in Hz: a cosine from all to nothing.
_EDGE = 50.0
#: Lowest and highest middle of a band that is stopped, in Hz.
_MIDDLES = (500.0, 2500.0)


def gain_above(frequency: Waves, cutoff: Waves | float) -> Waves:
    """Gain of a filter that passes what lies above a cutoff: 1/2 there, 0 and 1 from ``_EDGE`` Hz on either side."""
    place = np.clip((frequency - cutoff) / _EDGE, -1, 1)
    return np.asarray((1 + np.sin(np.pi / 2 * place)) / 2)


def _filtered(waves: Waves, gain: Waves) -> Waves:
    """Sounds with each frequency weighted; padded by their own length, so that the end does not reach the start."""
    length = waves.shape[1]
    return np.fft.irfft(np.fft.rfft(waves, 2 * length, axis=1) * gain, 2 * length, axis=1)[:, :length]


def _frequencies(waves: Waves) -> Waves:
    return np.asarray(np.fft.rfftfreq(2 * waves.shape[1], 1 / RATE), np.float64)


def _low_pass(waves: Waves, _: None, cutoff: float) -> Waves:
    return _filtered(waves, 1 - gain_above(_frequencies(waves), cutoff))


def _high_pass(waves: Waves, _: None, cutoff: float) -> Waves:
    return _filtered(waves, gain_above(_frequencies(waves), cutoff))


def _draw_middle(stream: Stream, length: int, width: float) -> Waves:
    low, high = _MIDDLES
    return low + (high - low) * stream.uniform((1,))


def _band_stop(waves: Waves, draws: Waves, width: float) -> Waves:
    frequency = _frequencies(waves)
    return _filtered(
        waves, 1 - gain_above(frequency, draws - width / 2) * (1 - gain_above(frequency, draws + width / 2))
    )


LOW_PASS = AudioCorruption(
    name="low_pass",
    family="band",
    source="a muffled line",
    words="cutoff in Hz",
    settings=(3000.0, 2200.0, 1500.0, 1000.0, 600.0),
    apply=_low_pass,
)
HIGH_PASS = AudioCorruption(
    name="high_pass",
    family="band",
    source="a small loudspeaker",
    words="cutoff in Hz",
    settings=(300.0, 600.0, 1000.0, 1500.0, 2200.0),
    apply=_high_pass,
)
BAND_STOP = AudioCorruption(
    name="band_stop",
    family="band",
    source="a band of random middle that is missing",
    words="width of the band in Hz",
    settings=(300.0, 600.0, 900.0, 1200.0, 1600.0),
    apply=_band_stop,
    draw=_draw_middle,
)
