"""The spread of layers' and networks' weights over filters, channels and kernels, against chance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from torch import Tensor, nn

from regrow.analysis.spatial.evenness import (
    Places,
    dispersion,
    dispersion_sd,
    effective_number,
    gini,
    ratio_of,
)
from regrow.analysis.spatial.kernels import Counts, Floats, KernelMass, kernel_map, kernel_mass
from regrow.analysis.spatial.layers import layer_rows
from regrow.analysis.spatial.null import Null, count_null, mass_null, stream, z_value
from regrow.errors import InputError
from regrow.statistics.distributions import chi2_tail

Grouping = Literal["output", "input", "kernel"]
Measured = Literal["count", "mass"]

#: Fewest random masks that a z-value may rest on.
FEWEST_NULL_MASKS = 200


class _Groups(NamedTuple):
    """One grouping of a layer: the groups' counts or sums, and the weights of a group."""

    by: Grouping
    sums: Floats
    size: int


@dataclass
class _Spread:
    """A layer's rows, and the random masks behind them by (what is measured, grouping)."""

    n_weights: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    nulls: dict[tuple[Measured, Grouping], Null | None] = field(default_factory=dict)


def _grouped(kernels: Counts | Floats, size: int) -> list[_Groups]:
    n_out, n_in = kernels.shape
    values = kernels.astype(np.float64)
    return [
        _Groups("output", values.sum(axis=1), n_in * size),
        _Groups("input", values.sum(axis=0), n_out * size),
        _Groups("kernel", values.reshape(-1), size),
    ]


def _log(ratio: float | None) -> float | None:
    return math.log(ratio) if ratio is not None and ratio > 0 else None


def spatial_rows(
    kernels: Counts,
    size: int,
    *,
    mass: KernelMass | None = None,
    null_masks: int = 0,
    seed: int = 0,
    layer: str = "",
) -> list[dict[str, Any]]:
    """The spread of one layer's active weights over output filters, input channels and kernels.

    Args:
        kernels: kernel map of the layer, shape (out, in).
        size: weights in a full kernel.
        mass: `kernel_mass` of the layer, for rows on the sums of |w| as well.
        null_masks: number of random masks of the same count for the z-values; 0 (no z) or at least 200. Evenness
            measures are not 0 for random masks, so a figure without its z says little.
        seed: seed of those masks.
        layer: name of the layer, which gives it random masks of its own.

    Returns:
        One row each for ``by`` = output, input, kernel, ``of`` = count (and then mass):

        - groups, group_size, n_active, density;
        - dispersion D (mean 1 under chance), its exact dispersion_sd under chance, z_dispersion = (D - 1) / sd,
          log_dispersion, and chi2, df, p, the one-sided test of "no more concentrated than chance". For counts chi2 is
          X2 (see `Dispersion`); for mass it is D times 2 / sd^2, with that many degrees of freedom (D's exact mean and
          variance);
        - gini, effective_number;
        - z_log_dispersion, z_gini, z_effective_number against ``null_masks`` random masks; for mass these also have
          the magnitudes in random order, and where groups hold few weights there are no z of the last two.

        What is not defined (density 0 or 1, one group) is None.

    Raises:
        InputError: counts outside 0 .. size, too few random masks, or a mass of another shape.
    """
    return _spread(kernels, size, mass, null_masks, seed, layer).rows


def _spread(kernels: Counts, size: int, mass: KernelMass | None, null_masks: int, seed: int, layer: str) -> _Spread:
    if kernels.ndim != 2 or kernels.size == 0 or size < 1 or kernels.min() < 0 or kernels.max() > size:
        raise InputError(
            f"a kernel map must have two dimensions and counts in 0 .. {size}, got the shape {kernels.shape}.",
            "make it by `kernel_map`, and the size by `kernel_sizes`.",
        )
    if null_masks and null_masks < FEWEST_NULL_MASKS:
        raise InputError(
            f"z-values need at least {FEWEST_NULL_MASKS} random masks, got {null_masks}.", "give 0 or 200 and more."
        )
    if mass is not None and mass.map.shape != kernels.shape:
        raise InputError(
            f"a mass of shape {mass.map.shape} is not that of a kernel map of shape {kernels.shape}.",
            "make both of the same layer.",
        )
    n_active, total = int(kernels.sum()), kernels.size * size
    random, drawn = stream(seed, layer), null_masks if 0 < n_active < total else 0
    spread = _Spread(total)
    for groups in _grouped(kernels, size):
        null = count_null(random, groups.sums.size, groups.size, n_active, drawn) if drawn else None
        spread.nulls["count", groups.by] = null
        spread.rows.append(_row("count", groups, n_active, Places.of_counts(total, n_active), null))
    if mass is not None:
        places = Places.of_powers(total, mass.powers)
        moves = drawn > 0 and places.square > 0
        for groups in _grouped(mass.map, size):
            null = mass_null(random, groups.sums.size, groups.size, n_active, mass.powers, drawn) if moves else None
            spread.nulls["mass", groups.by] = null
            spread.rows.append(_row("mass", groups, n_active, places, null))
    return spread


