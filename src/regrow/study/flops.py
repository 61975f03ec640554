"""Training FLOPs of planned runs, and the number of steps that costs as much as another run."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from regrow.training.augmenting import passes
from regrow.training.length import length_of
from regrow.training.settings import ModelSettings, Precision, RunSettings

if TYPE_CHECKING:
    from torch import nn

    from regrow.data.spec import DataSpec
    from regrow.sparsity.planning import Plan


@dataclass(frozen=True)
class DataSize:
    """What a plan needs to know of the data.

    Attributes:
        n_images: training images, or clips.
        n_classes: classes.
        input_shape: of one input of the network, channels first.
    """

    n_images: int
    n_classes: int
    input_shape: tuple[int, ...]

    @property
    def side(self) -> int:
        """Of the square images, pixels."""
        return self.input_shape[-1]

    @staticmethod
    def of(spec: DataSpec) -> DataSize:
        """That of a whole data set."""
        return DataSize(spec.splits["train"], spec.n_classes, spec.input_shape)


def made_plan(network: nn.Module, settings: RunSettings, n_images: int, masks: Any = None) -> Plan:
    """What a run's method will do to its network; see `regrow.training.start.method_of` for ``masks``."""
    from regrow.sparsity.planning import make_plan
    from regrow.training.start import method_of

    length = length_of(settings, n_images)
    per_epoch = max(1, n_images // settings.training.batch)
    keep_dense = tuple(settings.method.keep_dense)
    steps = max(1, length.total - length.first)
    return make_plan(network, method_of(settings, masks), steps, None, keep_dense, per_epoch)


def training_cost(made: Plan, counted: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Operations per sample, summed over the steps, with the active weights planned for each.

    Args:
        made: the plan of the method.
        counted: `regrow.sparsity.cost.flops` of the network.
        steps: steps that are made.

    Returns:
        See `regrow.sparsity.cost.training_cost`: ``dense``, ``sparse``, ``ratio`` ...; a step counts as one pass.
    """
    from regrow.sparsity import cost

    method, sizes, updates = made.method, [one.size for one in made.layers], made.window.steps()
    rows = []
    for t in updates:  # between updates a step may hold more than the plan: a soft bound, or all weights
        fraction = method.drop_fraction(made.window.progress(t)) if t != updates[-1] else 0.0
        counts = method.step.held(made.planned(t), sizes, fraction)
        rows += [{"step": t, "layer": one.name, "n_active": n} for one, n in zip(made.layers, counts, strict=True)]
    window, every_step = cost.gradient_steps(method)
    return cost.training_cost(
        {row["name"]: row["dense"] for row in counted["layers"]},
        {one.name: one.size for one in made.layers},
        {one.name: n for one, n in zip(made.layers, made.n_active, strict=True)},
        rows,
        total_steps=steps,
        other=counted["other"],
        window=window,
        every_step=every_step,
    )


def training_flops(settings: RunSettings, size: DataSize) -> float:
    """Training FLOPs of a whole run: its steps, passes, batches and active weights."""
    network, counted = _counted(settings.model.model_dump_json(), size.n_classes, size.input_shape)
    made = made_plan(network, settings, size.n_images)
    spent = training_cost(made, counted, length_of(settings, size.n_images).made)
    return float(spent["sparse"] * settings.training.batch * passes(settings.training))


@functools.lru_cache(maxsize=32)
def _counted(model: str, n_classes: int, shape: tuple[int, ...]) -> tuple[nn.Module, dict[str, Any]]:
    from regrow.sparsity import cost
    from regrow.training.network import build_network

    settings = ModelSettings.model_validate_json(model)
    network = build_network(settings, n_classes, shape[-1], seed=0, precision=Precision())
    return network, cost.flops(network, shape)


def steps_that_cost(target: float, settings: RunSettings, size: DataSize) -> int:
    """The number of steps at which a run's training FLOPs are nearest to ``target``.

    The cost is all but proportional to the steps, as schedules stretch with the run; what is left (updates at whole
    steps) is found by repetition.
    """

    def cost(steps: int) -> float:
        return training_flops(with_steps(settings, steps), size)

    n = max(1, length_of(settings, size.n_images).total)
    for _ in range(20):
        better = max(1, round(n * target / cost(n)))
        if better == n:
            break
        n = better
    return min((m for m in (n - 1, n, n + 1) if m >= 1), key=lambda m: abs(cost(m) - target))


def with_steps(settings: RunSettings, steps: int) -> RunSettings:
    """The run with another number of steps."""
    training = settings.training.model_copy(update={"steps": steps, "epochs": None})
    return settings.model_copy(update={"training": training})
