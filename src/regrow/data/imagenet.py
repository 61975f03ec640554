"""ImageNet (ILSVRC2012) as it is unpacked or as it was downloaded, in one order whatever the layout.

    folder = find(roots, "test")                   # imagenet/, ILSVRC2012/, imagenet-1k/ below a root, or the root
    pictures = load(folder, "test")                # classes are the synsets' numbers (wnids), sorted

A split is read, the first that is there, from
    train/WNID/*.JPEG, val/WNID/*.JPEG             folders of classes
    val/*.JPEG                                     with the labels of the development kit
    ILSVRC2012_img_train.tar, _img_val.tar         the official archives, read in place; the latter with the kit
The kit is ``ILSVRC2012_devkit_t12.tar.gz`` or its folder. Russakovsky et al. 2015, arXiv:1409.0575.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from regrow import files
from regrow.data import archive, matfile, pictures
from regrow.data.archive import Archive, Members
from regrow.data.listing import Names, compare_classes
from regrow.data.pictures import Folder
from regrow.data.spec import Labels, Progress
from regrow.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from PIL import Image

#: Where it is looked for below a data root.
FOLDERS = ("imagenet", "ILSVRC2012", "imagenet-1k")
#: Splits and their folders; the official test images have no public labels, so the validation images are the test set.
PARTS = {"train": "train", "test": "val"}
ARCHIVES = {"train": "ILSVRC2012_img_train.tar", "test": "ILSVRC2012_img_val.tar"}
KIT = "ILSVRC2012_devkit_t12"
#: MD5 of the official archives.
MD5 = {
    "ILSVRC2012_img_train.tar": "1d675b47d978889d74fa0da5fadfb00e",
    "ILSVRC2012_img_val.tar": "29b22e2961454d5413ddabcf34fc5622",
    "ILSVRC2012_devkit_t12.tar.gz": "fa75699e90414af021442c21a62c3abf",
}
HINT = (
    "its licence forbids regrow to fetch it: register at image-net.org, download ILSVRC2012_img_train.tar, "
    "ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz, and put them, packed or unpacked, into the folder "
    "imagenet below a data root (--data-root or REGROW_DATA)."
)

_WNID = re.compile(r"n\d{8}")
_NUMBER = re.compile(r"_val_(\d{8})\.")
_META, _TRUTH = "data/meta.mat", "data/ILSVRC2012_validation_ground_truth.txt"
_KIT_AGAIN = f"fetch the official {KIT}.tar.gz again."


def find(roots: Sequence[Path], split: str | None = None) -> Path | None:
    """The first folder that has a split (``None``: both); each root may be the folder itself or its parent."""
    wanted = list(PARTS) if split is None else [split]
    for root in roots:
        for folder in (*(root / name for name in FOLDERS), root):
            if all(_layout(folder, part) for part in wanted):
                return folder
    return None


def require(roots: Sequence[Path], split: str | None = None) -> Path:
    """As :func:`find`.

    Raises:
        DataError: there is none; it says what to do.
    """
    found = find(roots, split)
    if found is None:
        places = ", ".join(str(root) for root in roots)
        what = "train or val" if split is None else PARTS[split]
        raise DataError(f"ImageNet not found: no {what} images of ILSVRC2012 in {places}.", HINT)
    return found


def load(
    folder: Path, split: str, classes: Sequence[str] | None = None, *, side: int = 224, cache: Path | None = None
) -> Folder | TarPictures:
    """The pictures of a split, ordered by class and file name.

    Args:
        folder: where they are, see :func:`find`.
        split: ``train`` or ``test`` (the validation images).
        classes: wnids of the classes that are wanted, by default all that are there. Labels number them sorted.
        side: size in pixels of what ``read`` gives.
        cache: where the index of an archive is kept, by default in regrow's cache.

    Raises:
        UnknownNameError: no such split or class.
        DataError: it is not there, or is incomplete or damaged.
    """
    if split not in PARTS:
        raise UnknownNameError("split", split, PARTS, "take one of these splits of ImageNet.")
    layout = _layout(folder, split)
    if layout is None:
        raise DataError(f"{folder} holds no {PARTS[split]} images of ILSVRC2012.", HINT)
    name = f"imagenet/{PARTS[split]}"
    if layout == "archive":
        return _from_archive(folder, split, classes, name, side, cache)
    root = folder / PARTS[split]
    if layout == "classes":
        keys, places = list(pictures.labelled(root).files), None
    else:
        wnid_of = kit(folder).validation()
        keys = _with_class(pictures.names_below(root, deep=False), wnid_of, root)
        places = [key.partition("/")[2] for key in keys]
    order, labels, wnids = _choose(keys, classes, str(root))
    _compare(folder, split, classes, wnids)
    at = order.tolist()
    chosen = Names.of(keys[i] for i in at)
    return Folder(name, root, chosen, labels, wnids, side, Names.of(places[i] for i in at) if places else ())


@dataclass(frozen=True)
class TarPictures:
    """Pictures inside a tar archive.

    Attributes:
        name: what they are.
        archive: reads their content.
        files: ``WNID/FILE`` of each.
        labels: class number of each.
        classes: wnids.
        side: size in pixels of what :meth:`read` gives.
    """

    name: str
    archive: Archive = field(repr=False)
    files: Names = field(repr=False)
    labels: tuple[int, ...] = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    side: int

    def __len__(self) -> int:
        """How many."""
        return len(self.files)

    def path(self, i: int, /) -> str:
        """Class and file name."""
        return self.files[i]

    def label(self, i: int, /) -> int:
        """Class number."""
        return self.labels[i]

    def open(self, i: int, /, at_least: int = 0) -> Image.Image:
        """A picture as RGB, see :meth:`regrow.data.listing.Pictures.open`."""
        return pictures.open_picture(io.BytesIO(self.archive.read(i)), at_least, self.files[i])

    def read(self, i: int, /) -> npt.NDArray[np.uint8]:
        """A picture brought to one size, uint8 (side, side, 3), see :func:`regrow.data.pictures.prepare`."""
        return np.asarray(pictures.prepare(self.open(i), self.side), np.uint8)

    def fingerprint(self) -> str:
        """Digest of the names and classes, and of the archive's size and time."""
        members = self.archive.members
        return files.value_digest([self.classes, list(self.files), self.labels, members.size, members.mtime_ns])


