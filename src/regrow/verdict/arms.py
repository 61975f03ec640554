"""From the runs of a study to the numbers of its page: arms, means over cells, paired differences to dense."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from regrow.study.view import CLEAN, RunView, StudyView

#: Order in which families are shown; others follow by name.
FAMILIES = ("noise", "blur", "weather", "digital")


@dataclass(frozen=True)
class Arm:
    """Everything that differs by the seed alone.

    Attributes:
        name: label, unique within the study.
        method: name of the method.
        sparsity: target sparsity in [0, 1).
        axes: values of the recipe's further axes as sorted ``(key, text)`` pairs.
        runs: all its runs, finished or not.
        index: place among the arms, dense first.
        look: number that gives its colour (one a method) and its shape and dash (one a variant): see ``charts.colour``.
    """

    name: str
    method: str
    sparsity: float
    axes: tuple[tuple[str, str], ...]
    runs: tuple[RunView, ...]
    index: int
    look: int

    @property
    def done(self) -> tuple[RunView, ...]:
        """Its finished runs, by seed."""
        return tuple(sorted((r for r in self.runs if r.state == "done"), key=lambda r: r.seed))

    @property
    def is_dense(self) -> bool:
        """Whether this is dense training."""
        return self.method == "dense"


@dataclass(frozen=True)
class Difference:
    """One arm minus its dense partner, over the seeds that both have finished.

    Attributes:
        arm: the arm.
        reference: name of the dense arm, or empty where there is none.
        seeds: the common seeds.
        by_seed: difference for each common seed, fractions of 1.
        mean: their mean, or None without a common seed.
        low: lower end of the 95 % interval; None below 3 seeds.
        high: upper end.
        p: two-sided p of the paired t test, uncorrected; None below 3 seeds.
        p_holm: the same after Holm over all arms that were compared.
    """

    arm: Arm
    reference: str
    seeds: tuple[int, ...]
    by_seed: tuple[float, ...]
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None

    @property
    def n(self) -> int:
        """Number of pairs."""
        return len(self.seeds)


def arms_of(view: StudyView) -> tuple[Arm, ...]:
    """The arms of a study, dense ones first, then in the order of the plan."""
    found: dict[tuple[str, float, tuple[tuple[str, str], ...]], list[RunView]] = {}
    for run in view.runs:
        axes = tuple(sorted((str(k), str(v)) for k, v in run.axes.items()))
        found.setdefault((run.method, 0.0 if run.method == "dense" else run.sparsity, axes), []).append(run)
    ordered = sorted(found.items(), key=lambda item: item[0][0] != "dense")
    names: dict[str, int] = {}
    methods: dict[str, int] = {}
    variants: dict[str, int] = {}
    arms = []
    for index, ((method, sparsity, axes), runs) in enumerate(ordered):
        label = runs[0].arm
        names[label] = names.get(label, 0) + 1
        name = label if names[label] == 1 else f"{label} ({names[label]})"
        colour = methods.setdefault(method, len(methods))
        variant = variants.get(method, -1) + 1
        variants[method] = variant
        arms.append(Arm(name, method, sparsity, axes, tuple(runs), index, colour % 8 + 8 * (variant + colour // 8)))
    return tuple(arms)


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that exist, or None if there is none."""
    known = [v for v in values if v is not None and math.isfinite(v)]
    return math.fsum(known) / len(known) if known else None


def spread(values: Iterable[float | None]) -> float | None:
    """Sample standard deviation (n - 1), or None below two values."""
    known = [v for v in values if v is not None and math.isfinite(v)]
    if len(known) < 2:
        return None
    centre = math.fsum(known) / len(known)
    return math.sqrt(math.fsum((v - centre) ** 2 for v in known) / (len(known) - 1))


def complete(values: Sequence[float | None]) -> float | None:
    """Mean of the values if all of them exist: a mean over other cells than named would be another number."""
    return None if not values or any(v is None for v in values) else mean(values)


def accuracy(run: RunView, corruption: str, severity: int) -> float | None:
    """Accuracy of a finished run on one cell, in [0, 1]."""
    score = run.scores.get((corruption, severity))
    return None if score is None or not math.isfinite(score.accuracy) else score.accuracy


def clean(run: RunView) -> float | None:
    """Accuracy on the clean images, in [0, 1]."""
    return accuracy(run, *CLEAN)


def over(
    view: StudyView, corruptions: Sequence[str], severities: Sequence[int] = ()
) -> Callable[[RunView], float | None]:
    """A measure of a run: mean over corruptions of the mean over severities, None unless every cell is there.

    Args:
        view: the study.
        corruptions: which corruptions.
        severities: which severities; all evaluated ones if empty.

    Returns:
        Function from a run to its mean accuracy in [0, 1].
    """
    levels = tuple(severities) or tuple(view.severities)
    return lambda run: complete([complete([accuracy(run, c, s) for s in levels]) for c in corruptions])