def _row(of: Measured, groups: _Groups, n_active: int, places: Places, null: Null | None) -> dict[str, Any]:
    n_groups = groups.sums.size
    ratio, sd = ratio_of(groups.sums, groups.size, places), dispersion_sd(n_groups, groups.size, places)
    chi2: float | None = None
    df: float | None = None
    p: float | None = None
    if of == "count":
        found = dispersion(groups.sums, groups.size)
        if found is not None:
            chi2, df, p = found.chi2, found.df, found.p
    elif ratio is not None and sd > 0:
        df = 2 / sd**2
        chi2 = ratio * df
        p = chi2_tail(chi2, df)
    log, evenness, effective = _log(ratio), gini(groups.sums), effective_number(groups.sums)
    return {
        "of": of,
        "by": groups.by,
        "groups": n_groups,
        "group_size": groups.size,
        "n_active": n_active,
        "density": n_active / places.total,
        "dispersion": ratio,
        "dispersion_sd": sd if ratio is not None else None,
        "z_dispersion": (ratio - 1) / sd if ratio is not None and sd > 0 else None,
        "log_dispersion": log,
        "chi2": chi2,
        "df": df,
        "p": p,
        "gini": evenness,
        "effective_number": effective,
        "z_log_dispersion": z_value(log, null.log_dispersion) if null else None,
        "z_gini": z_value(evenness, null.gini) if null else None,
        "z_effective_number": z_value(effective, null.effective_number) if null else None,
        "null_masks": null.log_dispersion.size if null else 0,
    }


def _counted(spread: _Spread, of: Measured, by: Grouping) -> float | None:
    """Log D of a layer where it has a say in a network's concentration: not per kernel of linear layers."""
    for row in spread.rows:
        if (row["of"], row["by"]) == (of, by) and row["group_size"] > 1:
            log: float | None = row["log_dispersion"]
            return log
    return None


def concentration(kernels: Mapping[str, Counts], sizes: Mapping[str, int]) -> dict[Grouping, float | None]:
    """Mean of log D over a network's sparse layers, weighted by their number of weights.

    Args:
        kernels: layer name -> kernel map.
        sizes: layer name -> weights in a full kernel.

    Returns:
        One figure for each grouping; None where no layer has one. Dense layers do not count, nor do layers whose
        weights are spread so evenly that D is 0. Linear layers have no say per kernel, where D is 1 by definition.
    """
    spreads = [_spread(layer, sizes[name], None, 0, 0, name) for name, layer in kernels.items()]
    return {by: _network(spreads, "count", by)["value"] for by in get_args(Grouping)}


def _network(spreads: list[_Spread], of: Measured, by: Grouping) -> dict[str, Any]:
    """Weighted mean of log D, with the same mean of random masks (each layer's own, independent of the others')."""
    logs = [(spread, log) for spread in spreads if (log := _counted(spread, of, by)) is not None]
    total = sum(spread.n_weights for spread, _ in logs)
    value = sum(log * spread.n_weights for spread, log in logs) / total if logs else None
    parts = [(spread.n_weights / total, spread.nulls.get((of, by))) for spread, _ in logs]
    drawn = [share * null.log_dispersion for share, null in parts if null is not None]
    null = np.sum(drawn, axis=0) if drawn and len(drawn) == len(parts) else np.zeros(0)
    row = {"of": of, "by": by, "layers": len(logs), "n_weights": total, "value": value}
    if value is None or null.size == 0 or not np.isfinite(null).all():
        return {**row, "null_mean": None, "null_sd": None, "z": None, "p": None, "null_masks": 0}
    return {
        **row,
        "null_mean": float(null.mean()),
        "null_sd": float(null.std(ddof=1)),
        "z": z_value(value, null),
        "p": (1 + int((null >= value).sum())) / (1 + null.size),
        "null_masks": null.size,
    }


def spatial_summary(
    masks: Mapping[str, Tensor],
    weights: Mapping[str, Tensor] | None = None,
    model: nn.Module | None = None,
    *,
    null_masks: int = FEWEST_NULL_MASKS,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything about where a network keeps its weights, ready for JSON.

    To put a dense network beside a sparse one give it the masks of `magnitude_masks`.

    Args:
        masks: layer name to bool mask.
        weights: layer name to weight (a state dict may hold more), for the sums of |w|.
        model: the network, for filters that are dead by their place in it; see `layer_rows`.
        null_masks: random masks behind each z-value, at least 200, or 0 for none.
        seed: of those masks.

    Returns:
        ``null_masks`` and ``seed``; ``layers``: a row of `layer_rows` each, with ``spread``: the rows of `spatial_rows`
        where the layer is sparse, else none; ``network``: a row for each of count and mass by output, input, kernel:
        layers, n_weights, value (the mean of log D over sparse layers, weighted by their size), null_mean, null_sd, z
        and one-sided p of the same mean of random masks, p = (1 + masks at or above) / (1 + masks).

    Raises:
        InputError: as `spatial_rows` and `kernel_mass`, or a layer without its weight.
    """
    if weights is not None and (missing := [name for name in masks if name not in weights]):
        raise InputError(f"there is a mask of {missing[0]} and no weight.", "give masks and weights of one network.")
    layers, spreads = layer_rows(masks, model), []
    for row in layers:
        name = row["layer"]
        spread = _Spread(row["n_weights"])
        if 0 < row["n_active"] < row["n_weights"]:
            mass = None if weights is None else kernel_mass(weights[name], masks[name])
            size = masks[name][0, 0].numel()
            spread = _spread(kernel_map(masks[name]), size, mass, null_masks, seed, name)
        row["spread"] = spread.rows
        spreads.append(spread)
    measured = get_args(Measured) if weights is not None else ("count",)
    network = [_network(spreads, of, by) for of in measured for by in get_args(Grouping)]
    return {"null_masks": null_masks, "seed": seed, "layers": layers, "network": network}