def _layout(folder: Path, split: str) -> str | None:
    """How a split lies: ``classes``, ``flat``, ``archive`` or not at all."""
    if split not in PARTS or (folder / "wnids.txt").exists():  # the latter is Tiny ImageNet
        return None
    part = folder / PARTS[split]
    if part.is_dir():
        if _wnid_folders(part):
            return "classes"
        if split == "test" and any(_NUMBER.search(name) for name in pictures.names_below(part, deep=False)):
            return "flat"
    return "archive" if (folder / ARCHIVES[split]).is_file() else None


def _wnid_folders(part: Path) -> list[str]:
    return [name for name in pictures.class_folders(part) if _WNID.fullmatch(name)]


def _from_archive(
    folder: Path, split: str, classes: Sequence[str] | None, name: str, side: int, cache: Path | None
) -> TarPictures:
    path = folder / ARCHIVES[split]
    members = archive.index(path, nested=split == "train", cache=cache)
    keys = list(members.names)
    if split == "test":
        keys = [key.rpartition("/")[2] for key in members.names]
        keys = _with_class(keys, kit(folder).validation(), path)
    order, labels, wnids = _choose(keys, classes, str(path))
    _compare(folder, split, classes, wnids)
    part = members.select(order)
    part = Members(part.archive, part.size, part.mtime_ns, Names.of(()), part.offsets, part.sizes)  # named in `files`
    return TarPictures(name, Archive(part), Names.of(keys[i] for i in order.tolist()), labels, wnids, side)


def _compare(folder: Path, split: str, classes: Sequence[str] | None, wnids: Sequence[str]) -> None:
    """All classes of the test part must be those of training, or labels would mean other classes.

    An archive of training images has all classes; a folder of them may be a part.
    """
    if split == "test" and classes is None and _layout(folder, "train") == "classes":
        compare_classes(pictures.class_folders(folder / "train"), wnids, str(folder))


def _with_class(names: Sequence[str], wnid_of: dict[int, str], where: Path) -> list[str]:
    """``WNID/FILE`` of validation images by their numbers."""
    keys = []
    for name in names:
        number = _NUMBER.search(name)
        wnid = wnid_of.get(int(number[1])) if number else None
        if wnid is None:
            raise DataError(f"{where} holds {name}, which is no validation image of ILSVRC2012.", HINT)
        keys.append(f"{wnid}/{name}")
    return keys


