"""Corruptions of sounds: noise, rooms, narrow bands, overload, coders and lost packets, at the rate of a telephone.

    corrupt(sounds, "reverberation", severity=3)    corrupted copy of samples int16 (N, L), 8,000 a second
    names(), get(name), families()                  what there is
    NOTE                                            what must be said beside numbers that come from them

A corruption is one :class:`~regrow.corruptions.audio.registry.AudioCorruption` in a file of this folder: ``noise``,
``room``, ``band``, ``level``, ``coding`` and ``transmission``, each a family. All are computed here: no recordings of
noise, measured rooms or encoders are needed.
"""

from __future__ import annotations

from regrow.corruptions.audio.cells import corrupt
from regrow.corruptions.audio.registry import NOTE, RATE, AudioCorruption, families, get, names

__all__ = ["NOTE", "RATE", "AudioCorruption", "corrupt", "families", "get", "names"]
