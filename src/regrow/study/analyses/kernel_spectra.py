"""Spectrum of every kernel, and whether those of high frequency are the ones that lost their weights."""

from __future__ import annotations

from typing import Any

from regrow import analysis
from regrow.study.analyses import Analysis, Subject


def make(subject: Subject) -> dict[str, Any] | None:
    """Shares of high frequencies by layer, and their relation to density; None of a network without kernels."""
    names = [name for name, value in subject.weights.tensors.items() if value.ndim in (4, 5)]
    if not names:
        return None
    tensors = {name: subject.weights.tensors[name] for name in names}
    found: dict[str, Any] = {"layers": analysis.kernel_spectra(tensors)}
    masks = {name: mask for name, mask in subject.weights.masks.items() if name in tensors}
    if masks:  # of convolutions: a network may have none
        initial = {name: value for name, value in subject.initial().items() if name in tensors}
        size = sum(value.numel() for value in tensors.values())
        found["relation"] = analysis.density_relation(
            tensors, masks=masks, initial=initial, null_masks=NULL_MASKS if size <= SMALL_NETWORK else 0
        )
    return found


#: Random masks of equal kernel densities that the relation is held against, up to so many convolution weights: seconds
#: of a ResNet-20, minutes of a VGG-16.
NULL_MASKS, SMALL_NETWORK = 200, 500_000

ANALYSIS = Analysis("kernel_spectra", 2, make)
