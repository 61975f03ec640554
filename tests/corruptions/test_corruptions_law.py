"""The law of the random corruptions: fast and exact draws of ours against statistics of the published generator.

Fifteen numbers describe a draw. Two sets of draws agree when no difference of means exceeds five of its standard
errors; a second run of the published generator reaches 3.9, and a wrong severity 15 or more.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from regrow.corruptions import corrupt, get, names

GOLDEN = Path(__file__).parents[1] / "golden"
LAW = json.loads((GOLDEN / "corruptions_law.json").read_text())
RANDOM = [name for name in names() if get(name).is_random]
DRAWS = 60
LIMIT = 5.0


def fifteen_numbers(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Per draw: mean |change|, channel means and deviations, log10 power of the change in eight rings."""
    change = after.astype(float) - before
    side = before.shape[0]
    power = np.abs(np.fft.fft2(change.mean(axis=3))) ** 2 / side**2
    frequency = np.fft.fftfreq(side, 1 / side)
    ring = np.minimum(7, (np.hypot(*np.meshgrid(frequency, frequency)) / (side / 2) * 8).astype(int))
    rings = [np.log10(power[:, ring == k].mean(axis=1) + 1e-3) for k in range(8)]
    columns = [np.abs(change).mean(axis=(1, 2, 3)), *after.mean(axis=(1, 2)).T, *after.std(axis=(1, 2)).T, *rings]
    return np.stack(columns, axis=1)


def ours(picture: np.ndarray, name: str, severity: int, mode: str, start: int, frost: list) -> np.ndarray:
    """The fifteen numbers of DRAWS draws, numbered from ``start``: fixed, so that the test is no lottery."""
    many = np.broadcast_to(picture, (DRAWS, *picture.shape))
    index = np.arange(start, start + DRAWS)
    return fifteen_numbers(picture, corrupt(many, name, severity, index=index, mode=mode, frost=frost))


def largest_z(pictures: np.ndarray, frost: list, name: str, severity: int, mode: str, of: int | None = None) -> float:
    law, worst = LAW["cells"][str(pictures.shape[1])], 0.0
    for place, picture in enumerate(pictures):
        found = ours(picture, name, severity, mode, 1000 * place, frost)
        mean, sd = (np.array(law["values"][f"{name}_{of or severity}"][key][place]) for key in ("mean", "sd"))
        error = np.sqrt(sd**2 / law["draws"] + found.var(axis=0, ddof=1) / DRAWS + 1e-12 + 1e-8)
        worst = max(worst, float((np.abs(found.mean(axis=0) - mean) / error).max()))
    return worst


CELLS = [
    pytest.param(side, name, severity, mode, marks=() if (side, severity) == (32, 3) else pytest.mark.slow)
    for side in (32, 64)
    for name in RANDOM
    for severity in range(1, 6)
    for mode in ("exact", "fast")
]


@pytest.mark.parametrize(("side", "name", "severity", "mode"), CELLS)
def test_draws_follow_the_law_of_the_published_generator(pictures, stand_in_frost, side, name, severity, mode):
    assert largest_z(pictures(side), stand_in_frost, name, severity, mode) <= LIMIT


@pytest.mark.parametrize("name", RANDOM)
def test_another_severity_is_told_apart(pictures, stand_in_frost, name):
    other = 5 if name == "motion_blur" else 4  # 3 and 4 are one law of motion_blur at 32 px
    assert largest_z(pictures(32), stand_in_frost, name, 3, "exact", of=other) > 3 * LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", RANDOM)
def test_fast_draws_follow_the_law_of_exact_ones_at_224_pixels(pictures, stand_in_frost, name, severity):
    for place, picture in enumerate(pictures(224)):
        one = ours(picture, name, severity, "exact", 1000 * place, stand_in_frost)
        other = ours(picture, name, severity, "fast", 1000 * place + 500, stand_in_frost)
        error = np.sqrt((one.var(axis=0, ddof=1) + other.var(axis=0, ddof=1)) / DRAWS + 1e-12 + 1e-8)
        assert (np.abs(one.mean(axis=0) - other.mean(axis=0)) / error).max() <= LIMIT
