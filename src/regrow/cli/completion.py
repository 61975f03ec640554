"""What the shell completes: names that exist, read without loading a library that is slow to load.

Each function takes what was typed so far and gives the names that begin so. Nothing here loads torch: data
sets are read off the names of their files.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from pathlib import Path

import regrow


def recipes(incomplete: str) -> list[str]:
    """Recipes that ship with the package; files are the shell's own."""
    from regrow.study import recipe

    return _begin(recipe.names(), incomplete)


def data_sets(incomplete: str) -> list[str]:
    """Data sets."""
    return _begin(_files("data", "sets"), incomplete)


def corruptions(incomplete: str) -> list[str]:
    """Corruptions of images, the last of a list by commas."""
    from regrow.corruptions import names

    return _last_of_list(names(None), incomplete)


def kinds(incomplete: str) -> list[str]:
    """What `regrow list` lists."""
    from regrow.cli.listing import KINDS

    return _begin(KINDS, incomplete)


def _files(*folder: str) -> list[str]:
    """Modules of a folder of the package; none is imported."""
    places = [str(Path(place).joinpath(*folder)) for place in regrow.__path__]
    return [module.name for module in pkgutil.iter_modules(places) if not module.name.startswith("_")]


def _begin(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))


def _last_of_list(names: Iterable[str], incomplete: str) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    given = before.split(",")
    return [f"{before}{comma}{name}" for name in _begin(names, last) if name not in given]
