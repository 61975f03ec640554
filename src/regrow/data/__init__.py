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
from regrow.data import marker, sets
from regrow.data.cues import reliance
from regrow.data.fileset import FileSet
from regrow.data.on_disk import nominal
from regrow.data.spec import DataSet, DataSpec, ImageSet, Options, Progress, Request, check_options
from regrow.errors import InputError, UnknownNameError

__all__ = [
    "DataSpec",
    "FileSet",
    "ImageSet",
    "default_options",
    "find_root",
    "is_downloaded",
    "load",
    "load_images",
    "names",
    "nominal_spec",
    "reliance",
    "require",
    "require_official",
    "spec",
    "status",
]


def names() -> list[str]:
    """Names of all data sets.

    Example:
        >>> {"cifar10", "imagenet", "ucf101", "image_folder"} <= set(names())
        True
    """
    return sorted(module.name for module in pkgutil.iter_modules(sets.__path__) if not module.name.startswith("_"))


def _get(name: str) -> DataSet:
    if name not in names():
        raise UnknownNameError("data set", name, names(), "`regrow list data`.")
    found = importlib.import_module(f"{sets.__name__}.{name}").DATASET
    assert isinstance(found, DataSet)
    return found


def spec(name: str, options: Options | None = None, root: str | Path | None = None) -> DataSpec:
    """The facts of a data set.

    Args:
        name: a data set of ``names()``.
        options: its settings, over its defaults.
        root: folder to search first, see ``find_root``; sets of files are described by what lies there.

    Raises:
        UnknownNameError: there is no such data set.
        InputError: an option that cannot be.
        DataError: files by which the set is described are missing or do not fit each other.

    Example:
        >>> spec("cifar10").splits["test"], spec("cifar100").n_classes
        (10000, 100)
    """
    found = _get(name)
    settings = check_options(found.spec, options)
    return found.describe(settings, find_root(root)) if found.describe else found.spec


def require_official(name: str) -> None:
    """See that a data set is one that can be got, and not one that lies where a recipe says.

    Raises:
        UnknownNameError: no such data set.
        InputError: a recipe names its folder.
    """
    found = _get(name)
    if _is_named(found):
        raise InputError(f"{name} lies where a recipe says: there is nothing to get.", found.spec.hint)


def default_options(name: str) -> Options:
    """Options that a data set takes, and their defaults.

    Raises:
        UnknownNameError: there is no such data set.
    """
    return _get(name).spec.options


def nominal_spec(name: str, options: Options | None = None) -> DataSpec:
    """The facts of a data set as published, whatever lies on this machine: to plan a study before its data are here.

    Raises:
        UnknownNameError: there is no such data set.
        InputError: an option that cannot be, or a set that has no published facts.
    """
    found = _get(name)
    settings = check_options(found.spec, options)
    if not found.spec.splits:
        raise InputError(f"{name} is known by its files alone, which are not here.", found.spec.hint)
    return nominal(found.spec, settings) if found.describe else found.spec


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
) -> ImageSet | FileSet:
    """The images or clips of one split: an array, or, of sets in folders, files that are decoded when asked for.

    Args:
        name: a data set of ``names()``.
        split: one of its splits.
        root: folder to search first, see ``find_root``.
        download: fetch official files that are nowhere.
        options: settings of the set, over its defaults.
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
    facts = spec(name, options, root)
    if split not in facts.splits:
        raise UnknownNameError("split", split, facts.splits, f"take one of these splits of {name!r}.")
    settings = check_options(found.spec, options)
    limit = facts.splits[split] if found.fetch or found.describe else 100_000
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= limit):
        raise InputError(f"n must be a whole number from 1 to {limit} for {name} {split}, got {n!r}.")
    return found.read(Request(split, n, find_root(root), download, settings, progress))


def load_images(
    name: str,
    split: str,
    *,
    root: str | Path | None = None,
    download: bool = True,
    options: Options | None = None,
    n: int | None = None,
    progress: Progress | None = None,
) -> ImageSet:
    """As ``load``, of sets that are held as arrays alone.

    Raises:
        InputError: the set stays in its files.
    """
    found = load(name, split, root=root, download=download, options=options, n=n, progress=progress)
    if not isinstance(found, ImageSet):
        raise InputError(f"{name} stays in its files: it is no array of images.", "give its folder instead.")
    return found


def is_downloaded(name: str) -> bool:
    """Whether a set can be fetched from the network; others are put in their place by the user.

    Raises:
        UnknownNameError: there is no such data set.
    """
    return _get(name).downloads


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


def _is_named(found: DataSet) -> bool:
    """Whether a recipe names the folder of the set, which has no classes and splits of its own."""
    return found.describe is not None and found.fetch is None


def _where(found: DataSet) -> str:
    return "where the recipe says" if _is_named(found) else "generated when used"


def status(root: str | Path | None = None) -> list[dict[str, object]]:
    """What there is of each data set, for ``regrow list data`` and ``regrow doctor``.

    Returns:
        Rows ``name``, ``classes`` (number), ``pixels`` (side), ``splits`` (text, e.g. "train 50000, test 10000"),
        ``found`` (bool: all of it, or generated here), ``where`` (text, empty when nothing is found; it says
        "generated" of folders that are marked so) and ``note`` (what is missing and how to get it, how a recipe names
        it, and what must be said of generated folders; else empty). Sets that a recipe names have 0 classes and no
        splits of their own.
    """
    roots = find_root(root)
    generated = marker.below(roots)
    rows: list[dict[str, object]] = []
    for name in names():
        found = _get(name)
        whole = found.find(roots, None)
        parts = {split: found.find(roots, split) for split in found.spec.splits}
        lacks = [split for split, place in parts.items() if place is None]
        places = dict.fromkeys(str(place) for place in ([whole] if whole else parts.values()) if place)
        note = found.spec.hint if _is_named(found) else ""
        if not whole and lacks:
            note = found.spec.hint if len(lacks) == len(parts) else f"lacks {', '.join(lacks)}: {found.spec.hint}"
        made = {str(folder): each for folder, each in generated if each.facts.get("data") == name}
        where = list(places) if found.fetch else [_where(found), *made]
        note = "; ".join(filter(None, [note, *(made[place].caveat for place in where if place in made)]))
        rows.append(
            {
                "name": name,
                "classes": found.spec.n_classes,
                "pixels": found.spec.image_size,
                "splits": ", ".join(f"{split} {n}" for split, n in found.spec.splits.items()),
                "found": not lacks,
                "where": ", ".join(f"{place} ({made[place].words()})" if place in made else place for place in where),
                "note": note,
            }
        )
    return rows
