"""From a recipe to its runs: names, settings, topology updates, costs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from regrow.errors import InputError
from regrow.study.recipe import Recipe, parse
from regrow.training.settings import Precision, RunSettings, SeedSettings

if TYPE_CHECKING:
    from regrow.data.spec import DataSpec
    from regrow.sparsity.planning import Plan


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study.

    Attributes:
        name: folder name.
        label: the method's label in tables.
        settings: everything that changes its bits.
        axes: values of the recipe's further axes.
    """

    name: str
    label: str
    settings: RunSettings
    axes: Mapping[str, Any]


#: What an axis may vary. Other keys belong to the study as a whole: its test images, its precision, its page.
AXES = ("model.", "sparse.", "training.", "data.train_images")
NO_AXES = ("training.precision", "training.channels_last", "training.checkpoint_seconds", "training.log_every")


def expand(recipe: Recipe, precision: Precision) -> list[PlannedRun]:
    """All runs of a recipe, in the order in which they are started: by seed, then as the methods are listed.

    A method whose sparsity has no meaning (``dense``) makes one run a seed, not one a sparsity.

    Raises:
        InputError: an axis names an unknown key or an impossible value.
    """
    runs: list[PlannedRun] = []
    combos = [dict(zip(recipe.axes, values, strict=True)) for values in itertools.product(*recipe.axes.values())]
    for seed, axes in itertools.product(recipe.seeds, combos):
        base = with_axes(recipe, axes) if axes else recipe
        for method in base.methods:
            for target in [0.0] if method.name == "dense" else base.sparsity:
                label = method.label or method.name
                suffix = "".join(f"-{key.rsplit('.', 1)[-1]}={_slug(value)}" for key, value in axes.items())
                fixed = base.fixed_seeds.model_dump()
                settings = RunSettings(
                    data=base.data,
                    model=base.model,
                    method=method,
                    sparsity=target,
                    seeds=SeedSettings(**{k: seed if v is None else v for k, v in fixed.items()}),
                    training=base.training,
                    precision=precision,
                )
                runs.append(PlannedRun(f"{label}-s{target:g}{suffix}-seed{seed}", label, settings, axes))
    if len({run.name for run in runs}) < len(runs):
        raise InputError("two runs of the recipe have the same name.", "give the methods different labels.")
    return runs


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


def describe(settings: RunSettings, spec: DataSpec, *, n_images: int) -> dict[str, Any]:
    """What a run will do, without training: layers and densities, topology updates, FLOPs.

    Args:
        settings: the run.
        spec: facts of the data set.
        n_images: training images.

    Returns:
        The plan that RunView.plan describes, with ``flops`` per sample (2 per multiply-add).
    """
    from regrow import sparsity
    from regrow.sparsity import cost
    from regrow.sparsity.planning import make_plan
    from regrow.training.loop import total_steps
    from regrow.training.method import build_method
    from regrow.training.network import build_network

    network = build_network(
        settings.model, spec.n_classes, spec.image_size, seed=settings.seeds.init, precision=Precision()
    )
    steps = total_steps(settings.training, n_images)
    method = build_method(settings.method, settings.sparsity)
    keep_dense = tuple(settings.method.keep_dense)
    per_epoch = max(1, n_images // settings.training.batch)
    plan = sparsity.plan(network, method, total_steps=steps, keep_dense=keep_dense, steps_per_epoch=per_epoch)
    made = make_plan(network, method, steps, None, keep_dense, per_epoch)
    densities = {row["name"]: row["density"] for row in plan["layers"]}
    flops = cost.flops(network, spec.input_shape, densities)
    return {
        **plan,
        "steps": steps,
        "epochs": steps * settings.training.batch / n_images,
        "flops": {
            "forward_dense": flops["dense"],
            "forward_sparse": flops["sparse"],
            "training_ratio": _training_ratio(made, flops, steps),
        },
    }


def _training_ratio(made: Plan, counted: Mapping[str, Any], steps: int) -> float:
    """Training FLOPs against dense training: the sum over the steps, with the active weights planned for each."""
    from regrow.sparsity import cost

    method, sizes, updates = made.method, [one.size for one in made.layers], made.window.steps()
    rows = []
    for t in updates:
        counts = made.planned(t)
        if t != updates[-1]:  # a soft bound holds more than the plan between updates
            counts = method.step.held(counts, sizes, method.drop_fraction(made.window.progress(t)))
        rows += [{"step": t, "layer": one.name, "n_active": n} for one, n in zip(made.layers, counts, strict=True)]
    window, every_step = cost.gradient_steps(method)
    spent = cost.training_cost(
        {row["name"]: row["dense"] for row in counted["layers"]},
        {one.name: one.size for one in made.layers},
        {one.name: n for one, n in zip(made.layers, made.n_active, strict=True)},
        rows,
        total_steps=steps,
        other=counted["other"],
        window=window,
        every_step=every_step,
    )
    return float(spent["ratio"])
