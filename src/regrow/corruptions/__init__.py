"""Image corruptions of ImageNet-C, ImageNet-C-bar and 3DCC, to the byte where the published sets can be reached.

    corrupt(images, "fog", severity=3)     corrupted copy of a batch, layout and type kept
    corrupt_set(images, "fog", 3)          a whole set into one array, in bounded memory
    names(), get(name), families()         what there is; one record a corruption, found by itself
    scale_for(side), choose_scale(side)    which published column of settings fits an image size
    provenance(name, side)                 what must be said beside numbers that come from it

A corruption is one :class:`~regrow.corruptions.registry.Corruption` in a file of this folder or of ``cbar``; a new
record is listed, tested and written without an edit elsewhere.

    draws, quantile      random numbers        choice, cells, inputs    from arguments to a corrupted batch
    gaussian, edges ...  building blocks       kernel                   their compiled forms
    fast                 forms for devices     writer                   sets on the disk; transforms: pipelines

Importing this door loads nothing heavy: scipy, Pillow and torch are imported where they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regrow.corruptions.cells import corrupt, corrupt_set, provenance
    from regrow.corruptions.official import official_md5
    from regrow.corruptions.registry import Corruption, benchmarks, common_names, families, get, names
    from regrow.corruptions.scales import SCALES, Scale, choose_scale, scale_for

__all__ = [
    "SCALES",
    "Corruption",
    "Scale",
    "benchmarks",
    "choose_scale",
    "common_names",
    "corrupt",
    "corrupt_set",
    "families",
    "get",
    "names",
    "official_md5",
    "provenance",
    "scale_for",
]

_HOME = {
    "SCALES": "scales",
    "Scale": "scales",
    "choose_scale": "scales",
    "scale_for": "scales",
    "Corruption": "registry",
    "benchmarks": "registry",
    "common_names": "registry",
    "families": "registry",
    "get": "registry",
    "names": "registry",
    "corrupt": "cells",
    "corrupt_set": "cells",
    "provenance": "cells",
    "official_md5": "official",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        found: object = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
