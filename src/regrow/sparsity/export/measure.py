"""Before and after: time of a forward pass, and the memory that it takes, measured on this machine."""

from __future__ import annotations

import statistics
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from regrow.errors import InputError

__all__ = ["Latency", "Memory", "latency", "memory"]


class Latency(NamedTuple):
    """Milliseconds of a forward pass: median, and the quartiles around it."""

    median_ms: float
    low_ms: float
    high_ms: float


class Memory(NamedTuple):
    """Bytes: parameters and buffers; and with them the tensors that are alive at once in a forward pass, at most."""

    weights: int
    peak: int


def latency(
    runs: Mapping[str, Callable[[Tensor], object]], example: Tensor, *, repeats: int = 15, threads: int = 1
) -> dict[str, Latency]:
    """Time forward passes side by side.

    The candidates take turns in every round, so that whatever else the machine does meets them alike; the first round
    is not counted. Modules should be in evaluation mode. On a GPU each pass is waited for.

    Args:
        runs: name -> what maps the input to an output.
        example: the input batch.
        repeats: counted rounds, >= 1.
        threads: torch's threads meanwhile.

    Raises:
        InputError: fewer than one round or thread.
    """
    if repeats < 1 or threads < 1:
        raise InputError(f"repeats and threads must be at least 1, got {repeats} and {threads}.")
    times: dict[str, list[float]] = {name: [] for name in runs}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            for number in range(repeats + 1):
                for name, run in runs.items():
                    spent = _timed(run, example)
                    if number:
                        times[name].append(spent)
    finally:
        torch.set_num_threads(before)
    return {name: _summary(values) for name, values in times.items()}


def _timed(run: Callable[[Tensor], object], example: Tensor) -> float:
    if example.is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    run(example)
    if example.is_cuda:
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def _summary(values: list[float]) -> Latency:
    if len(values) == 1:
        return Latency(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Latency(median, low, high)


def memory(model: nn.Module, example: Tensor) -> Memory:
    """Memory of one forward pass of a model in evaluation mode.

    Every tensor that an operation makes is counted from then until it is freed; the peak of that, with parameters,
    buffers and the input, is the answer. The scratch space of kernels is not in it: it differs between machines.

    Args:
        model: the model; its mode is left as it was.
        example: the input batch.
    """
    tensors = [*model.parameters(), *model.buffers()]
    weights = sum({t.data_ptr() or id(t): t.numel() * t.element_size() for t in tensors}.values())
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    counter = _Live()
    try:
        with torch.no_grad(), counter:
            model(example)
    finally:
        for module, mode in modes:
            module.training = mode
    return Memory(weights, weights + example.numel() * example.element_size() + counter.peak)


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that operations make, while they are alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = {self._key(t) for t in pytree.tree_leaves((args, kwargs)) if self._counts(t)}
        out = func(*args, **(kwargs or {}))
        made = {self._key(t): t for t in pytree.tree_leaves(out) if self._counts(t)}
        for key, tensor in made.items():
            if key not in known:
                self._add(tensor)
        return out

    @staticmethod
    def _counts(value: object) -> bool:
        return isinstance(value, Tensor) and value.layout is torch.strided

    @staticmethod
    def _key(tensor: Tensor) -> int:
        return int(tensor.untyped_storage()._cdata)

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)

        def gone() -> None:
            self.now -= size

        weakref.finalize(storage, gone)
