"""Files from the network whose size and digest are known."""

from __future__ import annotations

import http.client
import os
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from regrow.errors import DataError
from regrow.files.whole import file_digest


def download(
    urls: Sequence[str],
    path: Path,
    *,
    size: int,
    sha256: str,
    progress: Callable[[int, int], None] | None = None,
    timeout_s: float = 30.0,
) -> None:
    """Fetch a file whose size and digest are known; it appears under its name only after both were checked.

    What has arrived is kept beside it as ``NAME.part`` and a later call goes on from there.

    Args:
        urls: addresses of the same file, tried in turn; ``https``, of this machine itself also ``http``.
        path: the file to make; nothing is fetched when it is there with the right size and digest.
        size: its number of bytes.
        sha256: its SHA-256, hexadecimal.
        progress: called with (bytes so far, bytes in all).
        timeout_s: seconds of silence after which an address is given up.

    Raises:
        DataError: no address answered, or what came has another size or digest (it is removed then).
    """
    if path.exists() and path.stat().st_size == size and file_digest(path) == sha256:
        return
    part = path.with_name(path.name + ".part")
    failures = []
    for url in urls:
        try:
            _fetch(url, part, size, progress, timeout_s)
        except (OSError, http.client.HTTPException, ValueError) as error:
            failures.append(f"{url}: {getattr(error, 'reason', None) or error or type(error).__name__}")
            continue
        if part.stat().st_size == size and file_digest(part) == sha256:
            part.replace(path)
            return
        failures.append(f"{url}: what came is not the official file (size or sha256 differs), so it was removed")
        part.unlink()
    raise DataError(f"could not fetch {path.name} ({'; '.join(failures)}).", "check the network and try again.")


#: What is fetched: nothing that others on the way could read or change; digests are checked all the same.
_FETCHED = ("https://", "http://127.0.0.1:", "http://localhost:")


def _fetch(url: str, part: Path, size: int, progress: Callable[[int, int], None] | None, timeout_s: float) -> None:
    """Append to ``part`` what is missing of ``url``; raises OSError or HTTPException when it breaks off."""
    if not url.startswith(_FETCHED):
        raise ValueError("only https addresses are fetched")
    done = part.stat().st_size if part.exists() else 0
    if done >= size:
        if done == size:
            return
        part.unlink()
        done = 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})  # noqa: S310 (checked above)
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
        if done and not (answer.status == 206 and str(answer.headers["Content-Range"]).startswith(f"bytes {done}-")):
            done = 0  # the server sends all of it again
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab" if done else "wb") as file:
            while piece := answer.read(2**18):
                done += len(piece)
                if done > size:
                    break  # the caller sees the wrong size
                file.write(piece)
                if progress is not None:
                    progress(done, size)
            if done > size:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
    if done < size:
        raise OSError(f"the connection ended after {done} of {size} bytes")
