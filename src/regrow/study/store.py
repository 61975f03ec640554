"""The run store: where everything of a study lies, and what state its runs are in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from regrow import files
from regrow.errors import DataError, InputError
from regrow.study.flops import DataSize
from regrow.study.plan import PlannedRun, expand
from regrow.study.recipe import Recipe, parse
from regrow.study.strict_yaml import read_stored_yaml
from regrow.training.settings import Precision

SCHEMA = 1
STATES = ("planned", "running", "done", "failed")


class Store:
    """A study's folder.

    Args:
        folder: STUDY; need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def study_file(self) -> Path:
        """The resolved recipe, the precision and the list of runs."""
        return self.folder / "study.yaml"

    @property
    def cells(self) -> Path:
        """Folder of the test images, clean and corrupted."""
        return self.folder / "cells"

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / "report.html"

    @property
    def runs(self) -> Path:
        """Folder of all runs."""
        return self.folder / "runs"

    def run(self, name: str) -> Path:
        """Folder of one run."""
        return files.inside(self.runs, name)

    def taken(self, name: str) -> Path:
        """Summary of a run that was taken from an earlier stretch of the study; need not be there."""
        return self.folder / "taken" / f"{name}.json"

    def uses_taken(self, name: str) -> bool:
        """Whether a run counts as it was taken: it is, and has not been done here."""
        return self.taken(name).exists() and get_state(self.run(name))["state"] != "done"

    def exists(self) -> bool:
        """Whether a study was planned here."""
        return self.study_file.exists()

    def create(
        self,
        recipe: Recipe,
        precision: Precision,
        probe: Mapping[str, Any],
        environment: object,
        size: DataSize | None = None,
        registration: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the plan of a new study, in one file: it is there or it is not.

        Raises:
            InputError: the folder holds something else.
        """
        self.require_free()
        content = {
            "schema": SCHEMA,
            "recipe": recipe.resolved(),
            "recipe_digest": recipe.digest,
            "precision": precision.model_dump(),
            "probe": dict(probe),
            "planned_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "environment": environment,
            **({} if size is None else {"data": {**asdict(size), "input_shape": list(size.input_shape)}}),
            **({} if registration is None else {"registration": dict(registration)}),
            "runs": [run.name for run in expand(recipe, precision, size)],
        }
        files.write_text(self.study_file, yaml.safe_dump(content, sort_keys=False))

    def create_like(self, earlier: Store) -> None:
        """Begin a study as it was planned and registered elsewhere.

        Raises:
            InputError: the folder holds something else.
        """
        self.require_free()
        files.write_text(self.study_file, yaml.safe_dump(earlier.load(), sort_keys=False))

    def prepare(self) -> list[PlannedRun]:
        """Write what the runs start from, where it is not there yet: after a kill at any moment, the rest.

        Returns:
            The runs of the study.
        """
        if not (self.folder / "environment.json").exists():
            files.write_json(self.folder / "environment.json", self.load()["environment"])
        runs, registered = self.planned(), self.registration()
        for run in runs:
            path = self.run(run.name) / "run.json"
            if not path.exists():
                files.write_json(
                    path,
                    {
                        "schema": SCHEMA,
                        "name": run.name,
                        "label": run.label,
                        "axes": dict(run.axes),
                        "settings": run.settings.model_dump(mode="json"),
                        "fingerprint": files.value_digest(run.settings.identity()),
                        **({"keeps": list(run.keeps)} if run.keeps else {}),
                        **({"registration": registered["digest"]} if registered else {}),
                    },
                )
        return runs

    def require_free(self) -> None:
        """Refuse a folder that holds something else.

        Raises:
            InputError: it is a file, or a folder that is not empty.
        """
        if self.folder.is_file():
            raise InputError(f"{self.folder} is a file.", "choose another --out.")
        if self.folder.exists() and any(p.name != ".lock" and not files.is_temporary(p) for p in self.folder.iterdir()):
            raise InputError(
                f"{self.folder} is not empty and holds no study.", "choose another --out, or empty the folder."
            )

    def load(self) -> dict[str, Any]:
        """The content of ``study.yaml``.

        Raises:
            InputError: no study here.
            DataError: the file is damaged or of a newer schema.
        """
        if not self.exists():
            raise InputError(f"{self.folder} holds no study (no study.yaml).", "`regrow study RECIPE --out DIR`.")
        try:
            content = read_stored_yaml(self.study_file.read_text())
            schema = content["schema"]
            whole = content["recipe_digest"] == files.value_digest(content["recipe"])
            Precision.model_validate(content["precision"])
            if not isinstance(content["probe"], dict) or not all(isinstance(name, str) for name in content["runs"]):
                raise TypeError("names of runs are texts")
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise DataError(
                f"{self.study_file} is damaged ({type(error).__name__}).", "choose another --out and start again."
            ) from None
        if not whole:
            raise DataError(
                f"{self.study_file} was edited: its recipe is not the one that made the runs.",
                "undo the edit, or run the changed recipe with another --out.",
            )
        if schema != SCHEMA:
            raise DataError(f"{self.study_file} has schema {schema}, this regrow reads {SCHEMA}.", "upgrade regrow.")
        loaded: dict[str, Any] = content
        return loaded

    def recipe(self) -> Recipe:
        """The study's recipe."""
        return parse(self.load()["recipe"], str(self.study_file))

    def registration(self) -> dict[str, Any] | None:
        """The claims as they were registered before the first run; None in studies of before there were any."""
        found: dict[str, Any] | None = self.load().get("registration")
        return found

    def precision(self) -> Precision:
        """The arithmetic that all runs of the study use."""
        return Precision.model_validate(self.load()["precision"])

    def states(self) -> dict[str, dict[str, Any]]:
        """State, reason and attempts of every run by its name, without the plan being made anew."""
        return {name: get_state(self.run(name)) for name in self.load()["runs"]}

    def planned(self) -> list[PlannedRun]:
        """The runs of the study, in the order in which they are started.

        Raises:
            InputError: they cannot be told without importing a network that the user has not named.
        """
        from regrow.models.user import from_folder  # needs torch, which most of a store does not

        known = self.load().get("data")
        size = None if known is None else DataSize(**{**known, "input_shape": tuple(known["input_shape"])})
        with from_folder():
            return expand(self.recipe(), self.precision(), size)

    def require_recipe(self, recipe: Recipe) -> None:
        """Refuse to go on with a folder that another recipe made.

        Raises:
            InputError: the recipes differ; names the first difference.
        """
        stored = self.recipe()  # read anew: keys that were added since have their defaults
        if stored.digest != recipe.digest:
            key, old, new = first_difference(stored.resolved(), recipe.resolved())
            raise InputError(
                f"{self.folder} holds a study of another recipe: {key} is {old!r} there, {new!r} in the recipe given.",
                "choose another --out, or give the recipe that made the folder.",
            )


def first_difference(old: Any, new: Any, key: str = "") -> tuple[str, Any, Any]:
    """Dotted key and both values where two nested values first differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(n for n in new if n not in old)]:
            if old.get(name) != new.get(name):
                return first_difference(old.get(name), new.get(name), f"{key}.{name}" if key else name)
    return key or "recipe", old, new


def set_state(run: Path, state: str, reason: str = "") -> int:
    """Record the state of a run atomically; ``running`` counts one more attempt.

    Returns:
        The number of attempts.
    """
    before = get_state(run)
    attempts = before["attempts"] + (state == "running")
    files.write_json(run / "state.json", {"state": state, "reason": reason, "attempts": attempts})
    return int(attempts)


def get_state(run: Path) -> dict[str, Any]:
    """State, reason and number of attempts of a run."""
    path = run / "state.json"
    if not path.exists():
        return {"state": "planned", "reason": "", "attempts": 0}
    state = files.read_json(path)
    if not isinstance(state, dict) or state.get("state") not in STATES or not isinstance(state.get("attempts"), int):
        raise DataError(f"{path} is damaged.", f"remove it and run the study's command again: rm {path}")
    return {"state": state["state"], "reason": str(state.get("reason", "")), "attempts": state["attempts"]}
