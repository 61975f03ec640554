"""On the data set `cues`, whose truth is known: which cue the answers follow where the two conflict."""

from __future__ import annotations

from typing import Any

import numpy as np

from regrow import data
from regrow.evaluation.evaluate import evaluate_cell
from regrow.study.analyses import Analysis, Subject


def make(subject: Subject) -> dict[str, Any] | None:
    """Shares of answers that follow either cue, and the accuracy with each alone."""
    chosen = subject.settings.data
    if chosen.name != "cues":
        return None
    n = len(subject.labels())
    found: dict[str, Any] = {}
    for split in ("conflict", "low_only", "high_only"):
        images = data.load_images("cues", split, options=chosen.options, n=n)
        record = evaluate_cell(
            subject.predict, images.images, images.labels, images.spec, batch=subject.batch, device=subject.device
        )
        if split == "conflict":
            found |= data.reliance(record.prediction.astype(np.int64), images)
        else:
            found[split] = record.accuracy
    return found


ANALYSIS = Analysis("reliance", 1, make)
