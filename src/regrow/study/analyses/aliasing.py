"""How much each strided layer folds high frequencies onto low ones."""

from __future__ import annotations

from typing import Any

from regrow import analysis
from regrow.study.analyses import Analysis, Subject


def make(subject: Subject) -> dict[str, Any] | None:
    """Share of energy above the coarser grid's Nyquist frequency before every stride; by default of small images."""
    n = subject.n_images(subject.chosen.aliasing.images, usual=200)
    if n == 0 or not subject.spec.is_images:
        return None
    return analysis.measure_aliasing(subject.model, subject.normalised(n))


ANALYSIS = Analysis("aliasing", 1, make)
