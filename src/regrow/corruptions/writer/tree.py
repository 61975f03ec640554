"""Sets in the layout of ImageNet-C: ``corruption/severity/class/name.JPEG``, quality 85 as published."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from regrow import files
from regrow.corruptions import jpeg
from regrow.corruptions.registry import Images
from regrow.corruptions.writer import blocks
from regrow.corruptions.writer.blocks import Block
from regrow.corruptions.writer.folders import (
    Folders,
    Made,
    Tree,
    are_there,
    folders_of,
    part_of,
    remove_all,
    severities_of,
    write_file,
)
from regrow.corruptions.writer.manifest import (
    CLEAN,
    Manifest,
    Progress,
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
        manifest = Manifest.open(Path(out), made_from, force, folders_of(Path(out)), remove_all)
        if notes:
            manifest.facts["caveats"] = list(notes)
        made_by = versions(settings) | {"encoder": jpeg.encoder("pillow")}
        step = blocks.block_size(side)
        folders = Folders(Path(out), manifest, settings.severities, said, made_by, len(paths), step, pictures.name)
        folders.write(
            _Work(Path(out), pictures, paths, side, settings, on_bad == "skip"),
            force=force,
            jobs=lambda n_corrupted: jobs or blocks.default_jobs(n_corrupted, side),
            bytes_each=side**2 * _BYTES_PER_PIXEL,
            progress=progress,
        )
        return Tree(folders.rows(), manifest.facts.get("skipped", {}))


@dataclass(frozen=True)
class _Work:
    """Writes one block of pictures at all severities."""

    folder: Path
    pictures: Pictures
    paths: list[str]
    side: int
    settings: Settings
    skip: bool

    def __call__(self, block: Block) -> Sequence[Any]:
        severities = severities_of(block.name, self.settings.severities)
        part = part_of(self.folder, block.name)
        if block.expected is not None and are_there(part, severities, Made.of(block.expected)):
            return list(block.expected)
        numbers, images, skipped = self._read(range(block.start, block.stop))
        sums: dict[str, list[str]] = {self.paths[i]: [] for i in numbers}
        n_bytes = []
        for severity in severities:
            corrupted = images if block.name == CLEAN else self.settings.corrupt(images, block.name, severity, numbers)
            n_bytes.append(0)
            for i, image in zip(numbers, corrupted, strict=True):
                content = encoded(image)
                sums[self.paths[i]].append(write_file(part / str(severity) / self.paths[i], content))
                n_bytes[-1] += len(content)
        pixels = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
        return list(Made(sums, skipped, n_bytes, pixels))

    def _read(self, numbers: range) -> tuple[list[int], Images, dict[str, str]]:
        read: dict[int, Images] = {}
        skipped = {}
        for i in numbers:
            try:
                read[i] = read_picture(self.pictures, i, self.side)
            except DataError as error:
                if not self.skip:
                    raise
                skipped[self.pictures.path(i)] = error.message
        shape = (len(read), self.side, self.side, 3)
        return list(read), np.stack(list(read.values())) if read else np.empty(shape, np.uint8), skipped


def encoded(image: Images) -> bytes:
    """A picture as the JPEG file of the published trees; uint8 (H, W, 3)."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", **SAVED)
    return content.getvalue()
