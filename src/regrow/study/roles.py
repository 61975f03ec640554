"""What a run is in a study: dense, dynamic sparse training, or which of the controls that a fair test needs.

The roles are those of the paper's claims on dynamics (static and pruned networks) and on regularisation (dense networks
that are decayed, narrowed or otherwise held back); see docs/verdict.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from regrow.training.settings import MethodSettings, SourceSettings

Role = Literal[
    "dense",
    "dst",
    "static",
    "final_mask",
    "snip",
    "pruned",
    "gradual_pruning",
    "rewound",
    "pulse",
    "narrow",
    "weight_decay",
    "l1",
    "dropout",
    "early_stop",
    "equal_compute",
    "no_decay",
    "blurpool",
    "sam",
    "noise",
    "supcon",
    "other",
]
ROLES: tuple[Role, ...] = get_args(Role)
#: Those that the paper's claims ask for as controls.
CONTROLS = ROLES[ROLES.index("static") : ROLES.index("blurpool") + 1]

#: How each role is called in a sentence.
WORDS: Mapping[Role, str] = {
    "dense": "dense training",
    "dst": "dynamic sparse training",
    "static": "a static random mask of equal layer densities",
    "final_mask": "the final mask of the dynamic method from the start",
    "snip": "a static mask chosen at initialisation (SNIP)",
    "pruned": "magnitude pruning after dense training",
    "gradual_pruning": "gradual magnitude pruning",
    "rewound": "lottery-ticket rewinding",
    "pulse": "dense training with pulsed zeroing",
    "narrow": "a narrower dense network of equal weights",
    "weight_decay": "dense training with another weight decay",
    "l1": "dense training with an L1 penalty",
    "dropout": "dense training with dropout",
    "early_stop": "dense training stopped early",
    "equal_compute": "dense training of equal FLOPs",
    "no_decay": "dynamic sparse training without weight decay",
    "blurpool": "dense training with anti-aliased strides",
    "sam": "dense training with sharpness-aware steps",
    "noise": "dense training on noisy images",
    "supcon": "dense training with a contrastive loss",
    "other": "another variant",
}

#: Settings of training that make a role of dense training, each alone.
_OF_TRAINING: Mapping[str, Role] = {
    "weight_decay": "weight_decay",
    "l1": "l1",
    "stop_after": "early_stop",
    "sam": "sam",
    "supcon": "supcon",
}
_OF_NETWORK: Mapping[str, Role] = {"dropout": "dropout", "blurpool": "blurpool"}
#: Methods whose masks do not move back and forth.
_STILL: Mapping[str, Role] = {"static": "static", "snip": "snip", "gmp": "gradual_pruning", "pulse": "pulse"}
#: What may differ where a pruned network is trained on: how long, and at which rate.
_OF_TRAINING_ON = {"steps", "epochs", "lr", "warmup", "schedule", "milestones", "gamma"}


def role_of(method: MethodSettings, sparsity: float = 0.5) -> Role:
    """The role of a recipe's entry; further axes hold for all methods alike and change no role.

    A role is one difference from plain training. An entry that differs in two ways (narrow and decayed, or AugMix at
    equal FLOPs) separates no cause, and is ``other``.

    Args:
        method: the entry; its ``training`` and ``model`` say what differs from the rest of the recipe.
        sparsity: one that it is trained at; some methods cannot be made at every one.

    Example:
        >>> role_of(MethodSettings(name="static")), role_of(MethodSettings(name="rigl"))
        ('static', 'dst')
    """
    from regrow.training.method import build_method

    if method.name == "dense":
        return _of_dense(method)
    if build_method(method, sparsity).rewires:
        return _of_dynamic(method)
    if method.source is not None:
        return _of_source(method, method.source)
    return "other" if _changes(method) else _STILL.get(method.name, "other")


def roles_of(methods: Iterable[MethodSettings], sparsity: float = 0.5) -> dict[str, Role]:
    """The roles of a recipe's entries by their labels; a mask taken from an arm is a control only of what that arm is.

    A final mask must be that of dynamic sparse training, and what is pruned must have been plain dense training.

    Example:
        >>> mask = {"name": "static", "label": "fixed", "source": {"label": "rigl", "masks": "final"}}
        >>> roles_of([MethodSettings(name="rigl"), MethodSettings(**mask)])
        {'rigl': 'dst', 'fixed': 'final_mask'}
    """
    entries = {method.arm: method for method in methods}
    own = {label: role_of(method, sparsity) for label, method in entries.items()}
    needed: Mapping[Role, Role] = {"final_mask": "dst", "pruned": "dense", "rewound": "dense"}

    def fits(label: str) -> bool:
        source = entries[label].source
        return own[label] not in needed or (source is not None and own.get(source.label) == needed[own[label]])

    return {label: role if fits(label) else "other" for label, role in own.items()}


def _changes(method: MethodSettings) -> list[str]:
    """What differs from plain training of the same recipe, beside the masks."""
    matched = method.compute != "steps" or method.compute_of is not None
    own = [*(f"training.{key}" for key in method.training), *(f"model.{key}" for key in method.model)]
    return [*(["narrow"] if method.narrow else []), *(["compute"] if matched else []), *own]


def _of_dense(method: MethodSettings) -> Role:
    changes = _changes(method)
    if method.source is not None or len(changes) > 1:
        return "other"
    if not changes:
        return "dense"
    part, _, key = changes[0].partition(".")
    if not key:
        return "narrow" if part == "narrow" else "equal_compute"
    if part == "model":
        return _OF_NETWORK.get(key, "other")
    augment = method.training.get("augment")
    if isinstance(augment, Mapping) and set(augment) == {"gaussian_noise"}:
        return "noise"
    return _OF_TRAINING.get(key, "other")


def _of_dynamic(method: MethodSettings) -> Role:
    if method.source is not None:
        return "other"
    changes = _changes(method)
    if changes == ["training.weight_decay"] and method.training["weight_decay"] == 0:
        return "no_decay"
    return "other" if changes else "dst"


def _of_source(method: MethodSettings, source: SourceSettings) -> Role:
    """Of a mask that was found by another run and stays."""
    changes = set(_changes(method))
    if method.name != "static":
        return "other"
    if source.masks == "final":
        return "final_mask" if source.weights == "initial" and not changes else "other"
    if source.masks != "magnitude" or changes - {f"training.{key}" for key in _OF_TRAINING_ON}:
        return "other"
    return "pruned" if source.weights == "final" else "rewound"
