"""Corrupt images: a batch of any layout (``corrupt``), or one whole cell of a study (``corrupt_set``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from regrow.corruptions.choice import Choice, Frost, Options, Source
from regrow.corruptions.inputs import Index, check_images, check_index, check_rng, check_seed
from regrow.corruptions.registry import Images
from regrow.errors import InputError

if TYPE_CHECKING:
    import torch

ImagesOrTensor = TypeVar("ImagesOrTensor", npt.NDArray[np.uint8], "torch.Tensor")


def corrupt(
    images: ImagesOrTensor,
    name: str,
    severity: int,
    *,
    seed: int = 0,
    index: Index | None = None,
    scale: str | None = None,
    mode: str = "fast",
    rng: np.random.RandomState | None = None,
    codec: str | None = None,
    frost: Frost = None,
    stored: bool = False,
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
        mode: ``"fast"``: batched torch on the images' device, within one grey level of exact (glass_blur: two) for
            the same numbers; ``"exact"``: the published arithmetic to the byte, on the processor.
        rng: a legacy stream that gives the random numbers in place of ``seed``, in the published generators' order,
            one image after the other; exact mode only.
        codec: the JPEG encoder of jpeg_compression: ``"libjpeg9"``, the published one, or ``"pillow"``.
        frost: photographs of the frost corruption: a folder, or uint8 arrays (H, W, 3); by default the published ones
            where they are on this machine, else a procedural substitute (see ``provenance``).
        stored: add the JPEG round trip (quality 85) that the published ImageNet-C files have gone through.

    Returns:
        The corrupted images; layout, dtype and device are those of ``images``.

    Raises:
        InputError: images, severity, scale, mode, codec, seed or index that cannot be used.
        UnknownNameError: no such corruption.

    Example:
        >>> images = np.full((2, 32, 32, 3), 100, np.uint8)
        >>> corrupt(images, "brightness", 1)[0, 0, 0].tolist()
        [112, 112, 112]
        >>> noisy = corrupt(images, "gaussian_noise", 3, seed=1)
        >>> bool((noisy[1:] == corrupt(images[1:], "gaussian_noise", 3, seed=1, index=[1])).all())
        True
    """
    side = check_images(images)
    if rng is not None:
        check_rng(rng, index, mode)
    choice = Choice.of(name, severity, side, Options(scale, mode, codec, frost, stored))
    source: Source = rng if rng is not None else (check_seed(seed), check_index(index, len(images)))
    if isinstance(images, np.ndarray):
        out = np.empty(images.shape, np.uint8)
        choice.fill(out, images, source)
        return out
    result: ImagesOrTensor = choice.on_tensor(images, source)
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
    mode: str = "exact",
    codec: str | None = None,
    frost: Frost = None,
    stored: bool = False,
) -> Images:
    """Corrupt a whole set into one array; the same bytes as ``corrupt`` in the same mode, in bounded memory.

    Args:
        images: uint8 (N, H, W, 3); may be a memory map.
        name: which corruption.
        severity: 1 to 5.
        seed: seed of the noise.
        out: where to write, uint8 of the same shape (may be a memory map), no part of ``images``; by default new.
        index: as in ``corrupt``.
        scale: as in ``corrupt``.
        mode: as in ``corrupt``; fast is computed on the processor.
        codec: as in ``corrupt``.
        frost: as in ``corrupt``.
        stored: as in ``corrupt``.

    Returns:
        ``out``.

    Raises:
        InputError: as ``corrupt``, or an ``out`` of another shape or type.
    """
    side = check_images(images)
    if out is None:
        out = np.empty(images.shape, np.uint8)
    if out.shape != images.shape or out.dtype != np.uint8 or np.may_share_memory(out, images):
        raise InputError(
            f"out must be another uint8 array of shape {images.shape}, got {out.dtype} of shape {out.shape}.",
            "leave out away to get a new array.",
        )
    choice = Choice.of(name, severity, side, Options(scale, mode, codec, frost, stored))
    choice.fill(out, images, (check_seed(seed), check_index(index, len(images))))
    return out


def provenance(
    name: str,
    side: int,
    *,
    scale: str | None = None,
    mode: str = "exact",
    codec: str | None = None,
    frost: Frost = None,
) -> dict[str, str]:
    """What must be said beside numbers that come from a corruption; empty when it is the published one.

    Args:
        name: which corruption.
        side: height and width of the images in pixels.
        scale: as in ``corrupt``.
        mode: as in ``corrupt``.
        codec: as in ``corrupt``.
        frost: as in ``corrupt``.

    Returns:
        Any of ``scale`` (settings of another image size), ``codec`` (another JPEG encoder than the published one, or
        which video coder), ``frost`` (photographs that are not the published ones: not comparable) and ``how``
        (otherwise made than the published ones).

    Example:
        >>> provenance("jpeg_compression", 32, codec="pillow")["codec"][:6]
        'pillow'
    """
    return Choice.of(name, 1, side, Options(scale, mode, codec, frost)).notes
