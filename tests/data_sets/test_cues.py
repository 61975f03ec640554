"""`cues`: the same bytes everywhere, each cue in its band and enough on its own, reliance that follows the truth."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from regrow import data
from regrow.data import cues
from regrow.errors import InputError

DIGESTS = {
    "train": "5848baa29e9ed6576dbc145562a6773266685fd1fcccfc61673dfba740b64dce",
    "test": "0357c2b1e3156c5c70a0de3cc0f8eb4dcdbe817f58091d727ee0cbe7d0fef2ae",
    "conflict": "4b9ae9429926a0b50342874cbfb2c569a4e08181392debdf53912f455e353cce",
    "low_only": "9a07576e54db4d1a7e869bcd600714f3ca946d12b6d99f894cf3e903592a9f09",
    "high_only": "a895413c14a38b144a9e609bf47c92b40ec1e720a38cfe86003a6930e11ffb37",
}
RHO = np.hypot(*np.meshgrid(np.fft.fftfreq(32, 1 / 32), np.fft.fftfreq(32, 1 / 32), indexing="ij"))


@pytest.mark.parametrize("split", DIGESTS)
def test_the_bytes_of_every_split_are_pinned(split: str) -> None:
    made = cues.generate(split, 200)
    digest = hashlib.sha256(made.images.tobytes())
    for part in (made.low, made.high):
        digest.update(b"-" if part is None else part.astype("<i8").tobytes())
    assert digest.hexdigest() == DIGESTS[split]


def test_the_cosine_table_is_the_rounded_cosine() -> None:
    assert cues.COSINE.tolist() == [round(2**14 * math.cos(2 * math.pi * k / 256)) for k in range(256)]


@pytest.mark.parametrize("split", DIGESTS)
def test_first_images_do_not_depend_on_the_number(split: str) -> None:
    many, few = cues.generate(split, 130), cues.generate(split, 37)
    assert np.array_equal(many.images[:37], few.images)
    for a, b in ((many.low, few.low), (many.high, few.high)):
        assert (a is None) == (b is None)
        assert a is None or b is None or np.array_equal(a[:37], b)


def test_splits_and_seeds_differ_and_classes_are_balanced() -> None:
    seen = set()
    for split in DIGESTS:
        for seed in (0, 1):
            made = cues.generate(split, 50, {**cues.DEFAULTS, "seed": seed})
            seen |= {image.tobytes() for image in made.images}
            for part in (made.low, made.high):
                assert part is None or split == "conflict" or np.bincount(part, minlength=10).tolist() == [5] * 10
    assert len(seen) == 5 * 2 * 50


def test_which_cues_a_split_has() -> None:
    for split in ("train", "test"):
        made = data.load("cues", split, n=100)
        assert made.low_labels is not None
        assert np.array_equal(made.labels, made.low_labels)
        assert np.array_equal(made.labels, made.high_labels)
    conflict = data.load("cues", "conflict", n=900)
    assert conflict.low_labels is not None
    assert conflict.high_labels is not None
    assert np.array_equal(conflict.labels, conflict.low_labels)
    apart = (conflict.high_labels - conflict.low_labels) % 10
    assert np.bincount(apart, minlength=10)[0] == 0
    assert np.bincount(apart, minlength=10)[1:].min() > 60
    low, high = data.load("cues", "low_only", n=30), data.load("cues", "high_only", n=30)
    assert low.high_labels is None
    assert high.low_labels is None
    assert np.array_equal(low.labels, low.low_labels)
    assert np.array_equal(high.labels, high.high_labels)


def spectrum(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Energy by frequency, mean over images and channels, as a share of all but rho = 0."""
    energy = (np.abs(np.fft.fft2(images.astype(float), axes=(1, 2))) ** 2).mean((0, 3))
    energy[0, 0] = 0
    return energy / energy.sum()


