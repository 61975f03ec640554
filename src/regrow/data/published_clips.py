"""Corrupted clips on the disk, read only: trees of ``regrow corrupt``, and the layout of ViTTA's UCF101 set.

opened = ClipSet(Path("UCF101-C"))
opened.corruptions, opened.severities("fog"), opened.has_clean
cell = opened.cell("fog", 3)                       # .labels, .n_frames; clean clips are ("clean", 0)
cell.read(0)                                       # a clip: frames (T, H, W, 3)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from regrow import clips
from regrow.clips import Clip
from regrow.data.pictures import SUFFIXES
from regrow.data.published import N_SEVERITIES, severity_folders
from regrow.data.spec import Labels
from regrow.errors import DataError, UnknownNameError
from regrow.files import inside

#: Folder of the clean clips of a tree that ``regrow corrupt --clean`` has written, beside those of the types.
CLEAN = "clean"

_NUMBER = re.compile("[0-9]{1,9}")


def holds_clips(folder: Path) -> bool:
    """Whether the first picture, array or video that is met in a folder is a video."""
    for file in folder.rglob("*"):
        suffix = file.suffix.lower()
        if suffix in clips.SUFFIXES and file.is_file():
            return True
        if suffix in SUFFIXES or suffix == ".npy":
            return False
    return False


@dataclass(frozen=True)
class ClipCell:
    """One corruption of clips at one severity.

    Attributes:
        files: the clips, in the order of their list, else of class and name.
        labels: int64 (n,): the list's class numbers, else the place of the class folder among all, sorted.
        n_frames: how many frames the list gives each; empty without a list.
    """

    files: tuple[Path, ...]
    labels: Labels
    n_frames: tuple[int, ...]

    def __len__(self) -> int:
        """How many clips."""
        return len(self.files)

    def read(self, i: int) -> Clip:
        """A clip; frames of a damaged stream that cannot be decoded repeat the last one.

        It is called by its class folder and its own name in messages.

        Raises:
            DataError: it cannot be read.
        """
        file = self.files[i]
        return clips.read(file, self.n_frames[i] if self.n_frames else None, f"{file.parent.name}/{file.name}")


class ClipSet:
    """Corrupted clips: a tree that ``regrow corrupt`` has written, or one in the layout of ViTTA's UCF101 set.

    Trees are ``NAME/SEVERITY/CLASS/FILE``; ViTTA's are ``NAME/CLASS/FILE`` in a folder ``level_5_...``, which is the
    severity. Lists with lines ``path n_frames class`` (``clips.txt`` of a cell, or any ``.txt`` beside the types) give
    class numbers and lengths. ``has_clean`` says whether the clean clips are there, as type ``clean`` of severity 0.

    Args:
        folder: the set.

    Raises:
        DataError: no set of clips.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._cells: dict[str, dict[int, Path]] = {}
        level = _level_of(folder)
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if not path.is_dir() or path.name.startswith(".") or path.name == CLEAN:
                continue
            levels = {int(level.name): level for level in severity_folders(path) if level.name.isdigit()}
            if not levels and level is not None:
                levels = {level: path}
            levels = {number: cell for number, cell in levels.items() if 1 <= number <= N_SEVERITIES and _is_cell(cell)}
            if levels:
                self._cells[path.name] = levels
        if not self._cells:
            raise DataError(
                f"{folder} holds neither clips NAME/SEVERITY/CLASS/FILE nor, in a folder level_5_..., NAME/CLASS/FILE.",
                "give the folder of a set of corrupted clips.",
            )
        self.corruptions = sorted(self._cells)
        clean = folder / CLEAN / "0"
        self.has_clean = clean.is_dir() and _is_cell(clean)
        self._clean = {0: clean} if self.has_clean else {}

    def severities(self, corruption: str) -> list[int]:
        """Which are there."""
        return sorted(self._of(corruption))

    def cell(self, corruption: str, severity: int) -> ClipCell:
        """Clips of one type at one severity.

        Raises:
            DataError: it is not there, or a clip of its list is missing.
        """
        levels = self._of(corruption)
        if severity not in levels:
            raise DataError(f"{corruption} of {self.folder} has no severity {severity}.", f"it has {sorted(levels)}.")
        root = levels[severity]
        found = _clips(root)
        rows = _rows(root / "clips.txt")
        if rows:
            files = [inside(root, name) for name, _, _ in rows]
            missing = next((file for file in files if not file.is_file()), None)
            if missing is not None:
                raise DataError(f"{missing} is in its list and not there.", "write or unpack the set again.")
            return _cell(files, [label for _, _, label in rows], [n for _, n, _ in rows])
        listed = self._listed(found)
        if listed is not None:
            return _cell(found, [label for _, label in listed], [n for n, _ in listed])
        groups = [file.relative_to(root).parts[0] if file.parent != root else "" for file in found]
        classes = sorted(set(groups))
        return _cell(found, [classes.index(group) for group in groups], [])

    def _listed(self, files: Sequence[Path]) -> list[tuple[int, int]] | None:
        """Length and class of each clip by the lists beside the types; ``None`` where these do not name all."""
        by_name: dict[tuple[str, ...], set[tuple[int, int]]] = {}
        for file in self.folder.glob("*.txt"):
            for name, n_frames, label in _rows(file):
                path = Path(name)
                for key in ((path.stem,), (path.parent.name, path.stem)):
                    by_name.setdefault(key, set()).add((n_frames, label))
        found: list[tuple[int, int]] = []
        for file in files:
            choices = by_name.get((file.parent.name, file.stem)) or by_name.get((file.stem,))
            if choices is None:
                return None
            if len(choices) > 1:
                raise DataError(f"the lists in {self.folder} name {file.name} twice.", "leave one list there.")
            found += choices
        return found

    def _of(self, corruption: str) -> dict[int, Path]:
        if corruption == CLEAN and self.has_clean:
            return self._clean
        if corruption not in self._cells:
            raise UnknownNameError("type", corruption, self.corruptions, f"they are the folders of {self.folder}.")
        return self._cells[corruption]


def _cell(files: Sequence[Path], labels: Sequence[int], n_frames: Sequence[int]) -> ClipCell:
    return ClipCell(tuple(files), np.array(labels, np.int64), tuple(n_frames))


def _is_cell(cell: Path) -> bool:
    return (cell / "clips.txt").is_file() or bool(_clips(cell))


def _clips(cell: Path) -> list[Path]:
    return [f for f in sorted(cell.rglob("*")) if f.suffix.lower() in clips.SUFFIXES and f.is_file()]


def _level_of(folder: Path) -> int | None:
    """Severity in the name of a folder of ViTTA's layout, e.g. 5 of ``level_5_ucf_val_split_1_``."""
    words = folder.resolve().name.split("_")
    return int(words[1]) if len(words) > 1 and words[0] == "level" and words[1].isdigit() else None


def _rows(file: Path) -> list[tuple[str, int, int]]:
    """Lines ``path n_frames class`` of a list; empty where the file is absent or is no such list."""
    if not file.is_file():
        return []
    rows = [line.rsplit(" ", 2) for line in file.read_text("utf-8", "surrogateescape").splitlines() if line.strip()]
    if any(
        len(row) != 3 or not _NUMBER.fullmatch(row[1]) or not _NUMBER.fullmatch(row[2]) or row[1] == "0" for row in rows
    ):
        return []
    return [(name, int(n_frames), int(label)) for name, n_frames, label in rows]
