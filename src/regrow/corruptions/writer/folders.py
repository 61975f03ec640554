"""Sets of folders: ``corruption/severity/...``, a file for each picture or clip.

The files of a corruption are made in ``.NAME.part``, which gets its name when all severities are whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from regrow import files
from regrow.corruptions.writer import blocks
from regrow.corruptions.writer.blocks import Block, Journal
from regrow.corruptions.writer.manifest import CLEAN, MANIFEST, Manifest, Progress, Row
from regrow.errors import DataError, InputError

NO_PUBLISHED = "no published file"


class Tree(NamedTuple):
    """What was written: a row for each cell, and the pictures or clips that were left out, with the reasons."""

    rows: list[Row]
    skipped: dict[str, str]


class Made(NamedTuple):
    """What a block of work tells of its files.

    Attributes:
        files: path below a severity's folder -> SHA-256 at each severity.
        skipped: path of each original that could not be read -> why.
        n_bytes: of all files, at each severity.
        originals: SHA-256 of what was corrupted.
        more: anything else, for JSON.
    """

    files: dict[str, list[str]]
    skipped: dict[str, str]
    n_bytes: list[int]
    originals: list[str]
    more: Any = None

    @classmethod
    def of(cls, value: Sequence[Any]) -> Made:
        """From the list that a journal holds."""
        return cls(*value)


class Folders:
    """Writes the folders of a set.

    Args:
        folder: the set.
        manifest: open, of this set.
        severities: of each corruption.
        said: corruption -> what must be said of it.
        versions: of what computes.
        n: pictures or clips.
        step: of them in a block.
        name: what they are.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        severities: tuple[int, ...],
        said: Mapping[str, dict[str, str]],
        versions: dict[str, str],
        n: int,
        step: int,
        name: str,
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.said = said
        self.versions = versions
        self.n, self.step, self.name = n, step, name
        self._severities = severities
        files.sweep(folder, deep=False)  # of a process that was killed
        manifest.want(cell for name in said for cell in self.cells(name))

    def severities(self, name: str) -> tuple[int, ...]:
        """Severities of a corruption; the clean ones are severity 0."""
        return severities_of(name, self._severities)

    def cells(self, name: str) -> list[str]:
        """Folders of a corruption."""
        return [f"{name}/{severity}" for severity in self.severities(name)]

    def rows(self) -> list[Row]:
        """A row for each cell."""
        return [
            Row(cell, self.manifest.entries[cell]["sha256"], None, NO_PUBLISHED)
            for name in self.said
            for cell in self.cells(name)
        ]

    def is_whole(self, name: str, force: bool) -> bool:
        """Whether nothing is left to do of a corruption.

        Raises:
            InputError: it was made otherwise, or files are missing, and ``force`` is not given.
        """
        for cell in self.cells(name):
            noted, folder = self.manifest.entries.get(cell), self.folder / cell
            if noted is None or not folder.is_dir():
                return False
            if not self.manifest.refuse_other_notes(cell, self.said[name], force):
                return False
            if sum(len(names) for _, _, names in os.walk(folder)) != noted["n_files"]:
                if force:
                    return False
                raise InputError(
                    f"{folder} has not the {noted['n_files']} files that {MANIFEST} names.",
                    "remove it, or write it again with --force.",
                )
        blocks.journal_of(self.folder, name).unlink(missing_ok=True)  # stopped after the cells were noted
        return True

    def write(
        self,
        work: Callable[[Block], Sequence[Any]],
        *,
        force: bool,
        jobs: Callable[[int], int],
        bytes_each: float,
        progress: Progress | None,
        closing: Callable[[Path, int, Sequence[Made]], Mapping[str, str]] = lambda *_: {},
    ) -> None:
        """Write what is missing.

        Args:
            work: writes a block at all severities into ``part_of(folder, name)``; gives the values of a ``Made``.
            force: replace what is in the way.
            jobs: processes for so many corruptions to make.
            bytes_each: of a file, at the least.
            progress: called after each block.
            closing: writes further files into a finished cell, given its folder, its place among the severities and
                what was made; returns their digests.
        """
        todo = [name for name in self.said if not self.is_whole(name, force)]
        n, times = self.n, len(self._severities)
        journals = {name: self._journal(name, force) for name in todo}
        n_done = sum(
            len(journal.results) * self.step * len(self.severities(name)) for name, journal in journals.items()
        )
        n_left = sum(n * len(self.severities(name)) for name in todo) - n_done
        blocks.check_space(self.folder, int(max(0, n_left) * bytes_each))
        for name, journal in journals.items():
            if not journal.results:
                shutil.rmtree(part_of(self.folder, name), ignore_errors=True)
            for severity in self.severities(name):
                (part_of(self.folder, name) / str(severity)).mkdir(parents=True, exist_ok=True)
            journal.begin()
        report = blocks.counter(progress, len(todo) * n * times, times)
        n_jobs = jobs(len(todo) * n * times)
        made = blocks.produce(work, journals, n, self.step, jobs=n_jobs, fill=lambda block: block, report=report)
        with contextlib.closing(made):
            for name, results in made:
                self._finish(name, [Made.of(result) for result in results], closing)
                journals[name].path.unlink()

    def _journal(self, name: str, force: bool) -> Journal:
        key = [self.manifest.made_from, self.said[name], self.versions, self.step, Made._fields]
        journal = Journal(blocks.journal_of(self.folder, name), files.value_digest(key))
        part, there = part_of(self.folder, name), self.folder / name
        if there.exists():
            if journal.is_valid and not part.exists():
                there.replace(part)  # stopped after the folder had got its name, before it was noted
            elif force or self.cells(name)[0] in self.manifest.entries:
                shutil.rmtree(there)
            else:
                raise InputError(
                    f"{there} is there, and {MANIFEST} does not name it.", "move it away, or replace it with --force."
                )
        if not (journal.is_valid and part.exists()):
            journal.results.clear()
        return journal

    def _finish(
        self, name: str, results: Sequence[Made], closing: Callable[[Path, int, Sequence[Made]], Mapping[str, str]]
    ) -> None:
        originals = hashlib.sha256("".join(one for made in results for one in made.originals).encode()).hexdigest()
        skipped = {path: why for made in results for path, why in made.skipped.items()}
        before = self.manifest.facts.setdefault("pixels_sha256", originals)
        if before != originals:
            raise DataError(
                f"the originals of {self.name} changed since the first cells of {self.folder} were made.",
                "choose another --out for them, or bring the old ones back.",
            )
        if len(skipped) == self.n:
            why = next(iter(skipped.values()))
            raise DataError(f"none of the {len(skipped)} files of {self.name} could be used for {name}: {why}")
        self.manifest.facts["skipped"] = self.manifest.facts.get("skipped", {}) | skipped
        part = part_of(self.folder, name)
        more = [closing(part / str(severity), at, results) for at, severity in enumerate(self.severities(name))]
        if hasattr(os, "sync"):
            os.sync()  # once for all files: they must not be empty after a power cut when the folder has its name
        part.replace(self.folder / name)
        for row, cell in enumerate(self.cells(name)):
            digests = {path: sums[row] for made in results for path, sums in made.files.items()} | dict(more[row])
            self.manifest.entries[cell] = {
                "sha256": _cell_digest(digests),
                "n_files": len(digests),
                "n_bytes": sum(made.n_bytes[row] for made in results),
                "notes": self.said[name],
                "versions": self.versions,
            }
        self.manifest.save()


