"""Records: what a network answered, kept exactly, and the numbers in it against their definitions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from regrow import data
from regrow.errors import DataError
from regrow.evaluation.evaluate import evaluate_cell
from regrow.evaluation.records import is_current, load_answers, load_record, record_path, save_record

N, CLASSES = 37, 10
INPUTS = {"weights": "w", "cell": "c"}


@pytest.fixture
def cell() -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N, 32, 32, 3), dtype=np.uint8)
    return images, rng.integers(0, CLASSES, N), torch.from_numpy(rng.normal(size=(N, CLASSES)) * 3).float()


def evaluate(cell: tuple[np.ndarray, np.ndarray, torch.Tensor], batch: int):
    images, labels, logits = cell
    start = 0

    def predict(x: torch.Tensor) -> torch.Tensor:
        nonlocal start
        start += len(x)
        return logits[start - len(x) : start]

    return evaluate_cell(predict, images, labels, data.spec("cues"), batch=batch, device=torch.device("cpu"))


def test_numbers_follow_their_definitions(cell) -> None:
    _, labels, logits = cell
    record = evaluate(cell, 10)
    z = logits.numpy().astype(np.float64)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    rows = np.arange(N)
    assert (record.prediction == z.argmax(1)).all()
    assert (record.correct == (z.argmax(1) == labels)).all()
    np.testing.assert_allclose(record.confidence, p.max(1), rtol=1e-5)
    np.testing.assert_allclose(record.loss, -np.log(p[rows, labels]), rtol=1e-4)
    np.testing.assert_allclose(record.brier, ((p - np.eye(CLASSES)[labels]) ** 2).sum(1), rtol=1e-4, atol=1e-6)
    assert record.accuracy == np.mean(z.argmax(1) == labels)


def test_the_batch_size_changes_nothing(cell) -> None:
    one, other = evaluate(cell, 1), evaluate(cell, 64)
    for field in dataclasses.fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_a_record_comes_back_as_it_was(cell, tmp_path: Path) -> None:
    record, path = evaluate(cell, 8), record_path(tmp_path, "cues", "fog", 3)
    save_record(path, record, INPUTS)
    loaded, inputs = load_record(path)
    for field in dataclasses.fields(record):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(record, field.name))
    assert {k: inputs[k] for k in INPUTS} == INPUTS
    right, same = load_answers(path)
    np.testing.assert_array_equal(right, record.correct)
    assert same == inputs
    assert path.name == "cues.fog.3.npz"


def test_a_record_counts_only_for_the_inputs_it_was_made_from(cell, tmp_path: Path) -> None:
    path = tmp_path / "r.npz"
    assert not is_current(path, INPUTS)
    save_record(path, evaluate(cell, 8), INPUTS)
    assert is_current(path, INPUTS)
    assert not is_current(path, {**INPUTS, "weights": "others"})


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_record_cut_short_is_no_record(cell, tmp_path: Path, keep: float) -> None:
    path = tmp_path / "r.npz"
    save_record(path, evaluate(cell, 8), INPUTS)
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    assert not is_current(path, INPUTS)
    for read in (load_record, load_answers):
        with pytest.raises(DataError, match="cannot be read"):
            read(path)
