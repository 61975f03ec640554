"""Shared by all tests: where data and browser are, films, and torch at one thread."""

from __future__ import annotations

import importlib.util
import io
import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regrow import _torchvision

torch.set_num_threads(1)  # bits depend on the number of threads, and tests run side by side


#: Files that take longest begin first, so that no worker is left with one of them at the end.
LONGEST = (
    "test_kill",
    "test_run_study",
    "test_report_browser",
    "test_methods_contract",
    "test_report_page",
    "test_cli",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order files by how long they take; tests within a file stay in order."""
    place = {name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.fixture(scope="session")
def libraries() -> None:
    """Make timm and torchvision importable (see regrow._torchvision), or skip."""
    for name in ("timm", "torchvision"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed (extra regrow[models])")
    _torchvision.declare()
    importlib.import_module("timm")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Generated data go to one cache of the whole test run, never to the user's."""
    cache = tmp_path_factory.getbasetemp().parent / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.fixture
def data_root() -> Path:
    """Folder of real data sets; the test is skipped where there is none."""
    root = os.environ.get("REGROW_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("REGROW_DATA names no folder of real data sets")
    return Path(root)


@pytest.fixture(scope="session")
def film() -> Callable[..., np.ndarray]:
    """Frames of which no two are alike, uint8 (n, height, width, 3): a drifting pattern and a square that moves.

    Another pattern and colour by ``seed``.
    """

    def of(n: int, height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
        stream = np.random.RandomState(seed)
        grain, colour = stream.randint(-10, 11, (height, width, 3)), stream.randint(0, 256, 3)
        y, x = np.mgrid[:height, :width]
        frames = np.empty((n, height, width, 3), np.uint8)
        for t, frame in enumerate(frames):
            pattern = np.stack([(x + 3 * t) % 256, (2 * y + 5 * t) % 256, (x + y + 7 * t) % 256], 2) // 2 + 40
            top, left = (5 + t) % (height - 12), (9 + 2 * t) % (width - 12)
            pattern[top : top + 12, left : left + 12] = colour
            frame[...] = np.clip(pattern + grain, 0, 255)
        return frames

    return of


@pytest.fixture(scope="session")
def coded() -> Callable[..., bytes]:
    """Code frames by any of FFmpeg's encoders into any of its containers; or skip where this build lacks one."""
    av = pytest.importorskip("av", reason="PyAV is not installed (extra regrow[video])")

    def code(
        frames: np.ndarray,
        container: str = "mp4",
        encoder: str = "libx264",
        *,
        pixels: str = "yuv420p",
        b_frames: int = 0,
        group: int = 12,
        milliseconds: Sequence[int] | None = None,
        **options: str,
    ) -> bytes:
        if encoder not in av.codecs_available:
            pytest.skip(f"this PyAV has no encoder {encoder}")
        av.logging.set_level(av.logging.PANIC)
        buffer, rate = io.BytesIO(), Fraction(25)
        base = 1 / rate if milliseconds is None else Fraction(1, 1000)
        with av.open(buffer, "w", format=container) as out:
            stream = out.add_stream(encoder, rate=rate, options=options)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt, stream.time_base = pixels, base
            context = stream.codec_context
            context.time_base, context.thread_count = base, 1
            context.max_b_frames, context.gop_size = b_frames, group
            for number, content in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(content, format="rgb24").reformat(format=pixels)
                frame.pts, frame.time_base = number if milliseconds is None else milliseconds[number], base
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        return buffer.getvalue()

    return code


@pytest.fixture(scope="session")
def shoot(film: Callable[..., np.ndarray], coded: Callable[..., bytes]) -> Callable[..., Path]:
    """Write a video file of ``film``, H.264 unless told otherwise, with its folders."""

    def write(path: Path, n: int = 16, seed: int = 0, height: int = 48, width: int = 64, **how: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(coded(film(n, height, width, seed), **how))
        return path

    return write
