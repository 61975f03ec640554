"""Corrupt images: a batch of any layout (``corrupt``), or one whole cell of a study (``corrupt_set``)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from regrow.corruptions import registry
from regrow.corruptions.draws import CounterStream, LegacyStream, Stream
from regrow.corruptions.registry import N_SEVERITIES, Corruption, Images, Params
from regrow.corruptions.scales import choose_scale
from regrow.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    import torch

ImagesOrTensor = TypeVar("ImagesOrTensor", npt.NDArray[np.uint8], "torch.Tensor")
Index = Sequence[int] | npt.NDArray[np.integer[Any]]

#: Values worked on at a time: some arrays of float64 of that length stay in a processor's cache.
CHUNK_VALUES = 1 << 17


def corrupt(
    images: ImagesOrTensor,
    name: str,
    severity: int,
    *,
    seed: int = 0,
    index: Index | None = None,
    scale: str | None = None,
    mode: str = "exact",
    rng: np.random.RandomState | None = None,
) -> ImagesOrTensor:
    """Corrupt a batch of images.

    Args:
        images: uint8, RGB: an array (N, H, W, 3) or a tensor (N, 3, H, W), square. It is left as it was.
        name: which corruption; see ``names()``.
        severity: 1 to 5.
        seed: seed of the noise, >= 0. With it, an image's noise depends on corruption, severity and index alone.
        index: number of each image in its set, (N,), in [0, 2**32); by default 0, 1, ... N - 1.
        scale: column of published settings (``cifar``, ``tiny``, ``imagenet``, ``inception``); by default the one
            nearest to the image size, see ``choose_scale``.
        mode: ``"exact"``, the published arithmetic to the byte.
        rng: a legacy stream that gives the random numbers in place of ``seed``, in the published generators' order,
            one image after the other.

    Returns:
        The corrupted images; layout, dtype and device are those of ``images``.

    Raises:
        InputError: images, severity, scale, mode, seed or index that cannot be used.
        UnknownNameError: no such corruption.

    Example:
        >>> images = np.full((2, 32, 32, 3), 100, np.uint8)
        >>> corrupt(images, "brightness", 1)[0, 0, 0].tolist()
        [112, 112, 112]
        >>> noisy = corrupt(images, "gaussian_noise", 3, seed=1)
        >>> bool((noisy[1:] == corrupt(images[1:], "gaussian_noise", 3, seed=1, index=[1])).all())
        True
    """
    record = registry.get(name)
    _check_mode(mode)
    array = check_images(images)
    if rng is not None and not isinstance(rng, np.random.RandomState):
        raise InputError(
            f"rng must be a numpy.random.RandomState, got {type(rng).__name__}.", "leave rng out, use seed."
        )
    if rng is not None and index is not None:
        raise InputError("rng and index cannot go together: a legacy stream has no image numbers.", "leave out one.")
    out = np.empty(array.shape, np.uint8)
    _fill(out, array, record, severity, scale, rng if rng is not None else (seed, index))
    if isinstance(images, np.ndarray):
        return out
    torch = sys.modules["torch"]
    result: ImagesOrTensor = torch.from_numpy(out.transpose(0, 3, 1, 2).copy()).to(images.device)
    return result


def corrupt_set(
    images: Images,
    name: str,
    severity: int,
    *,
    seed: int = 0,
    out: Images | None = None,
    index: Index | None = None,
    scale: str | None = None,
) -> Images:
    """Corrupt a whole set into one array; the same bytes as ``corrupt`` in exact mode, in bounded memory.

    Args:
        images: uint8 (N, H, W, 3); may be a memory map.
        name: which corruption.
        severity: 1 to 5.
        seed: seed of the noise.
        out: where to write, uint8 of the same shape (may be a memory map), no part of ``images``; by default new.
        index: as in ``corrupt``.
        scale: as in ``corrupt``.

    Returns:
        ``out``.

    Raises:
        InputError: as ``corrupt``, or an ``out`` of another shape or type.
    """
    record = registry.get(name)
    array = check_images(images)
    if out is None:
        out = np.empty(array.shape, np.uint8)
    if out.shape != array.shape or out.dtype != np.uint8 or np.may_share_memory(out, array):
        raise InputError(
            f"out must be another uint8 array of shape {array.shape}, got {out.dtype} of shape {out.shape}.",
            "leave out away to get a new array.",
        )
    _fill(out, array, record, severity, scale, (seed, index))
    return out


def _fill(
    out: Images,
    images: Images,
    record: Corruption,
    severity: int,
    scale: str | None,
    source: np.random.RandomState | tuple[int, Index | None],
) -> None:
    severity = check_severity(severity)
    params = record.settings[choose_scale(images.shape[1], scale).name][severity - 1]
    numbers: Sequence[int] = ()
    if isinstance(source, tuple):
        numbers = _check_index(*source, len(images))
    step = max(1, CHUNK_VALUES // max(1, images[:1].size))
    for start in range(0, len(images), step):
        part = np.ascontiguousarray(images[start : start + step])
        if record.draw is None:
            done = record.apply(part, None, params)
        elif isinstance(source, tuple):
            streams = [CounterStream(int(source[0]), record.name, severity, k) for k in numbers[start : start + step]]
            done = _drawn(record, part, streams, params)
        elif record.replay is not None:
            done = record.replay(source, part, params)
        else:
            done = _drawn(record, part, [LegacyStream(source)] * len(part), params)
        out[start : start + step] = done


def _drawn(record: Corruption, images: Images, streams: Sequence[Stream], params: Params) -> Images:
    assert record.draw is not None
    shape = images.shape[1:]
    draws = np.stack([record.draw(stream, shape, params) for stream in streams])
    return record.apply(images, draws, params)


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


def _check_mode(mode: str) -> None:
    if mode == "fast":
        raise InputError("mode 'fast' is not there yet; it comes in a later version.", "use mode='exact'.")
    if mode != "exact":
        raise UnknownNameError("mode", str(mode), ["exact"], "use mode='exact'.")


def _check_index(seed: int, index: Index | None, n: int) -> Sequence[int]:
    check_seed(seed)
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


def check_images(images: object) -> Images:
    """Images as a uint8 array (N, H, W, 3), a view where that is possible.

    Raises:
        InputError: they cannot be corrupted: another type, layout or dtype, grey, or not square.
    """
    torch = sys.modules.get("torch")
    if isinstance(images, np.ndarray):
        layout, shape = "(N, H, W, 3)", images.shape
        _check_dtype(images.dtype == np.uint8, images.dtype)
        array: Images = images
    elif torch is not None and isinstance(images, torch.Tensor):
        layout, shape = "(N, 3, H, W)", tuple(images.shape)
        _check_dtype(images.dtype == torch.uint8, images.dtype)
        array = images.detach().cpu().numpy()
        array = array.transpose(0, 2, 3, 1) if array.ndim == 4 else array
    else:
        raise InputError(
            f"images must be a uint8 array (N, H, W, 3) or tensor (N, 3, H, W), got {type(images).__name__}.",
            "turn it into an array with numpy.stack.",
        )
    if array.ndim == 3:
        raise InputError(f"images must have shape {layout}, got {shape}.", "give one image as a batch: images[None].")
    if array.ndim != 4 or array.shape[3] != 3:
        raise InputError(
            f"images must be RGB of shape {layout}, got {shape}.",
            "repeat a grey channel three times; arrays have channels last, tensors second.",
        )
    height, width = array.shape[1:3]
    if height != width:
        raise InputError(f"images must be square, got {height} x {width} pixels.", "centre-crop or resize them first.")
    return array


def _check_dtype(is_bytes: bool, dtype: object) -> None:
    if not is_bytes:
        raise InputError(
            f"images must be uint8 in 0..255, got {dtype}.",
            "for floats in 0..1: (images * 255).round() cast to uint8.",
        )
