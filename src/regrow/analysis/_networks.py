"""What the analyses of a network share: evaluation mode for a while, frozen weights, batches with labels, summaries."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from regrow.errors import InputError

Images: TypeAlias = Tensor | Iterable[Tensor]
Labels: TypeAlias = Tensor | npt.NDArray[Any]
#: Outputs (n, ...) and labels (n, ...) -> the loss of each item, (n,).
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each item: logits (n, classes) and classes (n,) -> (n,)."""
    return F.cross_entropy(logits, labels.long(), reduction="none")


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, with every module's own mode put back at the end, whatever happens.

    Gradients can be taken within, even where the caller has turned them off. Attention is computed by its plain
    formula meanwhile: its fused forms have no second derivative.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode(False), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        for module, training in modes:
            module.training = training


def frozen(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """The network as a function of its input alone: no gradient is computed for its weights, and no buffer changes."""
    state = {name: parameter.detach() for name, parameter in model.named_parameters()}
    state |= {name: buffer.detach().clone() for name, buffer in model.named_buffers()}

    def answer(x: Tensor) -> Tensor:
        outputs: Tensor = functional_call(model, state, (x,))
        return outputs

    return answer


def device_of(model: nn.Module) -> torch.device:
    """Where a network's first parameter lies; the host for a network without parameters."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def batched(images: Images, device: torch.device, batch_size: int) -> Iterator[Tensor]:
    """Normalised images in batches on the device.

    Raises:
        InputError: no images, or images that are not floats of at least three dimensions.
    """
    empty = True
    for batch in torch.split(images, batch_size) if isinstance(images, Tensor) else images:
        if not batch.is_floating_point() or batch.ndim < 3:
            raise InputError(
                f"images must be a float tensor (n, ..., H, W), got {batch.dtype} of the shape {tuple(batch.shape)}.",
                "normalise the images first.",
            )
        if len(batch):
            empty = False
            yield batch.to(device)
    if empty:
        raise InputError("an analysis of a network needs at least one image, got none.", "give images of the test set.")


def labelled(images: Images, labels: Labels, device: torch.device, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of images, each with its labels, on the device.

    Raises:
        InputError: not one label for each image; otherwise as for `batched`.
    """
    truth, n = torch.as_tensor(labels), 0
    for batch in batched(images, device, batch_size):
        part = truth[n : n + len(batch)]
        n += len(batch)
        if len(part) < len(batch):
            break
        yield batch, part.to(device)
    if n != len(truth):
        raise InputError(
            f"need one label for each image, got {len(truth)} labels and {'at least ' * (n > len(truth))}{n} images.",
            "give images and labels of the same test set.",
        )


def losses(loss: Loss, outputs: Tensor, labels: Tensor) -> Tensor:
    """The loss of each item.

    Raises:
        InputError: what the loss returns is not one number for each item.
    """
    found = loss(outputs, labels)
    if found.shape != (len(outputs),):
        raise InputError(
            f"a loss must give one number for each of {len(outputs)} items, got the shape {tuple(found.shape)}.",
            "leave its reduction out.",
        )
    return found


def per_channel(std: Sequence[float] | float, like: Tensor) -> Tensor:
    """Standard deviations in the shape that divides (n, C, ...).

    Raises:
        InputError: not one positive number for each channel.
    """
    values = torch.as_tensor(std, dtype=torch.float64, device=like.device).reshape(-1)
    if values.numel() not in (1, like.shape[1]) or not bool((values > 0).all()):
        raise InputError(
            f"std must hold a number above 0 for each of {like.shape[1]} channels, got {values.tolist()}.",
            "give the std of the data set's normalisation; 1 for images that are not normalised.",
        )
    return values.view(-1, *(1,) * (like.ndim - 2))


def summary(values: Sequence[float] | npt.NDArray[np.float64]) -> dict[str, float | int | None]:
    """Mean, standard deviation (n - 1) and number of the values that are numbers; None for what has too few of them."""
    array = np.asarray(values, dtype=np.float64)
    array = array[~np.isnan(array)]
    mean = float(array.mean()) if array.size else None
    return {"mean": mean, "sd": float(array.std(ddof=1)) if array.size > 1 else None, "n": int(array.size)}


def number(value: float | Tensor) -> float | None:
    """A float for JSON; None where it is not finite."""
    plain = float(value)
    return plain if math.isfinite(plain) else None
