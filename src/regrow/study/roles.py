"""What a run is in a study: dense, dynamic sparse training, or which of the controls that a fair test needs.

The roles are those of the paper's claims on dynamics (static and pruned networks) and on regularisation (dense networks
that are decayed, narrowed or otherwise held back); see docs/verdict.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from regrow.training.settings import MethodSettings

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


def role_of(method: MethodSettings) -> Role:
    """The role of a recipe's entry; further axes hold for all methods alike and change no role.

    Args:
        method: the entry; its ``training`` and ``model`` say what differs from the rest of the recipe.

    Example:
        >>> role_of(MethodSettings(name="static")), role_of(MethodSettings(name="rigl"))
        ('static', 'dst')
    """
    if method.name == "dense":
        return _of_dense(method)
    if method.name in ("pulse", "gmp"):
        return "pulse" if method.name == "pulse" else "gradual_pruning"
    if method.source is not None and method.source.masks == "magnitude":
        return "pruned" if method.source.weights == "final" else "rewound"
    if method.source is not None and method.source.masks == "final":
        return "final_mask"
    if not _rewires(method):
        return "snip" if method.name == "snip" else "static" if not (method.training or method.model) else "other"
    if method.training.get("weight_decay") == 0 and set(method.training) == {"weight_decay"}:
        return "no_decay"
    return "other" if method.training or method.model else "dst"


def _of_dense(method: MethodSettings) -> Role:
    if method.narrow:
        return "narrow"
    if method.compute != "steps" or method.compute_of is not None:
        return "equal_compute"
    changed = [*method.training, *(f"model.{key}" for key in method.model)]
    if not changed:
        return "dense" if method.source is None else "other"
    if len(changed) > 1:
        return "other"
    key = changed[0]
    if key == "augment" and set(method.training["augment"]) == {"gaussian_noise"}:
        return "noise"
    return _OF_TRAINING.get(key) or {"model.dropout": "dropout", "model.blurpool": "blurpool"}.get(key, "other")  # type: ignore[return-value]


def _rewires(method: MethodSettings) -> bool:
    from regrow.training.method import build_method

    return build_method(method, 0.5).rewires
