"""What every kind of recipe entry is in a study, and that two differences at once are no control."""

from __future__ import annotations

from typing import get_args

import pytest

from regrow.sparsity import methods
from regrow.study.roles import ROLES, WORDS, Role, role_of, roles_of
from regrow.training.settings import MethodSettings

FINAL = {"label": "rigl", "masks": "final"}
PRUNED = {"label": "dense", "weights": "final", "masks": "magnitude"}
EARLY = {"label": "dense", "weights": 0.1, "masks": "magnitude"}
TICKET = {"label": "dense", "masks": "magnitude"}

#: An entry of a recipe, and its role.
ENTRIES: list[tuple[dict, Role]] = [
    ({"name": "dense"}, "dense"),
    ({"name": "dense", "label": "again"}, "dense"),
    ({"name": "dense", "narrow": True}, "narrow"),
    ({"name": "dense", "training": {"weight_decay": 1e-3}}, "weight_decay"),
    ({"name": "dense", "training": {"weight_decay": 0.0}}, "weight_decay"),
    ({"name": "dense", "training": {"l1": 1e-5}}, "l1"),
    ({"name": "dense", "training": {"stop_after": 0.5}}, "early_stop"),
    ({"name": "dense", "training": {"sam": 0.05}}, "sam"),
    ({"name": "dense", "training": {"supcon": {"weight": 0.5}}}, "supcon"),
    ({"name": "dense", "training": {"augment": {"gaussian_noise": {"sd": 0.1}}}}, "noise"),
    ({"name": "dense", "training": {"augment": {"augmix": {}}}}, "other"),
    ({"name": "dense", "training": {"augment": {"gaussian_noise": {"sd": 0.1}, "mixup": 0.2}}}, "other"),
    ({"name": "dense", "training": {"augment": None}}, "other"),
    ({"name": "dense", "training": {"augment": ["gaussian_noise"]}}, "other"),
    ({"name": "dense", "training": {"lr": 0.3}}, "other"),
    ({"name": "dense", "model": {"dropout": 0.2}}, "dropout"),
    ({"name": "dense", "model": {"blurpool": True}}, "blurpool"),
    ({"name": "dense", "model": {"width": 8}}, "other"),
    ({"name": "dense", "compute": "forward_backward"}, "equal_compute"),
    ({"name": "dense", "compute_of": "rigl"}, "equal_compute"),
    ({"name": "dense", "source": {"label": "rigl", "weights": "final"}}, "other"),
    # two differences at once
    ({"name": "dense", "narrow": True, "training": {"weight_decay": 1e-3}}, "other"),
    ({"name": "dense", "narrow": True, "compute": "forward_backward"}, "other"),
    ({"name": "dense", "training": {"weight_decay": 1e-3, "l1": 1e-5}}, "other"),
    ({"name": "dense", "training": {"l1": 1e-5}, "model": {"dropout": 0.2}}, "other"),
    ({"name": "dense", "compute": "forward_backward", "training": {"augment": {"augmix": {}}}}, "other"),
    ({"name": "dense", "source": {"label": "rigl"}, "training": {"l1": 1e-5}}, "other"),
    # masks that stay
    ({"name": "static"}, "static"),
    ({"name": "static", "training": {"lr": 0.3}}, "other"),
    ({"name": "static", "model": {"blurpool": True}}, "other"),
    ({"name": "static", "compute": "forward_backward"}, "other"),
    ({"name": "snip"}, "snip"),
    ({"name": "snip", "training": {"lr": 0.3}}, "other"),
    ({"name": "magnitude"}, "other"),  # of the initial weights: neither random nor SNIP
    ({"name": "gmp"}, "gradual_pruning"),
    ({"name": "gmp", "training": {"weight_decay": 0.0}}, "other"),
    ({"name": "pulse"}, "pulse"),
    ({"name": "pulse", "training": {"weight_decay": 0.0}}, "other"),
    # masks of another run
    ({"name": "static", "source": FINAL}, "final_mask"),
    ({"name": "static", "source": FINAL, "training": {"steps": 10}}, "other"),
    ({"name": "static", "source": {**FINAL, "weights": "final"}}, "other"),  # goes on, not from the start
    ({"name": "static", "source": PRUNED}, "pruned"),
    ({"name": "static", "source": PRUNED, "training": {"steps": 1200, "lr": 0.01, "warmup": 0.0}}, "pruned"),
    ({"name": "static", "source": PRUNED, "training": {"weight_decay": 0.0}}, "other"),
    ({"name": "static", "source": PRUNED, "model": {"blurpool": True}}, "other"),
    ({"name": "static", "source": EARLY}, "rewound"),
    ({"name": "static", "source": TICKET}, "rewound"),
    ({"name": "static", "source": {"label": "dense"}}, "other"),
    ({"name": "snip", "source": FINAL}, "other"),
    ({"name": "gmp", "source": PRUNED}, "other"),
    ({"name": "rigl", "source": PRUNED}, "other"),  # rewires
    # dynamic
    ({"name": "rigl"}, "dst"),
    ({"name": "rigl", "grow": "random", "drop": "taylor", "allocation": "uniform"}, "dst"),
    ({"name": "mest_ems", "label": "mest_r", "grow": "random", "drop_fraction": 0.1}, "dst"),
    ({"name": "granet", "options": {"start_density": 0.8, "until": 0.5}}, "dst"),
    ({"name": "rigl", "training": {"weight_decay": 0.0}}, "no_decay"),
    ({"name": "rigl", "training": {"weight_decay": 1e-3}}, "other"),
    ({"name": "rigl", "training": {"weight_decay": 0.0, "lr": 0.1}}, "other"),
    ({"name": "rigl", "training": {"weight_decay": 0.0}, "model": {"width": 8}}, "other"),
    ({"name": "rigl", "training": {"augment": {"augmix": {}}}}, "other"),
    ({"name": "rigl", "compute": "forward_backward"}, "other"),
    ({"name": "rigl", "source": {"label": "dense", "weights": "final"}}, "other"),
    ({"name": "rigl", "drop_fraction": 0.0, "drop_schedule": "constant"}, "other"),  # does not rewire
]


