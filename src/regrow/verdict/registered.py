"""The claims that a study is judged by, and whether they were written down before its first run."""

from __future__ import annotations

from regrow.study.claims import Registration, register, registration_of
from regrow.study.recipe import parse
from regrow.study.view import StudyView


def registered_claims(view: StudyView) -> tuple[Registration, bool]:
    """The registration of a study, and whether it counts.

    It does not where the study has none (it is then made from the recipe, for exploration), or where it was edited.
    """
    if view.registration is not None:
        found = registration_of(view.registration)
        return found, found.whole
    recipe = parse(view.recipe, "the study's recipe")
    return registration_of(register(recipe, list(view.common), list(view.severities))), False
