"""Registration: the claims of a study with its arms, cells and seeds, hashed before the first run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import regrow
from regrow import files
from regrow.errors import UnknownNameError
from regrow.study.claims.settings import ClaimSettings
from regrow.study.roles import ROLES, Role, role_of

if TYPE_CHECKING:
    from regrow.study.recipe import Recipe

SCHEMA = 1
EXCLUSIONS = "No run is left out. Runs that failed count as missing; a second analysis gives them the worst value."


@dataclass(frozen=True)
class Registration:
    """What was registered.

    Attributes:
        claims: the claims.
        arms: label -> role.
        sparsities: label -> sparsities that it is trained at.
        corruptions: types that a mean over the common ones must hold.
        severities: severities that it must hold.
        seeds: the judging seeds.
        digest: of all of it.
        whole: whether the digest fits the content, that is, whether nobody has changed it since.
    """

    claims: tuple[ClaimSettings, ...]
    arms: Mapping[str, Role]
    sparsities: Mapping[str, tuple[float, ...]]
    corruptions: tuple[str, ...]
    severities: tuple[int, ...]
    seeds: tuple[int, ...]
    digest: str
    whole: bool


def register(recipe: Recipe, corruptions: Sequence[str], severities: Sequence[int]) -> dict[str, Any]:
    """The registration of a recipe, as ``study.yaml`` holds it.

    Args:
        recipe: the recipe; its claims name roles or labels of its methods.
        corruptions: types that a mean must be over, whether or not the recipe tests all of them.
        severities: likewise.

    Raises:
        UnknownNameError: a claim names an arm that is neither a role nor in the recipe.
    """
    from regrow.study.arms import sparsities

    arms: dict[str, Role] = {method.arm: role_of(method) for method in recipe.methods}
    for claim in recipe.claims:
        for name in (*claim.groups, *claim.against):
            if name not in arms and name not in ROLES:
                raise UnknownNameError(
                    "arm", name, [*arms, *ROLES], f"claim {claim.id} may name a role or one of the recipe's methods."
                )
    content = {
        "schema": SCHEMA,
        "regrow": regrow.__version__,
        "claims": [claim.model_dump(mode="json") for claim in recipe.claims],
        "arms": dict(arms),
        "sparsities": {label: sparsities(recipe, label) for label in arms},
        "corruptions": list(corruptions),
        "severities": list(severities),
        "seeds": list(recipe.seeds),
        "exclusions": EXCLUSIONS,
    }
    return {**content, "digest": files.value_digest(content)}


def registration_of(content: Mapping[str, Any]) -> Registration:
    """A registration from the values that `register` gave."""
    rest = {key: value for key, value in content.items() if key != "digest"}
    return Registration(
        claims=tuple(ClaimSettings.model_validate(claim) for claim in content["claims"]),
        arms=dict(content["arms"]),
        sparsities={label: tuple(values) for label, values in content["sparsities"].items()},
        corruptions=tuple(content["corruptions"]),
        severities=tuple(content["severities"]),
        seeds=tuple(content["seeds"]),
        digest=str(content["digest"]),
        whole=files.value_digest(rest) == content["digest"],
    )
