"""regrow: dynamic sparse training, and how networks stand up to image corruptions.

Names are resolved when first used, so that each door (``regrow.sparsity``, ``regrow.corruptions``) loads alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regrow.corruptions import corrupt
    from regrow.sparsity import SET, Dense, Method, RigL, Sparsifier, Static, attach
    from regrow.study.hub import from_pretrained
    from regrow.study.load import load_study

__version__ = "0.1.0"

_HOME = {
    "attach": "regrow.sparsity",
    "Sparsifier": "regrow.sparsity",
    "Method": "regrow.sparsity",
    "Dense": "regrow.sparsity",
    "Static": "regrow.sparsity",
    "SET": "regrow.sparsity",
    "RigL": "regrow.sparsity",
    "corrupt": "regrow.corruptions",
    "from_pretrained": "regrow.study.hub",
    "load_study": "regrow.study.load",
}

__all__ = [
    "SET",
    "Dense",
    "Method",
    "RigL",
    "Sparsifier",
    "Static",
    "attach",
    "corrupt",
    "from_pretrained",
    "load_study",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        value: object = getattr(importlib.import_module(_HOME[name]), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
