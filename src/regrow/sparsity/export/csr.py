"""Compressed sparse rows: layers as (indptr, indices, values), and linear layers that multiply with them.

A weight (out, in, k...) is the matrix (out, in * k * ...) in C order; row o's entries are
``indptr[o] : indptr[o + 1]``, their columns ascend, indices are int32. On a CPU such a product is slower than the dense
one until few weights are left: in our measurements (512 x 4608 times 4608 x 64, float32, one thread) it took two to
four times the dense time at density 0.5, and began to be faster between 0.2 and 0.1. It saves memory below density 0.5
(8 bytes an active float32 weight instead of 4 bytes for each).
"""

from __future__ import annotations

import copy
import functools
import io
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from regrow import files
from regrow.errors import DataError, InputError
from regrow.sparsity.export.compact import DTYPES, NAMES

__all__ = ["CSR", "SparseLinear", "from_csr", "load_csr", "save_csr", "sparse_linears", "to_csr"]

LARGEST = 2**31 - 1
FIELDS = ("indptr", "indices", "values")
#: Weights that a byte of a file may stand for, zeros counted: far more than at any density that is trained.
MOST_PER_BYTE = 4096


class CSR(NamedTuple):
    """A weight in compressed sparse rows.

    Attributes:
        indptr: int32 (out + 1): where each row begins among the entries.
        indices: int32 (n): column of each entry, ascending within a row.
        values: (n), of the weight's type.
        shape: the weight's own shape.
    """

    indptr: Tensor
    indices: Tensor
    values: Tensor
    shape: tuple[int, ...]


def to_csr(weight: Tensor, mask: Tensor | None = None) -> CSR:
    """A weight in compressed sparse rows, on the CPU.

    Args:
        weight: (out, ...), at least 2 dimensions.
        mask: bool of the same shape; its entries are kept, those of value 0 too. Default: all that are not 0.

    Raises:
        InputError: another number of dimensions or shape, or more entries than int32 counts.

    Example:
        >>> csr = to_csr(torch.tensor([[0.0, 5.0, 0.0], [0.0, 0.0, 0.0], [7.0, 0.0, 8.0]]))
        >>> csr.indptr.tolist(), csr.indices.tolist(), csr.values.tolist()
        ([0, 1, 1, 3], [1, 0, 2], [5.0, 7.0, 8.0])
    """
    if weight.ndim < 2 or (mask is not None and (mask.shape != weight.shape or mask.dtype != torch.bool)):
        given = f"{tuple(weight.shape)}" + (f" with a mask {tuple(mask.shape)}" if mask is not None else "")
        raise InputError(
            f"a weight of at least 2 dimensions and a bool mask of its shape are needed, got {given}.",
            "give a layer's weight and its mask.",
        )
    rows = weight.shape[0]
    matrix = weight.detach().cpu().reshape(rows, math.prod(weight.shape[1:]))
    active = (matrix != 0) if mask is None else mask.cpu().reshape(matrix.shape)
    if int(active.sum()) > LARGEST or matrix.shape[1] > LARGEST:
        raise InputError(f"a layer of shape {tuple(weight.shape)} has more entries than int32 indices count.")
    indptr = torch.zeros(rows + 1, dtype=torch.int32)
    indptr[1:] = active.sum(1).cumsum(0)
    return CSR(indptr, active.nonzero()[:, 1].int(), matrix[active], tuple(weight.shape))


def from_csr(csr: CSR) -> tuple[Tensor, Tensor]:
    """The weight and the mask of a `CSR`.

    Raises:
        InputError: its parts do not fit each other or are not in canonical order.
    """
    _check(csr)
    rows = torch.repeat_interleave(torch.arange(csr.shape[0]), csr.indptr.diff().long())
    weight = torch.zeros((csr.shape[0], math.prod(csr.shape[1:])), dtype=csr.values.dtype)
    mask = torch.zeros(weight.shape, dtype=torch.bool)
    weight[rows, csr.indices.long()] = csr.values
    mask[rows, csr.indices.long()] = True
    return weight.reshape(csr.shape), mask.reshape(csr.shape)


def _check(csr: CSR) -> None:
    counts, indices = csr.indptr.diff(), csr.indices.long()
    fits = csr.indptr.dtype == csr.indices.dtype == torch.int32 and len(csr.shape) >= 2
    fits = fits and len(csr.indptr) == csr.shape[0] + 1 and int(csr.indptr[0]) == 0 and bool((counts >= 0).all())
    fits = fits and int(csr.indptr[-1]) == len(indices) == len(csr.values)
    if fits and len(indices):
        columns = math.prod(csr.shape[1:])
        flat = torch.repeat_interleave(torch.arange(csr.shape[0]), counts.long()) * columns + indices
        fits = bool((indices >= 0).all() and (indices < columns).all() and (flat.diff() > 0).all())
    if not fits:
        raise InputError(f"the parts of a CSR of shape {csr.shape} do not fit each other.", "make it with to_csr.")


