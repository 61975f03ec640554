"""Which spatial frequencies a network needs: accuracy on images that keep only some of them.

Frequencies are in cycles per image and measured from the zero frequency: rho = sqrt(u^2 + v^2), with whole u and v from
-H/2 to H/2. A radius r splits the plane into rho < r and rho >= r.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from regrow.errors import InputError, UnknownNameError

Keep = Literal["low", "high"]
Convention = Literal["follow", "keep_dc"]

#: Radii for images of 32 pixels.
RADII_LOW = (4.0, 6.0, 8.0, 10.0, 12.0)
RADII_HIGH = (1.0, 2.0, 3.0, 4.0, 6.0)


def registered_radii(image_size: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The radii to judge by, fixed beforehand: those of 32 pixels times image_size / 32.

    Args:
        image_size: side of the images in pixels.

    Returns:
        Radii for keeping the low frequencies, and for keeping the high ones.

    Example:
        >>> registered_radii(64)
        ((8.0, 12.0, 16.0, 20.0, 24.0), (2.0, 4.0, 6.0, 8.0, 12.0))
    """
    scale = image_size / 32
    return tuple(r * scale for r in RADII_LOW), tuple(r * scale for r in RADII_HIGH)


def _checked(radius: float, keep: str, convention: str) -> None:
    if not (math.isfinite(radius) and radius >= 0):
        raise InputError(f"a radius must be a number >= 0, got {radius!r}.", "give cycles per image, e.g. 8.")
    for kind, given, known in (
        ("side to keep", keep, get_args(Keep)),
        ("convention", convention, get_args(Convention)),
    ):
        if given not in known:
            raise UnknownNameError(kind, given, known, f"give {' or '.join(known)}.")


def _radii(height: int, width: int) -> Tensor:
    """Radius rho of every bin in the order of ``fft2`` (zero frequency first), float64 of shape (H, W)."""
    u = torch.fft.fftfreq(height, 1 / height, dtype=torch.float64).round()
    v = torch.fft.fftfreq(width, 1 / width, dtype=torch.float64).round()
    squared: Tensor = u[:, None].square() + v[None, :].square()
    return squared.sqrt()


def _kept(rho: Tensor, radius: float, keep: Keep, convention: Convention) -> Tensor:
    inside = rho < radius
    kept = inside if keep == "low" else ~inside
    if convention == "keep_dc":
        kept[0, 0] = True
    return kept


def radial_mask(
    height: int, width: int, radius: float, keep: Keep = "low", *, convention: Convention = "follow"
) -> Tensor:
    """The bins that are kept, with the zero frequency in the middle (row H // 2, column W // 2).

    Args:
        height: rows.
        width: columns.
        radius: cycles per image, >= 0.
        keep: "low" keeps rho < radius, "high" keeps rho >= radius.
        convention: "follow" (the zero frequency falls under the rule like any other) or "keep_dc" (always kept).

    Returns:
        Bool tensor (height, width).

    Raises:
        InputError: a radius below 0 or not finite, an unknown side or convention.

    Example:
        >>> [int(radial_mask(32, 32, r).sum()) for r in (0, 1, 2, 4, 16)]
        [0, 1, 9, 45, 793]
    """
    _checked(radius, keep, convention)
    shifted: Tensor = torch.fft.fftshift(_kept(_radii(height, width), radius, keep, convention))
    return shifted


class _Spectrum:
    """The spectra of one batch, transformed once and cut at many radii.

    The half plane of ``rfft2`` is enough: a radial mask treats a bin and its mirror alike, so the inverse transform of
    a real image is real.
    """

    def __init__(self, images: Tensor) -> None:
        self.images = images
        height, width = images.shape[-2:]
        self.rho = _radii(height, width)
        exact = images if images.dtype == torch.float64 else images.float()
        self.half = torch.fft.rfft2(exact)

    def cut(self, radius: float, keep: Keep, convention: Convention) -> Tensor:
        kept = _kept(self.rho, radius, keep, convention)
        if bool(kept.all()):
            return self.images
        mask = kept[:, : self.half.shape[-1]].to(self.half.device)
        size = (self.images.shape[-2], self.images.shape[-1])
        kept_part: Tensor = torch.fft.irfft2(self.half * mask, s=size)
        return kept_part.to(self.images.dtype)