def _choose(
    keys: Sequence[str], classes: Sequence[str] | None, where: str
) -> tuple[Labels, tuple[int, ...], tuple[str, ...]]:
    """Places of the pictures of some classes by class and name, their labels, and the classes."""
    wnid_of = [key.partition("/")[0] for key in keys]
    there = sorted(set(wnid_of))
    if not there:
        raise DataError(f"{where} holds no picture.", HINT)
    if odd := next((name for name in there if not _WNID.fullmatch(name)), None):
        raise DataError(f"{where} holds {odd!r}, which is no class of ImageNet.", "move it away.")
    wanted = there if classes is None else sorted(set(classes))
    if unknown := next((wnid for wnid in wanted if wnid not in there), None):
        raise UnknownNameError("class", unknown, there, f"name classes by wnids that are in {where}.")
    number = {wnid: k for k, wnid in enumerate(wanted)}
    rows = sorted((key, i) for i, (key, wnid) in enumerate(zip(keys, wnid_of, strict=True)) if wnid in number)
    order = np.array([i for _, i in rows], np.int64)
    return order, tuple(number[wnid_of[i]] for _, i in rows), tuple(wanted)


@dataclass(frozen=True)
class Kit:
    """What is used of the development kit.

    Attributes:
        wnids: of the classes, in the order of the kit's own numbers, which begin at 1.
        words: what each class is called, e.g. "tench, Tinca tinca", in that order; some are called the same.
        truth: the kit's number of the class of each validation image.
    """

    wnids: tuple[str, ...]
    words: tuple[str, ...] = field(repr=False)
    truth: tuple[int, ...] = field(repr=False)

    def validation(self) -> dict[int, str]:
        """Number of a validation image, from 1, -> wnid."""
        return {number: self.wnids[own - 1] for number, own in enumerate(self.truth, 1)}


def kit(folder: Path) -> Kit:
    """The development kit beside the images, packed or unpacked.

    Raises:
        DataError: it is missing or is not the kit of ILSVRC2012.
    """
    found = _kit_files(folder)
    if set(found) != {_META, _TRUTH}:
        raise DataError(
            f"{folder} has no {KIT}.tar.gz (nor its folder), which says of which class the validation images are.",
            "download it from image-net.org and put it there.",
        )
    wnids, words = _synsets(found[_META], folder)
    lines = found[_TRUTH].decode("ascii", "replace").split()
    if not lines or not all(len(line) < 9 and line.isdigit() and 1 <= int(line) <= len(wnids) for line in lines):
        raise DataError(f"{_TRUTH} in {folder} is not a list of class numbers 1 to {len(wnids)}.", _KIT_AGAIN)
    return Kit(wnids, words, tuple(map(int, lines)))


def words(folder: Path) -> dict[str, str]:
    """What classes are called: wnid -> e.g. "tench, Tinca tinca"; empty where the development kit is not there."""
    if set(_kit_files(folder)) != {_META, _TRUTH}:
        return {}
    found = kit(folder)
    return dict(zip(found.wnids, found.words, strict=True))


def _kit_files(folder: Path) -> dict[str, bytes]:
    for root in (folder / KIT, folder):
        if all((root / name).is_file() for name in (_META, _TRUTH)):
            return {name: (root / name).read_bytes() for name in (_META, _TRUTH)}
    path = folder / f"{KIT}.tar.gz"
    return archive.contents(path, (_META, _TRUTH), limit_bytes=2**26) if path.is_file() else {}


def _synsets(meta: bytes, folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Wnids and words of the classes; the kit also lists the synsets above them, which have children."""
    try:
        rows = sorted(
            (int(row["ILSVRC2012_ID"][0]), str(row["WNID"]), str(row["words"]))
            for row in matfile.variables(meta)["synsets"]
            if int(row["num_children"][0]) == 0
        )
    except (LookupError, TypeError, ValueError, ArithmeticError, struct.error) as error:
        said = f"{type(error).__name__}: {error}"[:100]
        raise DataError(f"{_META} in {folder} is not the table of ILSVRC2012 ({said}).", _KIT_AGAIN) from None
    wnids = tuple(row[1] for row in rows)
    numbers = [row[0] for row in rows]
    if numbers != list(range(1, len(rows) + 1)) or not all(map(_WNID.fullmatch, wnids)) or len(set(wnids)) < len(rows):
        raise DataError(f"{_META} in {folder} does not number its classes 1, 2, ... with one wnid each.", _KIT_AGAIN)
    return wnids, tuple(row[2] for row in rows)


def verify(folder: Path, progress: Progress | None = None) -> dict[str, bool]:
    """Compare the official archives that are there with their published digests; reads all of them.

    Args:
        folder: where they are.
        progress: called with (archives so far, archives in all).

    Returns:
        Name of each archive that is there -> whether its MD5 is the published one.

    Raises:
        DataError: none is there.
    """
    there = [name for name in MD5 if (folder / name).is_file()]
    if not there:
        raise DataError(f"{folder} holds none of the official archives ({', '.join(MD5)}).", HINT)
    result = {}
    for done, name in enumerate(there, 1):
        result[name] = files.file_digest(folder / name, "md5") == MD5[name]
        if progress is not None:
            progress(done, len(there))
    return result
