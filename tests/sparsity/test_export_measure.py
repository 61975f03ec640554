"""Memory worked out by hand; timings only as to their form."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn

from regrow.errors import InputError
from regrow.sparsity.export.csr import SparseLinear
from regrow.sparsity.export.measure import latency, memory


def test_peak_memory_is_weights_input_and_the_tensors_alive_at_once() -> None:
    net = nn.Sequential(nn.Linear(10, 1000, bias=False), nn.ReLU(), nn.Linear(1000, 4, bias=False)).train()
    measured = memory(net, torch.randn(3, 10))
    weights = 4 * (10 * 1000 + 1000 * 4)
    assert measured.weights == weights
    assert measured.peak == weights + 4 * 3 * 10 + 4 * 2 * 3 * 1000  # before and after the ReLU
    assert net.training


def test_in_place_operations_and_views_take_no_memory() -> None:
    net = nn.Sequential(nn.Linear(10, 1000, bias=False), nn.ReLU(inplace=True), nn.Flatten())
    measured = memory(net, torch.randn(3, 10))
    assert measured.peak == 4 * (10 * 1000 + 3 * 10 + 3 * 1000)


def test_memory_that_is_freed_does_not_add_up() -> None:
    class Many(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            for _ in range(10):
                x = x + 1
            return x

    assert memory(Many(), torch.zeros(100)).peak == 3 * 400  # input, one tensor and its successor


def test_a_batch_norm_counts_its_statistics_and_tied_weights_count_once() -> None:
    assert memory(nn.BatchNorm1d(5), torch.randn(2, 5)).weights == 4 * 5 * 4 + 8
    one, two = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
    two.weight = one.weight
    assert memory(nn.Sequential(one, two), torch.randn(2, 6)).weights == 4 * 36


def test_a_sparse_layer_takes_eight_bytes_a_weight_and_the_row_pointers() -> None:
    linear = nn.Linear(100, 50, bias=False)
    mask = torch.zeros(50, 100, dtype=torch.bool)
    mask[:, ::10] = True
    assert memory(SparseLinear(linear, mask), torch.randn(2, 100)).weights == 500 * 8 + 51 * 4


def test_the_first_round_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock of our own: the first pass takes 100 s, every other one 1 s."""
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    passes = iter([100.0, 1.0, 1.0])

    def run(_: Tensor) -> None:
        clock[0] += next(passes)

    assert latency({"a": run}, torch.zeros(1), repeats=2)["a"] == (1000.0, 1000.0, 1000.0)


def test_candidates_take_turns() -> None:
    calls: list[str] = []
    runs = {name: lambda x, name=name: calls.append(name) for name in ("a", "b")}
    threads = torch.get_num_threads()
    measured = latency(runs, torch.zeros(1), repeats=3)
    assert calls == ["a", "b"] * 4
    assert all(0 <= row.low_ms <= row.median_ms <= row.high_ms for row in measured.values())
    assert torch.get_num_threads() == threads
    assert latency({"a": lambda x: x}, torch.zeros(1), repeats=1)["a"].median_ms >= 0
    with pytest.raises(InputError):
        latency(runs, torch.zeros(1), repeats=0)
