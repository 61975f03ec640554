"""Data sets of Hugging Face ``datasets`` on disk: what ``save_to_disk`` wrote, or a folder of parquet files.

    pictures = load(Path("beans"), "train")        # needs the extra regrow[hf]; nothing is fetched

The column of pictures is the one with the feature ``Image``, that of classes the one with ``ClassLabel``; columns of
parquet files without features are found by their types, or named. Parquet files, which cannot be read row by row, are
copied once into the library's own format, below regrow's cache.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from regrow import files
from regrow.data import pictures
from regrow.errors import DataError, InputError

if TYPE_CHECKING:
    from PIL import Image

#: Words that name a split in the names of parquet files and of splits, the first of a row being ours.
_WORDS = (("train", "training"), ("test", "testing"), ("val", "validation", "valid", "dev", "eval"))
_HINT = "give a folder that `save_to_disk` of the library datasets wrote, or one with parquet files."


@dataclass(frozen=True)
class TablePictures:
    """Pictures in a column of a table on disk.

    Attributes:
        name: what they are.
        labels: class number of each.
        classes: names of the classes.
        table: the column of pictures, a ``datasets.Dataset``, which is mapped into memory and pickled as its place.
        column: its name.
        sources: the files that were read, with their sizes and times.
    """

    name: str
    labels: tuple[int, ...] = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    table: Any = field(repr=False)
    column: str
    sources: tuple[tuple[str, int, int], ...] = field(repr=False)

    def __len__(self) -> int:
        """How many."""
        return len(self.labels)

    def path(self, i: int, /) -> str:
        """Class and number of the row: files in a table need have no name, or one of many."""
        return f"{self.classes[self.labels[i]].replace('/', '-')}/{i:08d}"

    def label(self, i: int, /) -> int:
        """Class number."""
        return self.labels[i]

    def open(self, i: int, /, at_least: int = 0) -> Image.Image:
        """A picture as RGB, see :meth:`regrow.data.listing.Pictures.open`."""
        value = self.table[int(i)][self.column]
        content, place = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
        if content is not None:
            return pictures.open_picture(io.BytesIO(content), at_least, self.path(i))
        if place is None:
            raise DataError(f"{self.path(i)} has no picture in column {self.column!r}.", "leave such rows out.")
        return pictures.open_picture(Path(place), at_least, self.path(i))

    def fingerprint(self) -> str:
        """Digest of the files' names, sizes and times, and of the classes."""
        return files.value_digest([self.name, self.column, self.classes, self.labels, self.sources])


def is_table(path: Path) -> bool:
    """Whether a folder is of either kind."""
    return any((path / name).is_file() for name in ("state.json", "dataset_dict.json")) or bool(_parquet(path))


def load(
    path: Path,
    split: str | None = None,
    *,
    image: str | None = None,
    label: str | None = None,
    cache: Path | None = None,
) -> TablePictures:
    """The pictures of one split.

    Args:
        path: the folder.
        split: its name; ``test`` is also found as ``validation`` where there is no ``test``. None where there is but
            one.
        image: column of the pictures, where it is not the only one.
        label: column of the classes likewise; of ``ClassLabel`` or of whole numbers from 0.
        cache: where parquet files are copied to, by default below regrow's cache.

    Raises:
        InputError: the library is not installed.
        DataError: no such data set, split or column, or rows without a class.
    """
    try:
        import datasets
    except ImportError:
        raise InputError(f"{path} needs the library datasets.", "`pip install 'regrow[hf]'`.") from None
    try:
        table, sources, name = _open(datasets, path, split, cache)
    except InputError:
        raise
    except (OSError, ValueError, LookupError, TypeError, datasets.exceptions.DatasetsError) as error:
        said = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read ({type(error).__name__}: {said}).", _HINT) from None
    features = table.features
    images = [key for key, feature in features.items() if _is_image(feature)]
    column = _column("picture", "image", image, images, features, path)
    labels, classes = _classes(table, _label_column(features, label, path), path)
    kept = table.select_columns([column])
    if isinstance(features[column], datasets.Image):
        kept = kept.cast_column(column, datasets.Image(decode=False))  # decoded here, as all pictures are
    facts = tuple(
        (file.relative_to(path).as_posix(), s.st_size, s.st_mtime_ns) for file in sources for s in [file.stat()]
    )
    return TablePictures(
        f"{path.resolve().name}/{name}" if name else path.resolve().name, labels, classes, kept, column, facts
    )


