"""Sets in the layout of ImageNet-C: ``corruption/severity/class/name.JPEG``, quality 85 as published.

The pictures of a corruption are made in ``.NAME.part``, which gets its name when all severities are whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from regrow import files
from regrow.corruptions import jpeg
from regrow.corruptions.registry import Images
from regrow.corruptions.writer import blocks
from regrow.corruptions.writer.blocks import Block, Journal
from regrow.corruptions.writer.manifest import (
    CLEAN,
    MANIFEST,
    Manifest,
    Progress,
    Row,
    Settings,
    choose_names,
    told_when_full,
    versions,
)
from regrow.corruptions.writer.pictures import Pictures, common_side, read_picture, target_paths
from regrow.errors import DataError, InputError

#: How the published pictures were saved.
SAVED = {"quality": 85, "optimize": True}

#: Bytes of a saved picture for each of its pixels, at the least.
_BYTES_PER_PIXEL = 0.25

NO_PUBLISHED = "no published file"


class Tree(NamedTuple):
    """What was written: a row for each cell, and the pictures that were left out, with the reasons."""

    rows: list[Row]
    skipped: dict[str, str]


def write_tree(
    pictures: Pictures,
    out: Path,
    corruptions: Sequence[str],
    severities: Sequence[int] = (1, 2, 3, 4, 5),
    *,
    clean: bool = False,
    on_bad: str = "stop",
    seed: int = 0,
    mode: str = "exact",
    scale: str | None = None,
    codec: str | None = None,
    frost: Path | str | None = None,
    jobs: int | None = None,
    notes: Sequence[str] = (),
    force: bool = False,
    progress: Progress | None = None,
) -> Tree:
    """Write corrupted copies of pictures as folders of JPEG files; what is whole already is left as it is.

    Args:
        pictures: the clean ones.
        out: folder to write to; made when absent.
        corruptions: names, or groups of them; see ``choose_names``.
        severities: rising numbers from 1 to 5.
        clean: also write the clean pictures, saved alike, to ``clean/0``.
        on_bad: ``"stop"`` at a picture that cannot be read, or ``"skip"`` it in every cell and count it.
        seed: as in ``write_cifar_style``, and so all that follow. The number of a picture, of which its noise
            depends, is its place in ``pictures``, skipped ones counted.
        mode: ``"exact"`` or ``"fast"``.
        scale: column of published settings.
        codec: JPEG encoder of jpeg_compression; the files themselves are always saved by Pillow's.
        frost: folder of the frost photographs.
        jobs: processes; by default one a core.
        notes: caveats for the manifest.
        force: replace another set.
        progress: called after each block of pictures.

    Raises:
        InputError: names, severities or pictures that cannot be used, or a folder of another set.
        DataError: a picture that cannot be read, or the disk is full.
        BusyError: another process is writing to the folder.
    """
    if on_bad not in ("stop", "skip"):
        raise InputError(f"on_bad must be stop or skip, got {on_bad!r}.", "give one of these.")
    jobs = blocks.check_jobs(jobs)
    settings = Settings.of(severities, seed, mode, scale, codec, frost)
    choose_names(corruptions)
    paths = target_paths(pictures)
    side = common_side(pictures, on_bad)
    said = {name: settings.notes(name, side) for name in choose_names(corruptions, side, scale)}
    if clean:
        said = {CLEAN: {}, **said}
    made_from = {
        "layout": "tree",
        "source": pictures.name,
        **settings.identity(side),
        "n_images": len(paths),
        "paths_sha256": hashlib.sha256("\n".join(paths).encode()).hexdigest(),
        "on_bad": on_bad,
    }
    with told_when_full(Path(out)), files.owned(Path(out), "set"):
        manifest = Manifest.open(Path(out), made_from, force, _folders(Path(out)), _remove)
        if notes:
            manifest.facts["caveats"] = list(notes)
        writer = _Writer(Path(out), manifest, settings, pictures, paths, side, said)
        manifest.want(cell for name in said for cell in writer.cells(name))
        todo = [name for name in said if not writer.is_whole(name, force)]
        n_corrupted = len(todo) * len(paths) * len(settings.severities)
        writer.write(todo, force, jobs or blocks.default_jobs(n_corrupted, side), progress)
        rows = [
            Row(cell, manifest.entries[cell]["sha256"], None, NO_PUBLISHED)
            for name in said
            for cell in writer.cells(name)
        ]
        return Tree(rows, manifest.facts.get("skipped", {}))


def verify_tree(manifest: Manifest) -> list[Row]:
    """Compare the cells of a tree with its manifest."""
    rows = []
    for cell in sorted({*manifest.wanted, *manifest.entries}):
        folder, status, digest = manifest.folder / cell, "missing", ""
        if cell in manifest.entries and folder.is_dir():
            found = (path for path in folder.rglob("*") if path.is_file())
            digest = _cell_digest({path.relative_to(folder).as_posix(): files.file_digest(path) for path in found})
            status = NO_PUBLISHED if digest == manifest.entries[cell]["sha256"] else "altered"
        rows.append(Row(cell, digest, None, status))
    return rows


class _Writer:
    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        settings: Settings,
        pictures: Pictures,
        paths: list[str],
        side: int,
        said: dict[str, dict[str, str]],
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.settings = settings
        self.pictures = pictures
        self.paths = paths
        self.side = side
        self.said = said
        self.versions = versions(settings) | {"encoder": jpeg.encoder("pillow")}

    def severities(self, name: str) -> tuple[int, ...]:
        return (0,) if name == CLEAN else self.settings.severities

    def cells(self, name: str) -> list[str]:
        return [f"{name}/{severity}" for severity in self.severities(name)]

    def is_whole(self, name: str, force: bool) -> bool:
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
        return True

    def write(self, todo: Sequence[str], force: bool, jobs: int, progress: Progress | None) -> None:
        n, times = len(self.paths), len(self.settings.severities)
        step = blocks.block_size(self.side)
        journals = {name: self._journal(name, step, force) for name in todo}
        n_done = sum(len(journal.results) * step * len(self.severities(name)) for name, journal in journals.items())
        n_left = sum(n * len(self.severities(name)) for name in todo) - n_done
        blocks.check_space(self.folder, int(max(0, n_left) * self.side**2 * _BYTES_PER_PIXEL))
        for name, journal in journals.items():
            if not journal.results:
                shutil.rmtree(_part(self.folder, name), ignore_errors=True)
            for severity in self.severities(name):
                (_part(self.folder, name) / str(severity)).mkdir(parents=True, exist_ok=True)
            journal.begin()
        skip = self.manifest.made_from["on_bad"] == "skip"
        work = _Work(self.folder, self.pictures, self.paths, self.side, self.settings, skip)
        report = blocks.counter(progress, len(todo) * n * times, times)
        made = blocks.produce(work, journals, n, step, jobs=jobs, fill=lambda block: block, report=report)
        with contextlib.closing(made):
            for name, results in made:
                self._finish(name, results)
                journals[name].path.unlink()

    def _journal(self, name: str, step: int, force: bool) -> Journal:
        key = [self.manifest.made_from, self.said[name], self.versions, step]
        journal = Journal(self.folder / f".{name}.journal", files.value_digest(key))
        part, there = _part(self.folder, name), self.folder / name
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

    def _finish(self, name: str, results: Sequence[dict[str, Any]]) -> None:
        pixels = hashlib.sha256("".join(one for result in results for one in result["pixels"]).encode()).hexdigest()
        skipped = {self.pictures.path(int(i)): why for result in results for i, why in result["skipped"].items()}
        before = self.manifest.facts.setdefault("pixels_sha256", pixels)
        if before != pixels:
            raise DataError(
                f"the pictures of {self.pictures.name} changed since the first cells of {self.folder} were made.",
                "choose another --out for them, or bring the old ones back.",
            )
        if len(skipped) == len(self.paths):
            raise DataError(f"none of the {len(skipped)} pictures of {self.pictures.name} could be read.")
        self.manifest.facts["skipped"] = skipped
        if hasattr(os, "sync"):
            os.sync()  # once for all files: they must not be empty after a power cut when the folder has its name
        _part(self.folder, name).replace(self.folder / name)
        for row, cell in enumerate(self.cells(name)):
            digests = {self.paths[int(i)]: sums[row] for result in results for i, sums in result["files"].items()}
            self.manifest.entries[cell] = {
                "sha256": _cell_digest(digests),
                "n_files": len(digests),
                "n_bytes": sum(result["n_bytes"][row] for result in results),
                "notes": self.said[name],
                "versions": self.versions,
            }
        self.manifest.save()


@dataclass(frozen=True)
class _Work:
    """Writes one block of pictures at all severities; its result holds the digests of the files and of the pixels."""

    folder: Path
    pictures: Pictures
    paths: list[str]
    side: int
    settings: Settings
    skip: bool

    def __call__(self, block: Block) -> dict[str, Any]:
        severities = (0,) if block.name == CLEAN else self.settings.severities
        part = _part(self.folder, block.name)
        if block.expected is not None and self._is_there(part, severities, block.expected):
            return dict(block.expected)
        numbers, images, skipped = self._read(range(block.start, block.stop))
        sums: dict[str, list[str]] = {str(i): [] for i in numbers}
        n_bytes = []
        for severity in severities:
            corrupted = images if block.name == CLEAN else self.settings.corrupt(images, block.name, severity, numbers)
            n_bytes.append(0)
            for i, image in zip(numbers, corrupted, strict=True):
                content = encoded(image)
                _write(part / str(severity) / self.paths[i], content)
                sums[str(i)].append(hashlib.sha256(content).hexdigest())
                n_bytes[-1] += len(content)
        pixels = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
        return {"files": sums, "skipped": skipped, "n_bytes": n_bytes, "pixels": pixels}

    def _read(self, numbers: range) -> tuple[list[int], Images, dict[str, str]]:
        read: dict[int, Images] = {}
        skipped = {}
        for i in numbers:
            try:
                read[i] = read_picture(self.pictures, i, self.side)
            except DataError as error:
                if not self.skip:
                    raise
                skipped[str(i)] = error.message
        shape = (len(read), self.side, self.side, 3)
        return list(read), np.stack(list(read.values())) if read else np.empty(shape, np.uint8), skipped

    def _is_there(self, part: Path, severities: Sequence[int], expected: dict[str, Any]) -> bool:
        try:
            return all(
                files.file_digest(part / str(severity) / self.paths[int(i)]) == digest
                for i, sums in expected["files"].items()
                for severity, digest in zip(severities, sums, strict=True)
            )
        except FileNotFoundError:
            return False


def encoded(image: Images) -> bytes:
    """A picture as the JPEG file of the published trees; uint8 (H, W, 3)."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", **SAVED)
    return content.getvalue()


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except FileNotFoundError:  # the first of its class
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _cell_digest(digests: dict[str, str]) -> str:
    return hashlib.sha256("".join(f"{digests[path]}  {path}\n" for path in sorted(digests)).encode()).hexdigest()


def _part(folder: Path, name: str) -> Path:
    return folder / f".{name}.part"


def _folders(out: Path) -> Iterator[Path]:
    return (path for path in out.glob("*") if path.is_dir())


def _remove(other: Manifest) -> None:
    for name in {PurePosixPath(entry).parts[0] for entry in other.wanted}:
        for folder in (other.folder / name, _part(other.folder, name)):
            shutil.rmtree(folder, ignore_errors=True)
        (other.folder / f".{name}.journal").unlink(missing_ok=True)
