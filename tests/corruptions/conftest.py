"""The pictures and textures that the reference bytes were made of (see tests/golden/README.md)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def stand_in_frost() -> list[np.ndarray]:
    """The textures that took the place of the photographs."""
    textures = []
    for i, (height, width) in enumerate([(330, 350), (340, 330), (360, 320), (320, 380), (350, 360)]):
        noise = np.random.RandomState(7000 + i).randint(0, 256, (height // 10 + 2, width // 10 + 2, 3)).astype(np.uint8)
        coarse = np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.NEAREST)).astype(int) // 2
        y, x = np.mgrid[:height, :width]
        textures.append(np.clip(coarse + ((x * (3 + i) + y * (5 - i)) % 128)[..., None], 0, 255).astype(np.uint8))
    return textures


def blocks(side: int) -> np.ndarray:
    """Picture 2: random blocks with grain."""
    stream, k = np.random.RandomState(side), side // 8
    coarse = stream.randint(0, 256, (-(-side // k), -(-side // k), 3)).repeat(k, 0).repeat(k, 1)[:side, :side]
    return np.clip(coarse + stream.randint(-12, 13, (side, side, 3)), 0, 255).astype(np.uint8)


def stripes(side: int) -> np.ndarray:
    """Picture 1: stripes and a fine checkerboard."""
    x, y = np.arange(side), np.arange(side)[:, None]
    p, q = (x * x // side + 3 * y) % 97, ((x // 2 + y // 2) % 2) * 120
    return np.stack([2 * p + 30, q + 40 + 64 * y // side + 0 * x, (p + q) % 256], 2).astype(np.uint8)


@pytest.fixture(scope="session")
def pictures() -> Callable[[int], np.ndarray]:
    """By side: pictures 0, 1, 2, 5 at 32 and 64 px, 0, 2, 5 at 224, 0, 5 at 299; uint8 (n, side, side, 3)."""

    def of(side: int) -> np.ndarray:
        scale = {32: "cifar", 64: "tiny", 224: "imagenet", 299: "inception"}[side]
        stored = np.load(GOLDEN / f"corruptions_{scale}.npz")["input"]
        if side == 32:
            return stored[[0, 1, 2, 5]]
        return np.stack([stored[0], stripes(64), blocks(64), stored[1]]) if side == 64 else stored

    return of


@pytest.fixture(scope="session")
def moving() -> Callable[..., np.ndarray]:
    """Frames of a drifting pattern with a square that moves, uint8 (T, height, width, 3); another one by seed."""

    def of(n: int = 30, height: int = 96, width: int = 96, seed: int = 0) -> np.ndarray:
        stream = np.random.RandomState(seed)
        grain = stream.randint(-15, 16, (height, width, 3))
        y, x = np.mgrid[:height, :width]
        frames = []
        for t in range(n):
            frame = np.stack([(x + 3 * t) % 256, (2 * y + t) % 256, (x * y // 16 + 5 * t) % 256], 2) // 2 + 40 + grain
            frame[10 + t : 34 + t, 20 + 2 * t : 44 + 2 * t] = (230, 40 + seed, 60)
            frames.append(np.clip(frame, 0, 255).astype(np.uint8))
        return np.stack(frames)

    return of