def severities_of(name: str, severities: tuple[int, ...]) -> tuple[int, ...]:
    """Severities of a corruption; the clean ones are severity 0."""
    return (0,) if name == CLEAN else severities


def are_there(part: Path, severities: Sequence[int], expected: Made) -> bool:
    """Whether the files of a block are there as they were made earlier."""
    try:
        return all(
            files.file_digest(part / str(severity) / path) == digest
            for path, sums in expected.files.items()
            for severity, digest in zip(severities, sums, strict=True)
        )
    except FileNotFoundError:
        return False


def write_file(path: Path, content: bytes) -> str:
    """Write a file below a folder that is not yet named; its SHA-256."""
    try:
        path.write_bytes(content)
    except FileNotFoundError:  # the first of its class
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def verify_folders(manifest: Manifest) -> list[Row]:
    """Compare the cells of a set with its manifest."""
    rows = []
    for cell in sorted({*manifest.wanted, *manifest.entries}):
        folder, status, digest = manifest.folder / cell, "missing", ""
        if cell in manifest.entries and folder.is_dir():
            found = (path for path in folder.rglob("*") if path.is_file())
            digest = _cell_digest({path.relative_to(folder).as_posix(): files.file_digest(path) for path in found})
            status = NO_PUBLISHED if digest == manifest.entries[cell]["sha256"] else "altered"
        rows.append(Row(cell, digest, None, status))
    return rows


def _cell_digest(digests: dict[str, str]) -> str:
    return hashlib.sha256("".join(f"{digests[path]}  {path}\n" for path in sorted(digests)).encode()).hexdigest()


def part_of(folder: Path, name: str) -> Path:
    """Where the files of a corruption are made."""
    return folder / f".{name}.part"


def folders_of(out: Path) -> Iterator[Path]:
    """Folders that would be in the way of a set."""
    return (path for path in out.glob("*") if path.is_dir())


def remove_all(other: Manifest) -> None:
    """Remove the folders of a set."""
    for name in {PurePosixPath(entry).parts[0] for entry in other.wanted}:
        for folder in (other.folder / name, part_of(other.folder, name)):
            shutil.rmtree(folder, ignore_errors=True)
        blocks.journal_of(other.folder, name).unlink(missing_ok=True)
