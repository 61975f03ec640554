"""The arms that a claim compares: runs of one label over its registered sparsities, one value a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from regrow.study.claims import Registration
from regrow.study.roles import ROLES, Role
from regrow.study.view import Cell, RunView, StudyView
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

    @property
    def is_done(self) -> bool:
        """Whether any of its runs is."""
        return any(run.state == "done" for run in self.runs)

    def beside(self, other: Pool) -> Pool | None:
        """What of it is set against another pool: the arms of the same sparsities; dense ones stand beside all.

        None where it lacks one of them: a mean over other sparsities would be another number.
        """
        if (0.0,) in (self.sparsities, other.sparsities):
            return self
        arms = tuple(arm for arm in self.arms if arm.sparsity in other.sparsities)
        return replace(self, arms=arms) if len(arms) == len(other.arms) else None

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
    by_arm = [{run.seed: run for run in reversed(arm.runs)} for arm in arms]  # the first run of a seed
    found: dict[int, list[_T] | None] = {}
    for seed in sorted({seed for runs_of in by_arm for seed in runs_of}):
        runs = [runs_of.get(seed) for runs_of in by_arm]
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
    """The pools that have one of the roles or labels; a name that is a role means the role alone."""
    labels = set(names) - set(ROLES)
    return [pool for pool in all_pools if pool.role in names or pool.method in labels]


def references(all_pools: Sequence[Pool], pool: Pool, name: str) -> list[Pool]:
    """What ``pool`` is compared with under a role or label: the pools of equal axes, or those that have none.

    A pool is never its own reference. Where several would do (weight decays of a sweep), each is one comparison.
    """
    found = [one for one in named(all_pools, [name]) if one.label != pool.label]
    same = [one for one in found if one.axes == pool.axes] or [one for one in found if not one.axes]
    return [beside for one in same if (beside := one.beside(pool)) is not None]


def cells_that_differ(runs: Iterable[RunView]) -> list[Cell]:
    """Cells of which finished runs saw other images, as far as their digests are known, or another number of them."""
    sizes: dict[Cell, set[int]] = {}
    digests: dict[Cell, set[str]] = {}
    for run in runs:
        if run.state == "done":
            for cell, score in run.scores.items():
                sizes.setdefault(cell, set()).add(score.n)
                digests.setdefault(cell, set()).update({run.images[cell]} if cell in run.images else ())
    return [cell for cell in sizes if max(len(sizes[cell]), len(digests[cell])) > 1]
