"""The methods: one file is one method, and its file name is its name.

A file defines one public function ``NAME(sparsity, **parts) -> Method`` and sets ``METHOD`` to it. Files whose name
begins with an underscore are not methods. Other packages offer theirs through the entry-point group
``regrow.methods`` (entry name = method name, value = such a function).
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Callable
from typing import cast

from regrow.errors import UnknownNameError
from regrow.sparsity.methods._method import Method

Factory = Callable[..., Method]


@functools.cache
def _foreign() -> dict[str, importlib.metadata.EntryPoint]:
    return {entry.name: entry for entry in importlib.metadata.entry_points(group="regrow.methods")}


def _own() -> frozenset[str]:
    return frozenset(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def names() -> list[str]:
    """Names of all methods, sorted.

    Example:
        >>> {"dense", "rigl", "set", "static"} <= {*names()}
        True
    """
    return sorted(_own() | _foreign().keys())


def get(name: str) -> Factory:
    """The function ``NAME(sparsity, **parts) -> Method`` of a method.

    Raises:
        UnknownNameError: there is no such method.

    Example:
        >>> get("rigl")(0.5).name
        'rigl'
    """
    if name in _own():
        return cast(Factory, importlib.import_module(f"{__name__}.{name}").METHOD)
    if name in _foreign():
        return cast(Factory, _foreign()[name].load())
    raise UnknownNameError("method", name, names())
