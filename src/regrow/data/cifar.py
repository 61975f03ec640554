"""The official layouts of CIFAR-10 and CIFAR-100: python and binary version, on disk or from the official address."""

from __future__ import annotations

import contextlib
import functools
import shutil
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from regrow import files, seeds
from regrow.data import marker
from regrow.data.spec import DataSet, DataSpec, ImageSet, Options, Progress, Request
from regrow.errors import DataError

Records = npt.NDArray[np.uint8]

#: Images per checksum in ``Cifar.checksums``.
BLOCK = 1000
#: Key of the stream ("data", ...) that orders a training set for subsets.
SUBSET = 2


@dataclass(frozen=True)
class Cifar:
    """What the two sets differ in.

    Args:
        spec: the set's facts.
        python: folder of the python version.
        binary: folder of the binary version.
        parts: split -> file names of the python version in order; the binary version adds ``.bin``.
        labels: label fields of the python version, in the order of the label bytes of the binary version.
        fine: which of them is the class.
        rows: images per file, by split.
        md5: official MD5 of the python version's files.
        checksums: split -> CRC-32 of every 1000 records (label bytes, then 3072 pixels), eight hex digits each.
        archive: file name of the python version's archive.
        archive_size: its bytes.
        archive_sha256: its SHA-256.
        urls: folders where the archive is served.
        upper: largest label by field.
    """

    spec: DataSpec
    python: str
    binary: str
    parts: Mapping[str, Sequence[str]]
    labels: Sequence[str]
    fine: int
    rows: Mapping[str, int]
    md5: Mapping[str, str]
    checksums: Mapping[str, str]
    archive: str
    archive_size: int
    archive_sha256: str
    upper: Sequence[int]
    urls: Sequence[str] = ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/")

    def dataset(self) -> DataSet:
        """The entry for the list of data sets."""
        return DataSet(
            spec=self.spec,
            read=functools.partial(read, self),
            find=functools.partial(find, self),
            fetch=functools.partial(fetch, self),
            describe=functools.partial(describe, self),
            downloads=True,
        )


def describe(cifar: Cifar, _: Options, roots: Sequence[Path]) -> DataSpec:
    """The facts of the set that lies here: where it is a generated one, its numbers of images and its caveat."""
    spec = cifar.spec
    for split in cifar.parts:
        folder = find(cifar, roots, split)
        if folder is not None and (made := marker.at(folder)) is not None:
            spec = made.label(replace(spec, splits={**spec.splits, split: made.count(split)}))
    return spec


def find(cifar: Cifar, roots: Sequence[Path], split: str | None = None) -> Path | None:
    """The first folder that has all files of a split (None: of all splits), in either version.

    Each root may be the folder itself or its parent.
    """
    splits = list(cifar.parts) if split is None else [split]
    for folder in _folders(cifar, roots):
        if all(any(not _absent(cifar, folder, each, ending) for ending in ("", ".bin")) for each in splits):
            return folder
    return None


def _folders(cifar: Cifar, roots: Sequence[Path]) -> list[Path]:
    named = (cifar.python, cifar.binary)
    places = [place for root in roots for place in (*(root / name for name in named), root)]
    return [place for place in places if place.name in named and place.is_dir()]


def _absent(cifar: Cifar, folder: Path, split: str, ending: str) -> list[str]:
    names = [f"{part}{ending}" for part in cifar.parts[split]]
    return [name for name in names if not (folder / name).is_file()]


def missing(cifar: Cifar, roots: Sequence[Path], why: str = "") -> DataError:
    """The error of a set that is nowhere: what was looked for, where, and the two ways to supply it."""
    places = ", ".join(str(root) for root in roots)
    return DataError(
        f"{cifar.spec.name} not found: no folder {cifar.python} or {cifar.binary} in {places}."
        + (f" Downloading failed: {why}" if why else ""),
        cifar.spec.hint,
    )


