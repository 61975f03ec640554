"""From a method's settings to its record of parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from regrow import sparsity
from regrow.errors import InputError
from regrow.sparsity import methods
from regrow.training.settings import MethodSettings

_STOP = MethodSettings.model_fields["stop"].default
_ALLOCATIONS: dict[str, Callable[[], Any]] = {"erk": sparsity.ERK, "er": sparsity.ER, "uniform": sparsity.Uniform}
_DROPS: dict[str, Callable[[], Any]] = {
    "magnitude": sparsity.Magnitude,
    "set_signs": sparsity.Signs,
    "magnitude_gradient": sparsity.MagnitudeAndGradient,
    "taylor": sparsity.Taylor,
    "relative_importance": sparsity.RelativeImportance,
    "random": sparsity.RandomDrop,
    "soft": sparsity.Soft,
}
_GROWTHS: dict[str, Callable[[], Any]] = {
    "random": sparsity.RandomGrowth,
    "gradient": sparsity.GradientGrowth,
    "momentum": sparsity.MomentumGrowth,
    "ch2": lambda: sparsity.CannistraciHebb("CH2"),
    "ch3": lambda: sparsity.CannistraciHebb("CH3"),
    "never_active_first": sparsity.NeverActiveFirst,
}
_SCHEDULES: dict[str, Callable[[float, float], Any]] = {
    "cosine": sparsity.Cosine,
    "constant": lambda start, end: sparsity.Constant(start),
    "linear": sparsity.Linear,
}


def build_method(settings: MethodSettings, target: float) -> sparsity.Method:
    """The record of a method at a sparsity; what the settings leave open is the method's own.

    Args:
        settings: the method's name and parts.
        target: sparsity in [0, 1); ignored by ``dense``.

    Raises:
        UnknownNameError: no such method.
        InputError: the method does not take one of the options.
    """
    factory = methods.get(settings.name)
    if settings.name == "dense":
        return factory(0.0)
    try:
        own = factory(target, **settings.options)
    except TypeError as error:
        raise InputError(
            f"method {settings.name} does not take these options: {error}.", "correct `options`."
        ) from None
    parts: dict[str, Any] = {
        "regrow_dropped": settings.regrow_dropped,
        "returned": settings.returned,
        "state": settings.state,
    }
    if settings.allocation is not None:
        parts["allocation"] = _ALLOCATIONS[settings.allocation]()
    if settings.window is not None:
        parts["window"] = settings.window
    if not isinstance(own.timing, sparsity.Never):
        parts |= _parts_of_updates(settings, own)
    return factory(target, **{**settings.options, **parts})


def _parts_of_updates(settings: MethodSettings, own: sparsity.Method) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    if settings.interval is not None:
        parts["timing"] = sparsity.Every(settings.interval, stop=settings.stop)
    elif settings.updates is not None or settings.stop != _STOP:
        parts["timing"] = sparsity.Updates(settings.updates or 48, stop=settings.stop)
    if settings.drop_fraction is not None and own.drop_fraction != sparsity.Constant(0.0):
        parts["drop_fraction"] = _SCHEDULES[settings.drop_schedule](settings.drop_fraction, settings.drop_end)
    if settings.drop is not None:
        parts["drop"] = _DROPS[settings.drop]()
    if settings.grow is not None:
        parts["grow"] = _GROWTHS[settings.grow]()
    return parts
