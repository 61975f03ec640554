"""Which spatial frequencies a network needs: accuracy on images that keep only some of them, against the radius.

Conventions, edges and clipping are not established for the published curves (arXiv:2410.03030), so they are switches,
and what was chosen stands in every result.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from regrow.analysis.attenuation import Convention, Cut, Edge, Spectrum
from regrow.analysis.inputs import predicted_classes
from regrow.errors import InputError

Radii = tuple[Sequence[float], Sequence[float]]
Classes = Tensor | npt.NDArray[np.integer[Any]]

#: Radii for images of 32 pixels.
RADII_LOW = (4.0, 6.0, 8.0, 10.0, 12.0)
RADII_HIGH = (1.0, 2.0, 3.0, 4.0, 6.0)

#: The cut that removes nothing.
WHOLE = Cut("high", 0.0)


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


def radius_accuracy(
    predict: Callable[[Tensor], Tensor],
    images: Tensor | Iterable[Tensor],
    labels: Classes,
    *,
    radii_low: Sequence[float] | None = None,
    radii_high: Sequence[float] | None = None,
    convention: Convention = "follow",
    batch_size: int = 256,
) -> dict[str, Any]:
    """Accuracy against radius, with the high and with the low frequencies removed: one curve of `radius_curves`.

    Args:
        predict: from normalised images (n, C, H, W) to logits (n, classes) or classes (n,); in evaluation mode. Where
            it answers once for several images in a row, such as the views of a video, there is a label for each answer.
        images: normalised images (N, C, H, W), or batches of them.
        labels: classes, shape (N,), in the order of the images.
        radii_low: radii that keep rho < r; default `registered_radii` of the images' height.
        radii_high: radii that keep rho >= r; default likewise. 0 gives the accuracy on whole images.
        convention: "follow" or "keep_dc"; see `Cut`.
        batch_size: size of the batches where one tensor is given.

    Returns:
        {"convention", "n", "low": [{"radius", "accuracy"}, ...], "high": [...]}, accuracies in [0, 1].

    Raises:
        InputError: no images, or not one label for each; otherwise as for `radial_weights`.
    """
    batches, truth, shape = _opened(images, labels, batch_size)
    cuts = _cuts(replace(WHOLE, convention=convention), shape[0], radii_low, radii_high)
    n, accuracy = _accuracies(predict, batches, truth, cuts, shape)
    return {"convention": convention, "n": n, **_rows(cuts, accuracy)}


def radius_curves(
    predict: Callable[[Tensor], Tensor],
    images: Tensor | Iterable[Tensor],
    labels: Classes,
    *,
    conventions: Sequence[Convention] = get_args(Convention),
    edges: Sequence[Edge] = ("hard",),
    clips: Sequence[bool] = (False,),
    radii_low: Sequence[float] | None = None,
    radii_high: Sequence[float] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    float64: bool = False,
    batch_size: int = 256,
) -> dict[str, Any]:
    """Accuracy against radius under every combination of conventions, edges and clipping, in one pass over the images.

    Every batch is transformed once, filtered for every curve and radius, and seen once by the network for each
    distinct filter: a low disc of radius above 0 is the same under both conventions.

    Args:
        predict: as for `radius_accuracy`.
        images: likewise.
        labels: likewise.
        conventions: of "follow" and "keep_dc"; see `Cut`. A statement ought to hold under both.
        edges: of "hard" and widths of a cosine in cycles per image; see `Cut`.
        clips: whether filtered pixels are clipped to [0, 1] before they are normalised; (False, True) for both.
        radii_low: as for `radius_accuracy`.
        radii_high: likewise.
        mean: of each channel, by which the images are normalised; for clipping alone.
        std: likewise.
        float64: transform in double precision whatever the images' dtype.
        batch_size: as for `radius_accuracy`.

    Returns:
        {"n", "clean_accuracy", "curves": [{"convention", "edge", "clip", "low": [{"radius", "accuracy"}, ...],
        "high": [...]}, ...]}, accuracies in [0, 1], ``clean_accuracy`` on the same images whole.

    Raises:
        InputError: no images, not one label for each, no mean or std for clipping; otherwise as for `radial_weights`.
    """
    batches, truth, shape = _opened(images, labels, batch_size)
    styles = itertools.product(conventions, edges, clips)
    curves = {style: _cuts(Cut("high", 0.0, *style), shape[0], radii_low, radii_high) for style in styles}
    cuts = [WHOLE, *itertools.chain.from_iterable(curves.values())]
    n, accuracy = _accuracies(predict, batches, truth, cuts, shape, mean, std, float64=float64)
    rows = [
        {"convention": convention, "edge": edge, "clip": clip, **_rows(own, accuracy)}
        for (convention, edge, clip), own in curves.items()
    ]
    return {"n": n, "clean_accuracy": accuracy[WHOLE], "curves": rows}


def radius_summary(curve: Mapping[str, Any], clean_accuracy: float, radii: Radii) -> dict[str, float]:
    """What one network loses with the frequencies, averaged over the registered radii.

    The difference of two networks' figures is T_hi and T_lo: mean over r of [A_1(r) - clean_1] - [A_2(r) - clean_2].

    Args:
        curve: what `radius_accuracy` gives, or one of ``curves`` of `radius_curves`.
        clean_accuracy: of the same network on the same images whole, in [0, 1].
        radii: radii that keep the low and that keep the high frequencies, as `registered_radii` gives them; each must
            be on the curve.

    Returns:
        {"high_removed": mean of A(r) - clean over the low radii (for T_hi), "low_removed": likewise over the high radii
        (for T_lo)}, negative where accuracy is lost.

    Raises:
        InputError: no radii of a side, or one that is not on the curve.

    Example:
        >>> curve = {
        ...     "low": [{"radius": 4.0, "accuracy": 0.5}, {"radius": 8.0, "accuracy": 0.75}],
        ...     "high": [{"radius": 1.0, "accuracy": 0.25}],
        ... }
        >>> radius_summary(curve, 0.75, ((4, 8), (1,)))
        {'high_removed': -0.125, 'low_removed': -0.5}
    """
    means = {}
    for name, keep, wanted in (("high_removed", "low", radii[0]), ("low_removed", "high", radii[1])):
        found = {row["radius"]: row["accuracy"] for row in curve[keep]}
        missing = [float(r) for r in wanted if r not in found]
        if missing or not wanted:
            raise InputError(
                f"the mean over radii needs all of them on the curve {keep!r}, missing: {missing or 'every one'}.",
                "measure the curve at the radii that it is judged by.",
            )
        means[name] = float(np.mean([found[r] - clean_accuracy for r in wanted]))
    return means


def _opened(
    images: Tensor | Iterable[Tensor], labels: Classes, batch_size: int
) -> tuple[Iterator[Tensor], Tensor, tuple[int, int]]:
    """Batches of the images, their labels on the host, height and width."""
    truth = torch.as_tensor(labels).reshape(-1).cpu()
    batches = iter(torch.split(images, batch_size) if isinstance(images, Tensor) else images)
    first = next(batches, None)
    if first is None or len(first) == 0:
        raise _no_pairs(truth, 0)
    return itertools.chain([first], batches), truth, (first.shape[-2], first.shape[-1])


def _cuts(style: Cut, height: int, low: Sequence[float] | None, high: Sequence[float] | None) -> list[Cut]:
    """The cuts of one curve; registered radii where none are given."""
    usual_low, usual_high = registered_radii(height)
    cuts = [replace(style, keep="low", radius=float(r)) for r in (usual_low if low is None else low)]
    return cuts + [replace(style, keep="high", radius=float(r)) for r in (usual_high if high is None else high)]


def _distinct(cuts: Iterable[Cut], height: int, width: int) -> tuple[list[tuple[Tensor, bool]], dict[Cut, int]]:
    """The filters that differ, as weights and whether to clip, and which of them each cut is."""
    filters: dict[tuple[bytes, bool], tuple[Tensor, bool]] = {}
    keys = {}
    for cut in cuts:
        weights = cut.weights(height, width)
        keys[cut] = weights.numpy().tobytes(), cut.clip
        filters[keys[cut]] = weights, cut.clip
    place = {key: i for i, key in enumerate(filters)}
    return list(filters.values()), {cut: place[key] for cut, key in keys.items()}


def _accuracies(
    predict: Callable[[Tensor], Tensor],
    batches: Iterable[Tensor],
    truth: Tensor,
    cuts: Iterable[Cut],
    shape: tuple[int, int],
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    *,
    float64: bool = False,
) -> tuple[int, dict[Cut, float]]:
    """The number of answers, and the share of right ones under every cut."""
    filters, which = _distinct(cuts, *shape)
    correct, n = [0] * len(filters), 0
    with torch.no_grad():
        for batch in batches:
            spectrum, answered = Spectrum(batch, mean, std, float64=float64), len(batch)
            for index, (weights, clip) in enumerate(filters):
                answer = predicted_classes(predict(spectrum.filtered(weights, clip=clip)))
                answered = len(answer)
                if n + answered <= truth.numel():
                    correct[index] += int((answer == truth[n : n + answered]).sum())
            n += answered
            if n > truth.numel():
                break
    if n != truth.numel():
        raise _no_pairs(truth, n)
    return n, {cut: correct[index] / n for cut, index in which.items()}


def _no_pairs(truth: Tensor, n: int) -> InputError:
    return InputError(
        f"need one label for each image, got {truth.numel()} labels and {n} images.",
        "give images and labels of the same test set.",
    )


def _rows(cuts: Iterable[Cut], accuracy: Mapping[Cut, float]) -> dict[str, list[dict[str, float]]]:
    """The two lists of one curve."""
    rows: dict[str, list[dict[str, float]]] = {"low": [], "high": []}
    for cut in cuts:
        rows[cut.keep].append({"radius": cut.radius, "accuracy": accuracy[cut]})
    return rows
