"""Small arrays of the host on their way to the device."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor


def sent(values: npt.NDArray[Any], device: torch.device) -> Tensor:
    """An array as a tensor on a device, in the device's order of work.

    A plain copy to a GPU first waits for all work that was given to it; from pinned memory it takes its turn.
    """
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
