"""Corruptions of sounds against closed forms, scipy and slow versions, and the promises that all of them make."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.signal

from regrow.corruptions import audio
from regrow.corruptions.audio import band, coding, noise, room
from regrow.corruptions.draws import CounterStream
from regrow.errors import InputError, UnknownNameError

NAMES = audio.names()
LENGTH = 8000


@pytest.fixture(scope="module")
def sounds() -> np.ndarray:
    """Chords of falling strength with pauses and a hiss, int16 (6, 8000); the last is silence."""
    hiss = np.random.RandomState(0).normal(size=(5, LENGTH)) * 200
    time = np.arange(LENGTH) / audio.RATE
    rows = []
    for k in range(5):
        tones = [np.sin(2 * np.pi * f * time) / (n + 1) for n, f in enumerate((110 + 30 * k, 440, 1250 + 80 * k, 2800))]
        rows.append(9000 * sum(tones) * np.square(np.sin(np.pi * (2 + k) * time)) + hiss[k])
    return np.rint(np.stack([*rows, np.zeros(LENGTH)])).astype(np.int16)


def decibels(ratio: float) -> float:
    return 10 * math.log10(ratio)


def power(x: np.ndarray) -> float:
    return float(np.mean(np.square(x.astype(np.float64))))


def tone(frequency: float) -> np.ndarray:
    return np.rint(10_000 * np.sin(2 * np.pi * frequency * np.arange(LENGTH) / audio.RATE)).astype(np.int16)[None]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("severity", [1, 5])
def test_a_sound_is_corrupted_alike_in_any_batch(name: str, severity: int, sounds: np.ndarray) -> None:
    many, before = np.tile(sounds, (25, 1)), sounds.copy()  # more than a chunk
    all_of_them = audio.corrupt(many, name, severity, seed=3)
    chosen = [140, 0, 77]
    few = audio.corrupt(many[chosen], name, severity, seed=3, index=chosen)
    np.testing.assert_array_equal(few, all_of_them[chosen])
    np.testing.assert_array_equal(sounds, before)
    assert all_of_them.dtype == np.int16
    assert all_of_them.shape == many.shape
    assert (all_of_them[:5] != sounds[:5]).any()
    if audio.get(name).draw is not None:
        assert (audio.corrupt(sounds, name, severity, seed=4) != all_of_them[: len(sounds)]).any()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "adpcm"])  # whose code of zero is half a step
def test_silence_stays_silence(name: str) -> None:
    assert not audio.corrupt(np.zeros((1, LENGTH), np.int16), name, 5).any()


@pytest.mark.parametrize("name", NAMES)
def test_sounds_lose_more_with_severity(name: str, sounds: np.ndarray) -> None:
    some = sounds[:5, : 2000 if name == "adpcm" else LENGTH]
    errors = [power(audio.corrupt(some, name, s) - some.astype(np.float64)) for s in range(1, 6)]
    if name in ("adpcm", "band_stop"):  # a second pass of a finer coder, a band of random place: not in strict order
        assert errors[-1] > errors[0]
    else:
        assert errors == sorted(errors)


@pytest.mark.parametrize("name", ["white_noise", "pink_noise", "mains_hum"])
@pytest.mark.parametrize(("severity", "ratio"), [(1, 20.0), (3, 10.0), (5, 0.0)])
def test_noise_has_the_ratio_that_it_says(name: str, severity: int, ratio: float, sounds: np.ndarray) -> None:
    quiet = sounds[:5] // 4  # nothing is cut at full scale
    added = audio.corrupt(quiet, name, severity) - quiet.astype(np.float64)
    for before, what in zip(quiet, added, strict=True):
        assert decibels(power(before) / power(what)) == pytest.approx(ratio, abs=0.02)


def test_pink_noise_has_equal_power_in_every_octave_and_white_noise_twice_as_much_in_the_next(
    sounds: np.ndarray,
) -> None:
    def octaves(name: str) -> np.ndarray:
        many = np.tile(sounds[:1] // 4, (40, 1))
        added = audio.corrupt(many, name, 5) - many.astype(np.float64)
        spectrum = np.square(np.abs(np.fft.rfft(added, axis=1))).mean(0)
        return np.array([spectrum[low : 2 * low].sum() for low in (125, 250, 500, 1000, 2000)])

    np.testing.assert_allclose(np.diff(10 * np.log10(octaves("pink_noise"))), 0, atol=0.4)
    np.testing.assert_allclose(np.diff(10 * np.log10(octaves("white_noise"))), 10 * math.log10(2), atol=0.4)


def test_hum_is_at_the_mains_and_its_odd_harmonics_alone() -> None:
    wave = np.random.RandomState(0).normal(size=(1, LENGTH)) / 10
    added = noise._hum(wave, np.full((1, 5), 0.3), 10.0) - wave
    amplitude = np.abs(np.fft.rfft(added[0])) / LENGTH * 2
    lines = [50, 150, 250, 350, 450]
    np.testing.assert_allclose(amplitude[lines] / amplitude[50], 0.5 ** np.arange(5), rtol=1e-9)
    assert np.delete(amplitude, lines).max() < 1e-9


@pytest.mark.parametrize("setting", audio.get("reverberation").settings)
def test_echoes_decay_by_sixty_decibels_in_the_time_of_the_room(setting: room.Room) -> None:
    white = np.random.RandomState(1).normal(size=(200, round(setting.decay_s * audio.RATE) - 1))
    response = room.impulse_response(white, setting)
    assert (response[:, 0] == 1).all()
    np.testing.assert_allclose(1 / np.square(response[:, 1:]).sum(1), 10 ** (setting.direct_db / 10), rtol=1e-9)
    level = 10 * np.log10(np.square(response[:, 1:]).mean(0))
    slope = np.polyfit(np.arange(len(level)) / audio.RATE, level, 1)[0]
    assert slope * setting.decay_s == pytest.approx(-60, abs=0.5)


def test_reverberation_is_the_convolution_of_scipy_at_the_old_level(sounds: np.ndarray) -> None:
    severity, setting = 3, audio.get("reverberation").settings[2]
    draws = room._draw(CounterStream(0, "reverberation", severity, [0]), LENGTH, setting)
    response = room.impulse_response(draws, setting)[0]
    heard = scipy.signal.fftconvolve(sounds[0].astype(np.float64), response)[:LENGTH]
    heard *= math.sqrt(power(sounds[0]) / power(heard))
    found = audio.corrupt(sounds[:1], "reverberation", severity)[0]
    assert np.abs(found - heard).max() <= 0.51


@pytest.mark.parametrize(("name", "passes_low"), [("low_pass", True), ("high_pass", False)])
@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_filters_pass_one_side_of_their_cutoff(name: str, passes_low: bool, severity: int) -> None:
    cutoff = audio.get(name).settings[severity - 1]
    middle = slice(1000, -1000)  # the ends of a tone have all frequencies
    for frequency, passes in ((cutoff - 150, passes_low), (cutoff + 150, not passes_low)):
        before = tone(frequency)
        after = audio.corrupt(before, name, severity)
        kept = power(after[0, middle]) / power(before[0, middle])
        assert kept == pytest.approx(1, abs=0.01) if passes else kept < 1e-4


def test_an_edge_is_half_way_at_the_cutoff_and_both_sides_add_up_to_all() -> None:
    frequency = np.linspace(0, 4000, 81)
    gain = band.gain_above(frequency, np.float64(1000.0))
    assert gain[20] == pytest.approx(0.5)
    assert (np.diff(gain) >= 0).all()
    mirrored = band.gain_above(2000 - frequency[:41], np.float64(1000.0))
    np.testing.assert_allclose(gain[:41] + mirrored, 1, atol=1e-12)


def test_a_stopped_band_is_as_wide_as_it_says() -> None:
    impulse = np.zeros((1, LENGTH), np.int16)
    impulse[0, LENGTH // 2] = 30_000
    for severity, width in enumerate(audio.get("band_stop").settings, 1):
        gain = np.abs(np.fft.rfft(audio.corrupt(impulse, "band_stop", severity)[0])) / 30_000
        missing = np.flatnonzero(gain < 0.5)  # a line a hertz
        assert len(missing) == pytest.approx(width, abs=6)
        assert missing[-1] - missing[0] == pytest.approx(width, abs=6)
        assert 500 - width / 2 - 3 <= missing[0]
        assert missing[-1] <= 2500 + width / 2 + 3


def test_clipping_holds_the_share_that_it_says(sounds: np.ndarray) -> None:
    for severity, share in enumerate(audio.get("clipping").settings, 1):
        after = np.abs(audio.corrupt(sounds[:5], "clipping", severity).astype(int))
        for row in after:
            assert (row == row.max()).mean() == pytest.approx(share, abs=0.01)


def test_quiet_sounds_are_divided_and_rounded(sounds: np.ndarray) -> None:
    np.testing.assert_array_equal(audio.corrupt(sounds, "quiet", 3), np.rint(sounds * 0.1).astype(np.int16))


@pytest.mark.parametrize("bits", [8, 5, 3])
def test_mu_law_is_the_standard_s_curve_with_a_relative_error_of_half_a_step(bits: int) -> None:
    even = np.linspace(-1, 1, 4001)[None]  # over the curve
    wave = np.sign(even) * (256 ** np.abs(even) - 1) / 255
    out = coding.mu_law(wave, bits)
    assert len(np.unique(out)) == 2**bits - 1
    np.testing.assert_array_equal(coding.mu_law(-wave, bits), -out)
    # the curve F(x) = ln(1 + 255 x) / ln 256 is off by half a step of 1 / (2^(bits - 1) - 1) at most
    squeezed = [np.log(1 + 255 * np.abs(x)) / np.log(256) for x in (wave, out)]
    assert np.abs(squeezed[0] - squeezed[1]).max() <= 0.5 / (2 ** (bits - 1) - 1) + 1e-12


def test_differences_are_those_of_a_coder_written_sample_by_sample(sounds: np.ndarray) -> None:
    wave = sounds[0, :2000] / 32768
    for bits in (4, 3, 2):
        top, value, step, expected = 2 ** (bits - 1) - 1, 0.0, 2.0**-12, []
        for sample in wave:
            code = min(int(abs(sample - value) / step), top)
            value = min(1.0, max(-1.0, value + (-1 if sample < value else 1) * (code + 0.5) * step))
            step = min(0.25, max(2.0**-12, step * (1.6 if code >= top / 2 else 0.9)))
            expected.append(value)
        np.testing.assert_allclose(coding.differences(wave[None], bits)[0], expected, atol=1e-12)


def test_a_coder_of_more_bits_is_nearer_to_the_sound(sounds: np.ndarray) -> None:
    wave = sounds[:5] / 32768
    errors = [power(coding.differences(wave, bits) - wave) for bits in (5, 4, 3, 2)]
    assert errors == sorted(errors)
    assert decibels(power(wave) / errors[1]) > 15


def test_lost_packets_are_silent_and_the_others_untouched() -> None:
    steady = np.full((300, LENGTH), 1000, np.int16)
    for severity, rate in enumerate(audio.get("lost_packets").settings, 1):
        packets = audio.corrupt(steady, "lost_packets", severity).reshape(300, 50, 160)
        assert set(np.unique(packets)) == {0, 1000}
        assert (packets == packets[..., :1]).all()
        lost, n = int((packets[..., 0] == 0).sum()), 300 * 50
        assert abs(lost - n * rate) < 5 * (n * rate * (1 - rate)) ** 0.5


def test_what_cannot_be_corrupted_is_refused(sounds: np.ndarray) -> None:
    for wrong in (sounds.astype(np.float64), sounds[0], "sound", sounds[:, :0]):
        with pytest.raises(InputError, match=r"int16 array \(N, L\)"):
            audio.corrupt(wrong, "clipping", 1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="severity"):
        audio.corrupt(sounds, "clipping", 6)
    with pytest.raises(UnknownNameError, match="Did you mean 'white_noise'"):
        audio.corrupt(sounds, "white_nose", 1)