def attenuate(images: Tensor, radius: float, keep: Keep = "low", *, convention: Convention = "follow") -> Tensor:
    """Remove the frequencies on one side of a radius from each channel of each image.

    Args:
        images: float tensor (..., H, W), NORMALISED as the network takes them. The order matters under "follow": the
            zero frequency then goes with its side, which replaces an image's mean by the training set's. Under
            "keep_dc" both orders agree.
        radius: cycles per image, >= 0.
        keep: "low" keeps rho < radius (high frequencies are removed), "high" keeps rho >= radius.
        convention: "follow" or "keep_dc"; see `radial_mask`.

    Returns:
        Tensor of the same shape, dtype and device: the real part of the inverse transform, not clipped.

    Raises:
        InputError: images that are not a float tensor of at least two dimensions; otherwise as for `radial_mask`.

    Example:
        >>> image = torch.tensor([[[1.0, 3.0], [5.0, 7.0]]])
        >>> attenuate(image, 1, "low").tolist(), attenuate(image, 1, "high").tolist()
        ([[[4.0, 4.0], [4.0, 4.0]]], [[[-3.0, -1.0], [1.0, 3.0]]])
    """
    _checked(radius, keep, convention)
    if images.ndim < 2 or not images.is_floating_point():
        raise InputError(
            f"images must be a float tensor (..., H, W), got {images.dtype} of the shape {tuple(images.shape)}.",
            "normalise the images first.",
        )
    return _Spectrum(images).cut(radius, keep, convention)


def _batches(images: Tensor | Iterable[Tensor], batch_size: int) -> Iterator[Tensor]:
    if isinstance(images, Tensor):
        yield from torch.split(images, batch_size)
    else:
        yield from images


def _plan(
    batch: Tensor, low: Sequence[float] | None, high: Sequence[float] | None, convention: Convention
) -> list[tuple[Keep, float]]:
    """What to cut every batch at: (side kept, radius), checked."""
    usual_low, usual_high = registered_radii(batch.shape[-2])
    plan: list[tuple[Keep, float]] = [("low", float(r)) for r in (usual_low if low is None else low)]
    plan += [("high", float(r)) for r in (usual_high if high is None else high)]
    for keep, radius in plan:
        _checked(radius, keep, convention)
    return plan


def _classes(answer: Tensor) -> Tensor:
    """Predicted classes from logits (n, classes), or as they are."""
    return (answer.argmax(dim=1) if answer.ndim == 2 else answer).cpu()


def radius_accuracy(
    predict: Callable[[Tensor], Tensor],
    images: Tensor | Iterable[Tensor],
    labels: Tensor | npt.NDArray[np.integer[Any]],
    *,
    radii_low: Sequence[float] | None = None,
    radii_high: Sequence[float] | None = None,
    convention: Convention = "follow",
    batch_size: int = 256,
) -> dict[str, Any]:
    """Accuracy against radius, with the high and with the low frequencies removed.

    Every batch is transformed once and cut at all radii, so the cost is that of the forward passes.

    Args:
        predict: from normalised images (n, C, H, W) to logits (n, classes) or classes (n,); in evaluation mode. It may
            answer once for several in a row, as for the views of a clip; there is one label for each answer then.
        images: normalised images (N, C, H, W), or batches of them.
        labels: classes, shape (N,), in the order of the images.
        radii_low: radii that keep rho < r; default `registered_radii` of the images' height.
        radii_high: radii that keep rho >= r; default likewise. 0 gives the accuracy on whole images.
        convention: "follow" or "keep_dc"; see `radial_mask`.
        batch_size: size of the batches where one tensor is given.

    Returns:
        {"convention", "n", "low": [{"radius", "accuracy"}, ...], "high": [...]}, accuracies in [0, 1].

    Raises:
        InputError: no images, or not one label for each; otherwise as for `radial_mask`.
    """
    truth = torch.as_tensor(labels).reshape(-1).cpu()
    plan: list[tuple[Keep, float]] = []
    correct: list[int] = []
    n = 0
    with torch.no_grad():
        for batch in _batches(images, batch_size):
            if n == 0:
                plan = _plan(batch, radii_low, radii_high, convention)
                correct = [0] * len(plan)
            spectrum, answered = _Spectrum(batch), len(batch)
            for index, (keep, radius) in enumerate(plan):
                answer = _classes(predict(spectrum.cut(radius, keep, convention)))
                answered = len(answer)
                expected = truth[n : n + answered]
                correct[index] += int((answer[: len(expected)] == expected).sum())
            n += answered
            if n > truth.numel():
                break
    if n == 0 or n != truth.numel():
        raise InputError(
            f"need one label for each image, got {truth.numel()} labels and {n} images.",
            "give images and labels of the same test set.",
        )
    rows: dict[str, list[dict[str, float]]] = {"low": [], "high": []}
    for (keep, radius), hits in zip(plan, correct, strict=True):
        rows[keep].append({"radius": radius, "accuracy": hits / n})
    return {"convention": convention, "n": n, "low": rows["low"], "high": rows["high"]}
