"""ONNX, for other runtimes: the plain network, zeros and all (extra ``regrow[onnx]``)."""

from __future__ import annotations

import copy
import importlib
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from regrow import files
from regrow.errors import InputError, RegrowError

__all__ = ["OnnxFile", "session", "to_onnx"]


class OnnxFile(NamedTuple):
    """A written file: its bytes; largest difference to the network's outputs, None where onnxruntime is missing."""

    bytes: int
    max_difference: float | None


def to_onnx(model: nn.Module, example: Tensor, path: Path, *, tolerance: float = 1e-4) -> OnnxFile:
    """Write a model as ONNX with a free batch size, and compare onnxruntime's outputs where it is installed.

    Inactive weights are zeros in plain initialisers (torch's exporter folds batch norm into the convolution before it,
    which scales rows and keeps zeros): ONNX Runtime multiplies them like any others, and the file has the size of the
    dense network. Compact the network first to get a smaller one.

    Args:
        model: the network, its masks applied; exported in evaluation mode, left as it was.
        example: an input batch.
        path: file to write.
        tolerance: largest difference that is accepted, relative to max(1, largest output).

    Raises:
        InputError: onnx or onnxscript is missing, or torch cannot export the model.
        RegrowError: onnxruntime gives other outputs.
    """
    for name in ("onnx", "onnxscript"):
        _library(name)
    plain = copy.deepcopy(model).cpu().eval()
    batch = example.detach().cpu()
    batch = batch if len(batch) > 1 else torch.cat([batch, batch])  # a batch of one would be taken for a constant
    content = _export(plain, batch)
    difference = _difference(plain, batch, content)
    if difference is not None:
        with torch.no_grad():
            scale = max(1.0, float(plain(batch).abs().max()))
        if not difference <= tolerance * scale:
            raise RegrowError(
                f"onnxruntime's outputs differ by {difference:.3g} (largest output {scale:.3g}).",
                "nothing was written; please report the network.",
            )
    files.write_bytes(path, content)
    return OnnxFile(len(content), difference)


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(
            f"ONNX export needs {name}, which is not installed.", "`pip install 'regrow[onnx]'`."
        ) from None


def _export(model: nn.Module, batch: Tensor) -> bytes:
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # captured by itself: given the network, torch 2.6 traces what it cannot capture, for one batch size alone
            captured = torch.export.export(
                model, (batch,), dynamic_shapes=({0: torch.export.Dim("batch")},), strict=False
            )
            program = torch.onnx.export(captured, dynamo=True, verbose=False)
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(
            f"torch cannot export {type(model).__name__} to ONNX: {type(error).__name__}: {said}.",
            "networks whose forward branches on data cannot be exported.",
        ) from error
    finally:
        logger.setLevel(level)
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content


def _difference(model: nn.Module, batch: Tensor, content: bytes) -> float | None:
    """Largest difference of the outputs, also at another batch size; None without onnxruntime."""
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError:
        return None
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    differences = []
    for one in (batch, torch.cat([batch, batch.flip(0)])):
        with torch.no_grad():
            expected = model(one).numpy()
        got = session.run(None, {name: one.numpy()})[0]
        differences.append(np.abs(got - expected).max())
    return float(np.max(differences))  # NaN stays NaN


def session(path: Path, *, threads: int = 1) -> Callable[[Tensor], object]:
    """What runs an ONNX file by onnxruntime on the CPU: a function of the input batch.

    Raises:
        InputError: onnxruntime is missing.
    """
    runtime = _library("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    loaded = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = loaded.get_inputs()[0].name
    return lambda batch: loaded.run(None, {name: batch.cpu().numpy()})