def read(cifar: Cifar, request: Request) -> ImageSet:
    """The images of a request, from a local copy, else from the official archive."""
    folder = find(cifar, request.roots, request.split)
    if folder is None:
        for partial in _folders(cifar, request.roots):
            ending = ".bin" if partial.name == cifar.binary else ""
            lacks = ", ".join(_absent(cifar, partial, request.split, ending))
            raise DataError(f"{cifar.spec.name} is incomplete: {partial} lacks {lacks}.", _again(cifar, partial))
        if not request.download and _local_archive(cifar, request.roots) is None:
            raise missing(cifar, request.roots)
        folder = fetch(cifar, request.roots, request.progress)
    records = read_split(cifar, folder, request.split)
    index = np.arange(len(records))
    if request.n is not None:
        if request.split == "train":
            index = seeds.permutation(0, "data", SUBSET, n=len(records))
        index = index[: request.n]
        records = records[index]
    labels = records[:, : len(cifar.labels)].astype(np.int64)
    spec, size = describe(cifar, request.options, request.roots), cifar.spec.image_size
    pixels = records[:, len(cifar.labels) :].reshape(-1, 3, size, size)
    coarse = labels[:, 1 - cifar.fine] if labels.shape[1] == 2 else None
    images = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
    return ImageSet(images, labels[:, cifar.fine].copy(), spec, request.split, index, coarse_labels=coarse)


def read_split(cifar: Cifar, folder: Path, split: str) -> Records:
    """All records of a split in the form of the binary version: label bytes, then 3072 pixels, channel first.

    Raises:
        DataError: a file that is missing, of another shape, out of range, or an altered copy of the official one; of
            a generated set, one that is not as it was generated.
    """
    ending, generated = ".bin" if _absent(cifar, folder, split, "") else "", marker.at(folder)
    rows = generated.count(split) // len(cifar.parts[split]) if generated else cifar.rows[split]
    width = len(cifar.labels) + 3 * cifar.spec.image_size**2
    shape = (rows * len(cifar.parts[split]), width)
    places = [folder / f"{part}{ending}" for part in cifar.parts[split]]
    there = sum(place.stat().st_size for place in places if place.is_file())
    if generated and there < shape[0] * (width - len(cifar.labels)):  # before memory is taken for what it says
        raise DataError(f"the files of {folder} cannot hold {shape[0]} images.", _again(cifar, folder))
    records = np.empty(shape, np.uint8)
    read_part = _read_binary if ending else _read_python
    for number, place in enumerate(places):
        try:
            records[number * rows : (number + 1) * rows] = read_part(cifar, place, rows, width)
        except DataError as error:
            raise DataError(error.message, _again(cifar, folder)) from None
    if generated is None:
        _compare(cifar, folder, split, ending, records)
    return records


def _again(cifar: Cifar, folder: Path) -> str:
    return f"move {folder} away, then `regrow data get {cifar.spec.name}`; or put the official files there."


def _read_binary(cifar: Cifar, path: Path, rows: int, width: int) -> Records:
    if path.stat().st_size != rows * width:
        raise DataError(f"{path} has {path.stat().st_size} bytes, not {rows} records of {width}.")
    records = np.fromfile(path, np.uint8).reshape(rows, width)
    for column, field in enumerate(cifar.labels):
        _check_range(path, field, records[:, column], cifar.upper[column])
    return records


def _read_python(cifar: Cifar, path: Path, rows: int, width: int) -> Records:
    loaded = files.read_pickle(path)
    n_labels = len(cifar.labels)
    pixels = loaded.get("data")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != (rows, width - n_labels):
        found = f"{pixels.dtype} of shape {pixels.shape}" if isinstance(pixels, np.ndarray) else "none"
        raise DataError(f"{path}: 'data' must be uint8 of shape {(rows, width - n_labels)}, found {found}.")
    records = np.empty((rows, width), np.uint8)
    records[:, n_labels:] = pixels
    for column, field in enumerate(cifar.labels):
        records[:, column] = _label_column(path, field, loaded.get(field), rows, cifar.upper[column])
    return records


def _label_column(path: Path, field: str, values: Any, rows: int, upper: int) -> npt.NDArray[np.int64]:
    if not isinstance(values, list | np.ndarray) or len(values) != rows:
        raise DataError(f"{path}: {field!r} must hold {rows} labels.")
    whole = values.dtype.kind in "iu" and values.ndim == 1 if isinstance(values, np.ndarray) else None
    if whole is False or (whole is None and not all(type(value) is int for value in values)):
        raise DataError(f"{path}: {field!r} must hold whole numbers.")
    _check_range(path, field, values, upper)
    return np.asarray(values, np.int64)


