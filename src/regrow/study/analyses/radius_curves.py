"""Accuracy against radius on clean test images with the high or the low frequencies removed."""

from __future__ import annotations

from typing import Any

from regrow import analysis
from regrow.evaluation.evaluate import averaged
from regrow.study.analyses import Analysis, Subject


def make(subject: Subject) -> dict[str, Any] | None:
    """Curves under both conventions, hard and soft edges as the recipe says; on clips the mean answer of the views.

    None of texts and sounds, which have no frequencies across an image.
    """
    if subject.spec.modality != "image":
        return None
    from regrow.data.batches import eval_batches

    chosen, spec = subject.chosen.attenuation, subject.spec
    low, high = analysis.registered_radii(spec.image_size)
    pixels = subject.cells.images("clean", 0, chosen.images)
    return analysis.radius_curves(
        averaged(subject.predict, spec.views),
        eval_batches(pixels, spec, batch=max(1, subject.batch // spec.views), device=subject.device),
        subject.labels(chosen.images),
        edges=("hard", *chosen.soft),
        clips=(False, True) if chosen.clip else (False,),
        radii_low=chosen.low or low,
        radii_high=chosen.high or high,
        mean=spec.mean,
        std=spec.std,
    )


ANALYSIS = Analysis("radius_curves", 1, make)
