"""Data sets in their official layouts, held as uint8 arrays; ``cues`` is generated.

    images = regrow.data.load("cifar10", "test", n=2000)     # found, else downloaded
    images = regrow.data.load("cues", "conflict")            # made here in a second

One file in ``sets/`` is one data set: its file name is its name, and its constant ``DATASET`` says all of it. Batches
for training are in ``regrow.data.batches``, and what is done to their images in ``regrow.data.augmentation``: of the
modules here, these alone need torch.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from regrow import files
from regrow.data import sets
from regrow.data.cues import reliance
from regrow.data.spec import DataSet, DataSpec, ImageSet, Options, Progress, Request, check_options
from regrow.errors import InputError, UnknownNameError

__all__ = ["DataSpec", "ImageSet", "find_root", "load", "names", "reliance", "require", "spec", "status"]


def names() -> list[str]:
    """Names of all data sets.

    Example:
        >>> names()
        ['cifar10', 'cifar100', 'cues', 'tiny_imagenet']
    """
    return sorted(module.name for module in pkgutil.iter_modules(sets.__path__) if not module.name.startswith("_"))


def _get(name: str) -> DataSet:
    if name not in names():
        raise UnknownNameError("data set", name, names(), "`regrow list data`.")
    found = importlib.import_module(f"{sets.__name__}.{name}").DATASET
    assert isinstance(found, DataSet)
    return found


def spec(name: str) -> DataSpec:
    """The facts of a data set.

    Raises:
        UnknownNameError: there is no such data set.

    Example:
        >>> spec("cifar10").splits["test"], spec("cifar100").n_classes
        (10000, 100)
    """
    return _get(name).spec


def find_root(given: str | Path | None = None) -> list[Path]:
    """The folders where data is looked for, in order; downloads go to the first, generated images to the last.

    Args:
        given: the user's ``--data-root``, if any.

    Returns:
        The given folder, the one named by the environment variable ``REGROW_DATA``, and ``~/.cache/regrow/data``.
    """
    return files.data_roots(given)


def load(
    name: str,
    split: str,
    *,
    root: str | Path | None = None,
    download: bool = True,
    options: Options | None = None,
    n: int | None = None,
    progress: Progress | None = None,
) -> ImageSet:
    """The images of one split, as one array.

    Args:
        name: a data set of ``names()``.
        split: one of its splits.
        root: folder to search first, see ``find_root``.
        download: fetch official files that are nowhere.
        options: settings of a generated set, over its defaults.
        n: how many images. Of a training set these are the first ``n`` of one fixed random order (the same for
            every seed, so that a smaller set is part of a larger one), else the first ``n`` of the official order. A
            generated set gives any number, the first of which do not depend on ``n``.
        progress: called with (bytes so far, bytes in all) while files are fetched.

    Raises:
        UnknownNameError: no such data set or split.
        InputError: an option or ``n`` that cannot be.
        DataError: files that are missing and could not be fetched, or are damaged.

    Example:
        >>> load("cues", "test", n=20).images.shape
        (20, 32, 32, 3)
    """
    found = _get(name)
    if split not in found.spec.splits:
        raise UnknownNameError("split", split, found.spec.splits, f"take one of these splits of {name!r}.")
    settings = check_options(found.spec, options)
    limit = found.spec.splits[split] if found.fetch else 100_000
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= limit):
        raise InputError(f"n must be a whole number from 1 to {limit} for {name} {split}, got {n!r}.")
    return found.read(Request(split, n, find_root(root), download, settings, progress))


def require(name: str, *, root: str | Path | None = None, progress: Progress | None = None) -> Path:
    """Make sure that a data set lies on this machine, and say where.

    Args:
        name: a data set of ``names()``.
        root: folder to search first and to fill, see ``find_root``.
        progress: called with (bytes so far, bytes in all) while files are fetched.

    Returns:
        Its folder; for a generated set the folder where it is cached when first used.

    Raises:
        UnknownNameError: no such data set.
        DataError: it could not be fetched.
    """
    found = _get(name)
    roots = find_root(root)
    return found.find(roots, None) or (found.fetch(roots, progress) if found.fetch else roots[-1])


def status(root: str | Path | None = None) -> list[dict[str, object]]:
    """What there is of each data set, for ``regrow list data`` and ``regrow doctor``.

    Returns:
        Rows ``name``, ``classes`` (number), ``pixels`` (side), ``splits`` (text, e.g. "train 50000, test 10000"),
        ``found`` (bool: all of it, or generated here), ``where`` (text, empty when nothing is found) and ``note``
        (what is missing and how to get it; else empty).
    """
    roots = find_root(root)
    rows: list[dict[str, object]] = []
    for name in names():
        found = _get(name)
        whole = found.find(roots, None)
        parts = {split: found.find(roots, split) for split in found.spec.splits}
        lacks = [split for split, place in parts.items() if place is None]
        places = dict.fromkeys(str(place) for place in ([whole] if whole else parts.values()) if place)
        note = ""
        if not whole and lacks:
            note = found.spec.hint if len(lacks) == len(parts) else f"lacks {', '.join(lacks)}: {found.spec.hint}"
        rows.append(
            {
                "name": name,
                "classes": found.spec.n_classes,
                "pixels": found.spec.image_size,
                "splits": ", ".join(f"{split} {n}" for split, n in found.spec.splits.items()),
                "found": not lacks,
                "where": ", ".join(places) if found.fetch else "generated when used",
                "note": note,
            }
        )
    return rows
