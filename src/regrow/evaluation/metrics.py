"""Means over cells: every one says over which corruptions and severities it was taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Cell = tuple[str, int]


def by_corruption(accuracy: Mapping[Cell, float], severities: Iterable[int]) -> dict[str, float]:
    """Mean over the severities, for each corruption that has all of them."""
    wanted = list(severities)
    names = dict.fromkeys(name for name, severity in accuracy if severity > 0)
    return {
        name: sum(accuracy[name, s] for s in wanted) / len(wanted)
        for name in names
        if wanted and all((name, s) in accuracy for s in wanted)
    }


def mean_accuracy(
    accuracy: Mapping[Cell, float], corruptions: Iterable[str], severities: Iterable[int]
) -> float | None:
    """Robustness accuracy: equal weights for corruptions, then for severities; None when a cell is missing.

    Example:
        >>> mean_accuracy({("fog", 1): 0.5, ("fog", 2): 0.25}, ["fog"], [1, 2])
        0.375
    """
    means, names = by_corruption(accuracy, severities), list(corruptions)
    if not names or any(name not in means for name in names):
        return None
    return sum(means[name] for name in names) / len(names)


def by_family(
    accuracy: Mapping[Cell, float], families: Mapping[str, str], corruptions: Iterable[str], severities: Iterable[int]
) -> dict[str, float]:
    """Mean over the given corruptions of each family (noise, blur, weather, digital)."""
    means = by_corruption(accuracy, severities)
    grouped: dict[str, list[float]] = {}
    for name in corruptions:
        if name in means:
            grouped.setdefault(families[name], []).append(means[name])
    return {family: sum(values) / len(values) for family, values in grouped.items()}


def by_severity(
    accuracy: Mapping[Cell, float], corruptions: Iterable[str], severities: Iterable[int]
) -> dict[int, float]:
    """Mean over the given corruptions at each severity for which all of them are there."""
    names = list(corruptions)
    return {
        s: sum(accuracy[name, s] for name in names) / len(names)
        for s in severities
        if names and all((name, s) in accuracy for name in names)
    }
