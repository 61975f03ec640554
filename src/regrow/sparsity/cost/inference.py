"""Operations of one forward pass, counted by torch's own counter and booked on the weights that caused them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from regrow.errors import InputError
from regrow.sparsity.layers import ATTENTION, OWNERS, plain_name

#: What a model may raise when an input or a device does not suit it.
_UNFIT = (RuntimeError, TypeError, ValueError, AssertionError, IndexError, AttributeError)


def flops(
    model: nn.Module,
    input_shape: Sequence[int],
    densities: Mapping[str, float] | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> dict[str, Any]:
    """Forward operations per sample: 2 per multiply-add of matrix products and convolutions.

    Biases, norms, activations and pooling are not counted. A layer that is used twice counts twice. Products between
    activations (attention scores and what they weigh) belong to no weight: they are ``other`` and always dense.
    `torch.utils.flop_counter.FlopCounterMode` counts; fused attention, which it does not see, is taken apart first.

    Args:
        model: the model, left as it is. A copy without data runs once on the meta device, or, where the forward pass
            looks at values, a real copy on the CPU; in evaluation mode, so heads that only train are left out.
        input_shape: shape of one sample, without the batch, e.g. ``(3, 32, 32)``.
        densities: density by parameter name (`Sparsifier.densities`); weights not named are dense.
        dtype: type of the sample; the parameters' by default. Models that begin with an embedding need ``torch.long``.

    Returns:
        ``dense`` and ``sparse`` (operations per sample), ``other`` (the part of both that belongs to no weight) and
        ``layers`` (rows: name, dense, sparse, density).

    Raises:
        InputError: the model cannot take such an input.

    Example:
        >>> flops(nn.Linear(30, 20), (30,), {"weight": 0.5})["sparse"]
        600.0
    """
    operations = _count(_unwrapped(model), tuple(input_shape), dtype)
    other = operations.pop(None, 0)
    known = densities or {}
    rows: list[dict[str, Any]] = [
        {"name": name, "dense": n, "sparse": n * known.get(str(name), 1.0), "density": known.get(str(name), 1.0)}
        for name, n in operations.items()
    ]
    dense, sparse = (sum(row[key] for row in rows) + other for key in ("dense", "sparse"))
    return {"dense": dense, "sparse": sparse, "other": other, "layers": rows}


def _unwrapped(model: nn.Module) -> nn.Module:
    """The model inside compile, Fabric and data-parallel wrappers, none of which run on the meta device."""
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        inner = getattr(model, "_orig_mod", None) or getattr(model, "_forward_module", None)
        if inner is None and isinstance(model, parallel):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def _count(model: nn.Module, shape: tuple[int, ...], dtype: torch.dtype | None) -> dict[str | None, int]:
    """Operations by weight, None for those of no weight; on the meta device if it works, else on the CPU."""
    reason = ""
    floating = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    for device in ("meta", "cpu"):
        if device == "cpu" and any(p.is_meta for p in model.parameters()):
            break
        try:
            ghost = _ghost(model) if device == "meta" else copy.deepcopy(model).to(device)
            return _counted(ghost.eval(), torch.zeros((1, *shape), device=device, dtype=dtype or floating))
        except _UNFIT as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
    raise InputError(
        f"the model does not run on one sample of shape {shape}: {reason}",
        "give the shape of one sample without the batch, e.g. (3, 32, 32), and dtype=torch.long for token numbers.",
    )


def _ghost(model: nn.Module) -> nn.Module:
    """A copy on the meta device, made without copying any data; shared parameters stay shared."""
    memo: dict[int, Any] = {
        id(p): nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=False) for p in model.parameters()
    }
    memo |= {id(b): torch.empty_like(b, device="meta") for b in model.buffers()}
    return copy.deepcopy(model, memo)


def _counted(model: nn.Module, sample: Tensor) -> dict[str | None, int]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.autocast("cpu", enabled=False))  # a cast weight is another tensor
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))  # the counter knows no fused attention of the CPU
        stack.enter_context(_no_fast_path())
        counter = stack.enter_context(FlopCounterMode(display=False))
        booking = stack.enter_context(_Booking(counter, model))
        model(sample)
    order = {name: i for i, name in enumerate(booking.names)}
    return dict(sorted(booking.operations.items(), key=lambda item: order.get(str(item[0]), len(order))))


@contextlib.contextmanager
def _no_fast_path() -> Iterator[None]:
    """Switch off the single kernel that MultiheadAttention and TransformerEncoder run in evaluation mode."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class _Booking(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Books what the counter adds at an operation on the weight among its operands.

    A weight is known by its storage, which its views (transposed, split into q, k and v) share. Where a layer computes
    its weight first (weight standardisation), no operand is a parameter: then the layer that is running gets it.

    Attributes:
        operations: by weight; None for operations without one.
        names: weights that can be booked on: those of `OWNERS` and attention first, so that a shared parameter goes by
            the name that `regrow.sparsity.layers.choose` gives it.
    """

    def __init__(self, counter: FlopCounterMode, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: dict[str | None, int] = {}
        self.names: list[str] = []
        self._counter = counter
        self._by_storage: dict[int, int] = {}
        self._by_module: dict[str, str] = {}
        for prefix, module in model.named_modules():
            dot = f"{prefix}." if prefix else ""
            if isinstance(module, OWNERS):
                self._by_module[prefix] = plain_name(f"{dot}weight")
                self._know(f"{dot}weight", module.weight)
            elif isinstance(module, nn.MultiheadAttention):
                for attribute in ATTENTION:
                    self._know(dot + attribute, getattr(module, attribute))
        for name, parameter in model.named_parameters():
            self._know(name, parameter)

    def _know(self, name: str, parameter: object) -> None:
        """Take a parameter of two or more dimensions; a bias is no factor of a product."""
        if isinstance(parameter, nn.Parameter) and parameter.ndim > 1:
            key = _storage(parameter)
            if key not in self._by_storage:
                self._by_storage[key] = len(self.names)
                self.names.append(plain_name(name))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        before = self._counter.get_total_flops()
        result = func(*args, **(kwargs or {}))
        added = self._counter.get_total_flops() - before
        if added:
            name = self._name(args)
            self.operations[name] = self.operations.get(name, 0) + added
        return result

    def _name(self, args: tuple[Any, ...]) -> str | None:
        keys = (_storage(a) for a in args if isinstance(a, Tensor) and a.layout is torch.strided)
        found = [self._by_storage[key] for key in keys if key in self._by_storage]
        if found:
            return self.names[min(found)]
        running = max(self._counter.mod_tracker.parents - {"Global"}, key=len, default="")
        return self._by_module.get(running.partition(".")[2])


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
