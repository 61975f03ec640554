"""The arms of a recipe: what an entry of its list of methods changes, and what it takes from other arms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from regrow.errors import InputError, UnknownNameError
from regrow.study.recipe import Recipe, explain
from regrow.training.length import length_of, step_at
from regrow.training.settings import MethodSettings, ModelSettings, RunSettings, Settings, TrainingSettings

#: Settings of training that belong to the study as a whole.
OF_THE_STUDY = ("precision", "channels_last", "compile", "checkpoint_seconds", "log_every")

_Part = TypeVar("_Part", bound=Settings)


def own_settings(recipe: Recipe, method: MethodSettings) -> tuple[ModelSettings, TrainingSettings]:
    """The recipe's network and training with what the entry says of them.

    Raises:
        InputError: an unknown key (names the nearest), an impossible value, or one of the study as a whole.
    """
    for key in OF_THE_STUDY:
        if key in method.training:
            raise InputError(f"{method.arm}: training.{key} holds for the whole study.", "set it once, in `training`.")
    for key in recipe.axes:
        part, _, name = key.partition(".")
        if name.split(".")[0] in getattr(method, part, {}) and part in ("training", "model"):
            raise InputError(f"{method.arm} sets {key}, which is an axis.", "leave it out of one of the two.")
    changes = dict(method.training)
    for one, other in (("steps", "epochs"), ("epochs", "steps")):
        if changes.get(one) is not None and other not in changes:
            changes[other] = None
    model = _changed(recipe.model, method.model, f"{method.arm}: model")
    training = _changed(recipe.training, changes, f"{method.arm}: training")
    if (method.compute != "steps" or method.compute_of) and {"steps", "epochs"} & method.training.keys():
        raise InputError(f"{method.arm} sets both its length and its FLOPs.", "leave training.steps or compute out.")
    if training.steps == 0 and (method.source is None or method.source.weights == "initial"):
        raise InputError(f"{method.arm} would train for 0 steps.", "give training.steps, or a source with weights.")
    return model, training


def _changed(part: _Part, changes: Mapping[str, Any], where: str) -> _Part:
    if not changes:
        return part
    try:
        return type(part).model_validate(_over(part.model_dump(), changes))
    except ValidationError as error:
        found = error.errors()
        first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
        raise InputError(f"{where}: {explain(first, type(part))}", "correct the recipe.") from None


def _over(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values, the changed ones exchanged."""
    merged = dict(values)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def takes_from(method: MethodSettings) -> list[str]:
    """Labels of the arms that must be known before this one."""
    return [label for label in (method.source and method.source.label, method.compute_of) if label]


def check_references(recipe: Recipe) -> None:
    """Refuse arms that take from unknown ones, or from each other in a circle.

    Raises:
        UnknownNameError: no arm has that label.
        InputError: the labels of a circle.
    """
    arms = {method.arm: method for method in recipe.methods}
    for arm, method in arms.items():
        for label in takes_from(method):
            if label not in arms:
                raise UnknownNameError("arm", label, arms, f"{arm} takes from it: add it to `methods`.")
    for arm in arms:
        _follow(arms, [arm])


def _follow(arms: Mapping[str, MethodSettings], path: list[str]) -> None:
    for label in takes_from(arms[path[-1]]):
        if label in path:
            circle = " <- ".join([*path[path.index(label) :], label])
            raise InputError(f"arms take from each other in a circle: {circle}.", "break it in `methods`.")
        _follow(arms, [*path, label])


def sparsities(recipe: Recipe, label: str) -> list[float]:
    """Sparsities that an arm has runs at: of dense training 0 alone, unless it is matched with sparse runs."""
    arms = {method.arm: method for method in recipe.methods}
    method = arms[label]
    matched = method.narrow or any(sparsities(recipe, other) != [0.0] for other in takes_from(method))
    return list(recipe.sparsity) if method.name != "dense" or matched else [0.0]


def require_fitting(
    settings: RunSettings, detail: Mapping[str, Any], of: RunSettings, of_detail: Mapping[str, Any]
) -> None:
    """Refuse a run whose source cannot give what it is to start from.

    Args:
        settings: the run; it has a source.
        detail: its plan (`regrow.study.plan.describe`).
        of: the source.
        of_detail: the source's plan.

    Raises:
        InputError: says what does not fit.
    """
    source, arm = settings.source, settings.method.arm
    assert source is not None
    shapes, of_shapes = ({row["name"]: row["shape"] for row in one["layers"]} for one in (detail, of_detail))
    if shapes != of_shapes:
        name = next(n for n in [*shapes, *of_shapes] if shapes.get(n) != of_shapes.get(n))
        raise InputError(
            f"{arm} cannot start from {of.method.arm}: {name} has shape {shapes.get(name)} in one network and "
            f"{of_shapes.get(name)} in the other.",
            "give both arms the same network.",
        )
    is_sparse = of_detail["n_active"] < of_detail["n_weights"]
    if source.masks == "magnitude" and is_sparse:
        raise InputError(
            f"{arm} ranks weights of {of.method.arm}, which is sparse already.", "set source.masks: final."
        )
    if source.masks == "final" and abs(of_detail["n_active"] - detail["n_active"]) > len(shapes):
        raise InputError(
            f"{arm} asks for {detail['n_active']} active weights, the final masks of {of.method.arm} have "
            f"{of_detail['n_active']}.",
            "take the masks of an arm of the same sparsity.",
        )
    if source.masks is None and source.weights != "initial" and is_sparse and detail["n_active"] < detail["n_weights"]:
        raise InputError(f"{arm} starts from sparse weights with other masks.", "set source.masks: final.")
    if not isinstance(source.weights, str):
        length = length_of(of, of_detail["n_images"])
        step = step_at(source.weights, length.total)
        if not length.first <= step < length.last:
            raise InputError(
                f"{arm} starts from step {step} of {of.method.arm}, which trains from {length.first} to {length.last}.",
                "choose another source.weights.",
            )
