"""How a mask is kept and applied: few bytes, one pass over the memory of the weight.

A mask is applied to the bits of a float: multiplied by 0 or 1 (or "and"-ed with 0 or -1) as integers, so inactive
entries become +0.0 whatever they were, infinities and NaN included, and active ones keep every bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

#: The integer type of a floating type's size.
INTEGERS = {
    torch.float32: torch.int32,
    torch.float64: torch.int64,
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
}
#: Entries unpacked at a time: small enough for a cache, large enough for numpy's overhead not to count.
_CHUNK = 1 << 17


def pack(flags: Tensor) -> npt.NDArray[np.uint8]:
    """Flat flags as packed bits, little-endian within a byte, on the host."""
    return np.packbits(flags.cpu().numpy(), bitorder="little")


def unpack(packed: npt.NDArray[np.uint8], size: int) -> Tensor:
    """Inverse of `pack`: bool (size,) on the host."""
    return torch.from_numpy(np.unpackbits(packed, count=size, bitorder="little").view(np.bool_))


def is_dense_layout(tensor: Tensor) -> bool:
    """Whether the entries fill one block of memory (contiguous, channels_last, any permutation)."""
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def layout(tensor: Tensor) -> tuple[int, ...]:
    """Strides that decide where entries lie in memory; those of dimensions of size 1 do not."""
    return tuple(stride for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size != 1)


def storage_order(tensor: Tensor) -> Tensor:
    """A flat view of a tensor of dense layout, in the order of its memory."""
    if tensor.is_contiguous():
        return tensor.view(-1)
    return tensor.as_strided((tensor.numel(),), (1,), tensor.storage_offset())


def to_storage_order(flags: Tensor, like: Tensor) -> Tensor:
    """Flat flags in row-major order as flat flags in the memory order of ``like``."""
    if like.is_contiguous():
        return flags
    shaped = torch.empty_strided(like.shape, like.stride(), dtype=torch.bool, device=flags.device)
    return storage_order(shaped.copy_(flags.view(like.shape)))


def zero_where(tensor: Tensor, flags: Tensor) -> None:
    """Set the flagged entries of a floating tensor to +0.0, the others stay to the bit.

    Args:
        tensor: of any shape and layout; changed in place.
        flags: bool (N,), row-major.
    """
    bits = tensor.view(INTEGERS[tensor.dtype])
    if tensor.device.type == "cpu" and is_dense_layout(tensor):
        keep = to_storage_order(~flags, tensor).numpy().view(np.uint8)
        flat = storage_order(bits).numpy()
        np.multiply(flat, keep, out=flat)
    else:
        bits.masked_fill_(flags.view(tensor.shape), 0)


class Mask:
    """The mask of one weight, kept small, and applied fast.

    On a CPU it is packed bits; on an accelerator one byte an entry; with ``low_memory=False`` an integer mask of the
    weight's own size (4 bytes for float32), which torch applies with all its threads.

    Args:
        flags: bool (N,), row-major, True where active; on the weight's device.
        weight: the weight; its layout in memory is followed.
        low_memory: see above.
    """

    def __init__(self, flags: Tensor, weight: Tensor, *, low_memory: bool = True) -> None:
        self.shape = tuple(weight.shape)
        self.stride, self.layout = weight.stride(), layout(weight)
        self.dtype, self.device = weight.dtype, weight.device
        self.low_memory = low_memory
        self.size = flags.numel()
        self.n_active = (
            int(np.count_nonzero(flags.numpy())) if self.device.type == "cpu" else int(flags.count_nonzero())
        )
        self._dense_layout = is_dense_layout(weight)
        self._packed: npt.NDArray[np.uint8] | None = None
        self._kept: Tensor | None = None
        ordered = to_storage_order(flags, weight) if self._dense_layout else flags
        if low_memory and self.device.type == "cpu":
            self._packed = pack(ordered)
        else:
            kind = torch.int8 if low_memory else INTEGERS[weight.dtype]
            self._kept = ordered.to(kind).neg_()

    @property
    def n_bytes(self) -> int:
        """Bytes that are held as long as the mask lives."""
        if self._packed is not None:
            return self._packed.nbytes
        assert self._kept is not None
        return self._kept.numel() * self._kept.element_size()

    def fits(self, weight: Tensor) -> bool:
        """Whether device, type and layout are still those that the mask was made for."""
        return weight.device == self.device and layout(weight) == self.layout and weight.dtype == self.dtype

    def flags(self) -> Tensor:
        """Bool (N,), row-major, on the weight's device."""
        ordered = unpack(self._packed, self.size) if self._packed is not None else self._kept_flags()
        if not self._dense_layout:
            return ordered
        shaped = ordered.as_strided(self.shape, self.stride)
        return ordered if shaped.is_contiguous() else shaped.reshape(-1)

    def _kept_flags(self) -> Tensor:
        assert self._kept is not None
        return self._kept != 0

    def apply(self, tensor: Tensor) -> None:
        """Zero the inactive entries of a tensor of the weight's shape, in place, whatever is there."""
        if self.n_active == self.size:
            return
        if layout(tensor) != self.layout or not self._dense_layout or tensor.device != self.device:
            zero_where(tensor, ~self.flags().to(tensor.device))
            return
        bits = storage_order(tensor.detach()).view(INTEGERS[tensor.dtype])
        if self._packed is None:
            assert self._kept is not None
            bits.bitwise_and_(self._kept)
        else:
            _apply_packed(bits.numpy(), self._packed)

    def violations(self, tensor: Tensor) -> Tensor:
        """How many inactive entries of a tensor are not zero (a zero of either sign is one)."""
        return (tensor.detach().flatten().ne(0) & ~self.flags()).count_nonzero()


def _apply_packed(bits: npt.NDArray[Any], packed: npt.NDArray[np.uint8]) -> None:
    size = bits.shape[0]
    for start in range(0, size, _CHUNK):
        part = bits[start : start + _CHUNK]
        keep = np.unpackbits(
            packed[start // 8 : (start + part.shape[0] + 7) // 8], count=part.shape[0], bitorder="little"
        )
        np.multiply(part, keep, out=part)
