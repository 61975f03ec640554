"""Where the network keeps its weights, beside what chance would give."""

from __future__ import annotations

from typing import Any

from regrow import analysis
from regrow.study.analyses import Analysis, Subject


def make(subject: Subject) -> dict[str, Any] | None:
    """Counts and sums of |w| by filter, channel and kernel, their evenness, dead filters; None of a dense network."""
    masks = subject.weights.masks
    if not masks:
        return None
    found = analysis.spatial_summary(masks, subject.weights.tensors, _traceable(subject))
    network = {f"{row['of']}_{row['by']}": row["value"] for row in found["network"]}
    return {**found, "concentration": {by: network.get(f"count_{by}") for by in ("output", "input", "kernel")}}


def _traceable(subject: Subject) -> Any:
    """The network, where torch.fx can follow its channels; dead filters are else not looked for."""
    from regrow.errors import RegrowError
    from regrow.sparsity.flow import dead_filters

    try:
        dead_filters(subject.model, subject.weights.masks)
    except RegrowError:
        return None
    return subject.model


ANALYSIS = Analysis("spatial", 1, make)
