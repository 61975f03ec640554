"""From a recipe to its runs: names, settings, topology updates, costs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from regrow import files
from regrow.errors import InputError
from regrow.study import arms
from regrow.study.flops import DataSize, made_plan, steps_that_cost, training_cost, training_flops, with_steps
from regrow.study.narrow import narrowed
from regrow.study.recipe import Recipe, parse
from regrow.training.augmenting import passes
from regrow.training.length import length_of
from regrow.training.settings import (
    MethodSettings,
    ModelSettings,
    Precision,
    RunSettings,
    SeedSettings,
    SourceRun,
    TrainingSettings,
)

if TYPE_CHECKING:
    from regrow.data.spec import DataSpec


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study.

    Attributes:
        name: folder name.
        label: the method's label in tables.
        settings: everything that changes its bits.
        axes: values of the recipe's further axes.
        keeps: shares of training at which it keeps its weights, for runs that start from them.
        note: how it was matched with other runs, in words; may be empty.
    """

    name: str
    label: str
    settings: RunSettings
    axes: Mapping[str, Any]
    keeps: tuple[float, ...] = ()
    note: str = ""

    @property
    def source(self) -> str | None:
        """Name of the run that must be done before this one."""
        return None if self.settings.source is None else self.settings.source.run


#: What an axis may vary. Other keys belong to the study as a whole: its test images, its precision, its page.
AXES = ("model.", "sparse.", "training.", "data.train_images")
NO_AXES = tuple(f"training.{name}" for name in arms.OF_THE_STUDY)


def expand(recipe: Recipe, precision: Precision, size: DataSize | None = None) -> list[PlannedRun]:
    """All runs of a recipe, in the order in which they are started: by seed or by arm, as the methods are listed.

    Dense training makes one run a seed, not one a sparsity, unless it is matched with sparse runs.

    Args:
        recipe: the recipe.
        precision: the study's arithmetic.
        size: of the whole training set, which runs of equal weights or FLOPs follow; None = as the data set says.

    Raises:
        InputError: an axis names an unknown key or an impossible value; arms that cannot take what they ask of others.
    """
    arms.check_references(recipe)
    runs: list[PlannedRun] = []
    combos = [dict(zip(recipe.axes, values, strict=True)) for values in itertools.product(*recipe.axes.values())]
    for method in recipe.methods:
        arms.own_settings(recipe, method)  # where axes are still known
    for seed, axes in itertools.product(recipe.seeds, combos):
        group = _Group(with_axes(recipe, axes) if axes else recipe, seed, axes, precision, size)
        runs += [group.run(m.arm, target) for m in group.recipe.methods for target in group.sparsities[m.arm]]
    if recipe.order == "arms":
        place = {method.arm: number for number, method in enumerate(recipe.methods)}
        runs.sort(key=lambda run: place[run.label])
    if len({run.name for run in runs}) < len(runs):
        raise InputError("two runs of the recipe have the same name.", "give the methods different labels.")
    kept: dict[str, set[float]] = {}
    for run in runs:
        source = run.settings.source
        if source is not None and not isinstance(source.weights, str):
            kept.setdefault(source.run, set()).add(source.weights)
    return [replace(run, keeps=tuple(sorted(kept[run.name]))) if run.name in kept else run for run in runs]


