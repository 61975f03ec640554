"""Which frequencies the kernels of a network let through, and whether the high-frequency ones are those emptied.

A kernel is padded with zeros to 32 x 32; its power is |FFT|^2 and its high-frequency share is the part of the whole
power (zero frequency included) at rho > 8. By the convolution theorem both are quadratic forms of its weights,

    share(w) = w'A w / w'w,   A[p, q] = 1/1024 sum over rho > 8 of exp(2 pi i f (p - q) / 32),

so that one small matrix serves all kernels of a size and none is transformed. The share of a filter is the mean over
its input channels, weighted by their energy.

A kernel of few weights is flat by itself: one of k weights has the share A[0, 0] = 0.8076 of a single pixel, wherever
it lies, and a random mask that keeps n of k weights draws a share s towards it, to about
A[0, 0] + (n - 1) / (k - 1) (s - A[0, 0]). Final shares therefore fall with the number of weights by mechanics alone.
`density_relation` tells that from selection in two ways, see there.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from torch import Tensor

from regrow import seeds
from regrow.analysis import _plane
from regrow.analysis._networks import summary
from regrow.analysis.spatial import FEWEST_NULL_MASKS
from regrow.errors import InputError

Floats = npt.NDArray[np.float64]
By = Literal["filter", "kernel"]

#: Side that kernels are padded to, and the radius above which a frequency is high: a quarter of it.
GRID = 32
RADIUS = 8.0
#: Groups below this number have no rank correlation.
_FEWEST_GROUPS = 3


def no_spectrum(shape: tuple[int, ...]) -> str | None:
    """Why kernels of a weight's shape have no spatial spectrum; None if they have one.

    Example:
        >>> no_spectrum((8, 4, 3, 3)), no_spectrum((8, 4, 1, 1))
        (None, 'kernels of one pixel')
    """
    if len(shape) not in (4, 5):
        return "no kernel in two dimensions"
    if max(shape[-2:]) == 1:
        return "kernels of one pixel"
    if max(shape[-2:]) > GRID:
        return f"kernels larger than {GRID} x {GRID}"
    return None


@functools.lru_cache(maxsize=64)
def _form(height: int, width: int, radius: float) -> Floats:
    """The matrix A of a kernel's size, (height width, height width)."""
    above = (_plane.radii(GRID, GRID) > radius).numpy()
    lags = np.fft.irfft2(above, s=(GRID, GRID))
    row, column = np.divmod(np.arange(height * width), width)
    form: Floats = lags[(row[:, None] - row) % GRID, (column[:, None] - column) % GRID]
    return form


def _powers(weight: Floats, radius: float) -> tuple[Floats, Floats]:
    """Power above the radius and in all of each kernel, (out, in); times of a clip's kernel are added up."""
    height, width = weight.shape[-2:]
    flat = weight.reshape(*weight.shape[:2], -1, height * width)
    high = ((flat @ _form(height, width, radius)) * flat).sum(axis=(2, 3))
    return np.maximum(high, 0), np.square(flat).sum(axis=(2, 3))


def _share(high: Floats, everything: Floats) -> Floats:
    """The quotient, NaN where there is no power."""
    share: Floats = np.divide(high, everything, out=np.full(high.shape, np.nan), where=everything > 0)
    return share


def _array(tensor: Tensor) -> Floats:
    found: Floats = tensor.detach().cpu().double().numpy()
    return found


def kernel_shares(weight: Tensor, *, radius: float = RADIUS) -> Floats | None:
    """High-frequency share of every kernel of a layer.

    Args:
        weight: (out, in / groups, k, k) of any two sides up to 32; or (out, in / groups, T, k, k) of clips, whose
            kernel at each time is transformed for itself and whose powers are added: the share speaks of space alone.
        radius: cycles in 32 pixels above which a frequency counts as high.

    Returns:
        Float64 (out, in / groups) in [0, 1], NaN for an empty kernel; None where kernels have no spectrum to speak of
        (one pixel, one dimension, a linear layer).

    Example:
        >>> import torch
        >>> print(kernel_shares(torch.tensor([[[[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]]])).round(6))
        [[0.984957]]
    """
    if no_spectrum(tuple(weight.shape)):
        return None
    return _share(*_powers(_array(weight), radius))


