"""Levels: too loud for the line, or too quiet for its steps."""

from __future__ import annotations

import numpy as np

from regrow.corruptions.audio.registry import AudioCorruption, Waves


def _clip(waves: Waves, _: None, share: float) -> Waves:
    """Samples are held at the level that the given share of them exceeds."""
    limit = np.quantile(np.abs(waves), 1 - share, axis=1, keepdims=True)
    return np.clip(waves, -limit, limit)


def _quieten(waves: Waves, _: None, decibels: float) -> Waves:
    return waves * 10 ** (-decibels / 20)


CLIPPING = AudioCorruption(
    name="clipping",
    family="level",
    source="an overloaded amplifier",
    words="share of samples at the limit",
    settings=(0.02, 0.05, 0.10, 0.20, 0.40),
    apply=_clip,
)
QUIET = AudioCorruption(
    name="quiet",
    family="level",
    source="a speaker far from the microphone; rounding to 16 bits adds its noise",
    words="attenuation in dB",
    settings=(6.0, 12.0, 20.0, 30.0, 40.0),
    apply=_quieten,
)
