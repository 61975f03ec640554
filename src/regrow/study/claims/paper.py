"""The paper's claims, from the file beside this one, and what a recipe changes in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

import yaml

from regrow.study.claims.settings import ClaimSettings


@lru_cache(maxsize=1)
def _entries() -> tuple[dict[str, Any], ...]:
    text = resources.files("regrow.study.claims").joinpath("paper.yaml").read_text(encoding="utf-8")
    return tuple(yaml.safe_load(text))


def paper_claims() -> dict[str, ClaimSettings]:
    """The claims of the paper by their ids."""
    return {entry["id"]: ClaimSettings.model_validate(entry) for entry in _entries()}


def expanded(claims: Sequence[Any]) -> list[Any]:
    """Entries of a recipe's list of claims in full: an id alone, or with changes, stands for the paper's claim.

    What is neither is left as it is, for the validation to name.

    Example:
        >>> expanded(["C2", {"id": "C3", "margin": 1.0}])[1]["margin"]
        1.0
    """
    known = {entry["id"]: entry for entry in _entries()}
    full: list[Any] = []
    for claim in claims:
        if isinstance(claim, str) and claim in known:
            full.append(known[claim])
        elif isinstance(claim, Mapping) and claim.get("id") in known:
            full.append({**known[claim["id"]], **claim})
        else:
            full.append(claim)
    return full
