"""Folders of pictures, read one by one and brought to one size, as the published corrupted sets were made from them.

folder(path, 224)           any folder, with a sub-folder for each class or without; also ImageNet's tree
labelled(path, "train")     a sub-folder for each class, or such a tree for each split: what is learnt from
tiny_imagenet(path)         the validation images of tiny-imagenet-200, with their names
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from regrow import files
from regrow.data.listing import Listing, Names, compare_classes
from regrow.errors import OR_SKIP, DataError

if TYPE_CHECKING:
    from PIL import Image

#: File types that are read, by Pillow's names of the formats.
FORMATS = ["JPEG", "PNG", "BMP", "WEBP", "TIFF"]
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}

#: What decoders raise on damaged files; warnings are raised where the user made them errors.
_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, ArithmeticError, NotImplementedError,
           struct.error, zlib.error, Warning)  # fmt: skip

#: Folders that may hold a split, the first that is there.
SPLITS = {"train": ("train",), "test": ("test", "val"), "val": ("val",)}


@dataclass(frozen=True)
class Folder(Listing):
    """Pictures of a folder."""

    def read(self, i: int, /) -> npt.NDArray[np.uint8]:
        """A picture brought to one size, uint8 (side, side, 3).

        Raises:
            DataError: it cannot be read, or has more than 8 bits a channel.
        """
        return np.asarray(prepare(self.open(i), self.side), np.uint8)

    def open(self, i: int, /, at_least: int = 0) -> Image.Image:
        """A picture as RGB, see :meth:`regrow.data.listing.Pictures.open` and :func:`open_picture`."""
        return open_picture(self.place(i), at_least, self.files[i])

    def fingerprint(self) -> str:
        """Digest of names, classes, sizes and times of the files.

        Raises:
            DataError: one is not there.
        """
        facts = []
        for i, name in enumerate(self.files):
            try:
                stat = self.place(i).stat()
            except OSError as error:
                raise DataError(f"{name} cannot be read ({error.strerror}).", "look at the folder again.") from None
            facts.append((name, self.labels[i], stat.st_size, stat.st_mtime_ns))
        return files.value_digest([self.classes, facts])


def folder(path: Path, side: int) -> Folder:
    """The pictures of a folder, in the order of class and file name.

    Args:
        path: with one sub-folder for each class (as ImageNet's validation tree), or with pictures alone.
        side: size in pixels that they are brought to, see :func:`prepare`.

    Raises:
        DataError: no folder, or no picture in it.
    """
    if not path.is_dir():
        raise DataError(f"{path} is no folder.", "give a folder of pictures.")
    found = [(group, names) for group in class_folders(path) if (names := names_below(path / group))]
    loose = names_below(path, deep=False)
    if found and loose:
        raise DataError(f"{path} holds {loose[0]} outside class folders.", "put it into the folder of its class.")
    if not found:
        if not loose:
            raise DataError(f"{path} holds no picture.", f"give files of type {', '.join(sorted(SUFFIXES))}.")
        return Folder(path.resolve().name, path, Names.of(loose), (0,) * len(loose), ("all",), side)
    return _folder(path.resolve().name, path, found, side)


def labelled(path: Path, split: str | None = None, side: int = 224) -> Folder:
    """The pictures of one split of a folder for learning: every picture in a class folder, every class with pictures.

    Args:
        path: with one sub-folder for each class; or, when a split is asked for, with such a tree for each split.
        split: ``train``, ``test`` (the folder ``test``, else ``val``) or ``val``; None for the classes of ``path``
            itself.
        side: size in pixels that :meth:`Folder.read` brings them to.

    Raises:
        DataError: no such folder, no classes, pictures beside class folders, classes without pictures, or a test part
            whose classes are not those of ``train``.
    """
    root = path if split is None else split_folder(path, split)
    if not root.is_dir():
        raise DataError(f"{root} is no folder.", "give a folder with a sub-folder of pictures for each class.")
    found = [(group, names_below(root / group)) for group in class_folders(root)]
    loose = names_below(root, deep=False)
    if loose or not found:
        what = f"holds {loose[0]} outside class folders" if loose else "holds no class folders"
        raise DataError(f"{root} {what}.", "put every picture into a sub-folder named like its class.")
    if empty := [group for group, names in found if not names]:
        more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
        raise DataError(
            f"{root} has class folders without pictures: {', '.join(empty[:5])}{more}.", "fill or remove them."
        )
    train = path / "train"
    if split not in (None, "train") and train.is_dir():
        compare_classes(class_folders(train), [group for group, _ in found], str(path))
    name = path.resolve().name if split is None else f"{path.resolve().name}/{split}"
    return _folder(name, root, found, side)


def split_folder(path: Path, split: str) -> Path:
    """Where a split lies, by the usual names of its folder.

    Raises:
        DataError: there is none.
    """
    names = SPLITS.get(split, (split,))
    for name in names:
        if (path / name).is_dir():
            return path / name
    there = ", ".join(class_folders(path)[:5]) if path.is_dir() else "nothing"
    raise DataError(f"{path} has no folder {' or '.join(names)} (there is: {there}).", f"give one with a {split} part.")


def _folder(name: str, root: Path, found: list[tuple[str, list[str]]], side: int) -> Folder:
    labels = tuple(number for number, (_, names) in enumerate(found) for _ in names)
    paths = Names.of(f"{group}/{file}" for group, names in found for file in names)
    return Folder(name, root, paths, labels, tuple(group for group, _ in found), side)


def class_folders(path: Path) -> list[str]:
    """Names of the sub-folders, sorted; hidden ones are left out."""
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def names_below(path: Path, deep: bool = True) -> list[str]:
    """Picture files in a folder as paths below it with forward slashes, sorted by their parts.

    Links to folders are not followed, so loops of links end. Files are not looked at one by one (on a network disk a
    million looks take an hour).

    Args:
        path: where to look.
        deep: also in its sub-folders.
    """
    return sorted(_walk(str(path), "", deep), key=lambda name: name.split("/"))


def _walk(path: str, prefix: str, deep: bool) -> Iterator[str]:
    with os.scandir(path) as entries:
        for entry in entries:
            if deep and entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{prefix}{entry.name}/", deep)
            elif (
                os.path.splitext(entry.name)[1].lower() in SUFFIXES
                and not entry.name.startswith(".")
                and entry.is_file()
            ):
                yield prefix + entry.name


def files_below(folder: Path, deep: bool = True) -> list[Path]:
    """As :func:`names_below`, as paths."""
    return [folder / name for name in names_below(folder, deep)]


def tiny_imagenet(path: Path) -> Folder:
    """The validation images of Tiny ImageNet at their 64 pixels, named ``<wnid>/val_<n>.JPEG``.

    Args:
        path: ``tiny-imagenet-200``, as published (``val/images`` and ``val_annotations.txt``) or with a sub-folder of
            ``val`` for each class.

    Raises:
        DataError: another layout.
    """
    notes = path / "val" / "val_annotations.txt"
    rows: list[tuple[str, str, str]] = []  # class, name, place
    if notes.is_file():
        for line in notes.read_text("utf-8", "surrogateescape").splitlines():
            name, _, rest = line.partition("\t")
            wnid = rest.partition("\t")[0]
            if "/" in name or "/" in wnid:
                continue
            flat, sorted_in = f"val/images/{name}", f"val/{wnid}/images/{name}"
            if wnid and os.path.isfile(path / flat):  # False for names that cannot be, where Path raises an error
                rows.append((wnid, name, flat))
            elif wnid and os.path.isfile(path / sorted_in):
                rows.append((wnid, name, sorted_in))
    else:
        for file in files_below(path / "val") if (path / "val").is_dir() else []:
            place = file.relative_to(path).as_posix()
            rows.append((place.split("/")[1], file.name, place))
    if not rows:
        raise DataError(
            f"{path} holds no validation image of Tiny ImageNet.",
            "give the unpacked folder tiny-imagenet-200 with val/images and val/val_annotations.txt.",
        )
    rows.sort(key=lambda row: (row[0], _number(row[1])))
    classes = sorted({wnid for wnid, _, _ in rows})
    number = {wnid: k for k, wnid in enumerate(classes)}
    names, labels = tuple(f"{wnid}/{name}" for wnid, name, _ in rows), tuple(number[wnid] for wnid, _, _ in rows)
    return Folder("tiny-imagenet-200/val", path, names, labels, tuple(classes), 64, tuple(row[2] for row in rows))


def _number(name: str) -> tuple[int, str]:
    digits = "".join(c for c in name if c.isdigit())
    return int(digits or 0), name


def read_picture(path: Path, side: int) -> npt.NDArray[np.uint8]:
    """A picture file as RGB at one size, uint8 (side, side, 3); see :func:`open_picture` and :func:`prepare`."""
    return np.asarray(prepare(open_picture(path), side), np.uint8)


def open_picture(source: Path | IO[bytes], at_least: int = 0, name: str | None = None) -> Image.Image:
    """A picture file as RGB; grey and palette pictures are spread, an alpha channel is dropped, CMYK is converted.

    As for the published sets, what EXIF says of the camera's orientation is not followed.

    Args:
        source: the file, or its content.
        at_least: shorter side in pixels that suffices; a JPEG is decoded at the smallest of its reduced sizes (1/8,
            1/4, 1/2, 1) that has it. 0 for full size.
        name: what messages call it; by default the file's name.

    Raises:
        DataError: it is unreadable, truncated, far too large, or has more than 8 bits a channel.
    """
    from PIL import Image, UnidentifiedImageError

    said = name or (source.name if isinstance(source, Path) else "a picture")
    try:
        with Image.open(source, formats=FORMATS) as opened:
            if opened.mode.startswith(("I", "F")):
                raise DataError(
                    f"{said}: {opened.mode} pixels, more than 8 bits a channel, are not read.",
                    "save it with 8 bits a channel.",
                )
            # Pillow refuses twice this and warns of this, and filters of warnings are shared by all threads
            if Image.MAX_IMAGE_PIXELS and opened.width * opened.height > Image.MAX_IMAGE_PIXELS:
                raise ValueError(f"{opened.width} x {opened.height} pixels are too many")
            _reduce(opened, at_least)
            opened.info.pop("transparency", None)  # it is dropped, and would be warned of
            if opened.mode == "RGB":  # converting it would copy it
                opened.load()
                return opened
            return opened.convert("RGB")
    except DataError:
        raise
    except (*_DAMAGE, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        if isinstance(error, UnidentifiedImageError):  # whose text is the file's whole path
            reason = f"empty, or not of type {', '.join(FORMATS)}"
        raise DataError(f"{said}: cannot be read ({reason}).", OR_SKIP) from None


def _reduce(opened: Image.Image, at_least: int) -> None:
    """Have a JPEG decoded at the smallest reduced size whose shorter side is still ``at_least`` pixels."""
    if opened.format not in ("JPEG", "MPO") or at_least <= 0:
        return
    shorter = min(opened.size)
    # libjpeg rounds sides up; Pillow takes the largest scale that leaves both as large as asked for, rounded down
    scale = next((s for s in (8, 4, 2) if s <= shorter and -(-shorter // s) >= at_least), 1)
    if scale > 1:
        opened.draft(None, (opened.width // scale, opened.height // scale))


def prepare(picture: Image.Image, side: int) -> Image.Image:
    """Bring a picture to ``side`` pixels as the published sets were prepared.

    299 px: the middle 0.875 of both sides, resized. Else the shorter side is resized to ``side * 256 / 224`` (256 for
    224 px), and the middle is cut out. Both bilinear. A picture of that very size is left as it is.
    """
    from PIL import Image

    width, height = picture.size
    if (width, height) == (side, side):
        return picture
    if side == 299:
        wide, high = width * 0.875, height * 0.875
        box = ((width - wide) / 2, (height - high) / 2, (width + wide) / 2, (height + high) / 2)
        cut = picture.crop(tuple(round(edge) for edge in box))  # type: ignore[arg-type]
        return cut.resize((side, side), Image.Resampling.BILINEAR)
    picture = resize(picture, round(side * 256 / 224))
    left, top = round((picture.width - side) / 2), round((picture.height - side) / 2)
    return picture.crop((left, top, left + side, top + side))


def resize(picture: Image.Image, shorter: int) -> Image.Image:
    """Bring the shorter side to ``shorter`` pixels, the longer one in proportion, rounded down; bilinear."""
    from PIL import Image

    width, height = picture.size
    longer = int(shorter * max(width, height) / min(width, height))
    size = (shorter, longer) if width <= height else (longer, shorter)
    return picture if size == picture.size else picture.resize(size, Image.Resampling.BILINEAR)
