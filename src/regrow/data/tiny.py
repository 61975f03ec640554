"""Tiny ImageNet in its official layout: ``train/WNID/images/*.JPEG``, and ``val`` as the test split.

A copy that lacks some images is read as it is, whole classes and all; ``status`` says how many there are. Decoded
pixels are kept in a cache beside the generated sets, under a name made of the files' names, sizes and times.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from regrow import files, seeds
from regrow.data import marker
from regrow.data.cifar import SUBSET
from regrow.data.pictures import files_below, open_picture, tiny_imagenet
from regrow.data.spec import DataSet, DataSpec, Images, ImageSet, Options, Progress, Request, of_classes
from regrow.errors import DataError

FOLDER = "tiny-imagenet-200"


def dataset(spec: DataSpec) -> DataSet:
    """The entry for the list of data sets."""
    return DataSet(
        spec=spec,
        read=functools.partial(read, spec),
        find=find,
        fetch=functools.partial(fetch, spec),
        describe=functools.partial(describe, spec),
    )


def describe(whole: DataSpec, options: Options, roots: Sequence[Path]) -> DataSpec:
    """The facts under the option ``classes``.

    With a choice of classes, or of a generated set, the numbers of images are those that are there.
    """
    spec, folder = of_classes(whole, options["classes"]), find(roots, None)
    generated = marker.at(folder) if folder is not None else None
    if generated is not None:
        spec = generated.label(spec)
    if folder is None or spec is whole:
        return spec
    counts = {"train": len(_rows(whole, spec, folder, "train")), "test": len(_rows(whole, spec, folder, "test"))}
    return replace(spec, splits=counts)


def _rows(whole: DataSpec, spec: DataSpec, folder: Path, split: str) -> list[tuple[Path, int]]:
    """Files and labels of the chosen classes, numbered among these."""
    rows = _train(whole, folder) if split == "train" else _test(whole, folder)
    number = _numbers(spec)
    return [(path, number[whole.classes[k]]) for path, k in rows if whole.classes[k] in number]


def find(roots: Sequence[Path], split: str | None = None) -> Path | None:
    """The first folder that has a split (``None``: both); each root may be the folder itself or its parent."""
    parts = {"train": "train", "test": "val"}
    wanted = list(parts.values()) if split is None else [parts[split]]
    for root in roots:
        for folder in (root / FOLDER, root):
            if folder.name == FOLDER and all((folder / part).is_dir() for part in wanted):
                return folder
    return None


def fetch(spec: DataSpec, roots: Sequence[Path], _: Progress | None) -> Path:
    """Refused: the images are ImageNet's, which are not ours to fetch.

    Raises:
        DataError: always.
    """
    places = ", ".join(str(root) for root in roots)
    raise DataError(f"{spec.name} not found: no folder {FOLDER} in {places}.", spec.hint)


def read(spec: DataSpec, request: Request) -> ImageSet:
    """The images of a request.

    Raises:
        DataError: no copy, a folder of another class, a picture that cannot be read or has not 64 pixels, or fewer
            images than were asked for.
    """
    folder = find(request.roots, request.split)
    if folder is None:
        fetch(spec, request.roots, None)
    assert folder is not None
    whole, spec = spec, describe(spec, request.options, request.roots)
    rows = _rows(whole, spec, folder, request.split)
    index = np.arange(len(rows))
    if request.n is not None and request.n > len(rows):
        raise DataError(
            f"{folder} holds {len(rows)} of the {spec.splits[request.split]} images of {request.split}, asked for are "
            f"{request.n}.",
            "ask for fewer, or unpack the whole set.",
        )
    if request.n is not None:
        index = seeds.permutation(0, "data", SUBSET, n=len(rows)) if request.split == "train" else index
        index = index[: request.n]
    images = _pixels(spec, folder, [path for path, _ in rows], request.roots[-1])
    labels = np.array([label for _, label in rows], np.int64)
    return ImageSet(np.ascontiguousarray(images[index]), labels[index], spec, request.split, index)


def _numbers(spec: DataSpec) -> dict[str, int]:
    return {wnid: number for number, wnid in enumerate(spec.classes)}


def _train(spec: DataSpec, folder: Path) -> list[tuple[Path, int]]:
    """Files and labels, class after class."""
    numbers = _numbers(spec)
    rows = []
    for group in sorted(path for path in (folder / "train").iterdir() if path.is_dir() and path.name[0] != "."):
        if group.name not in numbers:
            raise DataError(f"{group} is no class of Tiny ImageNet.", "move it away, or unpack the official set again.")
        rows += [(file, numbers[group.name]) for file in sorted(files_below(group), key=_order)]
    if not rows:
        raise DataError(f"{folder / 'train'} holds no picture.", spec.hint)
    return rows


def _test(spec: DataSpec, folder: Path) -> list[tuple[Path, int]]:
    """Files and labels of ``val`` in the order of their numbers, whichever layout."""
    numbers, found = _numbers(spec), tiny_imagenet(folder)
    rows = []
    for i in range(len(found)):
        wnid = found.classes[found.label(i)]
        if wnid not in numbers:
            raise DataError(f"{found.path(i)} is of no class of Tiny ImageNet.", "unpack the official set again.")
        rows.append((found.place(i), numbers[wnid]))
    return sorted(rows, key=lambda row: _order(row[0]))


def _order(path: Path) -> tuple[int, str]:
    """By the last number of the name: n01443537_7 before n01443537_10, val_2 before val_10."""
    digits = "".join(c if c.isdigit() else " " for c in path.stem).split()
    return (int(digits[-1]) if digits else 0, path.name)


def _pixels(spec: DataSpec, folder: Path, paths: Sequence[Path], cache: Path) -> Images:
    """Decoded pictures, uint8 (N, 64, 64, 3), from the cache where they are there."""
    facts = [(path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns) for path, stat in _stats(paths)]
    place = cache / spec.name / f"{files.value_digest([str(folder), facts])[:24]}.bin"
    shape = (len(paths), spec.image_size, spec.image_size, 3)
    stored = _cached(place, int(np.prod(shape)))
    if stored is not None:
        return stored.reshape(shape)
    images = np.empty(shape, np.uint8)
    for target, path in zip(images, paths, strict=True):
        picture = np.asarray(open_picture(path))
        if picture.shape != shape[1:]:
            size = f"{picture.shape[1]} x {picture.shape[0]}"
            raise DataError(
                f"{path} has {size} pixels, not {spec.image_size} x {spec.image_size}.",
                "unpack the official set again.",
            )
        target[...] = picture
    with contextlib.suppress(OSError):  # a cache that cannot be written is no error
        buffer = io.BytesIO(hashlib.sha256(images.data).digest())
        buffer.seek(0, io.SEEK_END)
        buffer.write(images.data)
        files.write_bytes(place, buffer.getvalue())
    return images


def _stats(paths: Sequence[Path]) -> list[tuple[Path, os.stat_result]]:
    return [(path, path.stat()) for path in paths]


def _cached(path: Path, size: int) -> Images | None:
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    content = memoryview(stored)[32:]
    if len(content) != size or hashlib.sha256(content).digest() != stored[:32]:
        return None
    return np.frombuffer(content, np.uint8)