def filter_shares(weight: Tensor, *, radius: float = RADIUS) -> Floats | None:
    """High-frequency share of every filter, the mean over its kernels weighted by their energy: float64 (out,).

    Arguments and exceptions as for `kernel_shares`.
    """
    if no_spectrum(tuple(weight.shape)):
        return None
    high, everything = _powers(_array(weight), radius)
    return _share(high.sum(axis=1), everything.sum(axis=1))


def kernel_spectra(tensors: Mapping[str, Tensor], *, radius: float = RADIUS) -> list[dict[str, Any]]:
    """One row for each layer whose kernels have a spectrum.

    Args:
        tensors: layer name -> weight, e.g. a state dict. Others than weights of convolutions are left out.
        radius: see `kernel_shares`.

    Returns:
        Rows of layer, kernel (its sides), filters, kernels, empty (kernels without weights), share (of the layer:
        mean over kernels weighted by energy), and over kernels, unweighted, ``kernel_share`` and over filters
        ``filter_share`` = {mean, sd, n}; shares are None where all is empty.
    """
    rows = []
    for name, tensor in tensors.items():
        if no_spectrum(tuple(tensor.shape)):
            continue
        high, everything = _powers(_array(tensor), radius)
        share = float(_share(high.sum(keepdims=True), everything.sum(keepdims=True)).item())
        rows.append(
            {
                "layer": name,
                "kernel": list(tensor.shape[2:]),
                "filters": tensor.shape[0],
                "kernels": high.size,
                "empty": int((everything == 0).sum()),
                "share": None if math.isnan(share) else share,
                "kernel_share": summary(_share(high, everything).reshape(-1)),
                "filter_share": summary(_share(high.sum(axis=1), everything.sum(axis=1))),
            }
        )
    return rows


class _Ranks:
    """Centred ranks, in (-1/2, 1/2), of the number of weights and the share of those groups that have a share."""

    def __init__(self, counts: npt.NDArray[np.int64], shares: Floats) -> None:
        has = ~np.isnan(shares)
        self.n = int(has.sum())
        self.counts, self.shares = self._centred(counts[has]), self._centred(shares[has])
        spread = float(self.counts @ self.counts) * float(self.shares @ self.shares)
        self.defined = self.n >= _FEWEST_GROUPS and spread > 0

    def _centred(self, values: npt.NDArray[Any]) -> Floats:
        ranks: Floats = (rankdata(values) - (self.n + 1) / 2) / (self.n + 1)
        return ranks


def _correlation(parts: list[_Ranks]) -> float | None:
    """Spearman's rho; of several parts, of the ranks within each, so that differences between parts do not count."""
    used = [part for part in parts if part.defined]
    if not used:
        return None
    xy, xx, yy = (
        sum(float(a @ b) for a, b in pairs)
        for pairs in (
            [(p.counts, p.shares) for p in used],
            [(p.counts, p.counts) for p in used],
            [(p.shares, p.shares) for p in used],
        )
    )
    return xy / math.sqrt(xx * yy)


@dataclass(frozen=True)
class _Layer:
    """One layer: its name, counts per kernel (out, in), weights of a full kernel, and its weights then and now."""

    name: str
    counts: npt.NDArray[np.int64]
    size: int
    final: Floats
    initial: Floats | None

    def ranked(self, weight: Floats, by: By, radius: float) -> tuple[_Ranks, Floats]:
        """Ranks of counts and shares, and the shares, of ``weight``."""
        high, everything = _powers(weight, radius)
        if by == "filter":
            shares = _share(high.sum(axis=1), everything.sum(axis=1))
            return _Ranks(self.grouped(by), shares), shares
        shares = _share(high, everything).reshape(-1)
        return _Ranks(self.grouped(by), shares), shares

    def grouped(self, by: By) -> npt.NDArray[np.int64]:
        return self.counts.sum(axis=1) if by == "filter" else self.counts.reshape(-1)

    def thinned(self, seed: int, index: int) -> Floats:
        """The initial weights under a random mask that leaves every kernel its final number of weights."""
        assert self.initial is not None
        n = self.counts.size
        words = seeds.raw(
            seed, "mask", seeds.name_key(f"analysis.kernel_spectrum:{self.name}"), index, n=n * self.size
        ).reshape(n, self.size)
        keep = np.zeros((n, self.size), dtype=bool)
        np.put_along_axis(keep, np.argsort(words, axis=1), np.arange(self.size) < self.counts.reshape(-1, 1), axis=1)
        return np.where(keep.reshape(self.initial.shape), self.initial, 0)


