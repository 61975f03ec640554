"""Pictures and words for all tests of augmentation."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def pictures() -> np.ndarray:
    """Seven smooth pictures with some noise, not square."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:20, 0:24] / 20
    waves = [128 + 90 * np.sin(3 * y + i + c) * np.cos(4 * x - c) for i in range(7) for c in range(3)]
    smooth = np.stack(waves).reshape(7, 3, 20, 24).transpose(0, 2, 3, 1)
    return np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)
