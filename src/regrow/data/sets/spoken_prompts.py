"""``spoken_prompts``: telephone prompts of five voices, Debian's packages asterisk-core-sounds-{en,es,fr,it,ru}-wav.

The packages are fetched by whoever wants them, never by regrow, and their sounds (CC-BY-SA, CC-BY) are not shipped.
This makes the folder under a data root:

    cd DATA && mkdir asterisk-core-sounds && cd asterisk-core-sounds
    apt-get download asterisk-core-sounds-{en,es,fr,it,ru}-wav
    for package in *.deb; do dpkg-deb --extract $package .; done

An example is one second of a recording; what is asked is which of the five voices it is. Each speaks a language of its
own, and they are of four people: the credits in the packages name Allison Smith for en and es, June Wallack for fr,
Carlo Flora for it, and for ru no speaker but who provided the recordings, Maxim Topal.
"""

from __future__ import annotations

import hashlib
import wave
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from regrow.data.spec import DataSet, DataSpec, Images, ImageSet, Options, Progress, Request
from regrow.errors import DataError, first_line

FOLDER = "asterisk-core-sounds"
RATE = LENGTH = 8000
#: Samples from window to window of a recording.
_HOP = LENGTH // 2
#: Root mean square, of full scale, below which a window is silence and left out.
_SILENCE = 0.01
#: Prompts whose digest begins with a byte below this are tested on: one in five.
_TESTED = 52
_LANGUAGES = ("en", "es", "fr", "it", "ru")

SPEC = DataSpec(
    name="spoken_prompts",
    classes=tuple(f"voice_{language}" for language in _LANGUAGES),
    image_size=LENGTH,
    channels=1,
    mean=(0.0,),
    std=(1.0,),
    splits={"train": 9_716, "test": 2_499},
    padding="zero",
    citation=(
        "Asterisk core sounds, Debian packages asterisk-core-sounds-{en,es,fr,it,ru}-wav, recorded by Allison Smith "
        "(en, es), June Wallack (fr) and Carlo Flora (it), and provided by Maxim Topal (ru)"
    ),
    licence="en, es and fr CC-BY-SA-3.0, it and ru CC-BY-3.0; fetched by their user, not shipped",
    hint=(
        f"in a folder {FOLDER} under a data root (--data-root, REGROW_DATA or ~/.cache/regrow/data): `apt-get download "
        "asterisk-core-sounds-{en,es,fr,it,ru}-wav`, then `dpkg-deb --extract FILE .` of each; or name the generated "
        "set: data: {name: tones}."
    ),
    caveat=(
        "spoken_prompts asks for the voice, not the language: each of the five speaks one language in recordings of "
        "its own, and they are of four people, those of en and es of one, by the credits of the packages; a network "
        "may go by speaker, language or room. No prompt is in both parts, but all recordings of a voice are alike"
    ),
    modality="audio",
)


class _Window(NamedTuple):
    """A second of a recording; windows are ordered by the digest of where they are from."""

    digest: bytes
    label: int
    samples: npt.NDArray[np.int16]


def read(request: Request) -> ImageSet:
    """The windows of a request, in the order of their digests, which says nothing of their voices.

    Raises:
        DataError: no copy, a voice that is missing, or a recording that cannot be used.
    """
    folder = find(request.roots)
    if folder is None:
        fetch(request.roots, None)
    assert folder is not None
    rows = _windows(folder)[request.split]
    if request.n is not None and request.n > len(rows):
        raise DataError(f"spoken_prompts {request.split} has {len(rows)} windows, asked for are {request.n}.")
    rows = rows[: request.n]
    sounds, labels = np.stack([row.samples for row in rows]), np.array([row.label for row in rows], np.int64)
    return ImageSet(cast(Images, sounds), labels, describe({}, request.roots), request.split, np.arange(len(rows)))


@lru_cache(maxsize=1)
def _windows(folder: Path) -> dict[str, list[_Window]]:
    """Split -> windows. A prompt is what the voices say alike: the path of its file below the voice's folder."""
    found: dict[str, list[_Window]] = {"train": [], "test": []}
    for label, prompt, path in _recordings(folder):
        split = "test" if hashlib.sha256(prompt.encode()).digest()[0] < _TESTED else "train"
        for start, samples in _seconds(_samples(path)):
            digest = hashlib.sha256(f"{_LANGUAGES[label]} {prompt} {start}".encode()).digest()
            found[split].append(_Window(digest, label, samples))
    for label, language in enumerate(_LANGUAGES):
        if any(all(row.label != label for row in rows) for rows in found.values()):
            raise DataError(f"{folder} has too few recordings of the voice {language}.", SPEC.hint)
    return {split: sorted(rows, key=lambda row: row.digest) for split, rows in found.items()}


def _recordings(folder: Path) -> Iterator[tuple[int, str, Path]]:
    """Voice, prompt and file of each recording: ``.../sounds/VOICE/PROMPT.wav``, VOICE begun with its language."""
    for path in sorted(folder.rglob("*.wav")):
        parts = path.relative_to(folder).with_suffix("").parts
        if "sounds" not in parts[:-2]:
            continue
        voice, *prompt = parts[parts.index("sounds") + 1 :]
        language = voice[:2]
        if language in _LANGUAGES and voice[2:3] in ("", "_"):
            yield _LANGUAGES.index(language), "/".join(prompt), path


def _samples(path: Path) -> npt.NDArray[np.int16]:
    try:
        with wave.open(str(path), "rb") as file:
            form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            content = file.readframes(file.getnframes())
    except (OSError, EOFError, RuntimeError, wave.Error) as error:
        raise DataError(f"{path} cannot be read ({first_line(error)}).", "extract the packages again.") from None
    if form != (1, 2, RATE):
        channels, width, rate = form
        raise DataError(
            f"{path} has {channels} channels of {8 * width} bits at {rate} Hz, not one of 16 bits at {RATE} Hz.",
            "give the -wav packages as they are.",
        )
    return np.frombuffer(content[: len(content) // 2 * 2], "<i2").astype(np.int16)


def _seconds(samples: npt.NDArray[np.int16]) -> Iterator[tuple[int, npt.NDArray[np.int16]]]:
    """Windows that are not silent, with where they start; of a shorter recording one with silence after it."""
    padded = np.pad(samples, (0, max(0, LENGTH - len(samples))))
    for start in range(0, len(padded) - LENGTH + 1, _HOP):
        window = padded[start : start + LENGTH]
        if np.sqrt(np.mean(np.square(window / 32768))) >= _SILENCE:
            yield start, window


def describe(_: Options, roots: Sequence[Path]) -> DataSpec:
    """The facts with the numbers of windows that are there."""
    folder = find(roots)
    if folder is None:
        return SPEC
    return replace(SPEC, splits={split: len(rows) for split, rows in _windows(folder).items()})


def find(roots: Sequence[Path], split: str | None = None) -> Path | None:
    """The first folder of the packages' content; each root may be the folder itself or its parent."""
    places = (place for root in roots for place in (root / FOLDER, root))
    return next((place for place in places if place.name == FOLDER and place.is_dir()), None)


def fetch(roots: Sequence[Path], _: Progress | None) -> Path:
    """Refused: whoever wants the packages fetches them.

    Raises:
        DataError: always.
    """
    places = ", ".join(str(root) for root in roots)
    raise DataError(f"spoken_prompts not found: no folder {FOLDER} in {places}.", SPEC.hint)


DATASET = DataSet(spec=SPEC, read=read, find=find, fetch=fetch, describe=describe)
