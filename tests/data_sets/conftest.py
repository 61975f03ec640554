"""Pictures on disk for the tests of data sets."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Saver = Callable[..., Path]


@pytest.fixture(scope="session")
def jpeg() -> Callable[..., bytes]:
    """Content of a JPEG of a seed: smooth, so that sizes and qualities change it little."""

    def make(seed: int, size: tuple[int, int] = (48, 40), mode: str = "RGB", **options: object) -> bytes:
        coarse = np.random.RandomState(seed).randint(0, 256, (4, 5, 3)).astype(np.uint8)
        picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)
        content = io.BytesIO()
        picture.save(content, "JPEG", quality=95, **options)
        return content.getvalue()

    return make


@pytest.fixture(scope="session")
def save(jpeg: Callable[..., bytes]) -> Saver:
    """Write such a JPEG, with its folders."""

    def write(path: Path, seed: int, size: tuple[int, int] = (48, 40), **options: object) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(seed, size, **options))
        return path

    return write
