"""How long a run is: its schedules, the part that a start has behind it, and where training stops."""

from __future__ import annotations

from dataclasses import dataclass

from regrow.training.settings import RunSettings, TrainingSettings

#: Name of the file in which a run keeps its weights of an early step, for runs that start from them.
EARLY = "weights-at-{}.safetensors"


@dataclass(frozen=True)
class Length:
    """Optimiser steps of a run.

    Attributes:
        total: length of all schedules.
        first: steps that the weights it starts from have behind them; training goes on from there.
        last: the step after which training stops.
    """

    total: int
    first: int
    last: int

    @property
    def made(self) -> int:
        """Steps that the run itself makes."""
        return self.last - self.first


def total_steps(settings: TrainingSettings, n_images: int) -> int:
    """Optimiser steps of a run on ``n_images`` (the last part of an epoch that fills no batch is left out)."""
    if settings.steps is not None:
        return settings.steps
    return max(1, round((settings.epochs or 0) * max(1, n_images // settings.batch)))


def length_of(settings: RunSettings, n_images: int) -> Length:
    """The length of a run.

    Args:
        settings: the run; a start from an early checkpoint counts in its own schedule (weight rewinding, Frankle et al.
            2020, arXiv:1912.05671).
        n_images: training images.
    """
    total = total_steps(settings.training, n_images)
    share = settings.source.weights if settings.source is not None else "initial"
    first = 0 if isinstance(share, str) else step_at(share, total)
    return Length(total, first, max(first, min(total, max(1, round(settings.training.stop_after * total)))))


def step_at(share: float, total: int) -> int:
    """The step that lies at a share of training."""
    return round(share * total)
