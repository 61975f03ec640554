"""From a method's settings to its record of parts."""

from __future__ import annotations

from typing import Any

from regrow import sparsity
from regrow.sparsity import methods
from regrow.training.settings import MethodSettings

_DROPS = {"magnitude": "Magnitude", "set_signs": "Signs"}
_GROWTHS = {"random": "RandomGrowth", "gradient": "GradientGrowth"}


def build_method(settings: MethodSettings, target: float) -> sparsity.Method:
    """The record of a method at a sparsity.

    Args:
        settings: the method's name and parts.
        target: sparsity in [0, 1); ignored by ``dense``.

    Raises:
        UnknownNameError: no such method.
    """
    factory = methods.get(settings.name)
    if settings.name == "dense":
        return factory(0.0)
    timing = (
        sparsity.Every(settings.interval, stop=settings.stop)
        if settings.interval is not None
        else sparsity.Updates(settings.updates or 48, stop=settings.stop)
    )
    schedule = sparsity.Cosine if settings.drop_schedule == "cosine" else sparsity.Constant
    parts: dict[str, Any] = {
        "allocation": sparsity.ERK() if settings.allocation == "erk" else sparsity.Uniform(),
        "regrow_dropped": settings.regrow_dropped,
        "returned": settings.returned,
    }
    if settings.name != "static":
        parts |= {"timing": timing, "drop_fraction": schedule(settings.drop_fraction)}
        if settings.drop is not None:
            parts["drop"] = getattr(sparsity, _DROPS[settings.drop])()
        if settings.grow is not None:
            parts["grow"] = getattr(sparsity, _GROWTHS[settings.grow])()
    return factory(target, **parts)
