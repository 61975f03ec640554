"""The arms that a claim compares: runs of one label over its registered sparsities, one value a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from regrow.study.claims import Registration
from regrow.study.roles import Role
from regrow.study.view import RunView, StudyView
from regrow.verdict.arms import Arm, arms_of
from regrow.verdict.metrics import Images, Metric

_T = TypeVar("_T")


@dataclass(frozen=True)
class Pool:
    """Runs that differ by seed and sparsity alone.

    Attributes:
        label: label of the method in tables, with the values of further axes.
        method: label of the recipe's entry.
        role: its role.
        axes: values of further axes.
        arms: one arm for each sparsity.
    """

    label: str
    method: str
    role: Role
    axes: tuple[tuple[str, str], ...]
    arms: tuple[Arm, ...]

    @property
    def sparsities(self) -> tuple[float, ...]:
        """The sparsities of its arms."""
        return tuple(arm.sparsity for arm in self.arms)

    @property
    def runs(self) -> tuple[RunView, ...]:
        """All its planned runs."""
        return tuple(run for arm in self.arms for run in arm.runs)

    def within(self, low: float, high: float) -> Pool:
        """The arms whose sparsity lies in a range."""
        return replace(self, arms=tuple(arm for arm in self.arms if low <= arm.sparsity <= high))

    def at(self, sparsities: Sequence[float]) -> Pool:
        """The arms to be set against others at these sparsities: the same ones, or its only arm."""
        if len(self.arms) == 1:
            return self
        return replace(self, arms=tuple(arm for arm in self.arms if arm.sparsity in sparsities))

    def by_seed(self, metric: Metric) -> dict[int, float | None]:
        """Planned seed -> mean over the sparsities; None where a run is not done or lacks a part of the metric."""
        values = _by_seed(self.arms, metric.of_run)
        return {seed: None if found is None else float(np.mean(found)) for seed, found in values.items()}

    def images_by_seed(self, metric: Metric) -> dict[int, Images]:
        """Seed -> mean over the sparsities for each image, where all runs of the seed have one of equal length."""
        values = _by_seed(self.arms, metric.of_images)
        return {
            seed: np.mean(found, axis=0)
            for seed, found in values.items()
            if found is not None and len({len(v) for v in found}) == 1
        }


def _by_seed(arms: Sequence[Arm], of: Callable[[RunView], _T | None]) -> dict[int, list[_T] | None]:
    seeds = sorted({run.seed for arm in arms for run in arm.runs})
    found: dict[int, list[_T] | None] = {}
    for seed in seeds:
        runs = [next((run for run in arm.runs if run.seed == seed), None) for arm in arms]
        values = [None if run is None or run.state != "done" else of(run) for run in runs]
        known = [value for value in values if value is not None]
        found[seed] = known if len(known) == len(arms) else None
    return found


def pools(view: StudyView, registered: Registration) -> tuple[Pool, ...]:
    """All pools of a study, in the order of its arms."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], list[Arm]] = {}
    for arm in arms_of(view):
        found.setdefault((arm.method, arm.axes), []).append(arm)
    return tuple(
        Pool(
            label=" ".join([method, *(f"{key.rsplit('.', 1)[-1]}={value}" for key, value in axes)]),
            method=method,
            role=registered.arms.get(method, "other"),
            axes=axes,
            arms=tuple(sorted(arms, key=lambda arm: arm.sparsity)),
        )
        for (method, axes), arms in found.items()
    )


def named(all_pools: Sequence[Pool], names: Sequence[str]) -> list[Pool]:
    """The pools that have one of the roles or labels."""
    return [pool for pool in all_pools if pool.role in names or pool.method in names]


def references(all_pools: Sequence[Pool], pool: Pool, name: str) -> list[Pool]:
    """What ``pool`` is compared with under a role or label: the pools of equal axes, or all where none are equal.

    A pool is never its own reference. Where several would do (weight decays of a sweep), each is one comparison.
    """
    found = [one for one in named(all_pools, [name]) if one.label != pool.label]
    same = [one for one in found if one.axes == pool.axes]
    return [one.at(pool.sparsities) for one in same or (found if len(found) == 1 else [])]
