"""What ranks of a distributed run must agree on: the growth gradient, the first masks, and that masks stay equal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch import distributed as dist

from regrow.errors import InputError, RegrowError
from regrow.sparsity.masks import pack

Group = Any
Choice = Group | Literal["auto"] | None
#: Wrappers that split or move parameters out of the modules that own them.
_SHARDING = ("FullyShardedDataParallel", "DeepSpeedEngine", "FSDPModule")


def process_group(choice: Choice) -> Group | None:
    """The group whose ranks train one model together; None for a single process.

    Args:
        choice: ``"auto"`` takes all ranks of an initialised ``torch.distributed``; None says that this process trains a
            model of its own; else a process group.
    """
    if choice is None or not dist.is_available() or not dist.is_initialized():
        return None
    group = dist.group.WORLD if choice == "auto" else choice
    return group if dist.get_world_size(group) > 1 else None


def refuse_sharded(model: nn.Module) -> None:
    """Raise for a model whose parameters are spread over ranks."""
    for module in model.modules():
        for kind in type(module).__mro__:
            if kind.__name__ in _SHARDING:
                raise InputError(
                    f"the model is sharded ({kind.__name__}): no rank holds a whole weight, so masks cannot be exact.",
                    "train with DistributedDataParallel, or on one device.",
                )


def mean(group: Group | None, gradients: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor | None]:
    """Mean over ranks of each layer's gradient; None where no rank has one.

    Args:
        group: the ranks; None leaves the gradients as they are.
        gradients: one for each layer, or None where the layer took no part on this rank (it then counts as zero).
        like: a tensor of each layer's shape and device.
    """
    if group is None or not like:
        return list(gradients)
    present = torch.tensor([g is not None for g in gradients], dtype=torch.int32, device=like[0].device)
    dist.all_reduce(present, dist.ReduceOp.MAX, group=group)
    size = dist.get_world_size(group)
    out: list[Tensor | None] = []
    for gradient, weight, anywhere in zip(gradients, like, present.tolist(), strict=True):
        if not anywhere:
            out.append(None)
            continue
        dtype = torch.float64 if weight.dtype is torch.float64 else torch.float32
        total = torch.zeros(weight.shape, dtype=dtype, device=weight.device) if gradient is None else gradient
        total = total.contiguous()
        dist.all_reduce(total, group=group)
        out.append(total.div_(size))
    return out


def broadcast(group: Group | None, tensors: Iterable[Tensor]) -> None:
    """Overwrite contiguous tensors with those of the group's first rank."""
    if group is None:
        return
    source = dist.get_global_rank(group, 0)
    for tensor in tensors:
        dist.broadcast(tensor, source, group=group)


def check_equal(group: Group | None, masks: Mapping[str, Tensor], device: torch.device) -> None:
    """Raise unless the masks are those of every other rank.

    Raises:
        RegrowError: some rank's masks differ.
    """
    if group is None:
        return
    digest = hashlib.sha256()
    for name, mask in masks.items():
        digest.update(name.encode())
        digest.update(pack(mask).tobytes())
    code = int.from_bytes(digest.digest()[:8], "big", signed=True)
    bounds = torch.tensor([code, -1 - code], dtype=torch.int64, device=device)
    dist.all_reduce(bounds, dist.ReduceOp.MAX, group=group)
    if bounds.tolist() != [code, -1 - code]:
        raise RegrowError(
            "masks differ between ranks: their weights or gradients are not the same.",
            "wrap the model in DistributedDataParallel, and give every rank the same seed.",
        )
