"""Losses of training: pure functions of logits, targets and features; all in float32, whatever the network runs in.

Where an image has several views, rows lie view by view: row ``v * B + i`` is view ``v`` of image ``i``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from regrow.training.settings import TrainingSettings


def jensen_shannon(logits: Tensor, views: int) -> Tensor:
    """Jensen-Shannon divergence of the predicted distributions of an image's views, mean over the images.

    JS(p_1 ... p_V) = mean_v KL(p_v || M) with M = mean_v p_v (Hendrycks et al. 2020, arXiv:1912.02781, section 3). The
    logarithm of M is had from logits, so nothing need be cut off as in the paper's code.

    Args:
        logits: shape (views * B, K).
        views: V.

    Returns:
        a scalar in [0, log V], natural logarithms.
    """
    log_p = logits.float().log_softmax(1).reshape(views, -1, logits.shape[1])
    log_mean = log_p.logsumexp(0) - math.log(views)
    divergence: Tensor = (log_p.exp() * (log_p - log_mean)).sum(2).mean()
    return divergence


def supervised_contrastive(features: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss L_out (Khosla et al. 2020, arXiv:2004.11362, equation 2), mean over the anchors.

    Of an anchor: minus the mean over all other rows of its class of log softmax(cosine / temperature), the softmax over
    all other rows. No factor of the temperature before it, unlike in the authors' code.

    Args:
        features: shape (views * B, D), views >= 2; scaled to unit length here.
        labels: int64, shape (B,).
        temperature: > 0.

    Returns:
        a scalar.
    """
    z = F.normalize(features.float(), dim=1)
    classes = labels.repeat(len(z) // len(labels))
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    cosines = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
    log_p = cosines.log_softmax(1).masked_fill(itself, 0.0)
    positive = (classes[:, None] == classes) & ~itself
    return -((log_p * positive).sum(1) / positive.sum(1)).mean()


def training_loss(settings: TrainingSettings, logits: Tensor, targets: Tensor, features: Tensor | None) -> Tensor:
    """The loss of a batch, or of a part of one with all views of its images.

    Cross-entropy with label smoothing (of the clean view alone under a consistency loss, as in AugMix; else the mean
    over the views), plus the weighted consistency loss, plus the weighted contrastive loss over all views.

    Args:
        settings: which losses, and their weights.
        logits: shape (views * B, K).
        targets: classes, int64, shape (B,), or distributions, float, shape (B, K).
        features: shape (views * B, D), needed by ``supcon``.

    Returns:
        a scalar.
    """
    views = len(logits) // len(targets)
    consistency = settings.augment.consistency
    judged = first_view(logits, targets) if consistency else logits
    wanted = targets if consistency or views == 1 else torch.cat([targets] * views)
    loss = F.cross_entropy(judged, wanted, label_smoothing=settings.label_smoothing)
    if consistency:
        loss = loss + consistency * jensen_shannon(logits, views)
    if settings.supcon is not None and features is not None:
        contrast = supervised_contrastive(features, targets, settings.supcon.temperature)
        loss = loss + settings.supcon.weight * contrast
    return loss


def first_view(rows: Tensor, targets: Tensor) -> Tensor:
    """The rows of the images' first view: the clean one where there is one."""
    return rows[: len(targets)]


def hits(logits: Tensor, targets: Tensor) -> Tensor:
    """How many images are predicted right in their first view; of a mixed image, as the class with the larger share."""
    wanted = targets if targets.ndim == 1 else targets.argmax(1)
    return (first_view(logits, targets).argmax(1) == wanted).sum()


def parts(inputs: Tensor, targets: Tensor, n: int) -> Iterator[tuple[Tensor, Tensor]]:
    """A batch in ``n`` parts that keep the views of an image together.

    Args:
        inputs: shape (views * B, ...).
        targets: shape (B, ...).
        n: how many parts.

    Yields:
        inputs (views * b, ...) and targets (b, ...); the memory layout is kept.
    """
    chunks = zip(*(view.chunk(n) for view in torch.split(inputs, len(targets))), strict=True)
    for views, wanted in zip(chunks, targets.chunk(n), strict=True):
        yield views[0] if len(views) == 1 else torch.cat(views), wanted
