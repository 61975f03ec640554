"""What a corruption of texts is, and which there are: every record found in the files of this package."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from regrow.corruptions.registry import N_SEVERITIES
from regrow.errors import UnknownNameError

Texts = npt.NDArray[np.uint8]  # (N, L): UTF-8, zeros after the end
Draws = npt.NDArray[np.float64]  # (N, L, 2): two uniform numbers in (0, 1) for each byte

NOTE = (
    "corruptions of text are those of regrow, after Belinkov and Bisk 2018 (arXiv:1711.02173) and Pruthi et al. 2019 "
    "(arXiv:1905.11268), at rates of its own: there is no published set, so numbers compare within this study alone"
)


@dataclass(frozen=True, kw_only=True)
class TextCorruption:
    """One corruption of texts.

    Attributes:
        name: what it does.
        family: ``"typing"``, ``"order"`` or ``"scan"``.
        source: where it, or its like, was used.
        strikes: what of a text it can strike.
        rates: share of these that it strikes, of severity 1 to 5.
        apply: ``(texts, draws, rate) -> texts``: pure; what becomes of a text depends neither on its batch nor on how
            long its row is, as long as it fits.
    """

    name: str
    family: str
    source: str
    strikes: str
    rates: tuple[float, ...]
    apply: Callable[[Texts, Draws, float], Texts]

    def __post_init__(self) -> None:
        """Check the record."""
        assert len(self.rates) == N_SEVERITIES, f"{self.name}: five severities"
        assert list(self.rates) == sorted(self.rates), f"{self.name}: rates must rise"


@functools.cache
def _records() -> Mapping[str, TextCorruption]:
    found: dict[str, TextCorruption] = {}
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, TextCorruption):
                assert found.setdefault(value.name, value) is value, f"two corruptions are called {value.name}"
    return MappingProxyType(dict(sorted(found.items())))


def names() -> list[str]:
    """Names of all corruptions of texts, sorted.

    Example:
        >>> names()
        ['blot', 'case', 'drop', 'insert', 'keyboard', 'ocr', 'repeat', 'shuffle', 'spacing', 'swap']
    """
    return list(_records())


def get(name: str) -> TextCorruption:
    """The record of a corruption.

    Raises:
        UnknownNameError: there is none of that name.
    """
    try:
        return _records()[name]
    except (KeyError, TypeError):
        raise UnknownNameError(
            "text corruption", str(name), names(), "`regrow list text-corruptions`, or leave the list empty for all."
        ) from None


def families() -> dict[str, str]:
    """Name of each corruption -> its family."""
    return {name: record.family for name, record in _records().items()}
