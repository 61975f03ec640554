"""How much masks have in common: of two runs, and of one run over training."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from regrow.errors import InputError
from regrow.training.film import MaskFilm


class Chance(NamedTuple):
    """Two random masks: mean and standard deviation of the number of common places, and the mean Jaccard index."""

    both: float
    sd: float
    jaccard: float


def chance_overlap(total: int, one: int, other: int) -> Chance:
    """What two random masks of given counts share: a hypergeometric number of places.

    Args:
        total: places.
        one: active places of the first mask.
        other: of the second.

    Example:
        >>> chance = chance_overlap(4, 2, 2)  # 0, 1, 2 common places with probability 1/6, 4/6, 1/6
        >>> round(chance.both, 12), round(chance.sd**2, 12), round(chance.jaccard, 12)
        (1.0, 0.333333333333, 0.388888888889)
    """
    mean = one * other / total
    sd = math.sqrt(mean * (1 - one / total) * (total - other) / (total - 1)) if total > 1 else 0.0
    low, high = max(0, one + other - total), min(one, other)
    low, high = max(low, math.floor(mean - 12 * sd) - 1), min(high, math.ceil(mean + 12 * sd) + 1)
    x = np.arange(low, high + 1, dtype=np.float64)
    # logarithms of the probabilities by their ratios, up to a constant
    ratio = (one - x[:-1]) * (other - x[:-1]) / ((x[:-1] + 1) * (total - one - other + x[:-1] + 1))
    logs = np.concatenate([[0.0], np.cumsum(np.log(ratio))])
    p = np.exp(logs - logs.max())
    union = one + other - x
    jaccard = np.divide(x, union, out=np.zeros_like(x), where=union > 0)
    return Chance(mean, sd, float((p * jaccard).sum() / p.sum()))


def _shared(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> dict[str, Any]:
    n_one, n_other, both = int(one.sum()), int(other.sum()), int((one & other).sum())
    chance = chance_overlap(one.size, n_one, n_other)
    return {
        "n_weights": one.size,
        "n_first": n_one,
        "n_second": n_other,
        "n_both": both,
        "n_both_expected": chance.both,
        "n_both_sd": chance.sd,
        "jaccard": both / (n_one + n_other - both) if n_one + n_other else None,
        "jaccard_expected": chance.jaccard if n_one + n_other else None,
        "z": (both - chance.both) / chance.sd if chance.sd > 0 else None,
    }


def _total(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The same over all layers: layers are independent under chance, so means and variances add up."""
    n = {key: sum(row[key] for row in rows) for key in ("n_weights", "n_first", "n_second", "n_both")}
    expected, sd = sum(row["n_both_expected"] for row in rows), math.hypot(*(row["n_both_sd"] for row in rows))
    counted = n["n_first"] + n["n_second"]
    return {
        **n,
        "n_both_expected": expected,
        "n_both_sd": sd,
        "jaccard": n["n_both"] / (counted - n["n_both"]) if counted else None,
        "jaccard_expected": expected / (counted - expected) if counted else None,
        "z": (n["n_both"] - expected) / sd if sd > 0 else None,
    }