def _check_range(path: Path, field: str, values: Sequence[int] | npt.NDArray[Any], upper: int) -> None:
    low, high = int(min(values)), int(max(values))
    if low < 0 or high > upper:
        raise DataError(f"{path}: {field!r} must be from 0 to {upper}, found {low} to {high}.")


def block_checksums(records: Records) -> str:
    """CRC-32 of every 1000 records, eight hex digits each, in one string."""
    return "".join(f"{zlib.crc32(records[start : start + BLOCK].data):08x}" for start in range(0, len(records), BLOCK))


def _compare(cifar: Cifar, folder: Path, split: str, ending: str, records: Records) -> None:
    """Tell an altered copy of the official images (some blocks equal, some not) from other images (none equal).

    Copies that were pickled again do not have the official MD5, but the same records. Images of another origin in this
    layout are accepted.
    """
    official, found = cifar.checksums[split], block_checksums(records)
    blocks = range(0, max(len(official), len(found)), 8)
    differ = [at // 8 for at in blocks if official[at : at + 8] != found[at : at + 8]]
    if differ and len(differ) < len(blocks):
        if not ending and all(files.file_digest(folder / p, "md5") == cifar.md5[p] for p in cifar.parts[split]):
            return
        number, place = divmod(differ[0] * BLOCK, cifar.rows[split])
        path = folder / f"{cifar.parts[split][number]}{ending}"
        raise DataError(
            f"{path} is an altered copy: among its images {place} to {place + BLOCK - 1} some bytes are not the "
            "official ones.",
            _again(cifar, folder),
        )


def _local_archive(cifar: Cifar, roots: Sequence[Path]) -> Path | None:
    return next((root / cifar.archive for root in roots if (root / cifar.archive).is_file()), None)


def fetch(cifar: Cifar, roots: Sequence[Path], progress: Progress | None) -> Path:
    """Make the python version under the first root: from its official archive in any root, else downloaded.

    It is unpacked and read beside its place and renamed only then.

    Returns:
        The folder made.

    Raises:
        DataError: it could not be fetched or written, or is not the official archive.
    """
    root, local = roots[0], _local_archive(cifar, roots)
    archive, target = local or root / cifar.archive, root / cifar.python
    marker, new_root = root / f".fetch-{cifar.spec.name}", not root.exists()
    try:
        with files.owned(marker, "the download in"):
            try:
                if find(cifar, [root]) == target:
                    return target  # another process made it in the meantime
                if target.exists():
                    raise DataError(f"{target} is in the way: it is not a whole {cifar.spec.name}.", "move it away.")
                _get_archive(cifar, archive, roots, local is not None, progress)
                _unpack(cifar, archive, target)
                if local is None:
                    archive.unlink()
            finally:
                shutil.rmtree(marker, ignore_errors=True)
                if new_root:
                    with contextlib.suppress(OSError):  # not empty
                        root.rmdir()
    except OSError as error:
        raise DataError(f"{cifar.spec.name} cannot be put into {root} ({error.strerror}).", cifar.spec.hint) from None
    return target


def _get_archive(cifar: Cifar, archive: Path, roots: Sequence[Path], is_local: bool, progress: Progress | None) -> None:
    if is_local:
        if archive.stat().st_size != cifar.archive_size or files.file_digest(archive) != cifar.archive_sha256:
            raise DataError(
                f"{archive} is not the official archive: its size or SHA-256 differs.", "remove it and fetch it again."
            )
        return
    urls = [address + cifar.archive for address in cifar.urls]
    try:
        files.download(urls, archive, size=cifar.archive_size, sha256=cifar.archive_sha256, progress=progress)
    except DataError as error:
        raise missing(cifar, roots, error.message) from None


def _unpack(cifar: Cifar, archive: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as aside:
        files.extract_tar(archive, Path(aside), limit_bytes=4 * cifar.archive_size, limit_files=100)
        made = Path(aside) / cifar.python
        for split in cifar.parts:
            read_split(cifar, made, split)
        made.rename(target)
