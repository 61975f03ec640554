"""Fourier heat map of the network's errors (Yin et al. 2019)."""

from __future__ import annotations

from typing import Any

from regrow import analysis
from regrow.study.analyses import Analysis, Subject


def make(subject: Subject) -> dict[str, Any] | None:
    """The map and its means over rings and bands; by default of images of up to 32 pixels alone."""
    chosen, spec = subject.chosen.heat_map, subject.spec
    n = subject.n_images(chosen.images, usual=64)
    eps = chosen.eps or EPS_32 * spec.image_size / 32
    if n == 0 or not spec.is_images:
        return None
    found = analysis.heat_map(
        subject.predict,
        subject.pixels(n),
        subject.labels(n),
        mean=spec.mean,
        std=spec.std,
        eps=eps,
        images_per_bin=n,
        size=chosen.size,
        model=subject.model if chosen.layers else None,
        layers=chosen.layers,
        batch_size=BATCH,
        device=subject.device,
    )
    return {**found, "summary": analysis.heat_map_summary(found)}


#: L2 norm of the perturbation of a channel at 32 pixels; at other sizes of the same size a pixel.
EPS_32 = 4.0
#: Images a batch: larger ones leave the processor's cache and are slower.
BATCH = 128

ANALYSIS = Analysis("heat_map", 1, make)