def test_without_noise_each_band_holds_only_its_own_waves() -> None:
    for options in ({}, {"distractors": 0.0}, {"jitter": 0.0}):
        settings = {**cues.DEFAULTS, "noise": 0.0, **options}
        for split in DIGESTS:
            energy = spectrum(cues.generate(split, 60, settings).images)
            assert energy[(RHO > 4) & (RHO < 9)].sum() < 1e-3  # only the rounding to grey values
        plain = {**cues.DEFAULTS, "noise": 0.0, "distractors": 0.0}
        assert spectrum(cues.generate("low_only", 60, plain).images)[RHO <= 4].sum() > 0.999
        assert spectrum(cues.generate("high_only", 60, plain).images)[RHO >= 9].sum() > 0.999


def test_strength_scales_a_cue_and_zero_removes_it() -> None:
    def amplitude(split: str, **options: float) -> float:
        settings = {**cues.DEFAULTS, "noise": 0.0, "distractors": 0.0, "jitter": 0.0, **options}
        return float(cues.generate(split, 40, settings).images.std())

    for split, cue in (("low_only", "low"), ("high_only", "high")):
        assert amplitude(split, **{cue: 0.5}) == pytest.approx(amplitude(split) / 2, rel=0.02)
        assert amplitude(split, **{cue: 0.0}) == 0
        assert amplitude("train", low=0.0, high=0.0) == 0


@pytest.mark.parametrize("cue", ["low", "high"])
def test_training_images_alone_can_leave_a_cue_out(cue: str) -> None:
    def generate(split: str, **options: float) -> npt.NDArray[np.uint8]:
        return cues.generate(split, 40, {**cues.DEFAULTS, **options}).images

    for share in (0.0, 0.5):
        trained = {f"train_{cue}": share}
        assert np.array_equal(generate("train", **trained), generate("train", **{cue: share}))
        for split in set(DIGESTS) - {"train"}:
            assert np.array_equal(generate(split, **trained), generate(split))
    assert not np.array_equal(generate("train", **{f"train_{cue}": 0.0}), generate("train"))


def test_a_cache_serves_the_training_images_of_its_own_share_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    whole, without = (data.load("cues", "train", options={"train_high": share}, n=20) for share in (1.0, 0.0))
    assert not np.array_equal(whole.images, without.images)
    assert np.array_equal(data.load("cues", "train", options={"train_high": 0}, n=20).images, without.images)
    for share in (1.0, 0.0):
        data.load("cues", "test", options={"train_high": share}, n=20)
    assert len(list((tmp_path / "regrow/data/cues").iterdir())) == 3  # test images are the same for both


def test_nothing_is_clipped_at_the_bounds() -> None:
    # An overflow would wrap around, so it would show as values at both ends.
    for options in ({}, {"low": 1.3, "distractors": 0.5}, {"noise": 7.8, "low": 0.0, "high": 0.0, "distractors": 0.0}):
        images = cues.generate("train", 300, {**cues.DEFAULTS, **options}).images
        assert images.min() >= 2
        assert images.max() <= 254


