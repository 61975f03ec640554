"""What each operation does to channels: the tables that `channels` follows a trace with.

Kinds of steps:
    conv, linear  a weight reads the channels and makes others
    depthwise, grouped  the same of each channel by itself (one filter a channel), or of each group of channels
    norm      batch norm
    map       one function of each element alone
    combine   the same of two tensors
    concat    channels one after the other
    same      a channel that is one constant keeps it: dropout in evaluation, pooling, means over space, flatten
    pool_zero the same of zero only: averages that count padding, dropout that is always on
    other     anything else; its inputs are not prunable
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
WEIGHTED = (*CONVOLUTIONS, nn.Linear)
#: Modules whose forward is known; a subclass that keeps it is kept whole too.
LEAVES: tuple[type[nn.Module], ...] = (*WEIGHTED, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
POOLS = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
)  # fmt: skip
SAME = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
MAPS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish,
    nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.LogSigmoid, nn.Softshrink,
    nn.Hardshrink, nn.Tanhshrink, nn.Threshold,
)  # fmt: skip
#: Functions and methods by name; a trailing underscore (in place) is taken off first.
MAP_NAMES = frozenset({
    "relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish", "hardswish", "hardsigmoid",
    "hardtanh", "sigmoid", "tanh", "softplus", "softsign", "logsigmoid", "softshrink", "hardshrink", "tanhshrink",
    "threshold", "neg", "abs", "square", "exp", "sqrt", "clamp", "clamp_min", "clamp_max", "pow",
})  # fmt: skip
COMBINE_NAMES = frozenset({
    "add", "iadd", "radd", "sub", "isub", "rsub", "mul", "imul", "rmul", "div", "truediv", "itruediv",
})  # fmt: skip
SAME_NAMES = frozenset({"contiguous", "clone", "detach"})
DROPOUT_NAMES = frozenset({"dropout", "dropout1d", "dropout2d", "dropout3d"})
POOL_NAMES = frozenset(f"{kind}{n}d" for n in (1, 2, 3) for kind in ("max_pool", "avg_pool", "adaptive_avg_pool"))
CONCAT_NAMES = frozenset({"cat", "concat", "concatenate"})
HOMES = ("torch", "torch.nn.functional", "torch._C._nn", "_operator", "torch._C._VariableFunctions")


def module_kind(module: nn.Module) -> str:
    """The kind of a module's step; ``flatten`` and ``pool`` are refined by whoever follows the trace."""
    if isinstance(module, CONVOLUTIONS):
        grouped = "depthwise" if module.groups == module.in_channels else "grouped"
        return "conv" if module.groups == 1 else grouped
    table: tuple[tuple[Any, str], ...] = (
        (nn.Linear, "linear"),
        (_BatchNorm, "norm"),
        (nn.Flatten, "flatten"),
        (MAPS, "map"),
        (SAME, "same"),
    )
    for types, kind in table:
        if isinstance(module, types):
            return kind
    if isinstance(module, nn.PReLU) and module.num_parameters == 1:
        return "map"
    return "pool" if isinstance(module, POOLS) and not getattr(module, "return_indices", False) else "other"


def pool_step(module: nn.Module) -> str:
    """How a pooling module treats constants: ``same``, or ``pool_zero`` where padding or a divisor changes them."""
    averages = isinstance(module, nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d)
    padding: Any = getattr(module, "padding", 0)
    padded = any(padding) if isinstance(padding, tuple) else bool(padding)
    changed = (padded and bool(getattr(module, "count_include_pad", True))) or bool(
        getattr(module, "divisor_override", None)
    )
    return "pool_zero" if averages and changed else "same"


def function_name(node: fx.Node) -> str:
    """The plain name of a function of torch or a tensor's method, without a trailing underscore; else empty."""
    if node.op == "call_method":
        return str(node.target).rstrip("_")
    target: Any = node.target
    home = getattr(target, "__module__", None)
    return str(target.__name__).rstrip("_") if home in HOMES else ""


def in_place(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether a step may write into its input."""
    if module is not None:
        return bool(getattr(module, "inplace", False))
    target = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    ending = target.endswith("_") and not target.endswith("__")
    return ending or bool(node.kwargs.get("inplace")) or target in ("iadd", "isub", "imul", "itruediv")


def call(node: fx.Node, values: dict[fx.Node, torch.Tensor]) -> torch.Tensor:
    """Apply the function or method of an elementwise step to values in place of its nodes."""
    args = fx.node.map_arg(node.args, lambda n: values[n])
    kwargs = dict(fx.node.map_arg(node.kwargs, lambda n: values[n]))
    kwargs.pop("inplace", None)
    function: Any = getattr(torch.Tensor, str(node.target)) if node.op == "call_method" else node.target
    result: torch.Tensor = function(*args, **kwargs)
    return result


def is_size(node: object) -> bool:
    """Whether an argument of a view is the batch size of a value: ``x.size(0)``, ``x.shape[0]`` or ``len(x)``."""
    if not isinstance(node, fx.Node):
        return False
    if node.op == "call_method" and node.target == "size":
        return node.args[1:] == (0,) or node.kwargs == {"dim": 0}
    if node.op == "call_function" and node.target is operator.getitem and node.args[1] == 0:
        source = node.args[0]
        return isinstance(source, fx.Node) and is_shape(source)
    return False


def is_shape(node: fx.Node) -> bool:
    """Whether a node is the shape of a value: ``x.shape`` or ``x.size()``."""
    if node.op == "call_method":
        return node.target == "size" and len(node.args) == 1 and not node.kwargs
    return node.op == "call_function" and node.target is getattr and node.args[1:] == ("shape",)


def reads_channels(node: fx.Node, rank: int | None) -> bool:
    """Whether a shape or size is used for more than the batch and the places in space (or the trace cannot tell)."""
    if node.op == "call_method" and node.target == "size" and not is_shape(node):
        index = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        return not _spatial(index, rank)
    for user in node.users:
        taken = user.op == "call_function" and user.target is operator.getitem
        if not taken or (user.users and not _spatial(user.args[1], rank)):
            return True
    return False


def _spatial(index: object, rank: int | None) -> bool:
    if index == 0:
        return True
    if not isinstance(index, int) or rank is None:
        return False
    return index % rank != 1


def over_space(dims: object, rank: int | None) -> bool:
    """Whether a reduction goes over dimensions after the channels alone, in a value of known rank."""
    listed = list(dims) if isinstance(dims, list | tuple) else [dims]
    if rank is None or not listed:
        return False
    return all(isinstance(d, int) and -rank <= d < rank and d % rank >= 2 for d in listed)
