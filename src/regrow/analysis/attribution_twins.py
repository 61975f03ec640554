"""Two networks on clean images and on their corrupted twins: do they still look at the same places?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from regrow.analysis.attenuation import radial_mask
from regrow.analysis.attribution import Attribution, Targets, grad_cam, integrated_gradients
from regrow.errors import InputError, UnknownNameError

Method = Literal["grad_cam", "integrated_gradients"]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Twins:
    """Attribution maps of two networks on clean and corrupted images.

    Attributes:
        maps: ``"METHOD.NETWORK.clean"`` and ``"METHOD.NETWORK.corrupted"`` -> float16 (N, H, W), each map divided by
            its largest magnitude.
        scales: the same names -> these magnitudes, float32 (N,), in units of the logit.
        rows: a row for each method and network: method, network, layer, n; mean cosine and rank_correlation of a map
            and its twin, over the n_compared images of which both maps are not constant; mean high_share_clean and
            high_share_corrupted; completeness_error_clean and _corrupted (None for Grad-CAM).
    """

    maps: Mapping[str, npt.NDArray[np.float16]]
    scales: Mapping[str, npt.NDArray[np.float32]]
    rows: list[dict[str, Any]]


def twins(
    model_a: nn.Module,
    model_b: nn.Module,
    clean: Tensor,
    corrupted: Tensor,
    labels: Tensor | npt.NDArray[np.integer[Any]],
    *,
    names: tuple[str, str] = ("dense", "sparse"),
    methods: Sequence[Method] = get_args(Method),
    target: Literal["label", "prediction"] = "label",
    layer: str | None = None,
    baseline: float | Sequence[float] = 0.0,
    steps: int = 50,
    batch_size: int = 64,
) -> Twins:
    """Maps of two networks on the same images, clean and corrupted, and how alike a map and its twin are.

    Args:
        model_a: from normalised images to logits.
        model_b: the other network.
        clean: normalised images (N, C, H, W).
        corrupted: the same images in the same order, corrupted.
        labels: classes (N,).
        names: what the networks are called.
        methods: which maps.
        target: "label": all maps speak of the true class; "prediction": of the class that the network sees in the
            clean image, for both twins.
        layer: of Grad-CAM, in both networks; default the last feature map of each.
        baseline: of integrated gradients.
        steps: of integrated gradients.
        batch_size: images at a time.

    Raises:
        InputError: images that are not twins, names that are not two, an unknown method or target; otherwise as for
            `grad_cam` and `integrated_gradients`.
    """
    _checked(clean, corrupted, names, methods, target)
    ways: dict[Method, Callable[[nn.Module, Tensor, Targets], Attribution]] = {
        "grad_cam": lambda model, x, t: grad_cam(model, x, t, layer=layer, batch_size=batch_size),
        "integrated_gradients": lambda model, x, t: integrated_gradients(
            model, x, t, baseline=baseline, steps=steps, batch_size=batch_size
        ),
    }
    maps, scales, rows = {}, {}, []
    for method in methods:
        for name, model in zip(names, (model_a, model_b), strict=True):
            first = ways[method](model, clean, "prediction" if target == "prediction" else torch.as_tensor(labels))
            second = ways[method](model, corrupted, first.targets)
            rows.append(_row(method, name, first, second))
            for twin, found in (("clean", first), ("corrupted", second)):
                key = f"{method}.{name}.{twin}"
                maps[key], scales[key] = _scaled(found.maps)
    return Twins(maps, scales, rows)


def cosine(a: Tensor, b: Tensor) -> Floats:
    """Cosine of the angle between each map and its twin: (N, H, W) twice -> (N,), in [-1, 1]; NaN where one is 0.

    Example:
        >>> cosine(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[3.0, 4.0]]])).round(6).tolist()
        [0.6]
    """
    return _cosine(_flat(a), _flat(b))


def map_rank_correlation(a: Tensor, b: Tensor) -> Floats:
    """Spearman's correlation over the places of each map and its twin, ties at their mean rank: (N,).

    NaN where a map is constant.

    Example:
        >>> a, b = torch.tensor([[[1.0, 2.0, 9.0]]]), torch.tensor([[[-1.0, 0.0, 0.1]]])
        >>> map_rank_correlation(a, b).round(6).tolist()
        [1.0]
    """
    ranks = [rankdata(_flat(maps), axis=1) for maps in (a, b)]
    middle = (ranks[0].shape[1] + 1) / 2
    return _cosine(ranks[0] - middle, ranks[1] - middle)


def high_share(maps: Tensor, radius: float | None = None) -> Floats:
    """Share of the energy of each map's positive part that varies faster than a radius.

    Power at rho > radius over power at rho > 0. Enlarged maps have little of it by their making: compare Grad-CAM only
    between networks whose feature maps are of one size.

    Args:
        maps: (N, H, W).
        radius: in cycles per image; default H / 4.

    Returns:
        (N,), in [0, 1]; NaN where the positive part is constant.
    """
    height, width = maps.shape[-2:]
    power = torch.fft.fftshift(torch.fft.fft2(maps.double().clamp(min=0)).abs().square(), dim=(-2, -1))
    above = radial_mask(height, width, math.nextafter(height / 4 if radius is None else radius, math.inf), "high")
    varying = power[:, radial_mask(height, width, 1, "high")].sum(dim=1)
    share = power[:, above].sum(dim=1) / varying
    rounding = 1e-24 * power.sum(dim=(1, 2))
    found: Floats = share.masked_fill(varying <= rounding, math.nan).numpy()
    return found


def _checked(clean: Tensor, corrupted: Tensor, names: Sequence[str], methods: Sequence[str], target: str) -> None:
    if clean.shape != corrupted.shape:
        raise InputError(
            f"twins have one shape, got {tuple(clean.shape)} and {tuple(corrupted.shape)}.",
            "give the corrupted images of the same clean ones, in their order.",
        )
    if len(set(names)) != 2:
        raise InputError(f"two networks need two names, got {list(names)}.", "give e.g. ('dense', 'sparse').")
    for kind, given, known in (
        *(("attribution method", method, get_args(Method)) for method in methods),
        ("target", target, ("label", "prediction")),
    ):
        if given not in known:
            raise UnknownNameError(kind, given, known, f"give {' or '.join(known)}.")


def _row(method: str, network: str, clean: Attribution, corrupted: Attribution) -> dict[str, Any]:
    ranks = map_rank_correlation(clean.maps, corrupted.maps)
    compared = np.isfinite(ranks)
    return {
        "method": method,
        "network": network,
        "layer": clean.layer or None,
        "n": len(clean.maps),
        "n_compared": int(compared.sum()),
        "cosine": _mean(cosine(clean.maps, corrupted.maps)[compared]),
        "rank_correlation": _mean(ranks[compared]),
        "high_share_clean": _mean(high_share(clean.maps)),
        "high_share_corrupted": _mean(high_share(corrupted.maps)),
        "completeness_error_clean": clean.completeness_error,
        "completeness_error_corrupted": corrupted.completeness_error,
    }


def _mean(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def _flat(maps: Tensor) -> Floats:
    flat: Floats = maps.double().flatten(1).numpy()
    return flat


def _cosine(a: Floats, b: Floats) -> Floats:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    products = (a * b).sum(axis=1)
    found: Floats = np.divide(products, lengths, out=np.full(len(a), math.nan), where=lengths > 0)
    return found


def _scaled(maps: Tensor) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float32]]:
    """Each map over its largest magnitude, which float16 holds whatever the logits' scale; a map of 0 stays 0."""
    scale = maps.abs().amax(dim=(1, 2))
    unit = maps / torch.where(scale > 0, scale, 1)[:, None, None]
    return unit.numpy().astype(np.float16), scale.numpy().astype(np.float32)