def _open(datasets: Any, path: Path, split: str | None, cache: Path | None) -> tuple[Any, list[Path], str]:
    """The table, its files and its split's name."""
    if (path / "dataset_dict.json").is_file():
        there = files.read_json(path / "dataset_dict.json")["splits"]
        name = _split(path, split, there)
        folder = files.inside(path, name)
    elif (path / "state.json").is_file():
        name, folder = split or "", path
    else:
        return _open_parquet(datasets, path, split, cache)
    table = datasets.load_from_disk(str(folder))
    if folder == path and split is not None and not _same(split, str(table.split or split)):
        raise DataError(f"{path} is the split {table.split}, not {split}.", "give the folder of that split.")
    return table, sorted(file for file in folder.iterdir() if file.is_file()), name


def _open_parquet(datasets: Any, path: Path, split: str | None, cache: Path | None) -> tuple[Any, list[Path], str]:
    groups = _parquet(path)
    if not groups:
        raise DataError(f"{path} is no data set of the library datasets and holds no parquet files.", _HINT)
    name = _split(path, split, list(groups))
    place = str(cache or files.cache_root() / "huggingface")
    return datasets.Dataset.from_parquet([str(file) for file in groups[name]], cache_dir=place), groups[name], name


def _parquet(path: Path) -> dict[str, list[Path]]:
    """Parquet files by the split that is in their names, "" where there is none."""
    groups: dict[str, list[Path]] = {}
    for file in sorted(path.rglob("*.parquet")) if path.is_dir() else ():
        parts = re.split(r"[^a-z]+", file.relative_to(path).as_posix().lower())
        found = next((row[0] for part in reversed(parts) for row in _WORDS if part in row), "")
        groups.setdefault(found, []).append(file)
    return groups


def _same(one: str, other: str) -> bool:
    return one == other or any(one in row and other in row for row in _WORDS)


def _split(path: Path, wanted: str | None, there: Sequence[str]) -> str:
    """Name of the wanted split among those that are there."""
    if wanted is None and len(there) == 1:
        return there[0]
    for name in (wanted, "val") if wanted == "test" else (wanted,):
        for candidate in there:
            if name is not None and _same(name, candidate):
                return candidate
    listed = ", ".join(name or "files that name no split" for name in there)
    what = "holds several splits" if wanted is None else f"has no split {wanted!r}"
    raise DataError(f"{path} {what}: there is {listed}.", "ask for one of these.")


def _is_image(feature: Any) -> bool:
    """The feature ``Image``, or what it is stored as in files that do not say so."""
    return type(feature).__name__ == "Image" or (isinstance(feature, dict) and set(feature) == {"bytes", "path"})


def _is_whole(feature: Any) -> bool:
    """ClassLabel, or a column of whole numbers."""
    return re.fullmatch(r"u?int\d+", str(getattr(feature, "dtype", ""))) is not None


def _label_column(features: Any, given: str | None, path: Path) -> str:
    """Of ClassLabel; else of whole numbers, where one is called label or there is but one."""
    found = [key for key, feature in features.items() if type(feature).__name__ == "ClassLabel"]
    if not found:
        found = [key for key, feature in features.items() if _is_whole(feature)]
        found = [key for key in found if key in ("label", "labels")] or found
    return _column("class", "label", given, found, features, path)


def _column(
    what: str, argument: str, given: str | None, found: Sequence[str], features: Iterable[str], path: Path
) -> str:
    there = ", ".join(features)
    if given is not None:
        if given not in features:
            raise DataError(f"{path} has no column {given!r}; it has {there}.", f"give one of these as {argument}.")
        return given
    if len(found) != 1:
        number = "no" if not found else "more than one"
        raise DataError(f"{path} has {number} column that must be the {what} (of {there}).", f"name it: {argument}=.")
    return found[0]


def _classes(table: Any, column: str, path: Path) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Class number of each row, and the names of the classes."""
    if not _is_whole(table.features[column]):
        raise DataError(f"column {column!r} of {path} does not hold whole numbers.", "name another: label=.")
    values: npt.NDArray[Any] = np.asarray(table.select_columns([column]).with_format("numpy")[:][column])
    if not len(values):
        raise DataError(f"{path} has no rows.", _HINT)
    if values.dtype.kind not in "iu":
        raise DataError(f"column {column!r} of {path} has rows without a number.", "leave such rows out.")
    names = getattr(table.features[column], "names", None)
    classes = tuple(names or map(str, range(int(values.max()) + 1)))
    if values.min() < 0 or values.max() >= len(classes):
        raise DataError(
            f"{path} has rows of class {values.min() if values.min() < 0 else values.max()} in column {column!r}.",
            "choose a split whose classes are public, such as validation.",
        )
    return tuple(values.tolist()), classes
