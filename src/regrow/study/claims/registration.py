"""Registration: the claims of a study with its arms, cells and seeds, hashed before the first run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import regrow
from regrow import files
from regrow.errors import DataError, UnknownNameError
from regrow.study.claims.settings import ClaimSettings
from regrow.study.roles import ROLES, Role, roles_of

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
        UnknownNameError: as `check_claims`.
    """
    from regrow.study.arms import sparsities

    check_claims(recipe, corruptions)
    arms = roles_of(recipe.methods, max(recipe.sparsity))
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


def check_claims(recipe: Recipe, corruptions: Iterable[str] = ()) -> None:
    """Refuse a recipe whose claims name what it does not have, before anything is trained for them.

    Raises:
        UnknownNameError: as `require_known`.
    """
    published = recipe.evaluation.published
    names = [*corruptions, *(published.corruptions if published else [])]
    require_known(recipe.claims, [method.arm for method in recipe.methods], names)


def require_known(claims: Iterable[ClaimSettings], arms: Collection[str], corruptions: Iterable[str] = ()) -> None:
    """Refuse claims on arms or corruptions that nobody knows.

    Args:
        claims: the claims.
        arms: labels of the study's methods.
        corruptions: names of corruptions that a study has beside those that regrow can make.

    Raises:
        UnknownNameError: neither a role nor one of the arms; neither a corruption nor a family of them.
    """
    parts: set[str] = set()
    for claim in claims:
        for name in (*claim.groups, *claim.against):
            if name not in arms and name not in ROLES:
                raise UnknownNameError(
                    "arm", name, [*arms, *ROLES], f"claim {claim.id} may name a role or one of the recipe's methods."
                )
        for metric in claim.metrics:
            parts = parts or {"common", "clean", *corruptions, *_families_and_types()}
            for name in (*metric.of, *metric.minus) if metric.kind == "accuracy" else ():
                if name not in parts:
                    raise UnknownNameError(
                        "corruption", name, parts, f"claim {claim.id} may name corruptions, families, common, clean."
                    )


def _families_and_types() -> set[str]:
    """Every corruption of images, clips, texts and sounds, and every family."""
    from regrow import corruptions
    from regrow.corruptions import stand_ins, video
    from regrow.study.kinds import ROOMS

    families = {name: corruptions.get(name).family for name in corruptions.names(None)}
    for column in video.COLUMNS:
        families |= {name: video.get(name, column).family for name in video.names(column)}
    for room in ROOMS.values():
        families |= room.families()
    return {*families, *families.values(), *stand_ins.NAMES}


def registration_of(content: Mapping[str, Any]) -> Registration:
    """A registration from the values that `register` gave.

    Raises:
        DataError: they are not what `register` gives; whoever edits a value alone is found by ``whole``.
    """
    try:
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']}, this regrow reads {SCHEMA}")
        return _read(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise DataError(f"the registration in study.yaml cannot be read ({what}).", "undo the edit.") from None


def _read(content: Mapping[str, Any]) -> Registration:
    rest = {key: value for key, value in content.items() if key != "digest"}
    arms = dict(content["arms"])
    if strange := set(arms.values()) - set(ROLES):
        raise ValueError(f"no role {strange.pop()!r}")
    return Registration(
        claims=tuple(ClaimSettings.model_validate(claim) for claim in content["claims"]),
        arms=arms,
        sparsities={label: tuple(values) for label, values in content["sparsities"].items()},
        corruptions=tuple(content["corruptions"]),
        severities=tuple(content["severities"]),
        seeds=tuple(content["seeds"]),
        digest=str(content.get("digest", "")),
        whole=files.value_digest(rest) == content.get("digest"),
    )
