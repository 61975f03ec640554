"""Weights and multiply-adds against published figures, by the table that benchmarks/bench_models.py writes."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from regrow import models

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def table() -> ModuleType:
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("bench_models")
    finally:
        sys.path.remove(folder)


@pytest.mark.usefixtures("libraries")
def test_sizes_are_the_published_ones(table: ModuleType) -> None:
    found = table.rows()
    differ = {row["name"]: row["note"] for row in found if not row["agrees"]}
    assert set(differ) <= {"resnet20", "resnet56"}
    assert all(differ.values()), "a difference says why"
    assert len(found) >= 15
    committed = json.loads((ROOT / "benchmarks/results/models.json").read_text())["rows"]
    for row, before in zip(found, committed, strict=True):
        assert (row["name"], row["counted_parameters"]) == (before["name"], before["counted_parameters"])
        assert row["counted_macs"] == pytest.approx(before["counted_macs"], rel=1e-9)
    assert table.page(committed) == (ROOT / "docs/models.md").read_text()


@pytest.mark.parametrize(
    ("found", "published", "agrees"),
    [
        (36_479_194, "36.5M", True),
        (1.258e9, "1.3G", True),
        (1.2e9, "1.3G", False),
        (100_400, "100000", True),
        (100_600, "100000", False),
        (5.0, "", True),
    ],
)
def test_agreement_is_half_a_percent_or_the_printed_digits(table, found: float, published: str, agrees: bool) -> None:
    assert table.agrees(found, published) is agrees


def test_a_3d_network_has_the_weights_of_its_flat_one_times_their_frames() -> None:
    with torch.device("meta"):
        flat, deep = models.build("resnet50", 10, image_size=224), models.build("resnet3d50", 10)
    frames = {name: m.kernel_size[0] for name, m in deep.named_modules() if isinstance(m, nn.Conv3d)}
    sizes = {f"{name}.weight": times for name, times in frames.items()}
    wanted = sum(p.numel() * sizes.get(name, 1) for name, p in flat.named_parameters())
    assert sum(p.numel() for p in deep.parameters()) == wanted
