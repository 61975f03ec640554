"""Which parameters are made sparse: decided by the module that owns them, never by their shape alone."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from regrow.errors import InputError
from regrow.sparsity.masks import INTEGERS

OWNERS: tuple[type[nn.Module], ...] = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
#: Prefixes that wrappers (DistributedDataParallel, compile, Fabric) put before a model's own names.
WRAPPERS = ("module.", "_orig_mod.", "_forward_module.")

Choice = Iterable[str] | Callable[[str, nn.Module], bool]


@dataclass(frozen=True)
class Chosen:
    """One parameter that is made sparse.

    Attributes:
        name: qualified name, without the prefixes of wrappers.
        parameter: the weight.
        owner: the module that holds it.
        attribute: its name there.
        kept_dense: whether the user asked to keep all its weights.
    """

    name: str
    parameter: nn.Parameter
    owner: nn.Module
    attribute: str
    kept_dense: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The weight's shape."""
        return tuple(self.parameter.shape)

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


def choose(model: nn.Module, layers: Choice | None = None, keep_dense: Iterable[str] = ()) -> list[Chosen]:
    """The parameters to make sparse, in registration order; a shared parameter counts once, under its first name.

    Args:
        model: the model. By default the weights of its Linear, Conv, ConvTranspose and MultiheadAttention modules
            that require a gradient are chosen: no bias, norm, token or position table, no embedding nor a head tied
            to one.
        layers: None for all of these; or patterns over parameter or module names (``"layer1.*"``; one that begins with
            ``!`` leaves out); or a function ``(parameter name, owner) -> bool``.
        keep_dense: patterns of layers that keep all their weights but count in the density.

    Raises:
        InputError: a pattern that matches nothing, or a weight that cannot be made sparse.
    """
    found: list[Chosen] = []
    elsewhere = {  # a head tied to an embedding is an embedding
        id(parameter)
        for module in model.modules()
        if not isinstance(module, (*OWNERS, nn.MultiheadAttention))
        for parameter in module._parameters.values()
        if parameter is not None
    }
    for name, owner, attribute in _candidates(model):
        parameter: nn.Parameter | None = getattr(owner, attribute)
        if parameter is None or not parameter.requires_grad:
            continue
        if not isinstance(parameter, nn.parameter.UninitializedParameter) and parameter.numel() == 0:
            continue
        if layers is None and id(parameter) in elsewhere:
            continue
        if all(parameter is not other.parameter for other in found):
            found.append(Chosen(name, parameter, owner, attribute))
    weights = ((name, getattr(owner, attribute)) for name, owner, attribute in _candidates(model))
    frozen = [name for name, weight in weights if weight is not None and not weight.requires_grad]
    try:
        chosen = _included(found, layers)
        dense = set(_matching(chosen, keep_dense, "keep_dense"))
    except InputError as error:
        if frozen:
            raise InputError(
                error.message, f"{error.next_step} Frozen, so left out: {', '.join(frozen[:6])}."
            ) from None
        raise
    for one in chosen:
        _refuse_unfit(one)
    return [Chosen(c.name, c.parameter, c.owner, c.attribute, c.name in dense) for c in chosen]


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern fits a parameter's name, or that of its module.

    Example:
        >>> matches("layer1.0.weight", "layer1.*"), matches("fc.weight", "fc"), matches("fc.weight", "f")
        (True, True, False)
    """
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name.rpartition(".")[0], pattern)


def plain_name(name: str) -> str:
    """A name without what wrappers put before it.

    Example:
        >>> plain_name("module._orig_mod.conv1.weight")
        'conv1.weight'
    """
    while wrapper := next((w for w in WRAPPERS if name.startswith(w)), None):
        name = name.removeprefix(wrapper)
    return name


def _candidates(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    for prefix, module in model.named_modules():
        attributes: tuple[str, ...] = ()
        if isinstance(module, OWNERS):
            attributes = ("weight",)
        elif isinstance(module, nn.MultiheadAttention):
            attributes = ATTENTION
        for attribute in attributes:
            yield plain_name(f"{prefix}.{attribute}" if prefix else attribute), module, attribute


def _included(found: list[Chosen], layers: Choice | None) -> list[Chosen]:
    if layers is None:
        return found
    if callable(layers):
        return [c for c in found if layers(c.name, c.owner)]
    patterns = [layers] if isinstance(layers, str) else list(layers)
    take = [p for p in patterns if not p.startswith("!")]
    leave = [p[1:] for p in patterns if p.startswith("!")]
    taken = set(_matching(found, take, "layers")) if take else {c.name for c in found}
    left = set(_matching(found, leave, "layers"))
    return [c for c in found if c.name in taken - left]


def _matching(found: list[Chosen], patterns: Iterable[str], argument: str) -> Iterator[str]:
    """Names that match any of the patterns, each of which must match something."""
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        names = [c.name for c in found if matches(c.name, pattern)]
        if not names:
            known = ", ".join(c.name for c in found[:12]) + (", ..." if len(found) > 12 else "")
            raise InputError(f"{argument} pattern {pattern!r} matches no layer.", f"the layers are: {known or 'none'}.")
        yield from names


def _refuse_unfit(one: Chosen) -> None:
    parameter = one.parameter
    if one.attribute not in one.owner._parameters:
        raise InputError(
            f"{one.name} is computed from other parameters (a parametrization), so it cannot be masked.",
            "remove the parametrization, or leave the layer out with layers=['!...'].",
        )
    if isinstance(parameter, nn.parameter.UninitializedParameter):
        raise InputError(f"{one.name} has no shape yet (a lazy module).", "run one batch through the model first.")
    if type(parameter.data) is not torch.Tensor or parameter.layout is not torch.strided:
        raise InputError(f"{one.name} is sharded or of a sparse layout, which is not supported.", "leave it out.")
    if parameter.dtype not in INTEGERS:
        raise InputError(f"{one.name} has type {parameter.dtype}; weights must be real floating numbers.")
