"""Corruptions of known spectrum, and their order."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from regrow import analysis
from regrow.errors import InputError


def grey(n=6, side=32, seed=0):
    return np.random.RandomState(seed).randint(60, 190, (n, side, side, 3)).astype(np.uint8)


def wave(u: int, v: int, amplitude: int, side=32):
    """A square-free wave of whole grey values whose spectrum is two bins: cosines at multiples of a quarter turn."""
    i, j = np.mgrid[:side, :side]
    return (amplitude * np.round(np.cos(2 * math.pi * (u * i + v * j) / side), 9)).astype(np.int64)


def added(images, change):
    return (images.astype(np.int64) + change).astype(np.uint8)


@pytest.mark.parametrize(("frequency", "share"), [((0, 8), 0.0), ((8, 8), 1.0), ((0, 16), 1.0), ((16, 16), 1.0)])
def test_a_corruption_that_adds_one_wave_lies_at_its_frequency(frequency, share):
    clean, (u, v) = grey(), frequency
    found = analysis.change_spectrum([(clean, added(clean, wave(u, v, 20)[..., None]))])
    assert found["share"] == {"mean": pytest.approx(share, abs=1e-12), "sd": pytest.approx(0, abs=1e-9), "n": 6}
    assert (found["n"], found["unchanged"], found["radius"], found["share_whitened"]) == (6, 0, 8, None)
    ring = max(found["profile"], key=lambda row: row["bins"] * row["power"])
    assert ring["radius"] == math.floor(math.hypot(u, v) + 0.5)
    assert ring["bins"] * ring["power"] == pytest.approx(found["energy"])
    assert found["energy"] == pytest.approx(3 * (wave(u, v, 20) ** 2).sum())


def test_two_waves_share_by_their_energies_and_a_shift_of_all_values_counts_for_nothing():
    clean = grey()
    change = wave(0, 8, 10) + wave(8, 8, 20)
    found = analysis.change_spectrum([(clean, added(clean, change[..., None] + 7))])
    low, high = (wave(0, 8, 10) ** 2).sum(), (wave(8, 8, 20) ** 2).sum()
    assert found["share"]["mean"] == pytest.approx(high / (low + high))


def by_hand(clean, corrupted, radius, white=None):
    """The definition, image by image over the whole plane."""
    rho = np.hypot(*np.meshgrid(np.arange(-16, 16), np.arange(-16, 16), indexing="ij"))
    shares = []
    for a, b in zip(clean.astype(float), corrupted.astype(float), strict=True):
        power = (np.abs(np.fft.fftshift(np.fft.fft2(b - a, axes=(0, 1)), axes=(0, 1))) ** 2).sum(axis=2)
        power = power if white is None else power / white
        shares.append(power[rho > radius].sum() / power[rho > 0].sum())
    return shares


def test_shares_and_whitened_shares_are_the_definition_whatever_the_batches():
    clean, noise = grey(8), np.random.RandomState(1).randint(-30, 30, (8, 32, 32, 3))
    corrupted = added(clean, np.cumsum(noise, axis=1) // 8 % 50)
    spectrum = np.fft.fftshift(np.fft.fft2(clean.astype(float), axes=(1, 2)), axes=(1, 2))
    white = (np.abs(spectrum) ** 2).sum(axis=3).mean(axis=0)
    mean = analysis.clean_spectrum([clean[:5], clean[5:]])
    whole = analysis.change_spectrum([(clean, corrupted)], clean=mean, radius=6)
    parts = analysis.change_spectrum(
        ((clean[i : i + 3], corrupted[i : i + 3]) for i in range(0, 8, 3)), clean=mean, radius=6
    )
    for found in (whole, parts):
        assert found["share"]["mean"] == pytest.approx(np.mean(by_hand(clean, corrupted, 6)))
        assert found["share"]["sd"] == pytest.approx(np.std(by_hand(clean, corrupted, 6), ddof=1))
        assert found["share_whitened"]["mean"] == pytest.approx(np.mean(by_hand(clean, corrupted, 6, white)))
        assert sum(row["bins"] * row["power"] for row in found["profile"]) == pytest.approx(found["energy"])
    assert json.loads(json.dumps(whole)) == whole


def test_white_noise_has_the_share_of_bins():
    clean = np.full((200, 16, 16, 3), 128, np.uint8)
    noisy = added(clean, np.random.RandomState(0).randint(-40, 41, clean.shape))
    rho = np.hypot(*np.meshgrid(np.arange(-8, 8), np.arange(-8, 8), indexing="ij"))
    found = analysis.change_spectrum([(clean, noisy)])
    assert found["share"]["mean"] == pytest.approx((rho > 4).sum() / (rho > 0).sum(), abs=0.005)


def test_a_copy_of_the_clean_images_whitens_to_the_share_of_bins():
    """Differences with the clean spectrum become flat: the image itself, on black."""
    clean = grey(1)
    mean = analysis.clean_spectrum([clean])
    found = analysis.change_spectrum([(np.zeros_like(clean), clean)], clean=mean)
    rho = np.hypot(*np.meshgrid(np.arange(-16, 16), np.arange(-16, 16), indexing="ij"))
    assert found["share_whitened"]["mean"] == pytest.approx((rho > 8).sum() / (rho > 0).sum())


def test_images_that_do_not_change_or_only_shift_have_no_share():
    clean = grey(4)
    after = clean.copy()
    after[1] += 5
    after[2, 3, 4, 1] += 9
    found = analysis.change_spectrum([(clean, after)])
    assert (found["n"], found["unchanged"], found["share"]["n"]) == (4, 3, 1)
    nothing = analysis.change_spectrum([(clean, clean)])
    assert (nothing["share"], nothing["unchanged"]) == ({"mean": None, "sd": None, "n": 0}, 4)


def test_clips_are_added_up_over_views_and_times():
    clean = grey(12).reshape(2, 3, 2, 32, 32, 3)
    change = np.random.RandomState(2).randint(-20, 20, clean.shape)
    found = analysis.change_spectrum([(clean, added(clean, change))])
    frames = analysis.change_spectrum([(clean.reshape(12, 32, 32, 3), added(clean, change).reshape(12, 32, 32, 3))])
    assert found["n"] == 2
    assert found["energy"] == pytest.approx(6 * frames["energy"])
    assert [row["power"] for row in found["profile"]] == pytest.approx([6 * row["power"] for row in frames["profile"]])


def test_real_corruptions_lie_where_they_are_known_to():
    from regrow.corruptions import corrupt

    clean = analysis_images()
    mean = analysis.clean_spectrum([clean])
    spectra = {
        name: {
            severity: analysis.change_spectrum([(clean, corrupt(clean, name, severity, seed=0))], clean=mean)
            for severity in (1, 5)
        }
        for name in ("gaussian_noise", "brightness", "contrast")
    }
    rows = analysis.by_share(spectra)
    assert rows[0]["corruption"] == "gaussian_noise"
    assert rows[0]["share"] > 0.7 > rows[1]["share"]
    for row in rows:
        assert [part["severity"] for part in row["severities"]] == [1, 5]
        assert row["severities"][1]["energy"] > row["severities"][0]["energy"]


def analysis_images():
    """Smooth blobs with a little texture: a spectrum that falls."""
    i, j = np.mgrid[:32, :32]
    stream = np.random.RandomState(0)
    images = []
    for _ in range(8):
        a, b, c = stream.rand(3) * 6
        blob = 128 + 60 * np.sin(i / 6 + a) * np.cos(j / 7 + b) + 20 * np.sin((i + j) / 4 + c)
        images.append(blob[..., None] + stream.randn(32, 32, 3) * 2)
    return np.clip(images, 0, 255).astype(np.uint8)


def test_order_is_by_the_mean_over_severities_and_what_has_no_share_comes_last():
    def one(share, n=10, whitened=None):
        return {
            "share": {"mean": share, "sd": None, "n": n},
            "share_whitened": None if whitened is None else {"mean": whitened, "sd": None, "n": n},
            "energy": 1.0,
            "n": n,
        }

    rows = analysis.by_share(
        {
            "flat": {1: one(None)},
            "low": {1: one(0.2, whitened=0.5), 2: one(0.4, 8, whitened=0.7)},
            "high": {2: one(0.9), 1: one(0.5)},
            "same": {1: one(0.7)},
        }
    )
    assert [(row["corruption"], row["share"]) for row in rows] == [
        ("high", pytest.approx(0.7)),
        ("same", pytest.approx(0.7)),
        ("low", pytest.approx(0.3)),
        ("flat", None),
    ]
    assert rows[2]["n"] == 8
    assert rows[2]["share_whitened"] == pytest.approx(0.6)
    assert rows[0]["share_whitened"] is None
    assert [part["severity"] for part in rows[0]["severities"]] == [1, 2]


def test_gains_are_put_beside_shares_by_name():
    gains, shares = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}, {"b": 0.5, "a": 0.1, "c": None, "e": 1}
    found = analysis.gain_against_share(gains, shares)
    assert found == {
        "corruptions": ["b", "a"],
        "shares": [0.5, 0.1],
        "gains": [2.0, 1.0],
        "n": 2,
        "left_out": ["c", "d", "e"],
    }


def test_impossible_input_is_refused():
    clean = grey(2)
    with pytest.raises(InputError, match="at least one image"):
        analysis.change_spectrum([])
    with pytest.raises(InputError, match="at least one image"):
        analysis.clean_spectrum([])
    with pytest.raises(InputError, match="must match"):
        analysis.change_spectrum([(clean, clean[:1])])
    with pytest.raises(InputError, match="one size"):
        analysis.change_spectrum([(clean, clean), (grey(2, 16), grey(2, 16))])
    with pytest.raises(InputError, match="one size"):
        analysis.clean_spectrum([clean, grey(2, 16)])
    with pytest.raises(InputError, match="uint8"):
        analysis.change_spectrum([(clean, clean / 255)])
    with pytest.raises(InputError, match="empty bins"):
        analysis.change_spectrum([(clean, grey(2, seed=1))], clean=torch.zeros(32, 17, dtype=torch.float64))
