"""How sharp the loss is about the final weights."""

from __future__ import annotations

from typing import Any

import torch

from regrow import analysis
from regrow.study.analyses import Analysis, Subject


def make(subject: Subject) -> dict[str, Any] | None:
    """Largest Hessian eigenvalue, rise in random directions and up the gradient, over active weights of one test batch.

    By default of images of up to 32 pixels alone.
    """
    n = subject.n_images(subject.chosen.sharpness.images, usual=50)
    if n == 0 or subject.spec.frames is not None:
        return None
    images, labels = subject.normalised(n), torch.from_numpy(subject.labels(n).copy())
    masks = subject.weights.masks or None
    return {
        "n": n,
        "hessian": analysis.hessian_eigenvalue(subject.model, images, labels, masks=masks, iterations=12),
        "random": analysis.random_rise(subject.model, images, labels, masks=masks, directions=4),
        "worst_case": analysis.worst_case_rise(subject.model, images, labels, masks=masks),
    }


ANALYSIS = Analysis("sharpness", 1, make)