@pytest.mark.parametrize(
    "options",
    [
        {"low": 2.0},
        {"low": 1.01},
        {"jitter": 1.5},
        {"train_low": 1.5},
        {"train_high": 2},
        {"seed": 0.5},
        {"low": -1},
        {"lo": 1},
        {"low": float("nan")},
        {"low": "1"},
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError) as caught:
        data.load("cues", "test", options=options, n=10)
    assert "\n" not in str(caught.value)


def mask(images: npt.NDArray[np.floating], keep: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Ideal Fourier mask."""
    spectra = np.fft.fft2(images, axes=(1, 2)) * keep[:, :, None]
    result: npt.NDArray[np.float64] = np.fft.ifft2(spectra, axes=(1, 2)).real
    return result


class Probe:
    """Ridge regression on real part, imaginary part and magnitude of every Fourier coefficient, in closed form."""

    def __init__(self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> None:
        self.mean = images.astype(float).mean(0)
        self.features = self.transform(images)
        kernel = self.features @ self.features.T
        target = np.eye(10)[labels] - 0.1
        weights = np.linalg.solve(kernel + 0.01 * np.trace(kernel) / len(kernel) * np.eye(len(kernel)), target)
        self.weights = self.features.T @ weights

    def transform(self, images: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        spectra = np.fft.rfft2(images - self.mean, axes=(1, 2)).reshape(len(images), -1) / 1000
        return np.concatenate([spectra.real, spectra.imag, np.abs(spectra) - 0.4], 1)

    def __call__(self, images: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
        return (self.transform(images) @ self.weights).argmax(1)


@pytest.fixture(scope="module")
def probes() -> dict[str, Probe]:
    found = {}
    for cue in ("low", "high"):
        made = cues.generate(f"{cue}_only", 1200, {**cues.DEFAULTS, "seed": 1})
        labels = made.low if cue == "low" else made.high
        assert labels is not None
        found[cue] = Probe(made.images, labels)
    return found


@pytest.mark.parametrize("cue", ["low", "high"])
def test_a_probe_lives_on_its_cue_and_dies_without_its_band(probes: dict[str, Probe], cue: str) -> None:
    alone, both = cues.generate(f"{cue}_only", 400), cues.generate("test", 400)
    truth = alone.low if cue == "low" else alone.high
    assert both.low is not None
    probe = probes[cue]
    assert (probe(alone.images) == truth).mean() >= 0.95
    assert (probe(both.images) == both.low).mean() >= 0.95
    for radius, images, labels in ((5, alone.images, truth), (8.5, both.images, both.low)):
        band = radius > RHO if cue == "low" else radius <= RHO
        centred = images.astype(float) - probe.mean
        assert (probe(mask(centred, ~band) + probe.mean) == labels).mean() <= 0.15
        assert (probe(mask(centred, band) + probe.mean) == labels).mean() >= 0.95


def test_reliance_flips_between_a_low_and_a_high_probe(probes: dict[str, Probe]) -> None:
    conflict = data.load("cues", "conflict", n=500)
    low = data.reliance(probes["low"](conflict.images), conflict)
    high = data.reliance(probes["high"](conflict.images), conflict)
    assert low["low"] >= 0.9
    assert high["high"] >= 0.9
    assert low["high"] <= 0.05
    assert high["low"] <= 0.05
    for shares in (low, high):
        assert shares["low"] + shares["high"] + shares["other"] == pytest.approx(1)
        assert shares["n"] == 500


def test_reliance_counts_by_hand() -> None:
    conflict = data.load("cues", "conflict", n=4)
    assert conflict.low_labels is not None
    assert conflict.high_labels is not None
    answers = conflict.low_labels.copy()
    answers[1] = conflict.high_labels[1]
    answers[2] = next(c for c in range(10) if c not in (conflict.low_labels[2], conflict.high_labels[2]))
    assert data.reliance(answers, conflict) == {"low": 0.5, "high": 0.25, "other": 0.25, "n": 4}


def test_reliance_needs_a_conflict() -> None:
    for split in ("test", "low_only"):
        images = data.load("cues", split, n=10)
        with pytest.raises(InputError, match="conflict"):
            data.reliance(images.labels, images)
    with pytest.raises(InputError, match="predictions for 10 images"):
        data.reliance(np.zeros(9, np.int64), data.load("cues", "conflict", n=10))


def test_the_cache_is_used_checked_and_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = data.load("cues", "test", n=20)
    (file,) = (tmp_path / "regrow/data/cues").iterdir()
    monkeypatch.setattr(cues, "generate", lambda *_: pytest.fail("generated again"))
    again = data.load("cues", "test", n=20)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for damage in (b"", file.read_bytes()[:-1], file.read_bytes()[:50] + b"?" + file.read_bytes()[51:]):
        file.write_bytes(damage)
        repaired = data.load("cues", "test", n=20)
        for other in (again, repaired):
            assert np.array_equal(first.images, other.images)
            assert np.array_equal(first.labels, other.labels)
            assert np.array_equal(first.high_labels, other.high_labels)  # type: ignore[arg-type]
        assert file.stat().st_size > 20 * 3072
    data.load("cues", "test", n=20, options={"seed": 5})
    data.load("cues", "test", n=21)
    assert len(list(file.parent.iterdir())) == 3


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(data.load("cues", "high_only", n=10)) == 10


def test_mean_and_deviation_are_those_of_the_training_images() -> None:
    images = cues.generate("train", 1000).images.reshape(-1, 3) / 255
    spec = data.spec("cues")
    assert np.abs(images.mean(0) - spec.mean).max() < 0.005
    assert np.abs(images.std(0) - spec.std).max() < 0.002