def save_csr(path: Path, state_dict: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> int:
    """Write masked layers as CSR and the rest as it is, into one uncompressed ``.npz``, atomically; its bytes.

    ``NAME.indptr``, ``NAME.indices``, ``NAME.values`` and ``NAME.shape`` are a layer's; ``NAME`` is a dense tensor.
    Types that numpy has not (bfloat16, float8) lie there as their bytes; ``NAME.dtype`` says what they are.

    Raises:
        InputError: a mask that fits no tensor, or a layer with too many entries.
    """
    arrays: dict[str, np.ndarray] = {}
    for name in masks:
        if name not in state_dict:
            raise InputError(f"there is a mask for {name!r}, which the state does not hold.", "give both of one model.")
    for name, tensor in state_dict.items():
        if name not in masks:
            arrays |= _array(name, tensor)
            continue
        csr = to_csr(tensor, masks[name])
        arrays |= {f"{name}.indptr": csr.indptr.numpy(), f"{name}.indices": csr.indices.numpy()}
        arrays |= {**_array(f"{name}.values", csr.values), f"{name}.shape": np.array(csr.shape, np.int64)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    files.write_bytes(path, buffer.getvalue())
    return len(buffer.getvalue())


def load_csr(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """State dict and masks of a file that `save_csr` wrote; nothing in it is unpickled.

    Raises:
        DataError: the file is absent, damaged, or of another kind.
    """
    try:
        if not path.exists():
            raise FileNotFoundError
        arrays = files.read_arrays(path, limit_bytes=path.stat().st_size)  # they are stored uncompressed
        tensors = {name: _tensor(arrays, name) for name in arrays if not name.endswith((".dtype", ".shape"))}
        state: dict[str, Tensor] = {}
        masks: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            layer, _, part = name.rpartition(".")
            if part not in FIELDS or f"{layer}.shape" not in arrays:
                state[name] = tensor
            elif part == "values":
                shape = tuple(int(side) for side in arrays[f"{layer}.shape"])
                if math.prod(shape) > MOST_PER_BYTE * path.stat().st_size:
                    raise ValueError(f"{layer} is far larger than the file")
                csr = CSR(tensors[f"{layer}.indptr"], tensors[f"{layer}.indices"], tensor, shape)
                state[layer], masks[layer] = from_csr(csr)
    except FileNotFoundError:
        raise DataError(f"{path} is not there.", "name a file that `regrow export` wrote.") from None
    except DataError as error:
        raise DataError(error.message, "export it again.") from None
    except (ValueError, LookupError, TypeError, RuntimeError, ArithmeticError, MemoryError) as error:
        said = " ".join(str(error).split())[:120]
        raise DataError(f"{path} is no readable CSR file ({said}).", "export it again.") from None
    return state, masks


def _array(name: str, tensor: Tensor) -> dict[str, np.ndarray]:
    plain = tensor.detach().cpu().contiguous()
    try:
        return {name: plain.numpy()}
    except TypeError:  # numpy has no such type
        raw = plain.reshape(-1).view(torch.uint8).reshape(*plain.shape, plain.element_size())
        return {name: raw.numpy(), f"{name}.dtype": np.array(NAMES[plain.dtype])}


def _tensor(arrays: Mapping[str, np.ndarray], name: str) -> Tensor:
    tensor = torch.from_numpy(np.array(arrays[name]))
    if f"{name}.dtype" in arrays:
        return tensor.reshape(-1).view(DTYPES[str(arrays[f"{name}.dtype"])]).reshape(tensor.shape[:-1])
    return tensor


class SparseLinear(nn.Module):
    """A linear layer whose weight is a CSR matrix; inference on the CPU, float32 or float64.

    It uses memory for active weights alone. It is faster than `torch.nn.Linear` only at low density (some 0.1);
    `regrow.sparsity.export.measure.latency` tells for a layer and a batch.

    Args:
        linear: the layer to copy.
        mask: bool (out, in); default: the weights that are not 0.

    Example:
        >>> linear = nn.Linear(4, 3)
        >>> _ = linear.weight.data[0].zero_()
        >>> x = torch.randn(2, 4)
        >>> torch.allclose(SparseLinear(linear)(x), linear(x), atol=1e-6)
        True
    """

    def __init__(self, linear: nn.Linear, mask: Tensor | None = None) -> None:
        super().__init__()
        if linear.weight.dtype not in (torch.float32, torch.float64):
            raise InputError(f"CSR products take float32 or float64, got {linear.weight.dtype}.", "convert the model.")
        csr = to_csr(linear.weight, mask)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.indptr: Tensor
        self.indices: Tensor
        self.values: Tensor
        self.bias: Tensor | None
        for name in FIELDS:
            self.register_buffer(name, getattr(csr, name))
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        _quiet()
        size = (self.out_features, self.in_features)
        weight = torch.sparse_csr_tensor(self.indptr, self.indices, self.values, size, check_invariants=False)
        out = (weight @ x.reshape(-1, self.in_features).T).T.reshape(*x.shape[:-1], self.out_features)
        return out if self.bias is None else out + self.bias

    def extra_repr(self) -> str:
        """Sizes and density, for ``print``."""
        density = len(self.values) / max(1, self.in_features * self.out_features)
        return f"in_features={self.in_features}, out_features={self.out_features}, density={density:.3f}"


@functools.cache
def _quiet() -> None:
    """Let torch say once, unheard, that its CSR tensors are in beta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor([0, 0], [], torch.empty(0), (1, 1), check_invariants=False)


def sparse_linears(
    model: nn.Module, masks: Mapping[str, Tensor], *, density: float = 0.1
) -> tuple[nn.Module, list[str]]:
    """A copy of a model with `SparseLinear` for every masked linear layer of at most this density, and their names.

    The default is about where such products begin to be faster than dense ones on a CPU.
    """
    smaller = copy.deepcopy(model)
    replaced = []
    for name, module in list(smaller.named_modules()):
        mask = masks.get(f"{name}.weight" if name else "weight")
        if type(module) is not nn.Linear or mask is None or float(mask.float().mean()) > density:
            continue
        sparse = SparseLinear(module, mask)
        sparse.training = module.training
        replaced.append(name)
        if not name:
            return sparse, replaced
        parent, _, last = name.rpartition(".")
        setattr(smaller.get_submodule(parent), last, sparse)
    return smaller, replaced
