"""What a corruption of sounds is, and which there are: every record found in the files of this package."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from regrow.corruptions.draws import Stream
from regrow.corruptions.registry import N_SEVERITIES
from regrow.errors import UnknownNameError

#: Samples a second that all settings are for.
RATE = 8000
Waves = npt.NDArray[np.float64]  # (N, L), full scale is 1
Setting = Any

NOTE = (
    "corruptions of sound are those of regrow at settings of its own, all synthetic: white and pink noise, rooms of "
    "exponential decay, ideal filters and coders without a file; there is no published set, so numbers compare within "
    "this study alone"
)


@dataclass(frozen=True, kw_only=True)
class AudioCorruption:
    """One corruption of sounds.

    Attributes:
        name: what it is.
        family: ``"noise"``, ``"room"``, ``"band"``, ``"level"``, ``"coding"`` or ``"transmission"``.
        source: what it is modelled after.
        words: what the settings are, with their unit.
        settings: of severity 1 to 5.
        apply: ``(waves, draws, setting) -> waves``: pure, and what becomes of a sound does not depend on its batch.
        draw: ``(stream, length, setting) -> draws``: the random numbers of the stream's sounds; None where nothing is
            random.
    """

    name: str
    family: str
    source: str
    words: str
    settings: tuple[Setting, ...]
    apply: Callable[[Waves, Any, Setting], Waves]
    draw: Callable[[Stream, int, Setting], Any] | None = None

    def __post_init__(self) -> None:
        """Check the record."""
        assert len(self.settings) == N_SEVERITIES, f"{self.name}: five severities"


@functools.cache
def _records() -> Mapping[str, AudioCorruption]:
    found: dict[str, AudioCorruption] = {}
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, AudioCorruption):
                assert found.setdefault(value.name, value) is value, f"two corruptions are called {value.name}"
    return MappingProxyType(dict(sorted(found.items())))


def names() -> list[str]:
    """Names of all corruptions of sounds, sorted.

    Example:
        >>> {"white_noise", "reverberation", "low_pass", "clipping", "mu_law"} <= set(names())
        True
    """
    return list(_records())


def get(name: str) -> AudioCorruption:
    """The record of a corruption.

    Raises:
        UnknownNameError: there is none of that name.
    """
    try:
        return _records()[name]
    except (KeyError, TypeError):
        raise UnknownNameError(
            "audio corruption", str(name), names(), "`regrow list audio-corruptions`, or leave the list empty for all."
        ) from None


def families() -> dict[str, str]:
    """Name of each corruption -> its family."""
    return {name: record.family for name, record in _records().items()}
