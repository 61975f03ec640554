"""Images that keep only the spatial frequencies on one side of a radius.

A radius r in cycles per image splits the Fourier plane into rho < r and rho >= r. Images limited in frequency as a
probe: Yin et al. 2019 (arXiv:1906.08988); radial masks on networks from sparse training: arXiv:2410.03030.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from regrow.analysis.frequencies import frequency_radii
from regrow.analysis.inputs import normalisation
from regrow.errors import InputError, UnknownNameError

Keep = Literal["low", "high"]
Convention = Literal["follow", "keep_dc"]
#: "hard", or the width of a cosine from 1 to 0, in cycles per image.
Edge = Literal["hard"] | float


@dataclass(frozen=True)
class Cut:
    """Which frequencies of an image stay.

    Attributes:
        keep: "low" keeps rho < radius, "high" keeps the rest.
        radius: cycles per image, >= 0.
        convention: "follow" (the zero frequency falls under the rule like any other) or "keep_dc" (always kept).
        edge: "hard"; or a width w, over which the low side falls from 1 to 0 as half a period of a cosine with 1/2 at
            the radius: (1 + cos(pi t)) / 2, t = (rho - r + h) / 2h in [0, 1], h = min(w / 2, r), so that a disc of
            radius 0 is empty and every other one holds the zero frequency whole. "high" is one minus that.
        clip: filter pixels in [0, 1] and clip them to [0, 1] before they are normalised.
    """

    keep: Keep
    radius: float
    convention: Convention = "follow"
    edge: Edge = "hard"
    clip: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.radius) and self.radius >= 0):
            raise InputError(f"a radius must be a number >= 0, got {self.radius!r}.", "give cycles per image, e.g. 8.")
        for kind, given, known in (
            ("side to keep", self.keep, get_args(Keep)),
            ("convention", self.convention, get_args(Convention)),
        ):
            if given not in known:
                raise UnknownNameError(kind, given, known, f"give {' or '.join(known)}.")
        if self.edge != "hard" and not (
            isinstance(self.edge, int | float) and math.isfinite(self.edge) and self.edge > 0
        ):
            raise InputError(
                f"an edge must be hard, or a width above 0, got {self.edge!r}.",
                "give 'hard', or e.g. 1.0 for a cosine.",
            )

    def weights(self, height: int, width: int) -> Tensor:
        """The factor of every bin in the order of ``fft2`` (zero frequency first), float64 (H, W), in [0, 1]."""
        rho = frequency_radii(height, width, centred=False)
        half = 0.0 if self.edge == "hard" else min(float(self.edge) / 2, self.radius)
        if half > 0:
            inside = (1 + torch.cos(math.pi * ((rho - (self.radius - half)) / (2 * half)).clamp(0, 1))) / 2
        else:
            inside = (rho < self.radius).double()
        kept = inside if self.keep == "low" else 1 - inside
        if self.convention == "keep_dc":
            kept[0, 0] = 1
        return kept


def radial_weights(
    height: int,
    width: int,
    radius: float,
    keep: Keep = "low",
    *,
    convention: Convention = "follow",
    edge: Edge = "hard",
) -> Tensor:
    """How much of each bin is kept, with the zero frequency in the middle (row H // 2, column W // 2).

    Args:
        height: rows.
        width: columns.
        radius: cycles per image, >= 0.
        keep: "low" keeps rho < radius, "high" keeps rho >= radius.
        convention: "follow" (the zero frequency falls under the rule like any other) or "keep_dc" (always kept).
        edge: "hard", or the width of a cosine; see `Cut`.

    Returns:
        float64 (height, width), in [0, 1].

    Raises:
        InputError: a radius below 0 or not finite, an unknown side, convention or edge.

    Example:
        >>> radial_weights(1, 8, 3, edge=2).round(decimals=3).tolist()
        [[0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5]]
    """
    shifted: Tensor = torch.fft.fftshift(Cut(keep, float(radius), convention, edge).weights(height, width))
    return shifted


def radial_mask(
    height: int, width: int, radius: float, keep: Keep = "low", *, convention: Convention = "follow"
) -> Tensor:
    """The bins that a hard edge keeps: `radial_weights` as a bool tensor (height, width).

    Example:
        >>> [int(radial_mask(32, 32, r).sum()) for r in (0, 1, 2, 4, 16)]
        [0, 1, 9, 45, 793]
    """
    return radial_weights(height, width, radius, keep, convention=convention).bool()


class Spectrum:
    """The spectra of one batch of normalised images, transformed once and filtered many times.

    The half plane of ``rfft2`` is enough: radial weights treat a bin and its mirror alike, so the inverse transform of
    a real image is real.

    Args:
        images: float (..., H, W); for clipping (N, C, ..., H, W).
        mean: of each channel, by which the images are normalised; for clipping alone.
        std: likewise.
        float64: transform in double precision whatever the images' dtype.
    """

    def __init__(
        self,
        images: Tensor,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        *,
        float64: bool = False,
    ) -> None:
        self._images, self._mean, self._std = images, mean, std
        self._exact = images.double() if float64 or images.dtype == torch.float64 else images.float()
        self._half = torch.fft.rfft2(self._exact.contiguous())  # MKL of torch 2.6 refuses expanded tensors

    def filtered(self, weights: Tensor, *, clip: bool = False) -> Tensor:
        """The images with every bin multiplied by its weight.

        Args:
            weights: (H, W) as `Cut.weights` gives them.
            clip: as of `Cut`. A filter turns a constant c into c times the zero frequency's weight w, so that pixels
                x std + mean are filtered by their own spectrum: only (w - 1) mean / std is added after normalisation.

        Returns:
            Tensor like the images; they themselves where every weight is 1 and nothing is clipped.
        """
        whole = bool((weights == 1).all())
        if whole and not clip:
            return self._images
        part = self._exact if whole else self._inverse(weights)
        if clip:
            _, black, white = normalisation(self._mean, self._std, part)
            part = (part + (1 - float(weights[0, 0])) * black).clamp(black, white)
        return part.to(self._images.dtype)

    def _inverse(self, weights: Tensor) -> Tensor:
        half = weights[:, : self._half.shape[-1]].to(self._half.device, self._exact.dtype)
        size = (self._images.shape[-2], self._images.shape[-1])
        real: Tensor = torch.fft.irfft2(self._half * half, s=size)
        return real


def attenuate(
    images: Tensor,
    radius: float,
    keep: Keep = "low",
    *,
    convention: Convention = "follow",
    edge: Edge = "hard",
    clip: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    float64: bool = False,
) -> Tensor:
    """Remove the frequencies on one side of a radius from each channel of each image.

    Args:
        images: float tensor (..., H, W), NORMALISED as the network takes them; with ``clip`` (N, C, ..., H, W). The
            order matters under "follow": the zero frequency then goes with its side, which replaces an image's mean by
            the training set's. Under "keep_dc" both orders agree.
        radius: cycles per image, >= 0.
        keep: "low" keeps rho < radius (high frequencies are removed), "high" keeps rho >= radius.
        convention: "follow" or "keep_dc"; see `Cut`.
        edge: "hard", or the width of a cosine; see `Cut`.
        clip: undo the normalisation, filter, clip to [0, 1], and normalise again. Under "follow" an image that loses
            its zero frequency is then black where it was darker than its mean.
        mean: of each channel, by which the images are normalised; with ``clip`` alone.
        std: likewise.
        float64: transform in double precision whatever the images' dtype.

    Returns:
        Tensor of the same shape, dtype and device: the real part of the inverse transform, not clipped unless asked.

    Raises:
        InputError: images that are not a float tensor of at least two dimensions, no mean or std for clipping;
            otherwise as for `radial_weights`.

    Example:
        >>> image = torch.tensor([[[1.0, 3.0], [5.0, 7.0]]])
        >>> attenuate(image, 1, "low").tolist(), attenuate(image, 1, "high").tolist()
        ([[[4.0, 4.0], [4.0, 4.0]]], [[[-3.0, -1.0], [1.0, 3.0]]])
    """
    cut = Cut(keep, float(radius), convention, edge, clip)
    least = 4 if clip else 2
    if images.ndim < least or not images.is_floating_point():
        wanted = "(N, C, H, W)" if clip else "(..., H, W)"
        raise InputError(
            f"images must be a float tensor {wanted}, got {images.dtype} of the shape {tuple(images.shape)}.",
            "normalise the images first.",
        )
    spectrum = Spectrum(images, mean, std, float64=float64)
    return spectrum.filtered(cut.weights(images.shape[-2], images.shape[-1]), clip=clip)
