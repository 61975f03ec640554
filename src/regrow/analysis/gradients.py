"""How a network's answer changes with its input: spectrum and size of the input gradient, size of the Jacobian.

All in pixel space: the derivative with respect to a pixel in units of the 0..1 range is the derivative with respect to
the normalised image over the std of its channel. Weights get no gradient, and none is computed for them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regrow import seeds
from regrow.analysis import _plane
from regrow.analysis._networks import (
    Images,
    Labels,
    Loss,
    batched,
    cross_entropy,
    device_of,
    evaluating,
    frozen,
    labelled,
    losses,
    number,
    per_channel,
    summary,
)
from regrow.errors import InputError


def _squares(gradient: Tensor) -> Tensor:
    """Sum of squares of each item, float64 (n,)."""
    return gradient.double().square().flatten(1).sum(dim=1)


def input_gradients(
    model: nn.Module,
    images: Images,
    labels: Labels,
    *,
    std: Sequence[float] | float,
    radius: float | None = None,
    loss: Loss = cross_entropy,
    batch_size: int = 100,
) -> dict[str, Any]:
    """Spectrum and length of the gradient of each image's loss with respect to its pixels.

    With P(u, v) the mean over images of the gradient's power, added up over channels, the share is
    S = sum_{rho > r_c} P / sum_{rho > 0} P with r_c = H / 4, and the profile is J(r), the mean of P in rings one cycle
    wide. In S and J an image counts by its squared gradient, so that few uncertain images say most; in
    ``share_per_image`` every image counts alike.

    Cost: 1 forward and 1 backward pass for each image, the latter without gradients of weights.

    Args:
        model: any module from images to outputs that handles images one by one in evaluation mode; left as it was.
        images: normalised images (N, C, ..., H, W), or batches of them.
        labels: classes (N,), or whatever ``loss`` takes.
        std: of the normalisation, one for each channel, in units of the 0..1 range.
        radius: r_c in cycles per image, by default H / 4.
        loss: outputs and labels to the loss of each image, by default the cross-entropy of logits.
        batch_size: size of the batches where one tensor is given.

    Returns:
        - n: images; flat: those whose gradient varies nowhere (as where a loss has become exactly 0).
        - radius, share: r_c and S; None where all are flat.
        - share_per_image, norm, loss: {mean, sd, n} over images of the share, of the gradient's Euclidean norm and of
          the loss itself, with which the norm falls.
        - profile: rows of radius, bins, power. The sum of bins times power is the mean squared norm.

    Raises:
        InputError: no images, not one label or loss for each, an std that does not fit.
    """
    shares: list[float] = []
    norms: list[float] = []
    values: list[float] = []
    spectrum, width, r_c = torch.zeros(0), 0, radius
    with evaluating(model):
        answer, device = frozen(model), device_of(model)
        for batch, truth in labelled(images, labels, device, batch_size):
            x = batch.detach().clone().requires_grad_()
            each = losses(loss, answer(x), truth)
            (gradient,) = torch.autograd.grad(each.sum(), x)
            gradient = gradient.double() / per_channel(std, x)
            height, width = x.shape[-2:]
            r_c = height / 4 if r_c is None else r_c
            power = _plane.power(gradient)
            shares += _plane.share_above(power, width, r_c).tolist()
            norms += _squares(gradient).sqrt().tolist()
            values += each.detach().tolist()
            spectrum = power.sum(dim=0).cpu() + (spectrum if spectrum.numel() else 0)
    mean, n, per_image = spectrum / len(norms), len(norms), summary(shares)
    return {
        "n": n,
        "flat": n - int(per_image["n"] or 0),
        "radius": r_c,
        "share": number(_plane.share_above(mean, width, r_c or 0.0)),
        "share_per_image": per_image,
        "norm": summary(norms),
        "loss": summary(values),
        "profile": _plane.profile(mean, width),
    }


def jacobian_norm(
    model: nn.Module,
    images: Images,
    *,
    std: Sequence[float] | float,
    projections: int = 4,
    seed: int = 0,
    batch_size: int = 100,
) -> dict[str, Any]:
    """Frobenius norm of the Jacobian of the outputs (logits) with respect to the pixels of each image.

    ||J||_F^2 = E ||J'v||^2 over random signs v (Hutchinson 1990; for networks, Hoffman et al. 2019, arXiv:1908.02729,
    with v on a sphere): unbiased for the square, with a variance that falls as 1 / ``projections``. Signs depend on the
    seed and an image's place alone, not on the batches.

    Cost: 1 forward and ``projections`` backward passes for each image.

    Args:
        model: as for `input_gradients`, with outputs (n, classes).
        images: normalised images (N, C, ..., H, W), or batches of them.
        std: of the normalisation, one for each channel.
        projections: random vectors v for each image, at least 1.
        seed: seed of the vectors.
        batch_size: size of the batches where one tensor is given.

    Returns:
        {"n", "projections", "squared": {mean, sd, n} over images of the estimate of the squared norm, "norm": root of
        that mean}. The root is taken last, since a mean of roots of estimates would be too low.

    Raises:
        InputError: no images, no projections, an std that does not fit, outputs that are not (n, classes).
    """
    if projections < 1:
        raise InputError(f"projections must be at least 1, got {projections}.", "give 1, 2, 3, ...")
    key = seeds.name_key("analysis.gradients.jacobian")
    streams = [seeds.bits(seed, "noise", key, index) for index in range(projections)]
    squared: list[float] = []
    with evaluating(model):
        answer, device = frozen(model), device_of(model)
        for batch in batched(images, device, batch_size):
            x = batch.detach().clone().requires_grad_()
            outputs = answer(x)
            if outputs.ndim != 2 or len(outputs) != len(x):
                raise InputError(
                    f"the Jacobian needs outputs (n, classes), got {tuple(outputs.shape)} for {len(x)} images.",
                    "give a network that returns logits.",
                )
            sums = torch.zeros(len(x), dtype=torch.float64, device=device)
            for index, stream in enumerate(streams):
                v = _signs(stream, *outputs.shape).to(outputs)
                (row,) = torch.autograd.grad(outputs, x, v, retain_graph=index + 1 < projections)
                sums += _squares(row.double() / per_channel(std, x))
            squared += (sums / projections).tolist()
    found = summary(squared)
    return {
        "n": len(squared),
        "projections": projections,
        "squared": found,
        "norm": math.sqrt(found["mean"] or 0.0),
    }


def _signs(stream: np.random.Philox, n: int, classes: int) -> Tensor:
    """Random signs (n, classes): every image takes whole words, so that batches do not matter."""
    words = np.asarray(stream.random_raw(n * -(-classes // 64)), dtype="<u8").reshape(n, -1)
    bits = np.unpackbits(words.view(np.uint8), axis=1, count=classes, bitorder="little")
    return torch.from_numpy(1.0 - 2.0 * bits)
