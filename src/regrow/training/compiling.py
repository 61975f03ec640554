"""torch.compile in a run: which mode it takes, and when it may not."""

from __future__ import annotations

import os
import shutil
from typing import Literal

import torch
from torch import nn

from regrow.errors import InputError
from regrow.training.settings import Precision, TrainingSettings

Mode = Literal["no", "default", "reduce-overhead"]


def mode_of(training: TrainingSettings, precision: Precision) -> Mode:
    """The mode in which a run compiles: that of its study, or the nearest one that its training allows.

    A contrastive loss reads features by a hook, which compiled code does not call: nothing is compiled. CUDA graphs
    write each pass over the last one's memory: gradients that must outlive a pass (parts of a batch, the first of
    sharpness-aware minimisation) need a mode without them.
    """
    if training.supcon is not None:
        return "no"
    keeps = training.accumulate > 1 or training.sam > 0
    return "default" if precision.compile == "reduce-overhead" and keeps else precision.compile


def compiled(network: nn.Module, mode: Mode) -> nn.Module:
    """The network with its passes compiled, for inputs of one size; itself with mode ``no``. Weights are shared.

    Args:
        network: on its device.
        mode: of torch.compile.

    Raises:
        InputError: this machine cannot compile, or has no CUDA graphs.
    """
    if mode == "no":
        return network
    on_cpu = next(network.parameters()).device.type == "cpu"
    if on_cpu and mode == "reduce-overhead":
        raise InputError("training.compile: reduce-overhead is for CUDA devices.", "take default, or auto.")
    if on_cpu and not any(map(shutil.which, filter(None, (os.environ.get("CXX"), "g++", "clang++")))):
        raise InputError("training.compile needs a C++ compiler on a processor.", "install g++, or set compile: no.")
    return torch.compile(network, mode=mode, dynamic=False)  # type: ignore[return-value]


def begin_pass(mode: Mode) -> None:
    """Tell CUDA graphs that the results of the last pass are no longer needed."""
    if mode == "reduce-overhead":
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
