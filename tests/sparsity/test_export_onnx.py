"""ONNX: the zeros are in the file, and onnxruntime gives the same outputs."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from regrow import models
from regrow.errors import InputError, RegrowError
from regrow.sparsity.export import onnx as export


def test_a_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"needs onnx, which is not installed.*regrow\[onnx\]"):
        export.to_onnx(nn.Linear(2, 2), torch.zeros(2, 2), tmp_path / "a.onnx")


@pytest.fixture(scope="module")
def onnx() -> Any:
    pytest.importorskip("onnxscript", reason="the extra regrow[onnx] is not installed")
    return pytest.importorskip("onnx", reason="the extra regrow[onnx] is not installed")


@pytest.mark.slow
def test_masked_weights_are_plain_initialisers_with_zeros(tmp_path: Path, onnx: Any) -> None:
    torch.manual_seed(0)
    net = models.build("resnet8", 10, width=4).train()
    mask = torch.rand(net.conv1.weight.shape) < 0.5
    net.layer1[0].conv1.weight.data[2] = 0
    net.fc.weight.data.masked_fill_(torch.rand(net.fc.weight.shape) < 0.5, 0)
    net.conv1.weight.data.masked_fill_(~mask, 0)
    written = export.to_onnx(net, torch.randn(1, 3, 32, 32), tmp_path / "net.onnx")
    assert written.bytes == (tmp_path / "net.onnx").stat().st_size
    assert net.training
    proto = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(proto)
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in proto.graph.initializer}
    assert (stored["fc.weight"] == 0).sum() == (net.fc.weight == 0).sum().item()
    zeros = (net.conv1.weight == 0).numpy()  # batch norm is folded in: rows are scaled, zeros stay
    assert np.array_equal(stored["conv1.weight"] == 0, zeros)
    assert not {"Where", "Mul"} & {node.op_type for node in proto.graph.node}
    assert written.max_difference is None or written.max_difference < 1e-4


def test_outputs_are_compared_at_another_batch_size(tmp_path: Path, onnx: Any) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    written = export.to_onnx(net, torch.randn(1, 4), tmp_path / "net.onnx")
    assert written.max_difference is not None
    assert written.max_difference < 1e-6


def test_a_difference_stops_the_export(tmp_path: Path, onnx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_export", lambda *_: b"")
    for wrong in (0.5, float("nan")):
        monkeypatch.setattr(export, "_difference", lambda *_, wrong=wrong: wrong)
        with pytest.raises(RegrowError, match="differ"):
            export.to_onnx(nn.Linear(4, 3), torch.randn(2, 4), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_said_in_one_line(tmp_path: Path, onnx: Any) -> None:
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2 if float(x.sum()) > 0 else x

    with pytest.raises(InputError, match="cannot export Branch") as caught:
        export.to_onnx(Branch(), torch.randn(2, 4), tmp_path / "net.onnx")
    assert "\n" not in str(caught.value)
