"""Folders of clips: any, with a sub-folder for each class or without, and UCF101 with its official lists.

found = folder(path)             or ucf101(path, "test01")
clip = found.read(0)             frames at the file's own size, and the file itself
prepare(clip, 224)               frames as the corrupted sets are made from them
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from regrow import clips
from regrow.clips import Clip
from regrow.data import pictures
from regrow.data.listing import Listing
from regrow.errors import DataError, UnknownNameError

#: Official lists of UCF101: name of a split -> file below ``ucfTrainTestlist``.
SPLITS = {f"{part}{number}": f"{part}list{number}.txt" for part in ("train", "test") for number in ("01", "02", "03")}


@dataclass(frozen=True)
class ClipFolder(Listing):
    """Clips of a folder.

    Attributes:
        missing: files of a list that are not there.
    """

    missing: tuple[str, ...] = field(repr=False, default=())

    def read(self, i: int, /) -> Clip:
        """A clip as it is.

        Raises:
            DataError: it cannot be read, or is cut short.
        """
        return clips.read(self.place(i), name=self.files[i], whole=True)

    def prepared(self, clip: Clip) -> Clip:
        """Its frames, uint8 (T, side, side, 3)."""
        return prepare(clip, self.side)


def prepare(clip: Clip, side: int = 224) -> Clip:
    """Frames resized and cut as pictures are: the shorter side to 256 for 224 px, then the middle; without the file.

    Yi et al. 2021, arXiv:2110.06513. For other sides see :func:`regrow.data.pictures.prepare`.
    """
    from PIL import Image

    out = np.empty((len(clip), side, side, 3), np.uint8)
    for frame, target in zip(clip.frames, out, strict=True):
        target[...] = np.asarray(pictures.prepare(Image.fromarray(frame), side))
    return Clip(out, clip.rate)


def files_below(path: Path) -> Iterator[Path]:
    """Video files in a folder and in its sub-folders, sorted; hidden ones are left out."""
    found = (f for f in path.rglob("*") if f.suffix.lower() in clips.SUFFIXES and f.is_file())
    return iter(sorted(f for f in found if not any(part[0] == "." for part in f.relative_to(path).parts)))


def folder(path: Path, side: int = 224) -> ClipFolder:
    """The clips of a folder, in the order of class and file name.

    Args:
        path: with one sub-folder for each class, or with clips alone.
        side: height and width in pixels of prepared frames.

    Raises:
        DataError: no folder, or no clip in it, or some clips in folders and some not.
    """
    if not path.is_dir():
        raise DataError(f"{path} is no folder.", "give a folder of clips.")
    names = [file.relative_to(path).as_posix() for file in files_below(path)]
    if not names:
        raise DataError(f"{path} holds no clip.", f"give files of type {', '.join(sorted(clips.SUFFIXES))}.")
    loose = [name for name in names if "/" not in name]
    if len(loose) < len(names):
        if loose:
            raise DataError(
                f"{path / loose[0]} lies beside folders of clips: its class is not clear.",
                "put it into a folder, or the others beside it.",
            )
        classes = sorted({name.split("/")[0] for name in names})
        labels = [classes.index(name.split("/")[0]) for name in names]
    else:
        classes, labels = ["all"], [0] * len(names)
    return ClipFolder(path.resolve().name, path, tuple(names), tuple(labels), tuple(classes), side)


def is_ucf101(path: Path) -> bool:
    """Whether a folder is UCF101 as published, with its lists."""
    return (path / "UCF-101").is_dir() and (path / "ucfTrainTestlist").is_dir()


def ucf101(path: Path, split: str = "all", side: int = 224) -> ClipFolder:
    """Clips of UCF101 (Soomro et al. 2012, arXiv:1212.0402).

    Args:
        path: with ``UCF-101/CLASS/v_*.avi`` and ``ucfTrainTestlist``.
        split: ``train01`` to ``test03``: the clips of that list that are there; or ``all`` that are there.
        side: height and width in pixels of prepared frames.

    Raises:
        DataError: lists or clips are missing.
        UnknownNameError: no such split.
    """
    if split not in (*SPLITS, "all"):
        raise UnknownNameError("split", split, [*SPLITS, "all"], "leave it out for all clips that are there.")
    numbers = _classes(path / "ucfTrainTestlist" / "classInd.txt")
    # one class is spelt HandstandPushups in the archive and HandStandPushups in some copies of the lists
    number_of = {name.lower(): number for name, number in numbers.items()}
    there = [file.relative_to(path / "UCF-101").as_posix() for file in files_below(path / "UCF-101")]
    place_of = {name.lower(): name for name in there}
    wanted = there if split == "all" else _listed(path / "ucfTrainTestlist" / SPLITS[split])
    found = [place_of[name.lower()] for name in wanted if name.lower() in place_of]
    if not found:
        raise DataError(f"none of the {len(wanted)} clips of {split} is below {path / 'UCF-101'}.", "unpack UCF101.")
    for name in found:
        if name.split("/")[0].lower() not in number_of:
            raise DataError(f"{path / 'UCF-101' / name} is of no class of classInd.txt.", "unpack UCF101 again.")
    labels = tuple(number_of[name.split("/")[0].lower()] for name in found)
    missing = tuple(name for name in wanted if name.lower() not in place_of)
    places = tuple(f"UCF-101/{name}" for name in found)
    return ClipFolder(f"ucf101/{split}", path, tuple(found), labels, tuple(numbers), side, places, missing)


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "it is no text"
        raise DataError(f"{path} cannot be read ({said}).", "unpack the lists of UCF101.") from None


def _classes(path: Path) -> dict[str, int]:
    """Class name -> its number, from 0, in the order of the official file."""
    rows = [line.split() for line in _lines(path)]
    if any(len(row) != 2 or not re.fullmatch("[0-9]{1,9}", row[0]) for row in rows):
        raise DataError(f"{path} has not lines NUMBER CLASS.", "unpack the lists of UCF101 again.")
    return {name: int(number) - 1 for number, name in rows}


def _listed(path: Path) -> list[str]:
    return [line.split()[0] for line in _lines(path)]
