"""Corrupt sounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from regrow.corruptions.audio import registry
from regrow.corruptions.draws import CounterStream
from regrow.corruptions.inputs import Index, check_index, check_seed, check_severity
from regrow.errors import InputError

#: Sounds worked on at a time.
_CHUNK = 128
_FULL_SCALE = 32768


def corrupt(
    sounds: npt.NDArray[np.int16], name: str, severity: int, *, seed: int = 0, index: Index | None = None
) -> npt.NDArray[np.int16]:
    """Corrupt sounds of 8,000 samples a second.

    Args:
        sounds: int16 (N, L).
        name: which corruption; see ``names``.
        severity: 1 to 5.
        seed: seed of the draws, from the stream of (seed, corruption, severity, number of the sound).
        index: number of each sound in its set; None = 0, 1, 2, ...

    Returns:
        int16 (N, L): rounded to the nearest sample, and cut at full scale.

    Raises:
        InputError: sounds, severity, seed or index that cannot be used.
        UnknownNameError: no such corruption.

    Example:
        >>> tone = (8000 * np.sin(np.arange(8000) / 3)).astype(np.int16)[None]
        >>> loudest = np.abs(corrupt(tone, "clipping", 5)).max()
        >>> bool(loudest < 8000)
        True
    """
    record, level = registry.get(name), check_severity(severity)
    if not isinstance(sounds, np.ndarray) or sounds.dtype != np.int16 or sounds.ndim != 2 or sounds.shape[1] == 0:
        raise InputError(
            f"sounds must be an int16 array (N, L), got {getattr(sounds, 'dtype', type(sounds).__name__)} of shape "
            f"{getattr(sounds, 'shape', '?')}.",
            "bring them to 8,000 samples a second of 16 bits.",
        )
    numbers, start_of, setting = check_index(index, len(sounds)), check_seed(seed), record.settings[level - 1]
    out = np.empty_like(sounds)
    for start in range(0, len(sounds), _CHUNK):
        part = slice(start, start + _CHUNK)
        draws: Any = None
        if record.draw is not None:
            stream = CounterStream(start_of, record.name, level, numbers[part])
            draws = record.draw(stream, sounds.shape[1], setting)
        waves = record.apply(sounds[part] / _FULL_SCALE, draws, setting)
        out[part] = np.clip(np.rint(waves * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1)
    return out
