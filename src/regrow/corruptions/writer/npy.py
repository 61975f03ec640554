"""Sets in the layout of CIFAR-10-C: one ``.npy`` file a corruption, and ``labels.npy``.

    DIR/NAME.npy        uint8 (n_severities * N, H, W, 3), severity after severity, the set's order in each
    DIR/labels.npy      uint8, the labels, repeated for each severity
    DIR/manifest.json   what the files were made from and by, and their digests

Files hold the published bytes where these can be reached, so their md5 is the proof.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from regrow import files
from regrow.corruptions.inputs import check_images
from regrow.corruptions.registry import Images
from regrow.corruptions.writer import blocks
from regrow.corruptions.writer.blocks import Block, Journal
from regrow.corruptions.writer.manifest import (
    MANIFEST,
    Manifest,
    Progress,
    Row,
    Settings,
    choose_names,
    told_when_full,
    versions,
)
from regrow.corruptions.writer.verifying import row_of
from regrow.errors import InputError


def write_cifar_style(
    images: Images,
    labels: npt.NDArray[Any],
    out: Path,
    corruptions: Sequence[str],
    severities: Sequence[int] = (1, 2, 3, 4, 5),
    *,
    source: str,
    seed: int = 0,
    mode: str = "exact",
    scale: str | None = None,
    codec: str | None = None,
    frost: Path | str | None = None,
    jobs: int | None = None,
    notes: Sequence[str] = (),
    force: bool = False,
    progress: Progress | None = None,
) -> list[Row]:
    """Write corrupted copies of a set; files that are whole already are left as they are.

    Args:
        images: uint8 (N, H, W, 3), square; may be a memory map.
        labels: class numbers in 0..255, (N,).
        out: folder to write to; made when absent.
        corruptions: names, or groups of them; see ``choose_names``.
        severities: rising numbers from 1 to 5. Published files hold all five.
        source: what the images are, e.g. ``"cifar10"``: then files are compared with the published md5s.
        seed: seed of the noise.
        mode: ``"exact"`` or ``"fast"``.
        scale: column of published settings; by default the one nearest to the image size.
        codec: JPEG encoder of jpeg_compression, see ``corrupt``.
        frost: folder of the frost photographs, see ``corrupt``.
        jobs: processes; by default one a core, and no further one for a small set. Bytes do not depend on it.
        notes: caveats for the manifest.
        force: write anew a folder that holds another set, and files that were altered.
        progress: called after each block of images.

    Returns:
        A row for each file asked for, and for the labels; see ``verify``.

    Raises:
        InputError: names, severities, images or labels that cannot be used, or a folder of another set.
        DataError: the disk is full.
        BusyError: another process is writing to the folder.
    """
    side = check_images(images)
    jobs = blocks.check_jobs(jobs)
    settings = Settings.of(severities, seed, mode, scale, codec, frost)
    tiled = _tile(labels, len(images), len(settings.severities))
    said = {name: settings.notes(name, side) for name in choose_names(corruptions, side, scale)}
    made_from = {
        "layout": "npy",
        "source": source,
        **settings.identity(side),
        "n_images": len(images),
        "images_sha256": hashlib.sha256(np.ascontiguousarray(images).data).hexdigest(),
        "labels_sha256": hashlib.sha256(tiled[: len(images)].tobytes()).hexdigest(),
    }
    with told_when_full(Path(out)), files.owned(Path(out), "set"):
        manifest = Manifest.open(Path(out), made_from, force, Path(out).glob("*.npy"), _remove)
        if notes:
            manifest.facts["caveats"] = list(notes)
        manifest.want([*said, "labels"])
        writer = _Writer(Path(out), manifest, settings, images, said)
        todo = [name for name in said if not writer.is_whole(name, force)]
        if not writer.is_whole("labels", force):
            with files.atomic_path(writer.folder / "labels.npy") as path, path.open("wb") as file:
                np.save(file, tiled)
            writer.note("labels", _digests(writer.folder / "labels.npy"))
        writer.write(todo, jobs or blocks.default_jobs(len(todo) * tiled.size, side), progress)
        return [row_of(name, manifest.entries[name]["md5"], made_from) for name in [*said, "labels"]]


class _Writer:
    def __init__(
        self, folder: Path, manifest: Manifest, settings: Settings, images: Images, said: dict[str, dict[str, str]]
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.settings = settings
        self.images = images
        self.said = said
        self.versions = versions(settings)
        self.shape = (len(settings.severities) * len(images), *images.shape[1:])
        files.sweep(folder, deep=False)  # of a process that was killed

    def is_whole(self, name: str, force: bool) -> bool:
        path, noted = self.folder / f"{name}.npy", self.manifest.entries.get(name)
        if noted is None or not path.exists():
            return False
        if not self.manifest.refuse_other_notes(name, self.said.get(name, {}), force):
            return False
        if files.file_digest(path) == noted["sha256"]:
            blocks.journal_of(self.folder, name).unlink(missing_ok=True)  # stopped after the file was noted
            return True
        if force:
            return False
        raise InputError(
            f"{path} is not the file that {MANIFEST} names: it was altered or cut short.",
            "remove it, or write it again with --force.",
        )

    def write(self, todo: Sequence[str], jobs: int, progress: Progress | None) -> None:
        n, times = len(self.images), len(self.settings.severities)
        step = blocks.block_size(self.images.shape[1])
        journals = {name: self._journal(name, step) for name in todo}
        n_done = sum(len(journal.results) for journal in journals.values()) * step * times
        blocks.check_space(self.folder, max(0, len(todo) * self.shape[0] - n_done) * self.images[0].nbytes)
        for name, journal in journals.items():
            self._begin(name, journal)
        work = _Work(self.folder, n, self.settings)
        report = blocks.counter(progress, len(todo) * n * times, times)
        made = blocks.produce(work, journals, n, step, jobs=jobs, fill=self._fill, report=report)
        finished: list[Future[None]] = []
        # a large file takes long to read again for its digests: the workers go on meanwhile
        with contextlib.closing(made), ThreadPoolExecutor(1) as finisher:
            for name, _ in made:
                finished.append(finisher.submit(self._finish, name, journals[name]))
        for future in finished:
            future.result()

    def _journal(self, name: str, step: int) -> Journal:
        key = [self.manifest.made_from, self.said[name], self.versions, step]
        journal = Journal(blocks.journal_of(self.folder, name), files.value_digest(key))
        part, path = _part(self.folder, name), self.folder / f"{name}.npy"
        if journal.is_valid and not part.exists() and path.exists() and name not in self.manifest.entries:
            path.replace(part)  # stopped after the file had got its name, before it was noted
        if not (journal.is_valid and part.exists()):
            journal.results.clear()
        return journal

    def _begin(self, name: str, journal: Journal) -> None:
        if not journal.results:
            target = np.lib.format.open_memmap(_part(self.folder, name), mode="w+", dtype=np.uint8, shape=self.shape)
            del target
        journal.begin()

    def _fill(self, block: Block) -> Block:
        return block._replace(images=np.ascontiguousarray(self.images[block.start : block.stop]))

    def _finish(self, name: str, journal: Journal) -> None:
        part = _part(self.folder, name)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        digests = _digests(part)
        part.replace(self.folder / f"{name}.npy")
        self.note(name, digests)
        journal.path.unlink()

    def note(self, name: str, digests: dict[str, str]) -> None:
        row = row_of(name, digests["md5"], self.manifest.made_from)
        self.manifest.entries[name] = {
            **digests,
            "official_md5": row.official,
            "status": row.status,
            "notes": self.said.get(name, {}),
            "versions": self.versions,
        }
        self.manifest.save()


@dataclass(frozen=True)
class _Work:
    """Writes one block into the unfinished file; its result is the CRC-32 of each severity."""

    folder: Path
    n: int
    settings: Settings

    def __call__(self, block: Block) -> list[int]:
        images, severities = block.images, self.settings.severities
        offset = _offset((len(severities) * self.n, *images.shape[1:]))
        # not through a memory map: there a full disk is no error but the end of the process
        with _part(self.folder, block.name).open("rb+") as file:
            places = [offset + (row * self.n + block.start) * images[0].nbytes for row in range(len(severities))]
            if block.expected is not None and list(_sums(file, places, images.nbytes)) == block.expected:
                return list(block.expected)
            sums = []
            for place, severity in zip(places, severities, strict=True):
                content = self.settings.corrupt(images, block.name, severity, block.start).data
                file.seek(place)
                file.write(content)
                sums.append(zlib.crc32(content))
            return sums


def _sums(file: Any, places: Sequence[int], n_bytes: int) -> Iterator[int]:
    for place in places:
        file.seek(place)
        yield zlib.crc32(file.read(n_bytes))


def _part(folder: Path, name: str) -> Path:
    return folder / f".{name}.npy.part"


def _offset(shape: tuple[int, ...]) -> int:
    """Bytes before the values: 128 in the published files."""
    header = io.BytesIO()
    layout = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, layout)
    return len(header.getvalue())


def _digests(path: Path) -> dict[str, str]:
    sums = {"md5": hashlib.md5(usedforsecurity=False), "sha256": hashlib.sha256()}
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            for digest in sums.values():
                digest.update(piece)
    return {name: digest.hexdigest() for name, digest in sums.items()}


def _remove(other: Manifest) -> None:
    for name in other.wanted:
        for path in (other.folder / f"{name}.npy", _part(other.folder, name), blocks.journal_of(other.folder, name)):
            path.unlink(missing_ok=True)


def _tile(labels: npt.NDArray[Any], n: int, times: int) -> npt.NDArray[np.uint8]:
    labels = np.asarray(labels)
    if n == 0:
        raise InputError("there are no images to corrupt.", "give at least one.")
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise InputError(
            f"labels must hold one whole number for each of the {n} images, got {labels.dtype} of {labels.shape}.",
            "give the class numbers of the images, in their order.",
        )
    if labels.min() < 0 or labels.max() > 255:
        raise InputError(
            f"labels must lie in 0..255, got {labels.min()} to {labels.max()}.",
            "this layout stores labels as bytes: number the classes from 0, or write a tree.",
        )
    return np.tile(labels.astype(np.uint8), times)
