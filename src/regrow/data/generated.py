"""Generated pictures and clips in official layouts, so that recipes run where no real data are at hand.

    generated.write("cifar10", root)               cifar-10-batches-py below root: pickles that every reader knows
    data.load("cifar10", "train", root=root)       read by the code that reads the real set; its caveat says what it is

The same arguments and versions of regrow and its libraries give the same bytes. Contents are those of
``regrow.data.scenes``, files those of ``regrow.data.layouts``; every folder holds a marker, see ``regrow.data.marker``.
Real data are never touched: a folder that is there without a marker, or with files that were not generated, is refused.
"""

from __future__ import annotations

import hashlib
import importlib
import shutil
from pathlib import Path

from regrow import __version__, clips, files
from regrow.data import marker, scenes
from regrow.data.layouts import LAYOUTS, Amounts, Layout
from regrow.data.marker import Marker
from regrow.data.spec import DataSet
from regrow.errors import DataError, InputError, UnknownNameError


def names() -> list[str]:
    """What can be generated.

    Example:
        >>> names()
        ['cifar10', 'cifar100', 'tiny_imagenet', 'imagenet_samples', 'ucf101', 'video', 'clips']
    """
    return list(LAYOUTS)


def possible() -> list[str]:
    """What can be generated with the libraries that are here: clips need PyAV."""
    try:
        has_encoder = "libx264" in clips.encoders()
    except InputError:
        has_encoder = False
    return [name for name, layout in LAYOUTS.items() if has_encoder or layout.what == "pictures"]


def layout_of(name: str) -> Layout:
    """What is generated under a name.

    Raises:
        UnknownNameError: nothing is.
    """
    if name not in LAYOUTS:
        raise UnknownNameError("generated set", name, LAYOUTS, "`regrow data generate --help`.")
    return LAYOUTS[name]


def write(
    name: str,
    root: str | Path,
    *,
    classes: int | None = None,
    train: int | None = None,
    test: int | None = None,
    seed: int = 0,
) -> Path:
    """Write one generated folder: whole or not at all.

    What was generated before by the same arguments is left as it is; by others, it is replaced.

    Args:
        name: one of ``names()``.
        root: data root, made when absent.
        classes: how many classes, the first of the official order (``tiny_imagenet``, ``imagenet_samples``,
            ``ucf101``). Those of UCF101 are first ApplyEyeMakeup, BabyCrawling and SoccerJuggling.
        train: how many training images in all (``cifar10``, ``cifar100``, ``tiny_imagenet``).
        test: how many test images in all, likewise.
        seed: another seed gives other pictures of the same classes.

    Returns:
        The folder.

    Raises:
        UnknownNameError: no such layout.
        InputError: an amount that cannot be, or clips without PyAV.
        DataError: real data are in the way, or the folder cannot be written.
        BusyError: another process is writing it.
    """
    layout, base = layout_of(name), Path(root).expanduser().absolute()
    amounts = _amounts(name, layout, classes, train, test)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed must be a whole number >= 0, got {seed!r}.")
    facts = {"data": layout.data, "layout": name, "version": str(scenes.VERSION), "seed": str(seed)}
    facts |= {key: str(value) for key, value in vars(amounts).items() if value}
    target, aside, is_new_root = base / layout.folder, base / f".generate-{layout.folder}", not base.exists()
    try:
        with files.owned(aside, "the generating in", wait_s=60):
            try:
                if not _is_there(layout, base, facts):
                    _fill(aside / layout.folder, layout, amounts, seed, facts)
                    if target.exists():
                        target.rename(aside / "before")
                    (aside / layout.folder).rename(target)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
                if is_new_root and not any(base.iterdir()):
                    base.rmdir()
    except OSError as error:
        raise DataError(f"{target} cannot be written ({error.strerror}).", "choose another --root.") from None
    return target


def _amounts(name: str, layout: Layout, classes: int | None, train: int | None, test: int | None) -> Amounts:
    fewest, default, most = layout.classes
    n_classes = _whole(name, "classes", classes, default, fewest, most)
    if layout.per_class is None:
        for key, value in (("train", train), ("test", test)):
            if value is not None:
                raise InputError(f"generated {name} has no amount {key!r}.", "leave it out.")
        return Amounts(n_classes)
    chosen = [
        _whole(name, key, value, each * n_classes, n_classes, 1_000_000)
        for key, value, each in zip(("train", "test"), (train, test), layout.per_class, strict=True)
    ]
    if chosen[0] % layout.step:
        raise InputError(f"generated {name} takes a multiple of {layout.step} training images, got {chosen[0]}.")
    return Amounts(n_classes, *chosen)


def _whole(name: str, key: str, given: int | None, default: int, low: int, high: int) -> int:
    if given is None:
        return default
    if isinstance(given, bool) or not isinstance(given, int) or not low <= given <= high:
        raise InputError(f"{key} of generated {name} must be a whole number from {low} to {high}, got {given!r}.")
    return given


def _is_there(layout: Layout, root: Path, facts: dict[str, str]) -> bool:
    """Whether the folder is there as it is wanted.

    Raises:
        DataError: what is there is not generated, or not all of it.
    """
    target = root / layout.folder
    found: DataSet = importlib.import_module(f"regrow.data.sets.{layout.data}").DATASET
    places = {found.find([root], split) for split in (None, *found.spec.splits)} - {None, target}
    for place in sorted(str(place) for place in places):
        raise DataError(f"{place} holds {layout.official}: nothing is generated beside it.", "choose another --root.")
    if not target.exists():
        return False
    before = marker.read(target)
    if before is None:
        raise DataError(
            f"{target} was not generated: it is left as it is.", "choose another --root, or move the folder away."
        )
    if wrong := marker.difference(target, before, missing=False):
        raise DataError(f"{target} is left as it is: {wrong}.", "move that file away, or choose another --root.")
    same = {key: value for key, value in before.facts.items() if key not in ("regrow", "libraries")} == facts
    return same and not marker.difference(target, before)


def _fill(folder: Path, layout: Layout, amounts: Amounts, seed: int, facts: dict[str, str]) -> None:
    """Write the files of a layout into an empty folder, the marker last."""
    shutil.rmtree(folder, ignore_errors=True)
    digests = {}
    for name, content in layout.files(amounts, seed):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        digests[name] = hashlib.sha256(content).hexdigest()
    facts = {**facts, "regrow": __version__, "libraries": _libraries()}
    made = Marker(marker.caveat_of(layout.what, layout.official), facts, digests)
    files.write_text(folder / marker.FILE, made.text())


def _libraries() -> str:
    """Versions of the libraries that the bytes depend on."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in ("numpy", "scipy", "pillow", "av"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:  # PyAV, which clips alone need
            continue
    return ", ".join(found)
