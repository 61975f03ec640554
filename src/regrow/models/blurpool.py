"""Anti-aliased down-sampling: every stride of a network becomes a low-pass filter and then the stride."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


def antialiased(model: nn.Module) -> nn.Module:
    """Convert all strided convolutions and max-pools of a network, in place (Zhang 2019, arXiv:1904.11486).

    A convolution with a kernel above 1 and a max-pool run at stride 1 and are blurred as they are sub-sampled; a
    convolution with a kernel of 1 commutes with the blur, so its input is blurred and sub-sampled first. The filter is
    a triangle of ``2 s - 1`` taps at stride ``s``: [1, 2, 1] / 4 at stride 2, the paper's Tri-3. All shapes stay as
    they were, and so do names, number and values of parameters; initial weights are those of the plain network.

    It departs from the paper's own code in two points: the blur follows the convolution itself, not the ReLU after it,
    so that networks need not be rewritten; and edges are repeated, not mirrored, which works for maps of one pixel too.
    Strided average pools, blurs themselves, stay.

    Args:
        model: any module; its strided layers are found by type.

    Returns:
        ``model``.
    """
    for module in model.modules():
        if isinstance(module, _CONVOLUTIONS):
            _convert_convolution(module)
        for n_dims, kind in enumerate(_MAX_POOLS, start=1):
            if isinstance(module, kind):
                _convert_pool(module, n_dims)
    return model


def blur_pool(x: Tensor, strides: Sequence[int], sizes: Sequence[int] | None = None) -> Tensor:
    """Triangle filter and sub-sampling over the last dimensions.

    Args:
        x: maps (N, C, ...), of any floating type, which is kept.
        strides: for each of the last dimensions; 1 leaves it as it is.
        sizes: length of each of them afterwards; by default ``ceil(length / stride)``.

    Example:
        >>> blur_pool(torch.tensor([[[0.0, 4.0, 0.0, 8.0]]]), [2]).tolist()
        [[[1.0, 3.0]]]
    """
    first = x.dim() - len(strides)
    for i, stride in enumerate(strides):
        size = -(-x.shape[first + i] // stride) if sizes is None else sizes[i]
        if stride > 1:
            x = _blur_dimension(x, first + i, stride, size, stride)
    return x


def blur(x: Tensor, strides: Sequence[int]) -> Tensor:
    """The filter of `blur_pool` at every place: sub-sampled at ``strides`` it is `blur_pool`.

    Example:
        >>> blur(torch.tensor([[[0.0, 4.0, 0.0, 8.0]]]), [2]).tolist()
        [[[1.0, 2.0, 3.0, 6.0]]]
    """
    for dim, stride in enumerate(strides, start=x.dim() - len(strides)):
        if stride > 1:
            x = _blur_dimension(x, dim, stride, x.shape[dim], 1)
    return x


def blurs(module: nn.Module) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """Strides that `antialiased` took out of a layer: where its input is blurred, and where its output is.

    Example:
        >>> blurs(antialiased(nn.Conv2d(3, 4, 3, stride=2, padding=1)))
        (None, (2, 2))
    """
    before = (hook.strides for hook in module._forward_pre_hooks.values() if isinstance(hook, _BlurInput))
    after = (hook.strides for hook in module._forward_hooks.values() if isinstance(hook, _BlurOutput))
    return next(before, None), next(after, None)


def _blur_dimension(x: Tensor, dim: int, stride: int, size: int, step: int) -> Tensor:
    """One dimension: output ``i`` is centred on input ``step * i``."""
    length, span = x.shape[dim], step * (size - 1) + 1
    edges = [stride - 1, max(0, span - length + stride - 1)]
    first, last = (
        x.narrow(dim, at, 1).expand(*x.shape[:dim], n, *x.shape[dim + 1 :])
        for at, n in zip((0, length - 1), edges, strict=True)
    )
    padded = torch.cat([first, x, last], dim)  # not F.pad, whose gradient depends on the order of threads on a GPU
    every = (slice(None),) * dim
    out = padded[(*every, slice(0, span, step))]
    for tap in range(1, 2 * stride - 1):
        out = out.add(padded[(*every, slice(tap, tap + span, step))], alpha=min(tap + 1, 2 * stride - 1 - tap))
    return out / stride**2


@dataclass(frozen=True)
class _BlurInput:
    """Hook before a convolution of one pixel."""

    strides: tuple[int, ...]

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return blur_pool(inputs[0], self.strides), *inputs[1:]


@dataclass(frozen=True)
class _BlurOutput:
    """Hook after a layer that now has stride 1."""

    strides: tuple[int, ...]
    ceil_mode: bool = False

    def __call__(self, module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if not self.ceil_mode:
            return blur_pool(output, self.strides)
        sizes = []
        for i, stride in enumerate(self.strides, start=-len(self.strides)):
            size = -(-(output.shape[i] - 1) // stride) + 1
            padding = _each(module.padding, len(self.strides))[i]
            begins_outside = (size - 1) * stride >= inputs[0].shape[i] + padding  # torch leaves such a window out
            sizes.append(size - begins_outside)
        return blur_pool(output, self.strides, sizes)


def _each(value: int | tuple[int, ...], n_dims: int) -> tuple[int, ...]:
    return (value,) * n_dims if isinstance(value, int) else tuple(value)


def _convert_convolution(conv: Any) -> None:
    strides = tuple(conv.stride)
    if max(strides) == 1:
        return
    conv.stride = (1,) * len(strides)
    pads = not isinstance(conv.padding, str) and any(conv.padding)
    if max(conv.kernel_size) == 1 and not pads:
        conv.register_forward_pre_hook(_BlurInput(strides))
    else:
        conv.register_forward_hook(_BlurOutput(strides))


def _convert_pool(pool: Any, n_dims: int) -> None:
    strides = _each(pool.stride, n_dims)
    if max(strides) == 1:
        return
    pool.register_forward_hook(_BlurOutput(strides, bool(pool.ceil_mode)))
    pool.stride, pool.ceil_mode = 1, False
