"""Claims of a user's own, from a YAML file: one, or a list of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from regrow.errors import InputError
from regrow.study.claims.paper import expanded
from regrow.study.claims.settings import ClaimSettings
from regrow.study.strict_yaml import read_yaml


def load_claims(path: Path) -> list[ClaimSettings]:
    """The claims of a file; each a mapping with the keys of `ClaimSettings`, or the id of one of the paper's.

    Raises:
        InputError: no such file, not YAML, an unknown key or an impossible value; says which.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"claims {path} cannot be read ({type(error).__name__}).", "give a YAML file.") from None
    values = read_yaml(text, f"claims {path}")
    entries = expanded(values if isinstance(values, list) else [values])
    return [_one(entry, path) for entry in entries]


def _one(entry: object, path: Path) -> ClaimSettings:
    if not isinstance(entry, Mapping):
        raise InputError(f"claims {path}: {entry!r} is no claim.", "give id, title, metrics, groups and direction.")
    try:
        return ClaimSettings.model_validate(dict(entry))
    except ValidationError as error:
        from regrow.study.recipe import explain

        found = error.errors()
        first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
        raise InputError(f"claims {path}: {explain(first, ClaimSettings)}", "correct the claim.") from None
