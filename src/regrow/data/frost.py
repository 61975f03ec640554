"""Fetching the photographs of the frost corruption out of a published package."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from regrow import files
from regrow.errors import DataError
from regrow.photographs import FROST, PACKAGE

_LARGEST = 8 << 20  # bytes of one photograph


def fetch(root: Path) -> Path:
    """Put the photographs into ``root/frost``; those that are there are left.

    The package is downloaded by pip from its index and opened as an archive: none of its code is run.

    Args:
        root: a data root, see ``regrow.data.find_root``.

    Returns:
        The folder.

    Raises:
        DataError: the package cannot be had, or does not hold the published files.
    """
    folder = root / "frost"
    missing = [n for n, md5 in FROST.items() if not _is_there(folder / n, md5)]
    if not missing:
        return folder
    with tempfile.TemporaryDirectory() as scratch:
        wheel = _download(Path(scratch))
        found = _photographs(wheel)
    for name in missing:
        content = found.get(name, b"")
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != FROST[name]:
            raise DataError(
                f"{PACKAGE} does not hold the published {name}.", f"put the photographs into {folder} by hand."
            )
        files.write_bytes(folder / name, content)
    return folder


def _is_there(path: Path, md5: str) -> bool:
    return path.is_file() and files.file_digest(path, "md5") == md5


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--no-python-version-warning", "--dest", str(folder), PACKAGE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"pip did not fetch {PACKAGE} ({type(error).__name__}).", _by_hand()) from None
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line] or ["no wheel came"]
        raise DataError(f"pip did not fetch {PACKAGE}: {said[0].strip()[:160]}.", _by_hand())
    return wheels[0]


def _by_hand() -> str:
    return "check the network, or put frost1.png to frost5.jpg into the folder frost of a data root."


def _photographs(wheel: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            inside = {Path(entry.filename).name: entry for entry in archive.infolist() if "frost/" in entry.filename}
            return {n: archive.read(inside[n]) for n in FROST if n in inside and inside[n].file_size <= _LARGEST}
    except Exception as error:  # noqa: BLE001 (of damage zipfile raises many kinds)
        raise DataError(f"{wheel.name} is no readable package ({type(error).__name__}).", _by_hand()) from None
