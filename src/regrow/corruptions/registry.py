"""What a corruption is, and which there are: every record found in the files of this package."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
Draws = Any  # random numbers of a batch: an array or a tuple of arrays, the first axis of each being the image
Params = Any  # the setting of one severity: a float, or a tuple of floats

N_SEVERITIES = 5


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """One corruption: how it draws, how it is applied, and its published settings.

    Attributes:
        name: as in the published sets, e.g. ``"gaussian_noise"``.
        family: ``"noise"``, ``"blur"``, ``"weather"`` or ``"digital"``.
        source: paper and section.
        settings: for each column of ``SCALES`` that was published, the settings of severity 1 to 5.
        apply: ``(images, draws, params) -> images``: uint8 (N, H, W, 3) in and out; pure, and the result of an
            image does not depend on the batch it comes in. ``draws`` is ``None`` where nothing is random.
        draw: ``(stream, shape, params) -> draws``: the random numbers of the stream's images, each of ``shape``
            (H, W, 3); it calls the stream in the published generator's order.
        replay: ``(rng, images, params) -> images``: the published generator's calls of a legacy
            ``numpy.random.RandomState`` in its order, where they are not those of ``draw``.
        prepare: ``(params, assets, side) -> (params, notes)``: adds to a setting what lies in files (frost
            photographs) or libraries, and says what must be said of it.
        benchmark: the set it belongs to: ``"c"`` (ImageNet-C), ``"c-bar"`` or ``"3dcc"``.
        extra: one of the four extra types, which never enter a mean over the fifteen common ones.
        codecs: other encoders that can be asked for by name, and their ``apply``.
        codec: name of the encoder of ``apply``, where one can be chosen.
        needs: the extra of regrow that it takes, e.g. ``"video"``; ``prepare`` refuses where it is not installed.
    """

    name: str
    family: str
    source: str
    settings: Mapping[str, tuple[Params, ...]]
    apply: Callable[[Images, Any, Any], Images]
    draw: Callable[[Stream, Shape, Any], Draws] | None = None
    replay: Callable[[np.random.RandomState, Images, Any], Images] | None = None
    prepare: Callable[[Any, Any, int], tuple[Any, dict[str, str]]] | None = None
    benchmark: str = "c"
    extra: bool = False
    codec: str | None = None
    needs: str = ""
    codecs: Mapping[str, Callable[[Images, Any, Any], Images]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the settings and make them read-only."""
        assert set(self.settings) <= set(SCALES), f"{self.name}: the columns of settings are {sorted(SCALES)}"
        assert self.settings, f"{self.name}: settings are needed"
        assert all(len(column) == N_SEVERITIES for column in self.settings.values()), f"{self.name}: five severities"
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))

    @property
    def is_random(self) -> bool:
        """Whether random numbers are drawn."""
        return self.draw is not None


#: Packages whose modules hold records: this one, and those of other benchmarks.
_ROOMS = ("", ".cbar")


@functools.cache
def _records() -> Mapping[str, Corruption]:
    found: dict[str, Corruption] = {}
    for room in _ROOMS:
        package = importlib.import_module(f"{__package__}{room}")
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if module.ispkg:
                continue
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, Corruption):
                    assert found.setdefault(value.name, value) is value, f"two corruptions are called {value.name}"
    return MappingProxyType(dict(sorted(found.items())))


def benchmarks() -> list[str]:
    """Names of the benchmarks that corruptions belong to.

    Example:
        >>> benchmarks()
        ['3dcc', 'c', 'c-bar']
    """
    return sorted({record.benchmark for record in _records().values()})


def names(benchmark: str | None = "c") -> list[str]:
    """Names of the corruptions of a benchmark, sorted; by default the nineteen of ImageNet-C, ``None``: all.

    Raises:
        UnknownNameError: no such benchmark.

    Example:
        >>> "gaussian_noise" in names(), "plasma_noise" in names(), "plasma_noise" in names("c-bar")
        (True, False, True)
    """
    if benchmark is not None and benchmark not in benchmarks():
        raise UnknownNameError("benchmark", benchmark, benchmarks(), "give one of these.")
    return [name for name, record in _records().items() if benchmark in (None, record.benchmark)]


def get(name: str) -> Corruption:
    """The record of a corruption of any benchmark.

    Raises:
        UnknownNameError: there is none of that name.
    """
    try:
        return _records()[name]
    except (KeyError, TypeError):
        raise UnknownNameError("corruption", str(name), names(None), "`regrow list corruptions`.") from None


def families(benchmark: str | None = "c") -> dict[str, str]:
    """Name of each corruption of a benchmark -> its family."""
    return {name: get(name).family for name in names(benchmark)}


def common_names() -> list[str]:
    """The fifteen common types of ImageNet-C, sorted; the extras are left out."""
    return [name for name in names() if not get(name).extra]
