"""Where in the spectrum a corruption changes images: its high-frequency share, and the order that follows.

h = mean over images of sum_{rho > r_c} |F(x_c - x)|^2 / sum_{rho > 0} |F(x_c - x)|^2 with r_c = H / 4, for images x and
their corrupted versions x_c; channels are added up before the quotient is taken. Natural images hold far more power at
low frequencies, so the same is given relative to them: the whitened share divides the power of each bin by that of
clean images in it. Ordering corruptions by such a share: Saikia et al. 2021 (arXiv:2108.07969).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from regrow.analysis import _plane
from regrow.analysis._networks import summary
from regrow.errors import InputError

Bytes = npt.NDArray[np.uint8]


def _channels_first(images: npt.NDArray[Any]) -> Tensor:
    """(n, ..., H, W, C) -> (n, ..., C, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, -3)))


def _checked(images: npt.NDArray[Any], name: str) -> None:
    if images.dtype != np.uint8 or images.ndim < 4:
        raise InputError(
            f"{name} images must be uint8 (n, ..., H, W, C), got {images.dtype} of the shape {images.shape}.",
            "give them as they are stored, not normalised.",
        )


def clean_spectrum(batches: Iterable[Bytes]) -> Tensor:
    """Mean power of images in each frequency, to whiten by.

    Args:
        batches: uint8 (n, ..., H, W, C), all of one H and W.

    Returns:
        Float64 (H, W // 2 + 1): mean over images of the power, summed over channels, in the bins of ``rfft2``. In units
        of grey values squared.

    Raises:
        InputError: no images, or of another type or size.
    """
    spectrum, n = None, 0
    for images in batches:
        _checked(images, "clean")
        found = _plane.power(_channels_first(images)).sum(dim=0)
        if spectrum is not None and spectrum.shape != found.shape:
            raise InputError(f"images of one spectrum must have one size, got {images.shape} among others.")
        spectrum = found if spectrum is None else spectrum + found
        n += len(images)
    if spectrum is None or n == 0:
        raise InputError("a spectrum needs at least one image, got none.", "give images of the test set.")
    mean: Tensor = spectrum / n
    return mean


def change_spectrum(
    pairs: Iterable[tuple[Bytes, Bytes]], *, clean: Tensor | None = None, radius: float | None = None
) -> dict[str, Any]:
    """Spectrum of what a corruption at one severity adds to images, in one pass over batches.

    No forward passes; one transform of each difference.

    Args:
        pairs: (clean, corrupted) batches of the same images, uint8 (n, ..., H, W, C).
        clean: `clean_spectrum` of the clean images, for the whitened share.
        radius: r_c in cycles per image, by default H / 4.

    Returns:
        - n: images; unchanged: those whose differences vary nowhere (identical, or shifted as a whole), which have no
          share.
        - radius: r_c.
        - share: {mean, sd, n} over images of the share above r_c.
        - share_whitened: likewise of the whitened differences; None without ``clean``.
        - energy: mean over images of the sum of squares of the difference, in grey values squared.
        - profile: rows of radius, bins, power: mean power of the difference in rings one cycle wide.

    Raises:
        InputError: no images, or pairs that do not match.
    """
    shares: list[float] = []
    whitened: list[float] = []
    spectrum, n, width, r_c = torch.zeros(0), 0, 0, radius
    for before, after in pairs:
        _checked(before, "clean")
        _checked(after, "corrupted")
        if before.shape != after.shape or (n and before.shape[-2] != width):
            raise InputError(
                f"clean and corrupted images must match, got the shapes {before.shape} and {after.shape}.",
                "give the same images of one size in both.",
            )
        height, width = before.shape[-3:-1]
        r_c = height / 4 if r_c is None else r_c
        power = _plane.power(_channels_first(after.astype(np.int16) - before))
        shares += _plane.share_above(power, width, r_c).tolist()
        if clean is not None:
            whitened += _plane.share_above(power / _whitener(clean, power), width, r_c).tolist()
        spectrum = power.sum(dim=0) + (spectrum if n else 0)
        n += len(before)
    if n == 0:
        raise InputError("the spectrum of a corruption needs at least one image, got none.", "give pairs of images.")
    found = summary(shares)
    return {
        "n": n,
        "unchanged": n - int(found["n"] or 0),
        "radius": r_c,
        "share": found,
        "share_whitened": None if clean is None else summary(whitened),
        "energy": float(_plane.total(spectrum, width)) / n,
        "profile": _plane.profile(spectrum / n, width),
    }


def _whitener(clean: Tensor, power: Tensor) -> Tensor:
    """The clean spectrum, with 1 at the zero frequency, which no share counts."""
    spectrum = clean.clone()
    spectrum[0, 0] = 1
    if clean.shape != power.shape[1:] or not bool((spectrum > 0).all()):
        raise InputError(
            f"the spectrum to whiten by must be above 0 in all bins {tuple(power.shape[1:])}, got the shape "
            f"{tuple(clean.shape)} and {int((spectrum <= 0).sum())} empty bins.",
            "take the `clean_spectrum` of more clean images of the same size.",
        )
    return spectrum


def by_share(spectra: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Corruptions in order of their high-frequency share, the highest first.

    Args:
        spectra: corruption -> severity -> what `change_spectrum` gave.

    Returns:
        Rows of corruption, share and share_whitened (means over severities, of equal weight, of the means over images),
        n (smallest number of images of a severity) and severities: rows of severity, share, share_whitened, energy, n.
        A severity that changes nothing has no share and is left out of the mean; a corruption without any comes last.
    """
    rows = []
    for name, severities in spectra.items():
        parts = [
            {
                "severity": severity,
                "share": found["share"]["mean"],
                "share_whitened": found["share_whitened"]["mean"] if found["share_whitened"] else None,
                "energy": found["energy"],
                "n": found["n"],
            }
            for severity, found in sorted(severities.items())
        ]
        means = {
            key: summary([part[key] for part in parts if part[key] is not None])["mean"]
            for key in ("share", "share_whitened")
        }
        rows.append(
            {"corruption": name, **means, "n": min((part["n"] for part in parts), default=0), "severities": parts}
        )
    return sorted(rows, key=lambda row: (row["share"] is None, -(row["share"] or 0), row["corruption"]))


def gain_against_share(gains: Mapping[str, float], shares: Mapping[str, float | None]) -> dict[str, Any]:
    """Gains and shares of the same corruptions, in order of the share: the data of a rank correlation.

    Args:
        gains: corruption -> gain in accuracy, in points.
        shares: corruption -> high-frequency share, plain or whitened (`by_share`); None where it has none.

    Returns:
        {"corruptions", "shares", "gains", "n", "left_out"}: three lists of one length, the highest share first, their
        length, and the corruptions that only one side has.

    Example:
        >>> gain_against_share({"fog": -1.0, "noise": 3.0}, {"noise": 0.8, "fog": 0.1, "frost": 0.2})["gains"]
        [3.0, -1.0]
    """
    known = {name: share for name, share in shares.items() if share is not None and name in gains}
    order = sorted(known, key=lambda name: (-known[name], name))
    return {
        "corruptions": order,
        "shares": [known[name] for name in order],
        "gains": [float(gains[name]) for name in order],
        "n": len(order),
        "left_out": sorted((set(gains) | set(shares)) - set(order)),
    }