class _Group:
    """The runs of one seed and one combination of axes: those that may start from each other."""

    def __init__(
        self, recipe: Recipe, seed: int, axes: Mapping[str, Any], precision: Precision, size: DataSize | None
    ) -> None:
        self.recipe, self.seed, self.axes, self.precision, self._size = recipe, seed, axes, precision, size
        self.methods = {method.arm: method for method in recipe.methods}
        self.sparsities = {label: arms.sparsities(recipe, label) for label in self.methods}
        self.suffix = "".join(f"-{_slug(key.rsplit('.', 1)[-1])}={_slug(value)}" for key, value in axes.items())
        fixed = recipe.fixed_seeds.model_dump()
        self.seeds = SeedSettings(**{k: seed if v is None else v for k, v in fixed.items()})
        self._made: dict[tuple[str, float], PlannedRun] = {}

    @property
    def size(self) -> DataSize:
        """Of the training set of these runs."""
        from regrow import data

        chosen = self.recipe.data
        whole = self._size or DataSize.of(data.spec(chosen.name, chosen.options))
        return whole if chosen.train_images is None else replace(whole, n_images=chosen.train_images)

    def run(self, label: str, target: float) -> PlannedRun:
        """The run of an arm at a sparsity, or its only one."""
        target = target if target in self.sparsities[label] else self.sparsities[label][0]
        if (label, target) not in self._made:
            self._made[label, target] = self._make(self.methods[label], target)
        return self._made[label, target]

    def _make(self, method: MethodSettings, target: float) -> PlannedRun:
        model, training = arms.own_settings(self.recipe, method)
        note = ""
        if method.narrow:
            narrow = narrowed(model, target, self.size.n_classes, self.size.side)
            model = narrow.model
            note = f"width {model.width} of {narrow.full_width}: {narrow.n_weights} of {narrow.n_full} weights"
        taken = None
        if method.source is not None:
            source = self.run(method.source.label, target)
            taken = SourceRun(
                run=source.name,
                fingerprint=files.value_digest(source.settings.identity()),
                **method.source.model_dump(exclude={"label"}),
            )
            note = f"from {source.name}, weights {taken.weights}, masks {taken.masks or 'its own'}"
        settings = self._settings(method, target, model, training, taken)
        if method.compute != "steps" or method.compute_of is not None:
            settings, note = self._of_equal_flops(settings, note)
        name = f"{method.arm}-s{target:g}{self.suffix}-seed{self.seed}"
        return PlannedRun(name, method.arm, settings, self.axes, note=note)

    def _settings(
        self,
        method: MethodSettings,
        target: float,
        model: ModelSettings,
        training: TrainingSettings,
        source: SourceRun | None = None,
    ) -> RunSettings:
        return RunSettings(
            data=self.recipe.data,
            model=model,
            method=method,
            sparsity=target,
            seeds=self.seeds,
            training=training,
            precision=self.precision,
            source=source,
        )

    def _of_equal_flops(self, settings: RunSettings, note: str) -> tuple[RunSettings, str]:
        if settings.method.compute_of is not None:
            other = self.run(settings.method.compute_of, settings.sparsity)
            target, whose = training_flops(other.settings, self.size), other.name
        else:
            dense = self._settings(MethodSettings(name="dense"), 0.0, self.recipe.model, self.recipe.training)
            target, whose = training_flops(dense, self.size), "dense training as the recipe has it"
        matched = with_steps(settings, steps_that_cost(target, settings, self.size))
        ratio = training_flops(matched, self.size) / target
        return matched, "; ".join([*filter(None, [note]), f"{ratio:.4f} x the training FLOPs of {whose}"])


def _slug(value: object) -> str:
    """A value as part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", str(value))


def with_axes(recipe: Recipe, axes: Mapping[str, Any]) -> Recipe:
    """The recipe with dotted keys replaced."""
    values = recipe.resolved()
    for key, value in axes.items():
        if not key.startswith(AXES) or key in NO_AXES:
            raise InputError(
                f"axis {key!r} cannot vary within a study.",
                "use a key of model, sparse or training, or data.train_images.",
            )
        node: Any = values
        *parents, last = key.split(".")
        for part in parents:
            node = node.get(part) if isinstance(node, dict) else None
        if not isinstance(node, dict) or last not in node:
            raise InputError(f"axis {key!r} is no key of a recipe.", "use a dotted key such as training.weight_decay.")
        node[last] = value
        if parents == ["sparse"]:  # methods took their parts from here when the recipe was read
            for method in values["methods"]:
                method[last] = value
        if parents == ["training"] and last in ("steps", "epochs"):
            node["epochs" if last == "steps" else "steps"] = None
    values["axes"] = {}
    return parse(values, f"{recipe.name} with {dict(axes)}")


def describe(
    settings: RunSettings, spec: DataSpec, *, n_images: int, masks: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What a run will do, without training: layers and densities, topology updates, FLOPs.

    Args:
        settings: the run.
        spec: facts of the data set.
        n_images: training images.
        masks: those it starts from, once they are known.

    Returns:
        The plan that RunView.plan describes, with ``flops`` per sample (2 per multiply-add).
    """
    from regrow import sparsity
    from regrow.sparsity import cost
    from regrow.training.network import build_network
    from regrow.training.start import method_of

    network = build_network(
        settings.model, spec.n_classes, spec.image_size, seed=settings.seeds.init, precision=Precision()
    )
    length = length_of(settings, n_images)
    keep_dense = tuple(settings.method.keep_dense)
    per_epoch = max(1, n_images // settings.training.batch)
    steps = max(1, length.total - length.first)
    method = method_of(settings, masks)
    plan = sparsity.plan(network, method, total_steps=steps, keep_dense=keep_dense, steps_per_epoch=per_epoch)
    densities = {row["name"]: row["density"] for row in plan["layers"]}
    flops = cost.flops(network, spec.input_shape, densities)
    spent = training_cost(made_plan(network, settings, n_images, masks), flops, length.made)
    return {
        **plan,
        "n_images": n_images,
        "steps": length.made,
        "epochs": length.made * settings.training.batch / n_images,
        "passes": passes(settings.training),
        "flops": {
            "forward_dense": flops["dense"],
            "forward_sparse": flops["sparse"],
            "training_ratio": float(spent["ratio"]) * passes(settings.training),
        },
    }
