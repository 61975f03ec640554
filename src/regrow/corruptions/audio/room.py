"""Rooms: echoes that decay."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from regrow.corruptions.audio.registry import RATE, AudioCorruption, Waves
from regrow.corruptions.draws import Stream


class Room(NamedTuple):
    """A room and where one stands in it.

    Attributes:
        decay_s: seconds after which echoes are 60 dB weaker (reverberation time).
        direct_db: power of the direct sound over that of all echoes, in decibels.
    """

    decay_s: float
    direct_db: float


def impulse_response(noise: Waves, room: Room) -> Waves:
    """The direct sound and after it normal noise under an exponential decay.

    Args:
        noise: standard normal numbers, (N, K): the echoes before their decay.
        room: how fast and how strong.

    Returns:
        (N, K + 1): 1, then the echoes, whose squares sum to the power that the room says.
    """
    decay = 10 ** (-3 * np.arange(1, noise.shape[1] + 1) / (room.decay_s * RATE))
    echoes = noise * decay
    power = np.sum(np.square(echoes), axis=1, keepdims=True)
    echoes *= np.sqrt(10 ** (-room.direct_db / 10) / np.maximum(power, 1e-30))
    return np.concatenate([np.ones((len(noise), 1)), echoes], axis=1)


def _draw(stream: Stream, length: int, room: Room) -> Waves:
    return stream.normal((min(length, round(room.decay_s * RATE)) - 1,))


def _reverberate(waves: Waves, draws: Waves, room: Room) -> Waves:
    """The sound in the room, brought back to its own power."""
    response = impulse_response(draws, room)
    size = waves.shape[1] + response.shape[1] - 1
    spectrum = np.fft.rfft(waves, size, axis=1) * np.fft.rfft(response, size, axis=1)
    heard = np.fft.irfft(spectrum, size, axis=1)[:, : waves.shape[1]]
    before, after = (np.sqrt(np.mean(np.square(x), axis=1, keepdims=True)) for x in (waves, heard))
    return np.asarray(heard * before / np.maximum(after, 1e-30))


REVERBERATION = AudioCorruption(
    name="reverberation",
    family="room",
    source="normal noise of exponential decay as impulse response; Polack 1988, the statistical model of late echoes",
    words="reverberation time in s, direct-to-reverberant ratio in dB",
    settings=(Room(0.2, 10.0), Room(0.4, 5.0), Room(0.6, 0.0), Room(0.9, -5.0), Room(1.2, -10.0)),
    apply=_reverberate,
    draw=_draw,
)
