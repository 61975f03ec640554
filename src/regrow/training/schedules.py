"""Learning-rate schedules: functions of progress, so that one recipe serves any run length."""

from __future__ import annotations

import math

from regrow.training.settings import TrainingSettings


def learning_rate(step: int, total_steps: int, settings: TrainingSettings) -> float:
    """Learning rate of one optimiser step.

    Linear warm-up over the first ``warmup * total_steps`` steps (step 0 already above 0), then the schedule over the
    rest: half a cosine to 0 (Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts), steps by ``gamma`` at the
    ``milestones`` (shares of the whole run), or constant.

    Args:
        step: steps already done, in [0, total_steps).
        total_steps: length of the run.
        settings: lr, schedule, warmup, milestones and gamma.

    Example:
        >>> s = TrainingSettings(steps=10, lr=1.0, schedule="step")
        >>> [round(learning_rate(t, 10, s), 3) for t in (0, 4, 5, 8)]
        [1.0, 1.0, 0.1, 0.01]
    """
    warmup_steps = round(settings.warmup * total_steps)
    if step < warmup_steps:
        return settings.lr * (step + 1) / warmup_steps
    if settings.schedule == "constant":
        return settings.lr
    if settings.schedule == "step":
        passed = sum(step >= round(share * total_steps) for share in settings.milestones)
        return float(settings.lr * settings.gamma**passed)
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * progress))
