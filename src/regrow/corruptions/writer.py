"""Corrupted sets on disk in the layout of CIFAR-10-C: one ``.npy`` file a corruption, and ``labels.npy``.

    DIR/NAME.npy        uint8 (n_severities * N, H, W, 3), severity after severity, the set's order in each
    DIR/labels.npy      uint8, the labels, repeated for each severity
    DIR/manifest.json   what the files were made from and by, and their digests

A file appears under its name only when it is whole, and the manifest names it only after that; the same call goes on
where a killed one stopped. Files hold the published bytes where these can be reached, so their md5 is the proof.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import regrow
from regrow import files
from regrow.corruptions import registry
from regrow.corruptions.cells import check_images, check_seed, check_severity, corrupt_set
from regrow.corruptions.official import PUBLISHED, PUBLISHED_IMAGES, official_md5, recognise, was_published
from regrow.corruptions.registry import N_SEVERITIES, Images
from regrow.corruptions.scales import choose_scale
from regrow.errors import DataError, InputError

SCHEMA = 1
MANIFEST = "manifest.json"

#: Called with (images done, images in all, file being made).
Progress = Callable[[int, int, str], None]

_BLOCK = 1000  # images between two calls of the progress function


class Row(NamedTuple):
    """One file of a set: its md5, the published one where there is one, and how they compare."""

    name: str
    md5: str
    official: str | None
    status: str


def write_cifar_style(
    images: Images,
    labels: npt.NDArray[Any],
    out: Path,
    corruptions: Sequence[str],
    severities: Sequence[int] = (1, 2, 3, 4, 5),
    *,
    source: str,
    seed: int = 0,
    force: bool = False,
    progress: Progress | None = None,
) -> list[Row]:
    """Write corrupted copies of a set; files that are whole already are left as they are.

    Args:
        images: uint8 (N, H, W, 3), square; may be a memory map.
        labels: class numbers in 0..255, (N,).
        out: folder to write to; made when absent.
        corruptions: names, or ``["all"]``.
        severities: rising numbers from 1 to 5. Published files hold all five.
        source: what the images are, e.g. ``"cifar10"``: then files are compared with the published md5s.
        seed: seed of the noise.
        force: write anew a folder that holds another set, and files that were altered.
        progress: called after each block of images.

    Returns:
        A row for each file asked for, and for the labels; see ``verify``.

    Raises:
        InputError: names, severities, images or labels that cannot be used, or a folder of another set.
        BusyError: another process is writing to the folder.
    """
    images = check_images(images)
    tiled = _tile(labels, len(images), len(severities))
    wanted = _wanted(corruptions)
    made_from = _identity(images, labels, severities, source, seed)
    out = Path(out)
    with files.owned(out, "set"):
        manifest = _open_manifest(out, made_from, force)
        for leftover in out.glob(".*.npy.*.tmp"):
            leftover.unlink()
        todo = [name for name in wanted if not _is_whole(out, manifest, name, force)]
        if not _is_whole(out, manifest, "labels", force):
            with files.atomic_path(out / "labels.npy") as path, path.open("wb") as file:
                np.save(file, tiled)
            _note(out, manifest, "labels")
        report = _counter(progress, len(todo) * len(severities) * len(images))
        for name in todo:
            with files.atomic_path(out / f"{name}.npy") as path:
                _write_array(path, images, name, made_from["severities"], seed, report)
            _note(out, manifest, name)
        return [_row(name, manifest["files"][name]["md5"], made_from) for name in [*wanted, "labels"]]


def verify(folder: Path, source: str | None = None) -> list[Row]:
    """Compare the files of a folder with their manifest and with the published md5s.

    Args:
        folder: a folder written by ``write_cifar_style``, or an unpacked published archive.
        source: ``"cifar10"`` or ``"cifar100"``; by default what the manifest or the labels say.

    Returns:
        Rows by name. Status: ``official`` (equal to the published file), ``differs``, ``random: not comparable``,
        ``no published file``, ``other JPEG encoder``, ``altered`` (not what the manifest says) or ``missing``.

    Raises:
        InputError: there is no such folder, or no ``.npy`` file in it.
    """
    folder = Path(folder)
    found = {path.stem: path for path in sorted(folder.glob("*.npy"))}
    manifest: dict[str, Any] = {"files": {}}
    if (folder / MANIFEST).exists():
        manifest = _read_manifest(folder)
    if not found and not manifest["files"]:
        raise InputError(f"no .npy file in {folder}.", "make a set: regrow corrupt cifar10 --out DIR.")
    sums = {name: files.file_digest(path, "md5") for name, path in found.items()}
    as_published = {"n_images": PUBLISHED_IMAGES, "severities": list(range(1, N_SEVERITIES + 1))}
    made_from = manifest.get("made_from", as_published | {"source": recognise(sums.get("labels", ""))})
    if source is not None:
        made_from = made_from | {"source": source}
    rows = []
    for name in sorted({*found, *manifest["files"]}):
        row = _row(name, sums.get(name, ""), made_from)
        noted = manifest["files"].get(name)
        if name not in found:
            row = row._replace(status="missing")
        elif noted is not None and noted["md5"] != row.md5:
            row = row._replace(status="altered")
        rows.append(row)
    return rows


def _row(name: str, md5: str, made_from: Mapping[str, Any]) -> Row:
    if not _is_comparable(name, made_from):
        return Row(name, md5, None, "no published file")
    official = official_md5(made_from["source"], name)
    if md5 == official.md5:
        status = "official"
    elif not official.deterministic:
        status = "random: not comparable"
    elif name in registry.names() and registry.get(name).codec is not None:
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


def _identity(
    images: Images, labels: npt.NDArray[Any], severities: Sequence[int], source: str, seed: int
) -> dict[str, Any]:
    levels = [check_severity(severity) for severity in severities]
    if not levels or levels != sorted(set(levels)):
        raise InputError(f"severities must be rising, each once, got {levels}.", "give e.g. 1,2,3,4,5.")
    return {
        "source": source,
        "seed": check_seed(seed),
        "mode": "exact",
        "severities": levels,
        "scale": choose_scale(images.shape[1]).name,
        "n_images": len(images),
        "side": images.shape[1],
        "images_sha256": hashlib.sha256(np.ascontiguousarray(images).data).hexdigest(),
        "labels_sha256": hashlib.sha256(np.asarray(labels).astype(np.uint8).tobytes()).hexdigest(),
    }


def _wanted(corruptions: Sequence[str]) -> list[str]:
    if list(corruptions) == ["all"]:
        return registry.names()
    if not corruptions:
        raise InputError("no corruption was named.", "name some, or all: `regrow list corruptions`.")
    return [registry.get(name).name for name in dict.fromkeys(corruptions)]


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
            "this layout stores labels as bytes: number the classes from 0.",
        )
    return np.tile(labels.astype(np.uint8), times)


def _open_manifest(out: Path, made_from: dict[str, Any], force: bool) -> dict[str, Any]:
    fresh: dict[str, Any] = {"schema": SCHEMA, "made_from": made_from, "files": {}}
    if not (out / MANIFEST).exists():
        foreign = sorted(path.name for path in out.glob("*.npy"))
        if foreign and not force:
            raise InputError(
                f"{out} holds {foreign[0]} and no {MANIFEST}: not a set made by regrow.",
                "choose another --out, or overwrite it with --force.",
            )
    else:
        there = _read_manifest(out)
        before = there["made_from"]
        if before == made_from:
            return there
        if not force:
            key = next((key for key in made_from if before.get(key) != made_from[key]), "source")
            raise InputError(
                f"{out} holds another set: its {key} is {before.get(key)!r}, asked for is {made_from.get(key)!r}.",
                "choose another --out, or overwrite it with --force.",
            )
        for name in there["files"]:
            (out / f"{Path(name).name}.npy").unlink(missing_ok=True)
    files.write_json(out / MANIFEST, fresh)
    return fresh


def _read_manifest(folder: Path) -> dict[str, Any]:
    there = files.read_json(folder / MANIFEST)
    try:
        is_ours = there["schema"] == SCHEMA
        is_ours = is_ours and {"source", "severities", "n_images"} <= set(there["made_from"])
        is_ours = is_ours and all({"md5", "sha256"} <= set(entry) for entry in there["files"].values())
    except (TypeError, KeyError, AttributeError):
        is_ours = False
    if not is_ours:
        raise DataError(
            f"{folder / MANIFEST} is no manifest of schema {SCHEMA} of a corrupted set.",
            "choose another --out, or move the folder away.",
        )
    result: dict[str, Any] = there
    return result


def _is_whole(out: Path, manifest: dict[str, Any], name: str, force: bool) -> bool:
    path, noted = out / f"{name}.npy", manifest["files"].get(name)
    if noted is None or not path.exists():
        return False
    if files.file_digest(path) == noted["sha256"]:
        return True
    if force:
        return False
    raise InputError(
        f"{path} is not the file that {MANIFEST} names: it was altered or cut short.",
        "remove it, or write it again with --force.",
    )


def _write_array(
    path: Path,
    images: Images,
    name: str,
    severities: Sequence[int],
    seed: int,
    report: Callable[[int, str], None],
) -> None:
    n = len(images)
    shape = (len(severities) * n, *images.shape[1:])
    target = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    for block, severity in enumerate(severities):
        for start in range(0, n, _BLOCK):
            part = images[start : start + _BLOCK]
            at = block * n + start
            index = np.arange(start, start + len(part))
            corrupt_set(part, name, severity, seed=seed, index=index, out=target[at : at + len(part)])
            report(len(part), name)
    target.flush()
    del target


def _note(out: Path, manifest: dict[str, Any], name: str) -> None:
    path = out / f"{name}.npy"
    row = _row(name, files.file_digest(path, "md5"), manifest["made_from"])
    entry: dict[str, Any] = {
        "md5": row.md5,
        "sha256": files.file_digest(path),
        "official_md5": row.official,
        "status": row.status,
        "versions": _versions(),
    }
    if name in registry.names() and registry.get(name).codec is not None:
        entry["codec"] = _encoder()
    manifest["files"][name] = entry
    files.write_json(out / MANIFEST, manifest)


def _versions() -> dict[str, str]:
    distributions = {"numpy": "numpy", "scipy": "scipy", "pillow": "pillow"}
    found = {name: importlib.metadata.version(distribution) for name, distribution in distributions.items()}
    return {"regrow": regrow.__version__, "python": platform.python_version(), **found}


def _encoder() -> str:
    """The JPEG encoder inside Pillow, e.g. ``pillow: libjpeg-turbo 3.1.2``."""
    from PIL import features

    turbo = features.version_feature("libjpeg_turbo")
    return f"pillow: libjpeg-turbo {turbo}" if turbo else f"pillow: libjpeg {features.version_codec('jpg')}"


def _counter(progress: Progress | None, total: int) -> Callable[[int, str], None]:
    done = 0

    def report(n: int, name: str) -> None:
        nonlocal done
        done += n
        if progress is not None:
            progress(done, total, name)

    return report
