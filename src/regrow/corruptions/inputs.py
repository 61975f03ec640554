"""What can be corrupted and with which arguments: every check of input, once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from regrow.corruptions.registry import N_SEVERITIES
from regrow.errors import InputError

Index = Sequence[int] | npt.NDArray[np.integer[Any]]


def check_severity(severity: int) -> int:
    """Severity as an int.

    Raises:
        InputError: it is no whole number from 1 to 5.
    """
    if isinstance(severity, int | np.integer) and not isinstance(severity, bool) and 1 <= severity <= N_SEVERITIES:
        return int(severity)
    raise InputError(
        f"severity must be a whole number from 1 to {N_SEVERITIES}, got {severity!r}.",
        "clean images are severity 0: use them as they are.",
    )


def check_seed(seed: int) -> int:
    """Seed as an int.

    Raises:
        InputError: it is no whole number >= 0.
    """
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool) and seed >= 0:
        return int(seed)
    raise InputError(f"seed must be a whole number >= 0, got {seed!r}.", "give seed=0, 1, 2, ...")


def check_rng(rng: object, index: Index | None, mode: str) -> None:
    """Refuse a legacy stream that cannot be used.

    Raises:
        InputError: it is none, or comes with image numbers or in fast mode.
    """
    if not isinstance(rng, np.random.RandomState):
        raise InputError(
            f"rng must be a numpy.random.RandomState, got {type(rng).__name__}.", "leave rng out, use seed."
        )
    if index is not None:
        raise InputError("rng and index cannot go together: a legacy stream has no image numbers.", "leave out one.")
    if mode == "fast":
        raise InputError("rng needs mode='exact': fast mode has no legacy stream.", "give mode='exact' with rng.")


def check_index(index: Index | None, n: int) -> Sequence[int]:
    """The number of each of ``n`` images, by default 0 to n - 1.

    Raises:
        InputError: another count, another type, or a number out of range.
    """
    if index is None:
        return range(n)
    numbers = np.asarray(index)
    if numbers.shape != (n,) or (n > 0 and numbers.dtype.kind not in "iu"):
        raise InputError(
            f"index must hold one whole number for each of the {n} images, got {numbers.dtype} of shape "
            f"{numbers.shape}.",
            "leave index out to number them 0, 1, 2, ...",
        )
    if n > 0 and (int(numbers.min()) < 0 or int(numbers.max()) >= 1 << 32):
        raise InputError(f"index must lie in [0, 2**32), got {numbers.min()} to {numbers.max()}.", "number from 0.")
    result: list[int] = numbers.tolist()
    return result


def check_images(images: object) -> int:
    """The side in pixels of images that can be corrupted.

    Raises:
        InputError: they cannot be corrupted: another type, layout or dtype, grey, or not square.
    """
    torch = sys.modules.get("torch")
    if isinstance(images, np.ndarray):
        layout, is_bytes, channels, sides = "(N, H, W, 3)", images.dtype == np.uint8, 3, slice(1, 3)
    elif torch is not None and isinstance(images, torch.Tensor):
        layout, is_bytes, channels, sides = "(N, 3, H, W)", images.dtype == torch.uint8, 1, slice(2, 4)
    else:
        raise InputError(
            f"images must be a uint8 array (N, H, W, 3) or tensor (N, 3, H, W), got {type(images).__name__}.",
            "turn it into an array with numpy.stack.",
        )
    shape = tuple(images.shape)
    if not is_bytes:
        raise InputError(
            f"images must be uint8 in 0..255, got {images.dtype}.",
            "for floats in 0..1: (images * 255).round() cast to uint8.",
        )
    if len(shape) == 3:
        raise InputError(f"images must have shape {layout}, got {shape}.", "give one image as a batch: images[None].")
    if len(shape) != 4 or shape[channels] != 3:
        raise InputError(
            f"images must be RGB of shape {layout}, got {shape}.",
            "repeat a grey channel three times; arrays have channels last, tensors second.",
        )
    height, width = shape[sides]
    if height != width:
        raise InputError(f"images must be square, got {height} x {width} pixels.", "centre-crop or resize them first.")
    return int(height)
