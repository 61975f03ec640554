"""The half plane of frequencies stands for the whole one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.analysis import _plane

sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))


def whole_plane(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Power and radius of every bin, by the full transform and a loop."""
    height, width = x.shape[-2:]
    power = np.fft.fftshift(np.abs(np.fft.fft2(x)) ** 2 / (height * width), axes=(-2, -1))
    rho = np.array([[math.hypot(i - height // 2, j - width // 2) for j in range(width)] for i in range(height)])
    return power, rho


@settings(deadline=None, max_examples=40)
@given(sizes, st.floats(0.1, 6), st.integers(0, 99))
def test_sums_shares_and_rings_are_those_of_the_whole_plane(size, radius, seed):
    x = torch.randn((2, 3, *size), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    power, rho = whole_plane(x.numpy())
    power = power.sum(axis=1)
    found = _plane.power(x)
    np.testing.assert_allclose(_plane.total(found, size[1]), x.square().sum(dim=(1, 2, 3)), rtol=1e-12)
    share = _plane.share_above(found, size[1], radius).numpy()
    for item in range(2):
        varying = power[item][rho > 0].sum()
        if size == (1, 1):
            assert np.isnan(share[item])
        else:
            assert share[item] == pytest.approx(power[item][rho > radius].sum() / varying, abs=1e-12)
        for row in _plane.profile(found[item], size[1]):
            ring = (rho >= row["radius"] - 0.5) & (rho < row["radius"] + 0.5)
            assert row["bins"] == ring.sum()
            if row["bins"]:
                assert row["power"] == pytest.approx(power[item][ring].mean(), rel=1e-9)


def test_white_noise_has_the_share_of_bins_and_a_flat_profile():
    x = torch.randn((400, 1, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    power = _plane.power(x).mean(dim=0)
    _, rho = whole_plane(np.zeros((16, 16)))
    expected = (rho > 4).sum() / (rho > 0).sum()
    assert float(_plane.share_above(power, 16, 4)) == pytest.approx(expected, abs=0.005)
    for row in _plane.profile(power, 16):
        assert row["power"] == pytest.approx(1, abs=5 * (2 / (400 * row["bins"])) ** 0.5)


@pytest.mark.parametrize("side", [32, 30, 224])
def test_what_varies_nowhere_has_no_share_however_the_transform_rounds(side):
    x = torch.full((1, 3, side, side), 0.1 + 1 / 3, dtype=torch.float64)
    assert math.isnan(float(_plane.share_above(_plane.power(x), side, 1)))
    x[0, 0, 3, 4] += 1e-6
    assert 0 < float(_plane.share_above(_plane.power(x), side, 1)) < 1


def test_parts_of_a_batch_do_not_matter(monkeypatch):
    x = torch.randn((7, 2, 6, 5), generator=torch.Generator().manual_seed(0))
    whole = _plane.power(x)
    monkeypatch.setattr(_plane, "_CHUNK", 130)
    assert torch.equal(_plane.power(x), whole)