def mask_overlap(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> dict[str, Any]:
    """What the masks of two networks share, place by place, beside what chance gives at their densities.

    Channels are NOT aligned: two networks that learnt the same filters in another order share what chance gives, so
    "no more than chance" says that places differ and not that functions do. With the same initial weights and masks
    the order of channels is the same at the start.

    Args:
        first: layer name to bool mask.
        second: the same layers.

    Returns:
        ``layers``: a row for each layer that is not full in both: layer, n_weights, n_first, n_second, n_both, its mean
        and standard deviation for two random masks (hypergeometric), z, jaccard and its exact mean; ``total``: the same
        over these layers, where the expected Jaccard index is that of the expected counts.

    Raises:
        InputError: other layers or shapes.
    """
    if set(first) != set(second) or any(first[name].shape != second[name].shape for name in first):
        raise InputError("the two networks have not the same layers.", "compare masks of one architecture.")
    rows = []
    for name in first:
        one, other = (masks[name].cpu().numpy().astype(bool).reshape(-1) for masks in (first, second))
        if not (one.all() and other.all()):
            rows.append({"layer": name, **_shared(one, other)})
    return {"aligned": False, "layers": rows, "total": _total(rows) if rows else None}


def seed_overlap(runs: Sequence[Mapping[str, Tensor]]) -> dict[str, Any]:
    """`mask_overlap` of every pair of runs of one method, averaged.

    Args:
        runs: the masks of each run, at least two.

    Returns:
        ``runs``, ``pairs``; ``layers``: a row for each layer with the means over pairs of jaccard, jaccard_expected,
        n_both, n_both_expected; ``total`` likewise. The pairs share runs, so no test is made of them.

    Raises:
        InputError: fewer than two runs, or other layers.
    """
    if len(runs) < 2:
        raise InputError("an overlap between seeds needs two runs.", "add a seed.")
    found = [mask_overlap(one, other) for one, other in itertools.combinations(runs, 2)]
    names = list(dict.fromkeys(row["layer"] for one in found for row in one["layers"]))
    by_name = {name: [row for one in found for row in one["layers"] if row["layer"] == name] for name in names}
    totals = [one["total"] for one in found if one["total"] is not None]
    return {
        "aligned": False,
        "runs": len(runs),
        "pairs": len(found),
        "layers": [{"layer": name, **_means(rows)} for name, rows in by_name.items()],
        "total": _means(totals) if totals else None,
    }


def _means(rows: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    means: dict[str, float | None] = {}
    for key in ("jaccard", "jaccard_expected", "n_both", "n_both_expected"):
        values = [row[key] for row in rows if row[key] is not None]
        means[key] = float(np.mean(values)) if values else None
    return means


def film_overlap(film: MaskFilm, layer: str) -> list[dict[str, Any]]:
    """How a layer's mask moves over training.

    Args:
        film: the recorded masks.
        layer: one of its layers.

    Returns:
        A row per frame: update, step, n_active; ``first_kept`` and ``last_there``: the shares of the first mask's links
        that are active in this frame, and of the last mask's; ``jaccard_first``, ``jaccard_last`` and their chance
        values ``_expected``; ``grown``, links that were not active in the frame before, and ``grown_survive``, the
        share of these that are active in the last frame (None without any, and in the last frame). Where every update
        is a frame, that is the survival of the links of an update.

    Raises:
        InputError: a layer that was not filmed.
    """
    masks = film.masks(layer).reshape(len(film.updates), -1)
    first, last, rows = masks[0], masks[-1], []
    for index, mask in enumerate(masks):
        start, end = _shared(mask, first), _shared(mask, last)
        grown = mask & ~masks[index - 1] if index else np.zeros_like(mask)
        n_grown = int(grown.sum())
        known = n_grown > 0 and index < len(masks) - 1
        rows.append(
            {
                "update": int(film.updates[index]),
                "step": int(film.steps[index]),
                "n_active": int(mask.sum()),
                "first_kept": start["n_both"] / start["n_second"] if start["n_second"] else None,
                "last_there": end["n_both"] / end["n_second"] if end["n_second"] else None,
                "jaccard_first": start["jaccard"],
                "jaccard_first_expected": start["jaccard_expected"],
                "jaccard_last": end["jaccard"],
                "jaccard_last_expected": end["jaccard_expected"],
                "grown": n_grown,
                "grown_survive": int((grown & last).sum()) / n_grown if known else None,
            }
        )
    return rows


def kernel_frames(film: MaskFilm, layer: str) -> npt.NDArray[np.uint16]:
    """The kernel map of every frame, for an animation.

    Args:
        film: the recorded masks.
        layer: one of its layers.

    Returns:
        Active weights of each kernel, (frames, out, in).

    Raises:
        InputError: a layer that was not filmed.
    """
    masks = film.masks(layer)
    counts: npt.NDArray[np.uint16] = masks.reshape(*masks.shape[:3], -1).sum(axis=3, dtype=np.uint16)
    return counts