@pytest.mark.parametrize(("entry", "role"), ENTRIES, ids=[str(entry) for entry, _ in ENTRIES])
def test_the_role_of(entry: dict, role: Role) -> None:
    assert role_of(MethodSettings.model_validate(entry)) == role


def test_every_role_is_reached_and_has_words() -> None:
    assert {role for _, role in ENTRIES} == set(ROLES) == set(get_args(Role)) == set(WORDS)
    assert len(set(WORDS.values())) == len(WORDS)


def test_every_method_that_rewires_takes_part_without_being_listed() -> None:
    still = {"dense": "dense", "static": "static", "snip": "snip", "magnitude": "other", "gmp": "gradual_pruning"}
    for name in methods.names():
        assert role_of(MethodSettings(name=name)) == {**still, "pulse": "pulse"}.get(name, "dst")


def test_a_method_that_cannot_be_made_at_one_half_has_a_role_all_the_same() -> None:
    """One of five weights of a group is no half; a recipe with it has another sparsity."""
    method = MethodSettings(name="nm", options={"m": 5})
    assert role_of(method, 0.8) == "dst"
    assert roles_of([method], 0.8) == {"nm": "dst"}


@pytest.mark.parametrize(
    ("source_arm", "mask", "role"),
    [
        ({"name": "rigl"}, {"masks": "final"}, "final_mask"),
        ({"name": "rigl", "training": {"weight_decay": 0.0}}, {"masks": "final"}, "other"),
        ({"name": "static"}, {"masks": "final"}, "other"),
        ({"name": "gmp"}, {"masks": "final"}, "other"),
        ({"name": "dense"}, {"masks": "magnitude", "weights": "final"}, "pruned"),
        ({"name": "dense", "training": {"l1": 1e-5}}, {"masks": "magnitude", "weights": "final"}, "other"),
        ({"name": "dense"}, {"masks": "magnitude", "weights": 0.1}, "rewound"),
        ({"name": "dense", "narrow": True}, {"masks": "magnitude", "weights": 0.1}, "other"),
    ],
)
def test_a_mask_is_a_control_of_what_it_was_taken_from(source_arm: dict, mask: dict, role: Role) -> None:
    of = MethodSettings.model_validate({**source_arm, "label": "of"})
    taken = MethodSettings.model_validate({"name": "static", "label": "taken", "source": {"label": "of", **mask}})
    assert roles_of([taken, of])["taken"] == role
    assert roles_of([taken])["taken"] == "other"
