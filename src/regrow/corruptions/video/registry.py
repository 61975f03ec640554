"""What a corruption of clips is, and which there are: every record found in the files of this package."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from regrow.clips import Clip
from regrow.corruptions.registry import Corruption
from regrow.corruptions.video.randomness import Randomness
from regrow.errors import UnknownNameError

Params = Any  # the setting of one severity
Settings = Mapping[int, Params]  # severity -> setting

YI = "Yi et al. 2021, arXiv:2110.06513"
VITTA = "Lin et al. 2023, arXiv:2211.15393"

#: Columns of settings, and where they come from.
COLUMNS = {
    "kinetics": f"Mini Kinetics-C, {YI}",
    "ssv2": f"Mini SSV2-C, {YI}",
    "vitta": f"names of the UCF101 set of ViTTA, {VITTA}; its settings are not published: "
    "a regrow recipe, severity 5 only",
    "imagenet": "the nineteen of ImageNet-C at 224 px, frame by frame; Hendrycks and Dietterich 2019, arXiv:1903.12261",
}

#: What a corruption works on: single frames, all frames of a clip together, or the coded file.
LEVELS = ("frame", "clip", "file")


@dataclass(frozen=True, kw_only=True)
class ClipCorruption:
    """One corruption of clips.

    Attributes:
        name: as in the published set.
        family: ``"noise"``, ``"blur"``, ``"weather"``, ``"digital"``, ``"coding"``, ``"transmission"`` or ``"time"``.
        level: one of ``LEVELS``.
        source: paper and section.
        settings: column of ``COLUMNS`` -> severity -> setting.
        apply: ``(clip, setting, randomness) -> clip``; of level ``"file"`` the new clip has its file as ``content``.
        image: the image corruption that frames are given one by one, where it is one.
        note: what must be said beside its numbers.
    """

    name: str
    family: str
    level: str
    source: str
    settings: Mapping[str, Settings]
    apply: Callable[[Clip, Params, Randomness], Clip]
    image: Corruption | None = None
    note: str = ""

    def __post_init__(self) -> None:
        """Check the record."""
        assert self.level in LEVELS, self.level
        assert set(self.settings) <= set(COLUMNS), f"{self.name}: the columns of settings are {list(COLUMNS)}"


def every(values: Sequence[Params]) -> Settings:
    """Settings of severity 1 to 5."""
    assert len(values) == 5, "five severities"
    return MappingProxyType(dict(enumerate(values, 1)))


@functools.cache
def _records() -> Mapping[tuple[str, str], ClipCorruption]:
    found: dict[tuple[str, str], ClipCorruption] = {}
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            for record in value if isinstance(value, tuple) else (value,):
                if isinstance(record, ClipCorruption):
                    for column in record.settings:
                        key = (column, record.name)
                        assert found.setdefault(key, record) is record, f"two clip corruptions are {key}"
    return MappingProxyType(dict(sorted(found.items())))


def names(column: str = "kinetics") -> list[str]:
    """Names of the corruptions of a column, sorted.

    Raises:
        UnknownNameError: no such column.

    Example:
        >>> "packet_loss" in names(), "frost" in names(), "frost" in names("imagenet")
        (True, False, True)
    """
    if column not in COLUMNS:
        raise UnknownNameError("column", column, COLUMNS, "leave it out for kinetics.")
    return [name for of, name in _records() if of == column]


def get(name: str, column: str = "kinetics") -> ClipCorruption:
    """The record of a corruption in a column.

    Raises:
        UnknownNameError: there is none of that name, or no such column.
    """
    known = names(column)
    if name not in known:
        others = [of for of, other in _records() if other == name]
        hint = f"it is in the column {' and '.join(others)};" if others else f"these are those of {column};"
        raise UnknownNameError("clip corruption", str(name), known, f"{hint} `regrow list clip-corruptions`.")
    return _records()[column, name]
