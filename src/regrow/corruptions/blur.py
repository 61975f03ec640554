"""Blur: defocus (a disk) and gaussian."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import resources

import numpy as np
import numpy.typing as npt

from regrow.corruptions.gaussian import gaussian
from regrow.corruptions.kernel import library
from regrow.corruptions.pixels import Floats, to_bytes, to_unit
from regrow.corruptions.registry import Corruption, Images

_SOURCE = "Hendrycks and Dietterich 2019, arXiv:1903.12261, section 4"


def gaussian_blur(images: Images, _: None, sigma: float) -> Images:
    """Blur by a gaussian of ``sigma`` pixels, cut off at 4 sigma, edges repeated; (N, H, W, 3).

    Columns first, then rows, each pair of taps added before it is weighted, from the outermost in, in float64.
    """
    return to_bytes(gaussian(to_unit(images), sigma))


GAUSSIAN_BLUR = Corruption(
    name="gaussian_blur",
    family="blur",
    source=_SOURCE + " (extra type)",
    apply=gaussian_blur,
    extra=True,
    settings={
        "cifar": (0.4, 0.6, 0.7, 0.8, 1.0),
        "tiny": (0.5, 0.75, 1.0, 1.25, 1.5),
        "imagenet": (1.0, 2.0, 3.0, 4.0, 6.0),
        "inception": (1.5, 2.5, 3.5, 4.5, 6.5),
    },
)


@functools.lru_cache(maxsize=64)
def disk_kernel(radius: float, alias: float) -> npt.NDArray[np.float32]:
    """The stored kernel of a disk of ``radius`` pixels whose rim is softened by a gaussian of ``alias`` pixels.

    Kernels are data, not computed: their last bit comes from OpenCV 3.4, and it moves bytes of the result.
    """
    with resources.files(__package__).joinpath("defocus_kernels.npz").open("rb") as file, np.load(file) as stored:
        kernel: npt.NDArray[np.float32] = stored[f"radius {radius:g} alias {alias:g}"]
    kernel.flags.writeable = False
    return kernel


def defocus_blur(images: Images, _: None, params: tuple[float, float]) -> Images:
    """Blur by a disk: the sum in float64 over the kernel's taps in raster order, edges mirrored; (N, H, W, 3).

    A wide disk goes through a Fourier transform, and the few values so near a whole number that rounding errors could
    tell in the byte are summed again tap by tap: the bytes are those of the sum.
    """
    kernel = trimmed_kernel(*params)
    margin = len(kernel) // 2
    padded = np.pad(to_unit(images), ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="reflect")
    lib, n_taps = library(), np.count_nonzero(kernel)
    if lib is not None and n_taps <= _COMPILED_TAPS:
        return lib.disk(padded, kernel, images.shape)
    if n_taps <= _DIRECT_TAPS:
        return to_bytes(_disk_sum(padded, kernel, images.shape))
    return _disk_transform(padded, kernel, images.shape)


_DIRECT_TAPS = 64  # up to here the plain sum is the faster way
_COMPILED_TAPS = 512  # the same for the compiled sum
_NEAR = 1e-9  # of a byte; errors of the transform stay under 1e-11


@functools.lru_cache(maxsize=64)
def trimmed_kernel(radius: float, alias: float) -> Floats:
    """The kernel as float64, without its rim of zeros."""
    kernel = disk_kernel(radius, alias).astype(np.float64)
    centre = len(kernel) // 2
    reach = int(np.abs(np.argwhere(kernel) - centre).max())
    return kernel[centre - reach : centre + reach + 1, centre - reach : centre + reach + 1]


def _disk_sum(padded: Floats, kernel: Floats, shape: tuple[int, ...]) -> Floats:
    height, width = shape[1:3]
    total = np.zeros(shape)
    term = np.empty_like(total)
    for top, left in np.argwhere(kernel).tolist():
        np.multiply(padded[:, top : top + height, left : left + width], kernel[top, left], out=term)
        total += term
    return total


def _disk_transform(padded: Floats, kernel: Floats, shape: tuple[int, ...]) -> Images:
    from scipy import fft

    height, width = shape[1:3]
    fast_length: Callable[[int, bool], int] = fft.next_fast_len
    sides = [fast_length(n, True) for n in padded.shape[1:3]]
    spectrum = fft.rfft2(padded, sides, axes=(1, 2))
    spectrum *= np.conj(fft.rfft2(kernel, sides))[:, :, None]
    level = fft.irfft2(spectrum, sides, axes=(1, 2))[:, :height, :width] * 255.0
    result: Images = np.minimum(np.maximum(level, 0.0), 255.0).astype(np.uint8)
    whole = np.rint(level)
    near = np.argwhere((np.abs(level - whole) < _NEAR) & (whole > 0) & (whole < 256))
    if 8 * len(near) > level.size:
        return to_bytes(_disk_sum(padded, kernel, shape))
    image, row, column, channel = near.T
    at = np.ravel_multi_index((image, row, column, channel), padded.shape)
    total = np.zeros(len(near))
    for top, left in np.argwhere(kernel).tolist():
        total += padded.take(at + (top * padded.shape[2] + left) * 3) * kernel[top, left]
    result[image, row, column, channel] = to_bytes(total)
    return result


DEFOCUS_BLUR = Corruption(
    name="defocus_blur",
    family="blur",
    source=_SOURCE,
    apply=defocus_blur,
    settings={
        "cifar": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1)),
        "tiny": ((0.5, 0.6), (1.0, 0.1), (1.5, 0.1), (2.5, 0.01), (3.0, 0.1)),
        "imagenet": ((3.0, 0.1), (4.0, 0.5), (6.0, 0.5), (8.0, 0.5), (10.0, 0.5)),
        "inception": ((4.0, 0.1), (5.0, 0.5), (7.0, 0.5), (10.0, 0.5), (12.0, 0.5)),
    },
)
