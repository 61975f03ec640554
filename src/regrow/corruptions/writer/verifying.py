"""Compare a set with its manifest and with the md5s of the published files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regrow import files
from regrow.corruptions import registry
from regrow.corruptions.official import ARCHIVES, PUBLISHED, PUBLISHED_IMAGES, official_md5, recognise, was_published
from regrow.corruptions.registry import N_SEVERITIES
from regrow.corruptions.writer.manifest import MANIFEST, Manifest, Row
from regrow.errors import InputError

#: Statuses that say that a file is not what it should be.
WRONG = ("altered", "differs", "missing", "other JPEG encoder")


def verify(folder: Path, source: str | None = None) -> list[Row]:
    """Compare the files of a folder with their manifest and with the published md5s.

    Args:
        folder: a folder written by regrow, an unpacked published archive of ``.npy`` files, or one with published
            archives (of trees these alone have checksums).
        source: ``"cifar10"`` or ``"cifar100"``; by default what the manifest or the labels say.

    Returns:
        Rows by name; of a tree one a cell. Status: ``official`` (equal to the published file), ``official archive``
        (what was unpacked from it is not compared), ``differs``, ``random: not comparable``, ``no published file``,
        ``other JPEG encoder``, ``altered`` (not what the manifest says) or ``missing`` (not there, or not finished).
        Those of ``WRONG`` are bad.

    Raises:
        InputError: there is no such folder, or no set in it.
    """
    folder = Path(folder)
    manifest = Manifest.read(folder) if (folder / MANIFEST).exists() else None
    if manifest is not None and manifest.made_from["layout"] in ("tree", "clips"):
        from regrow.corruptions.writer.folders import verify_folders

        return verify_folders(manifest)
    found = {path.stem: path for path in sorted(folder.glob("*.npy"))}
    if not found and manifest is None:
        return _verify_archives(folder)
    sums = {name: files.file_digest(path, "md5") for name, path in found.items()}
    if manifest is not None:
        made_from, wanted, entries = manifest.made_from, manifest.wanted, manifest.entries
    else:
        known = source or recognise(sums.get("labels", ""))
        made_from = {"source": known, "n_images": PUBLISHED_IMAGES, "severities": list(range(1, N_SEVERITIES + 1))}
        wanted, entries = [*registry.names(), "labels"] if known else [], {}
    if source is not None:
        made_from = made_from | {"source": source}
    rows = []
    for name in sorted({*found, *wanted}):
        row = row_of(name, sums.get(name, ""), made_from)
        if name not in found:
            row = row._replace(status="missing")
        elif name in entries and entries[name]["md5"] != row.digest:
            row = row._replace(status="altered")
        rows.append(row)
    return rows


def _verify_archives(folder: Path) -> list[Row]:
    """Compare the published archives in a folder with their md5s."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder.", "give the folder of a set.")
    archives = {path.name: path for path in folder.glob("*.tar") if path.name in ARCHIVES}
    if not archives:
        raise InputError(
            f"no .npy file and no published archive in {folder}.",
            "of trees the archives alone have checksums, e.g. noise.tar: put them there; or make a set: regrow corrupt "
            "cifar10 --out DIR.",
        )
    sums = {name: files.file_digest(path, "md5") for name, path in sorted(archives.items())}
    return [
        Row(n, md5, ARCHIVES[n], "official archive" if md5 == ARCHIVES[n] else "differs") for n, md5 in sums.items()
    ]


def row_of(name: str, md5: str, made_from: Mapping[str, Any]) -> Row:
    """The row of an ``.npy`` file with this md5."""
    if not _is_comparable(name, made_from):
        return Row(name, md5, None, "no published file")
    official = official_md5(made_from["source"], name)
    if md5 == official.md5:
        status = "official"
    elif not official.deterministic:
        status = "random: not comparable"
    elif name == "jpeg_compression" and made_from.get("codec", "libjpeg9") != "libjpeg9":
        status = "other JPEG encoder"
    else:
        status = "differs"
    return Row(name, md5, official.md5, status)


def _is_comparable(name: str, made_from: Mapping[str, Any]) -> bool:
    return (
        made_from["source"] in PUBLISHED
        and was_published(name)
        and made_from["n_images"] == PUBLISHED_IMAGES
        and made_from["severities"] == list(range(1, N_SEVERITIES + 1))
    )
