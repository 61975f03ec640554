"""What a corruption is, and which there are: every record found in the files of this package."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from regrow.corruptions.scales import SCALES
from regrow.errors import UnknownNameError

if TYPE_CHECKING:
    from regrow.corruptions.draws import Stream

Images = npt.NDArray[np.uint8]  # (N, H, W, 3), RGB, C order
Shape = tuple[int, int, int]  # of one image: (H, W, 3)
Draws = npt.NDArray[Any]  # random numbers; of one image, or stacked (N, ...) for a batch
Params = Any  # the setting of one severity: a float, or a tuple of floats

N_SEVERITIES = 5


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """One corruption: how it draws, how it is applied, and its published settings.

    Attributes:
        name: as in the published sets, e.g. ``"gaussian_noise"``.
        family: ``"noise"``, ``"blur"``, ``"weather"`` or ``"digital"``.
        source: paper and section.
        settings: for each column of ``SCALES``, the settings of severity 1 to 5.
        apply: ``(images, draws, params) -> images``: uint8 (N, H, W, 3) in and out; pure, and the result of an
            image does not depend on the batch it comes in. ``draws`` is ``None`` where nothing is random.
        draw: ``(stream, shape, params) -> draws``: the random numbers of ONE image, or ``None``.
        replay: ``(rng, images, params) -> images``: the published generator's calls of a legacy
            ``numpy.random.RandomState`` in its order, where they are not those of ``draw``.
        extra: one of the four extra types, which never enter a mean over the fifteen common ones.
        codec: which encoder made the bytes, where one is involved.
    """

    name: str
    family: str
    source: str
    settings: Mapping[str, tuple[Params, ...]]
    apply: Callable[[Images, Any, Any], Images]
    draw: Callable[[Stream, Shape, Any], Draws] | None = None
    replay: Callable[[np.random.RandomState, Images, Any], Images] | None = None
    extra: bool = False
    codec: str | None = None

    def __post_init__(self) -> None:
        """Check the settings and make them read-only."""
        assert set(self.settings) == set(SCALES), f"{self.name}: settings for {sorted(SCALES)} are needed"
        assert all(len(column) == N_SEVERITIES for column in self.settings.values()), f"{self.name}: five severities"
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))

    @property
    def is_random(self) -> bool:
        """Whether random numbers are drawn."""
        return self.draw is not None


@functools.cache
def _records() -> Mapping[str, Corruption]:
    package = importlib.import_module(__package__)
    found: dict[str, Corruption] = {}
    for module in pkgutil.iter_modules(package.__path__, f"{__package__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Corruption):
                assert found.setdefault(value.name, value) is value, f"two corruptions are called {value.name}"
    return MappingProxyType(dict(sorted(found.items())))


def names() -> list[str]:
    """Names of all corruptions, sorted.

    Example:
        >>> "gaussian_noise" in names()
        True
    """
    return list(_records())


def get(name: str) -> Corruption:
    """The record of a corruption.

    Raises:
        UnknownNameError: there is none of that name.
    """
    try:
        return _records()[name]
    except (KeyError, TypeError):
        raise UnknownNameError("corruption", str(name), names()) from None


def families() -> dict[str, str]:
    """Name of each corruption -> its family."""
    return {name: record.family for name, record in _records().items()}


def common_names() -> list[str]:
    """Those that belong to the fifteen common types of ImageNet-C, sorted; the extras are left out."""
    return [name for name, record in _records().items() if not record.extra]
