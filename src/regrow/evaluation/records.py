"""What a network answered to each image of a cell: the source of every accuracy that is printed."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from regrow import files
from regrow.errors import DataError

SCHEMA = 1


@dataclass(frozen=True)
class Record:
    """Answers of one network on one cell of ``n`` images.

    Attributes:
        prediction: class with the largest logit, int16 (n,).
        correct: whether it is the label, bool (n,).
        confidence: softmax probability of the prediction, float32 (n,).
        loss: cross entropy in nats, float32 (n,).
        brier: sum over classes of (probability - indicator)^2, float32 (n,), in [0, 2].
    """

    prediction: npt.NDArray[np.int16]
    correct: npt.NDArray[np.bool_]
    confidence: npt.NDArray[np.float32]
    loss: npt.NDArray[np.float32]
    brier: npt.NDArray[np.float32]

    @property
    def accuracy(self) -> float:
        """Share of correct answers, in [0, 1]."""
        return float(self.correct.mean())


def record_path(folder: Path, dataset: str, corruption: str, severity: int) -> Path:
    """Where a cell's record lies; the clean cell is ``("clean", 0)``."""
    return folder / f"{dataset}.{corruption}.{severity}.npz"


def save_record(path: Path, record: Record, inputs: Mapping[str, str]) -> None:
    """Write a record atomically, with the digests of what it was made from."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        prediction=record.prediction,
        correct=np.packbits(record.correct),
        n=np.int64(len(record.correct)),
        confidence=record.confidence,
        loss=record.loss,
        brier=record.brier,
        inputs=np.frombuffer(json.dumps({"schema": SCHEMA, **inputs}, sort_keys=True).encode(), dtype=np.uint8),
    )
    files.write_bytes(path, buffer.getvalue())


def load_record(path: Path) -> tuple[Record, dict[str, Any]]:
    """Read a record and the digests of its inputs.

    Raises:
        DataError: the file is absent, cut short or of another format.
    """
    with _damage_told(path):
        stored = files.read_arrays(path)
        record = Record(
            prediction=stored["prediction"],
            correct=_answers(stored),
            confidence=stored["confidence"],
            loss=stored["loss"],
            brier=stored["brier"],
        )
        inputs, shape = _inputs(stored), record.correct.shape
        is_ours = inputs["schema"] == SCHEMA and all(part.shape == shape for part in vars(record).values())
    _require_ours(path, is_ours)
    return record, inputs


def load_answers(path: Path) -> tuple[npt.NDArray[np.bool_], dict[str, Any]]:
    """Which answers of a record are right, and the digests of its inputs: a study's page needs no more of it.

    Raises:
        DataError: the file is absent, cut short or of another format.
    """
    with _damage_told(path):
        stored = files.read_arrays(path, only=("n", "correct", "inputs"))
        correct, inputs = _answers(stored), _inputs(stored)
        is_ours = inputs["schema"] == SCHEMA
    _require_ours(path, is_ours)
    return correct, inputs


def _answers(stored: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
    n = int(stored["n"])
    if n < 1 or stored["correct"].shape != ((n + 7) // 8,):
        raise ValueError("answers of another number of images")
    return np.unpackbits(stored["correct"], count=n).astype(bool)


def _inputs(stored: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    inputs: dict[str, Any] = json.loads(stored["inputs"].tobytes())
    return inputs


@contextlib.contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Turn whatever damage raises into one line that says what to do."""
    try:
        yield
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        said = (
            error.message if isinstance(error, DataError) else f"record {path} cannot be read ({type(error).__name__})."
        )
        raise DataError(said, "remove it and run the same command again: the cell is evaluated anew.") from None


def _require_ours(path: Path, is_ours: bool) -> None:
    if not is_ours:
        raise DataError(f"record {path} is of another format.", "remove it and run the same command again.")


def is_current(path: Path, inputs: Mapping[str, str]) -> bool:
    """Whether a record is there and was made from exactly these inputs."""
    if not path.exists():
        return False
    try:
        _, stored = load_record(path)
    except DataError:
        return False
    return {key: value for key, value in stored.items() if key != "schema"} == dict(inputs)
