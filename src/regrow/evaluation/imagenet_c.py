"""Corruption errors relative to AlexNet, as ImageNet-C is scored: CE, mCE and relative mCE.

    E[c,s], E0   top-1 error of a network on corruption c at severity s, and on clean images; A[c,s], A0: AlexNet's
    CE_c         = sum_s E[c,s] / sum_s A[c,s]
    mCE          = mean of CE_c over the fifteen common types, in per cent
    relative CE  = sum_s (E[c,s] - E0) / sum_s (A[c,s] - A0), its mean over the fifteen likewise

Hendrycks and Dietterich 2019, arXiv:1903.12261, section 4.2. The four extra types never enter.
"""

from __future__ import annotations

from collections.abc import Mapping

from regrow.errors import DataError
from regrow.evaluation.metrics import Cell
from regrow.evaluation.scores import Score

#: AlexNet's published top-1 errors by severity 1 to 5 on the full set.
ALEXNET: dict[str, tuple[float, float, float, float, float]] = {
    "gaussian_noise": (0.69528, 0.82542, 0.93554, 0.98138, 0.99452),
    "shot_noise": (0.71224, 0.85108, 0.93574, 0.98182, 0.99146),
    "impulse_noise": (0.78374, 0.89808, 0.94870, 0.98720, 0.99548),
    "defocus_blur": (0.65624, 0.73202, 0.85036, 0.91364, 0.94714),
    "glass_blur": (0.64308, 0.75054, 0.88806, 0.91622, 0.93344),
    "motion_blur": (0.58430, 0.70048, 0.82108, 0.89750, 0.92638),
    "zoom_blur": (0.70008, 0.76992, 0.80784, 0.84198, 0.87198),
    "snow": (0.71726, 0.88392, 0.86468, 0.91870, 0.94952),
    "frost": (0.61390, 0.79734, 0.88790, 0.89942, 0.93430),
    "fog": (0.67474, 0.76050, 0.84378, 0.87260, 0.94500),
    "brightness": (0.45140, 0.48502, 0.54048, 0.62166, 0.72440),
    "contrast": (0.64548, 0.76150, 0.88874, 0.97760, 0.99270),
    "elastic_transform": (0.52596, 0.70116, 0.55686, 0.64076, 0.80554),
    "pixelate": (0.52218, 0.54620, 0.73728, 0.87092, 0.91262),
    "jpeg_compression": (0.51002, 0.54718, 0.57294, 0.65458, 0.74778),
}

#: AlexNet's clean top-1 error (torchvision's weights, 56.522 % accuracy).
ALEXNET_CLEAN = 0.43478


_OVER = "the 15 common types of ImageNet-C x severities 1 to 5"


def corruption_errors(accuracy: Mapping[Cell, float]) -> dict[str, float]:
    """CE of each of the fifteen common types, 1 = as AlexNet.

    Args:
        accuracy: (corruption, severity) -> accuracy in [0, 1].

    Raises:
        DataError: a cell is missing; a mean over other cells would be another number.
    """
    errors = _errors(accuracy)
    return {name: sum(errors[name]) / sum(reference) for name, reference in ALEXNET.items()}


def relative_corruption_errors(accuracy: Mapping[Cell, float]) -> dict[str, float]:
    """Relative CE of each type: growth of the error from the clean images on, 1 = as AlexNet.

    Args:
        accuracy: as of :func:`corruption_errors`; it must hold ``("clean", 0)``.

    Raises:
        DataError: a cell is missing.
    """
    errors = _errors(accuracy)
    if ("clean", 0) not in accuracy:
        raise DataError("the clean images were not evaluated.", "evaluate the cell clean.0 too.")
    clean = 1 - accuracy["clean", 0]
    return {
        name: (sum(errors[name]) - 5 * clean) / (sum(reference) - 5 * ALEXNET_CLEAN)
        for name, reference in ALEXNET.items()
    }


def scores(accuracy: Mapping[Cell, float], n_images: int | None = None) -> list[Score]:
    """mCE, and relative mCE where the clean images were evaluated.

    Args:
        accuracy: as of :func:`corruption_errors`.
        n_images: of each cell, to be told.

    Raises:
        DataError: a cell is missing.

    Example:
        >>> alexnet = {(c, s): 1 - e for c, row in ALEXNET.items() for s, e in enumerate(row, 1)}
        >>> round(scores(alexnet)[0].value, 10)
        100.0
    """
    ce = corruption_errors(accuracy)
    over = _OVER if n_images is None else f"{_OVER}, {n_images} images each"
    found = [Score("mCE", _per_cent(ce), "mean over c of sum_s E[c,s] / sum_s AlexNet[c,s]", over)]
    if ("clean", 0) in accuracy:
        relative = relative_corruption_errors(accuracy)
        formula = "mean over c of sum_s (E[c,s] - E0) / sum_s (AlexNet[c,s] - AlexNet0)"
        found.append(Score("relative mCE", _per_cent(relative), formula, f"{over}, and the clean images"))
    return found


def _per_cent(values: Mapping[str, float]) -> float:
    return 100 * sum(values.values()) / len(values)


def _errors(accuracy: Mapping[Cell, float]) -> dict[str, list[float]]:
    missing = [(name, s) for name in ALEXNET for s in range(1, 6) if (name, s) not in accuracy]
    if missing:
        name, severity = missing[0]
        raise DataError(
            f"{len(missing)} of the 75 cells were not evaluated, the first: {name} at severity {severity}.",
            "evaluate all fifteen common types at all five severities.",
        )
    return {name: [1 - accuracy[name, s] for s in range(1, 6)] for name in ALEXNET}
