"""Where the network looks, on clean images and on their corrupted twins."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from regrow import analysis, corruptions
from regrow.data.spec import Images
from regrow.errors import InputError
from regrow.study.analyses import Analysis, Subject

#: Images by default: of up to 32 pixels, and of larger ones.
USUAL, USUAL_LARGE = 32, 8
#: Images whose maps are kept, and the longest side of a kept map.
KEPT, MAP_SIDE = 2, 48


def make(subject: Subject) -> dict[str, Any] | None:
    """Maps of the true class, how alike they are on twins, and those of the first images; no clips.

    Returns:
        {"n", "why" (no maps, or empty), "methods": {method: {"layer", "cells", "maps"}}}. Cells are rows of corruption,
        severity, n_compared, rank_correlation, cosine and high_share, the clean one first and without the three that
        compare with it. Maps are "side" and for "CORRUPTION.SEVERITY" those of the first images, see `packed`.
    """
    chosen = subject.chosen.attribution
    usual = USUAL if subject.is_small else USUAL_LARGE
    n = min(usual if chosen.images is None else chosen.images, len(subject.labels()))
    cells = _cells(subject)
    if n == 0 or subject.spec.frames is not None or not cells:
        return None
    labels = torch.from_numpy(subject.labels(n).copy())
    found: dict[str, Any] = {"n": n, "why": "", "methods": {}}
    for method in chosen.methods:
        try:
            found["methods"][method] = _of_method(subject, method, cells, labels)
        except InputError as error:  # a network without feature maps has no Grad-CAM, and the page says so
            found["why"] = error.message
    return found


def _cells(subject: Subject) -> list[tuple[str, int]]:
    """One type of each family at its middle severity; types of a published set have no known twin."""
    first: dict[str, str] = {}
    severities: dict[str, list[int]] = {}
    known = set(corruptions.names()) | set(corruptions.names("c-bar")) | set(corruptions.names("3dcc"))
    for name, severity in subject.cells.digests:
        if severity and name in known and name not in subject.cells.published:
            first.setdefault(corruptions.get(name).family, name)
            severities.setdefault(name, []).append(severity)
    return [(name, sorted(severities[name])[len(severities[name]) // 2]) for name in first.values()]


def _of_method(subject: Subject, method: str, cells: Sequence[tuple[str, int]], labels: Tensor) -> dict[str, Any]:
    clean, layer = _maps(subject, method, subject.pixels(len(labels)), labels)
    rows = [{"corruption": "clean", "severity": 0, "high_share": _mean(analysis.high_share(clean))}]
    kept = {"clean.0": packed(clean[:KEPT])}
    for name, severity in cells:
        maps, _ = _maps(subject, method, subject.cells.images(name, severity, len(labels)), labels)
        ranks = analysis.map_rank_correlation(clean, maps)
        rows.append(
            {
                "corruption": name,
                "severity": severity,
                "n_compared": int(np.isfinite(ranks).sum()),
                "rank_correlation": _mean(ranks),
                "cosine": _mean(analysis.cosine(clean, maps)),
                "high_share": _mean(analysis.high_share(maps)),
            }
        )
        kept[f"{name}.{severity}"] = packed(maps[:KEPT])
    return {"layer": layer, "cells": rows, "maps": {"side": list(_reduced(clean[:1]).shape[1:]), **kept}}


def _maps(subject: Subject, method: str, pixels: Images, labels: Tensor) -> tuple[Tensor, str]:
    images = subject.as_taken(pixels)
    if method == "integrated_gradients":
        found = analysis.integrated_gradients(subject.model, images, labels)
    else:
        found = analysis.grad_cam(subject.model, images, labels)
    return found.maps.float(), found.layer


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def _reduced(maps: Tensor) -> Tensor:
    factor = math.ceil(max(maps.shape[1:]) / MAP_SIDE)
    return torch.nn.functional.avg_pool2d(maps[:, None], factor)[:, 0] if factor > 1 else maps


def packed(maps: Tensor) -> list[str]:
    """Each map (N, H, W) over its largest magnitude as signed bytes in base64; means of blocks above ``MAP_SIDE``."""
    small = _reduced(maps)
    top = small.abs().amax(dim=(1, 2), keepdim=True)
    whole = (127 * small / torch.where(top > 0, top, 1)).round().to(torch.int8).numpy()
    return [base64.b64encode(one.tobytes()).decode() for one in whole]


def unpacked(text: str, side: Sequence[int]) -> npt.NDArray[np.float64]:
    """A map of `packed`, float64 of shape ``side``, in [-1, 1].

    Example:
        >>> unpacked(packed(torch.tensor([[[1.0, -2.0]]]))[0], (1, 2)).round(2).tolist()
        [[0.5, -1.0]]
    """
    return np.frombuffer(base64.b64decode(text), np.int8).reshape(tuple(side)) / 127


ANALYSIS = Analysis("attribution", 1, make)
