"""2:4 sparsity: which layers have it, and their form for GPUs that multiply it.

Of each four consecutive weights of a row of the matrix (out, in * k * ...) at most two are not 0. NVIDIA GPUs from
compute capability 8.0 on multiply such matrices by linear layers' inputs with half the multiplications; nothing else
does, and torch's conversion takes matrices, so convolutions can be checked but not converted.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from regrow.errors import InputError

__all__ = ["Layer24", "check_2_4", "convert_2_4", "hardware_problem"]

#: Multiples that rows and columns must have, by type (CUTLASS kernels of torch.sparse).
MULTIPLES = {torch.float16: (32, 64), torch.bfloat16: (32, 64), torch.float32: (32, 32), torch.int8: (16, 128)}


class Layer24(NamedTuple):
    """A layer's check.

    Attributes:
        name: of the weight.
        shape: as a matrix (out, in * k * ...).
        groups: number of groups of four.
        violations: groups with more than two weights that are not 0.
        problem: why it cannot be multiplied as 2:4; empty where it can.
    """

    name: str
    shape: tuple[int, int]
    groups: int
    violations: int
    problem: str


def check_2_4(weights: Mapping[str, Tensor], *, dtype: torch.dtype = torch.float16) -> list[Layer24]:
    """Check each weight for 2:4 sparsity and for the shapes that the kernels take.

    Args:
        weights: name -> weight (or mask) of at least 2 dimensions; others are left out.
        dtype: type of the multiplication: float16, bfloat16, float32 or int8.

    Raises:
        InputError: a type that has no kernel.

    Example:
        >>> row = torch.tensor([[1.0, 0, 2, 0, 0, 3, 0, 4], [1, 1, 1, 0, 0, 0, 0, 0]])
        >>> check_2_4({"w": row})[0].violations
        1
    """
    if dtype not in MULTIPLES:
        raise InputError(f"2:4 kernels take float16, bfloat16, float32 or int8, got {dtype}.", "choose one of these.")
    return [_check(name, weight, MULTIPLES[dtype]) for name, weight in weights.items() if weight.ndim >= 2]


def _check(name: str, weight: Tensor, multiples: tuple[int, int]) -> Layer24:
    rows, columns = weight.shape[0], math.prod(weight.shape[1:])
    used = (weight.detach().reshape(rows, columns) != 0).cpu()
    filled = torch.nn.functional.pad(used, (0, -columns % 4))  # a last group cut short counts as filled up with 0
    groups = filled.reshape(rows, -1, 4).sum(2)
    violations = int((groups > 2).sum())
    problem = ""
    if violations:
        problem = f"{violations} of {groups.numel()} groups of four have more than two weights"
    elif rows % multiples[0] or columns % multiples[1]:
        problem = f"{rows} x {columns} is no multiple of {multiples[0]} x {multiples[1]}"
    elif weight.ndim > 2:
        problem = "a convolution: torch multiplies linear layers alone"
    return Layer24(name, (rows, columns), groups.numel(), violations, problem)


def hardware_problem() -> str:
    """Why this machine cannot multiply 2:4 matrices; empty where it can."""
    if not torch.cuda.is_available():
        return "2:4 kernels run on CUDA alone, and torch sees no CUDA device here"
    major, minor = torch.cuda.get_device_capability()
    if (major, minor) < (8, 0):
        return f"2:4 kernels need compute capability 8.0, this GPU has {major}.{minor}"
    return ""


def convert_2_4(
    model: nn.Module, masks: Mapping[str, Tensor], *, dtype: torch.dtype = torch.float16
) -> tuple[nn.Module, list[Layer24]]:
    """A copy of a model on the GPU, its fitting masked linear layers in 2:4 form, for inference.

    Args:
        model: the model, with its masks applied.
        masks: name -> bool mask; only these layers are considered.
        dtype: type of the copy and of the multiplication.

    Returns:
        (model, check of every masked layer); a layer with a ``problem`` stays dense.

    Raises:
        InputError: no GPU that multiplies 2:4, or not one masked layer fits; names the first that does not.
    """
    rows = check_2_4({name: model.get_parameter(name) for name in masks}, dtype=dtype)
    fitting = [row.name for row in rows if not row.problem]
    if not fitting:
        said = f" {rows[0].name}: {rows[0].problem}." if rows else ""
        raise InputError(
            f"no masked layer can be multiplied as 2:4.{said}", "train with a 2:4 method, or export compact."
        )
    problem = hardware_problem()
    if problem:
        raise InputError(f"{problem}.", "convert on a machine with such a GPU; the check needs none.")
    converted = copy.deepcopy(model).to("cuda", dtype).eval()
    for name in fitting:
        owner, _, attribute = name.rpartition(".")
        layer = converted.get_submodule(owner)
        if type(layer) is nn.Linear:
            sparse = torch.sparse.to_sparse_semi_structured(getattr(layer, attribute).detach())
            setattr(layer, attribute, nn.Parameter(sparse, requires_grad=False))
    return converted, rows