def mean_name(view: StudyView) -> str:
    """What the mean over ``view.common`` is called: ``mean8`` for eight types."""
    return f"mean{len(view.common)}"


def extras(view: StudyView) -> tuple[str, ...]:
    """Evaluated corruptions that are not part of the mean."""
    return tuple(c for c in view.corruptions if c not in view.common)


def families(view: StudyView) -> dict[str, tuple[str, ...]]:
    """Family -> its evaluated common types, in a fixed order of families."""
    return by_family(view.common, view.families)


def by_family(corruptions: Iterable[str], family_of: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Group corruptions by family: noise, blur, weather, digital, then others by name."""
    groups: dict[str, list[str]] = {}
    for name in corruptions:
        groups.setdefault(str(family_of.get(name, "other")), []).append(name)
    order = sorted(groups, key=lambda f: (FAMILIES.index(f) if f in FAMILIES else len(FAMILIES), f))
    return {family: tuple(groups[family]) for family in order}


def in_family_order(view: StudyView) -> tuple[tuple[str, str], ...]:
    """All evaluated corruptions as ``(family, corruption)``, common types before extras within the page."""
    common = [(f, c) for f, group in families(view).items() for c in group]
    more = [(str(view.families.get(c, "other")), c) for c in extras(view)]
    return tuple(common + more)


def reference_of(arm: Arm, arms: Sequence[Arm]) -> Arm | None:
    """The dense arm that ``arm`` is compared with: the one of equal axes, or the only one."""
    dense = [a for a in arms if a.is_dense]
    same = [a for a in dense if a.axes == arm.axes]
    if same:
        return same[0]
    return dense[0] if len(dense) == 1 else None


def difference(arm: Arm, arms: Sequence[Arm], measure: Callable[[RunView], float | None]) -> Difference:
    """``arm`` minus its dense partner under ``measure``, paired by seed, with an interval from three pairs up."""
    from regrow.statistics import paired

    reference = reference_of(arm, arms)
    if reference is None:
        return Difference(arm, "", (), ())
    mine, theirs = (_by_seed(a, measure) for a in (arm, reference))
    seeds = tuple(sorted(mine.keys() & theirs.keys()))
    by_seed = tuple(mine[s] - theirs[s] for s in seeds)
    if len(seeds) < 3:
        return Difference(arm, reference.name, seeds, by_seed, mean(by_seed))
    result = paired([mine[s] for s in seeds], [theirs[s] for s in seeds], level=0.95)
    return Difference(arm, reference.name, seeds, by_seed, mean(by_seed), result.low, result.high, result.p)


def differences(arms: Sequence[Arm], measure: Callable[[RunView], float | None]) -> tuple[Difference, ...]:
    """Every sparse arm against dense, with p corrected (Holm) for their number."""
    from regrow.statistics import holm

    found = [difference(a, arms, measure) for a in arms if not a.is_dense]
    known = [d.p for d in found if d.p is not None]
    adjusted = iter(holm(known) if known else [])
    return tuple(d if d.p is None else replace(d, p_holm=next(adjusted)) for d in found)


def gain(arm: Arm, arms: Sequence[Arm], measure: Callable[[RunView], float | None]) -> float | None:
    """Mean over the common seeds of ``arm`` minus its dense partner, without any test."""
    reference = reference_of(arm, arms)
    if reference is None:
        return None
    mine, theirs = (_by_seed(a, measure) for a in (arm, reference))
    return mean(mine[s] - theirs[s] for s in sorted(mine.keys() & theirs.keys()))


def pairs(arm: Arm, arms: Sequence[Arm]) -> int:
    """Number of seeds that ``arm`` and its dense partner have both finished."""
    reference = reference_of(arm, arms)
    return 0 if reference is None else len({r.seed for r in arm.done} & {r.seed for r in reference.done})


def _by_seed(arm: Arm, measure: Callable[[RunView], float | None]) -> dict[int, float]:
    measured = {run.seed: measure(run) for run in arm.done}
    return {seed: value for seed, value in measured.items() if value is not None}


def train_accuracy(run: RunView) -> float | None:
    """Accuracy on the training images with the final weights, in [0, 1]."""
    value = (run.result or {}).get("train_accuracy")
    return None if value is None or not math.isfinite(float(value)) else float(value)


def result_number(key: str) -> Callable[[RunView], float | None]:
    """A measure that reads one number of ``RunView.result``."""

    def read(run: RunView) -> float | None:
        value = (run.result or {}).get(key)
        return None if value is None or not math.isfinite(float(value)) else float(value)

    return read


def is_underfit(arms: Sequence[Arm], least: float = 0.99) -> bool | None:
    """Whether the dense runs' mean train accuracy stays below ``least``; None if it is not known."""
    value = mean(train_accuracy(r) for a in arms if a.is_dense for r in a.done)
    return None if value is None else value < least
