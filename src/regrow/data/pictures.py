"""Folders of pictures, read one by one and brought to one size, as the published corrupted sets were made from them.

folder(path, 224)           any folder, with a sub-folder for each class or without; also ImageNet's tree
tiny_imagenet(path)         the validation images of tiny-imagenet-200, with their names
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from regrow.data.listing import Listing
from regrow.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

#: File types that are read, by Pillow's names of the formats.
FORMATS = ["JPEG", "PNG", "BMP", "WEBP", "TIFF"]
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Folder(Listing):
    """Pictures of a folder, all read at one size."""

    def read(self, i: int, /) -> npt.NDArray[np.uint8]:
        """A picture, uint8 (side, side, 3).

        Raises:
            DataError: it cannot be read, or has more than 8 bits a channel.
        """
        return read_picture(self.place(i), self.side)

    def open(self, i: int, /, at_least: int = 0) -> Image.Image:
        """A picture as it is, in RGB."""
        return open_picture(self.place(i))


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
    groups = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    found = [(group.name, files_below(group)) for group in groups]
    found = [(name, files) for name, files in found if files]
    if not found:
        loose = files_below(path, deep=False)
        found = [("all", loose)] if loose else []
    if not found:
        raise DataError(f"{path} holds no picture.", f"give files of type {', '.join(sorted(SUFFIXES))}.")
    files = [file.relative_to(path).as_posix() for _, group in found for file in group]
    labels = [number for number, (_, group) in enumerate(found) for _ in group]
    return Folder(path.resolve().name, path, tuple(files), tuple(labels), tuple(name for name, _ in found), side)


def files_below(folder: Path, deep: bool = True) -> list[Path]:
    """Picture files in a folder, sorted; links to folders are not followed, so loops of links end.

    Args:
        folder: where to look.
        deep: also in its sub-folders.
    """
    every = folder.rglob("*") if deep else folder.iterdir()
    return sorted(f for f in every if f.suffix.lower() in SUFFIXES and not f.name.startswith(".") and f.is_file())


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
        for line in notes.read_text("utf-8").splitlines():
            name, _, rest = line.partition("\t")
            wnid = rest.partition("\t")[0]
            flat, sorted_in = f"val/images/{name}", f"val/{wnid}/images/{name}"
            if wnid and (path / flat).is_file():
                rows.append((wnid, name, flat))
            elif wnid and (path / sorted_in).is_file():
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


def open_picture(path: Path) -> Image.Image:
    """A picture file as RGB; grey and palette pictures are spread, an alpha channel is dropped.

    Raises:
        DataError: it is unreadable, truncated, far too large, or has more than 8 bits a channel.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as opened:
                if opened.mode.startswith(("I", "F")):
                    raise DataError(
                        f"{path.name}: {opened.mode} pixels, more than 8 bits a channel, are not read.",
                        "save it with 8 bits a channel.",
                    )
                return opened.convert("RGB")
    except DataError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(
            f"{path.name}: cannot be read ({reason}).", "remove or replace it, or skip such files."
        ) from None


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
    shorter = round(side * 256 / 224)
    longer = int(shorter * max(width, height) / min(width, height))
    size = (shorter, longer) if width <= height else (longer, shorter)
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    return picture.crop((left, top, left + side, top + side))
