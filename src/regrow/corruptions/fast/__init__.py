"""Fast mode: corruptions as batched torch, on any device.

A function of a module here whose name is a corruption's name is its fast form:

    form(images, draws, params) -> images      uint8 (N, 3, H, W) in and out; draws as the record's, as tensors

It takes the same random numbers as the exact form and stays within one grey level of it (glass_blur: two). A
corruption without one is computed by its exact form, and so is one marked :func:`accelerator_only` on a processor.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

    from regrow.corruptions.registry import Corruption

Form = Callable[[Any, Any, Any], Any]
AnyForm = TypeVar("AnyForm", bound=Form)

#: Values worked on at a time on an accelerator.
DEVICE_VALUES = 1 << 24


def accelerator_only(form: AnyForm) -> AnyForm:
    """Mark a form that is no gain on a processor: there the exact one is used."""
    form.accelerator_only = True  # type: ignore[attr-defined]
    return form


def device_draws(form: AnyForm) -> AnyForm:
    """Mark a form whose random numbers are many, so that they are made on the accelerator."""
    form.device_draws = True  # type: ignore[attr-defined]
    return form


def find(name: str, device: str) -> Form | None:
    """The fast form of a corruption on a type of device, or ``None`` where the exact one is to be used."""
    form = _forms().get(name)
    if form is None or device not in ("cpu", "cuda") or (device == "cpu" and getattr(form, "accelerator_only", False)):
        return None
    return form


@functools.cache
def _forms() -> dict[str, Form]:
    package = importlib.import_module(__name__)
    found: dict[str, Form] = {}
    for module in pkgutil.iter_modules(package.__path__, f"{__name__}."):
        contents = vars(importlib.import_module(module.name))
        found |= {k: v for k, v in contents.items() if getattr(v, "__module__", "") == module.name and callable(v)}
    return found


def on_array(form: Form, images: npt.NDArray[np.uint8], draws: Any, params: Any) -> npt.NDArray[np.uint8]:
    """Apply a form to an array (N, H, W, 3) on the processor."""
    import torch

    planes = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    result: npt.NDArray[np.uint8] = form(planes, _tensors(draws), params).permute(0, 2, 3, 1).contiguous().numpy()
    return result


def stored(images: Tensor) -> Tensor:
    """The JPEG round trip of the published ImageNet-C files (quality 85), on the images' device."""
    from regrow.corruptions.fast import jpeg

    return jpeg.stored(images)


def _tensors(draws: Any, device: Any = "cpu") -> Any:
    import torch

    if draws is None:
        return None
    if isinstance(draws, tuple):
        return tuple(torch.from_numpy(part).to(device) for part in draws)
    return torch.from_numpy(draws).to(device)


def on_device(
    record: Corruption, severity: int, form: Form, images: Tensor, source: tuple[int, Sequence[int]], params: Any
) -> Tensor:
    """Apply a form to a batch on an accelerator; random numbers are made there, from the same words."""
    import torch

    from regrow.corruptions.draws import CounterStream
    from regrow.corruptions.fast.stream import DeviceStream

    out = torch.empty_like(images, memory_format=torch.contiguous_format)
    shape = (images.shape[2], images.shape[3], 3)
    step = max(1, DEVICE_VALUES // max(1, images[:1].numel()))
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        draws = None
        if record.draw is not None:
            keys = (source[0], record.name, severity, source[1][part])
            if getattr(form, "device_draws", False):
                stream: Any = DeviceStream(*keys, images.device)
                draws = record.draw(stream, shape, params)
            else:
                draws = _tensors(record.draw(CounterStream(*keys), shape, params), images.device)
        out[part] = form(images[part].contiguous(), draws, params)
    return out
