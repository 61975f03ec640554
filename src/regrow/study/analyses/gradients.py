"""Which frequencies the loss follows, and how strongly the answers follow the pixels."""

from __future__ import annotations

from typing import Any

from regrow import analysis
from regrow.study.analyses import Analysis, Subject


def make(subject: Subject) -> dict[str, Any] | None:
    """Input-gradient spectrum and Jacobian norm; by default of images of up to 32 pixels alone."""
    n = subject.n_images(subject.chosen.gradients.images, usual=500)
    if n == 0 or not subject.spec.is_images:
        return None
    images, std = subject.normalised(n), subject.spec.std
    few = min(n, 100)
    return {
        "input_gradient": analysis.input_gradients(subject.model, images, subject.labels(n), std=std),
        "jacobian": analysis.jacobian_norm(subject.model, images[:few], std=std),
    }


ANALYSIS = Analysis("gradients", 1, make)
