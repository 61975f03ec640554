"""Long studies: memory stays flat, a store is read in time that grows with its runs."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from torch import nn

from regrow import data
from regrow.evaluation.evaluate import evaluate_cell, predictor
from regrow.evaluation.live import live
from regrow.evaluation.records import load_record, record_path, save_record


def resident() -> int:
    gc.collect()
    return psutil.Process().memory_info().rss


@pytest.mark.slow
def test_two_thousand_evaluations_take_no_more_memory_than_two_hundred(tmp_path: Path) -> None:
    spec = data.spec("cues")
    stream = np.random.default_rng(0)
    side = spec.image_size
    images = stream.integers(0, 256, (16, side, side, 3), dtype=np.uint8)
    labels = stream.integers(0, spec.n_classes, 16)
    names = ("contrast", "gaussian_noise", "fog", "pixelate")
    after: dict[int, int] = {}
    for number in range(1, 2001):
        network = nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, spec.n_classes))
        predict = predictor(network, bf16=False, device=torch.device("cpu"))
        name, severity = names[number % len(names)], number % 5 + 1
        record = evaluate_cell(
            predict, images, labels, spec, batch=8, device=torch.device("cpu"), change=live(name, severity)
        )
        path = record_path(tmp_path, "cues", name, severity)
        save_record(path, record, {"number": str(number)})
        assert load_record(path)[1]["number"] == str(number)
        if number in (200, 2000):
            after[number] = resident()
    assert after[2000] - after[200] < 8 << 20