def _layers(
    tensors: Mapping[str, Tensor], masks: Mapping[str, Tensor] | None, initial: Mapping[str, Tensor] | None
) -> Iterator[_Layer]:
    for name, tensor in tensors.items():
        if no_spectrum(tuple(tensor.shape)):
            continue
        mask = (masks or {}).get(name)
        first = (initial or {}).get(name)
        for kind, other in (("mask", mask), ("initial weight", first)):
            if other is not None and other.shape != tensor.shape:
                raise InputError(
                    f"the {kind} of {name} has the shape {tuple(other.shape)}, its weight {tuple(tensor.shape)}.",
                    "give those of the same network.",
                )
        final = _array(tensor if mask is None else tensor * (mask != 0))
        active = final != 0 if mask is None else _array(mask) != 0
        size = math.prod(tensor.shape[2:])
        counts = active.reshape(*tensor.shape[:2], size).sum(axis=2, dtype=np.int64)
        yield _Layer(name, counts, size, final, None if first is None else _array(first))


def density_relation(
    tensors: Mapping[str, Tensor],
    *,
    masks: Mapping[str, Tensor] | None = None,
    initial: Mapping[str, Tensor] | None = None,
    radius: float = RADIUS,
    null_masks: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Are the filters and kernels that lost weights the high-frequency ones? Rank correlations over a network.

    Spearman's rho between the number of active weights of a group (a filter, a kernel) and its high-frequency share;
    below 0: high-frequency groups hold fewer weights. Three figures, of which only the first and last are evidence:

    - ``rho_initial``: of the INITIAL dense weights, which owe nothing to the final mask. The share that a group had
      before anything was removed, empty groups included. Layers whose initial weights are masked already have the
      trouble of the next figure too (``initial_density`` tells).
    - ``rho_final``: of the final weights. Negative by mechanics alone wherever weights are low-frequency, since fewer
      weights make a flatter spectrum; empty groups have no share and are left out. Not to be read alone.
    - ``z``: distance of ``rho_final`` from the mean of ``null_masks`` draws, in their standard deviations
      (``null_mean``, ``null_sd``). A draw masks the initial weights at random so that every kernel keeps as many
      weights as it has now: what mechanics alone would give.

    Cost: one small matrix product for each layer and draw; 200 draws of a VGG-16 take minutes, of a ResNet-20 seconds.

    Args:
        tensors: layer name -> final weight. Layers whose kernels have no spectrum are left out and named.
        masks: layer name -> mask; where there is none, the non-zeros of the weight count.
        initial: layer name -> dense weight at the start; or of another dense network, for the same question.
        radius: see `kernel_shares`.
        null_masks: 0 (no z) or at least 200; needs ``initial``.
        seed: seed of these masks.

    Returns:
        {"radius", "null_masks", "rows", "pooled", "without_spectrum": {layer: why}}. A row for each layer and ``by`` =
        filter, kernel: layer, by, groups, density, initial_density, rho_initial, n_initial, rho_final, n_final,
        null_mean, null_sd, z, and mean initial shares of ``empty`` groups and of ``others``. ``pooled`` has one row for
        each ``by`` with the same correlations, of the ranks within layers, and the number of ``layers`` that enter.
        None for what is not defined: all groups equally full, no initial weights.

    Raises:
        InputError: shapes that do not match, fewer than 200 draws, or draws without initial weights.
    """
    if null_masks and (null_masks < FEWEST_NULL_MASKS or not initial):
        raise InputError(
            f"z-values need initial weights and at least {FEWEST_NULL_MASKS} random masks, got {null_masks} masks "
            f"and {len(initial or {})} initial weights.",
            "give both, or null_masks=0.",
        )
    layers = list(_layers(tensors, masks, initial))
    rows: list[dict[str, Any]] = []
    pooled: list[dict[str, Any]] = []
    drawn = _null(layers, radius, null_masks, seed)
    for by in ("filter", "kernel"):
        found = [_row(layer, by, radius) for layer in layers]
        for row, _, _ in found:
            rows.append(row | _against(row["rho_final"], drawn[by].get(row["layer"], [])))
        final, first = [final for _, final, _ in found], [first for _, _, first in found if first is not None]
        rho = _correlation(final)
        pooled.append(
            {
                "by": by,
                "layers": sum(part.defined for part in final),
                "rho_initial": _correlation(first),
                "n_initial": sum(part.n for part in first if part.defined),
                "rho_final": rho,
                "n_final": sum(part.n for part in final if part.defined),
            }
            | _against(rho, drawn[by].get("", []))
        )
    return {
        "radius": radius,
        "null_masks": null_masks,
        "rows": rows,
        "pooled": pooled,
        "without_spectrum": {name: why for name, t in tensors.items() if (why := no_spectrum(tuple(t.shape)))},
    }


def _row(layer: _Layer, by: By, radius: float) -> tuple[dict[str, Any], _Ranks, _Ranks | None]:
    """What one layer says without random masks, and its ranks for the pooled figures."""
    counts = layer.grouped(by)
    final, _ = layer.ranked(layer.final, by, radius)
    row: dict[str, Any] = {
        "layer": layer.name,
        "by": by,
        "groups": counts.size,
        "density": float(layer.counts.sum()) / layer.final.size,
        "initial_density": None,
        "rho_initial": None,
        "n_initial": 0,
        "rho_final": _correlation([final]),
        "n_final": final.n,
        "empty": None,
        "others": None,
    }
    if layer.initial is None:
        return row, final, None
    first, shares = layer.ranked(layer.initial, by, radius)
    row |= {
        "initial_density": float(np.count_nonzero(layer.initial)) / layer.initial.size,
        "rho_initial": _correlation([first]),
        "n_initial": first.n,
        "empty": summary(shares[counts == 0])["mean"],
        "others": summary(shares[counts > 0])["mean"],
    }
    return row, final, first


def _null(layers: list[_Layer], radius: float, n_masks: int, seed: int) -> dict[By, dict[str, list[float]]]:
    """Correlations under random masks by layer, and pooled under the empty name."""
    drawn: dict[By, dict[str, list[float]]] = {"filter": {}, "kernel": {}}
    random = [layer for layer in layers if layer.initial is not None and 0 < layer.counts.mean() < layer.size]
    for index in range(n_masks):
        parts: dict[By, list[_Ranks]] = {"filter": [], "kernel": []}
        for layer in random:
            thin = layer.thinned(seed, index)
            for by, of_layers in parts.items():
                ranks, _ = layer.ranked(thin, by, radius)
                of_layers.append(ranks)
                _append(drawn[by], layer.name, _correlation([ranks]))
        for by, of_layers in parts.items():
            _append(drawn[by], "", _correlation(of_layers))
    return drawn


def _append(lists: dict[str, list[float]], name: str, value: float | None) -> None:
    if value is not None:
        lists.setdefault(name, []).append(value)


def _against(rho: float | None, null: list[float]) -> dict[str, float | None]:
    """Where a correlation lies among those of random masks."""
    spread = summary(null)
    mean, sd = spread["mean"], spread["sd"]
    known = rho is not None and mean is not None and sd is not None and sd > 0
    return {"null_mean": mean, "null_sd": sd, "z": (rho - mean) / sd if known else None}  # type: ignore[operator]
