"""Noise added at a given ratio of the sound's power to its own."""

from __future__ import annotations

import numpy as np

from regrow.corruptions.audio.registry import RATE, AudioCorruption, Waves
from regrow.corruptions.draws import Stream

#: Of severity 1 to 5, in decibels.
_RATIOS = (20.0, 15.0, 10.0, 5.0, 0.0)
_MAINS = 50.0  # Hz


def at_ratio(waves: Waves, noise: Waves, decibels: float) -> Waves:
    """Sounds with noise scaled so that mean power of the sound over that of the noise is the ratio.

    Args:
        waves: (N, L); a silent one stays silent.
        noise: (N, L).
        decibels: the ratio, 10 log10 of it.
    """
    power, own = np.mean(np.square(waves), axis=1), np.mean(np.square(noise), axis=1)
    scale = np.sqrt(power / np.maximum(own, 1e-30) / 10 ** (decibels / 10))
    return np.asarray(waves + scale[:, None] * noise)


def _normal(stream: Stream, length: int, _: float) -> Waves:
    return stream.normal((length,))


def _pink(waves: Waves, draws: Waves, decibels: float) -> Waves:
    """Noise whose power falls as 1 / f, from white noise by its spectrum; nothing at 0 Hz."""
    spectrum = np.fft.rfft(draws, axis=1)
    frequency = np.arange(spectrum.shape[1], dtype=np.float64)
    spectrum[:, 1:] /= np.sqrt(frequency[1:])
    spectrum[:, 0] = 0
    return at_ratio(waves, np.fft.irfft(spectrum, n=waves.shape[1], axis=1), decibels)


def _phases(stream: Stream, length: int, _: float) -> Waves:
    return stream.uniform((5,))


def _hum(waves: Waves, draws: Waves, decibels: float) -> Waves:
    """The mains and its odd harmonics up to the ninth, each of its own phase and half as strong as the one before."""
    turns = _MAINS / RATE * np.arange(waves.shape[1])
    hum = np.zeros_like(waves)
    for number, phase in enumerate(draws.T):
        hum += 0.5**number * np.sin(2 * np.pi * ((2 * number + 1) * turns + phase[:, None]))
    return at_ratio(waves, hum, decibels)


_SIGNAL = "signal-to-noise ratio in dB"
WHITE = AudioCorruption(
    name="white_noise",
    family="noise",
    source="normal noise, equal power at all frequencies",
    words=_SIGNAL,
    settings=_RATIOS,
    apply=at_ratio,
    draw=_normal,
)
PINK = AudioCorruption(
    name="pink_noise",
    family="noise",
    source="normal noise whose power falls as 1 / f",
    words=_SIGNAL,
    settings=_RATIOS,
    apply=_pink,
    draw=_normal,
)
HUM = AudioCorruption(
    name="mains_hum",
    family="noise",
    source="50 Hz and its odd harmonics",
    words=_SIGNAL,
    settings=_RATIOS,
    apply=_hum,
    draw=_phases,
)
