"""A claim as data: what is measured, which arms are compared, in which direction, by what margin."""

from __future__ import annotations

import difflib
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from regrow.study.roles import Role
from regrow.training.settings import Settings

Direction = Literal["greater", "not_below", "equal"]


class MetricSettings(Settings):
    """One number of a run."""

    kind: Literal["accuracy", "low_pass", "high_pass", "concentration", "result", "analysis"] = Field(
        default="accuracy",
        description="accuracy: mean over cells, in points; low_pass, high_pass: mean over the registered radii of the "
        "accuracy on filtered images minus that on whole ones, in points; concentration: weighted mean log D of the "
        "masks; result: a number of the run's result; analysis: a number of one of its analyses",
    )
    of: list[str] = Field(
        default=["common"], description="accuracy: types, families, or common (the registered mean), clean"
    )
    minus: list[str] = Field(
        default_factory=list, description="accuracy: families whose mean is taken off, such as all but noise"
    )
    severities: list[int] = Field(default_factory=list, description="accuracy: empty = all that were evaluated")
    convention: Literal["follow", "keep_dc"] = Field(
        default="follow", description="low_pass, high_pass: what becomes of the mean of an image"
    )
    by: Literal["output", "input", "kernel"] = Field(default="output", description="concentration: over what")
    path: str = Field(default="", description="result, analysis: dotted key, of an analysis begun with its name")
    unit: str = Field(default="", description="result, analysis: unit in tables")

    @field_validator("severities")
    @classmethod
    def _in_range(cls, values: list[int]) -> list[int]:
        for value in values:
            if not 1 <= value <= 5:
                raise ValueError(f"severity must be in 1 to 5, got {value}")
        return sorted(set(values))

    @model_validator(mode="after")
    def _has_path(self) -> Self:
        if self.kind in ("result", "analysis") and not self.path:
            raise ValueError(f"metric {self.kind} needs a path")
        if self.kind == "accuracy" and not self.of:
            raise ValueError("of must name at least one type or family")
        return self


class ClaimSettings(Settings):
    """A claim on the arms of a study; the paper's own claims are written in the same form."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="short name")
    title: str = Field(min_length=1, description="a few words")
    statement: str = Field(default="", description="the claim as one sentence")
    source: str = Field(default="", description="who claims it")
    metrics: list[MetricSettings] = Field(default=[MetricSettings()], min_length=1, description="must hold under all")
    groups: list[str] = Field(default=["dst"], min_length=1, description="arms that are judged: roles or labels")
    against: list[str] = Field(
        default=["dense"], min_length=1, description="arms they are compared with: roles or labels; must hold for all"
    )
    direction: Direction = "greater"
    margin: float = Field(
        default=0.0,
        ge=0,
        description="greater: what the difference must exceed; not_below: what it may fall short by; equal: half-width",
    )
    material: float | None = Field(default=None, ge=0, description="greater: a difference of this size matters")
    equivalence: float = Field(default=0.5, gt=0, description="differences inside +- this count as none")
    controls: list[Role] = Field(
        default_factory=list, description="roles that must not show the same effect for the cause to be separated"
    )
    seeds: int = Field(default=5, ge=3, description="paired seeds from which it is judged")
    sparsity: tuple[float, float] = Field(default=(0.0, 1.0), description="range of sparsities that it speaks of")
    updates: int = Field(default=0, ge=0, description="topology updates that a dynamic run must have had")
    rivals: list[str] = Field(default_factory=list, description="other explanations that a reader must know")
    breaks: str = Field(default="", description="what would refute it")

    @model_validator(mode="before")
    @classmethod
    def _is_known(cls, values: Any) -> Any:
        """An id alone stands for a claim of the paper; where it is none, it stays a text until here."""
        if isinstance(values, str):
            from regrow.study.claims.paper import paper_claims

            known = list(paper_claims())
            near = difflib.get_close_matches(values, known, n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"unknown claim {values!r}. {hint}Known: {', '.join(known)}")
        return values

    @field_validator("sparsity")
    @classmethod
    def _range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] <= value[1] <= 1:
            raise ValueError("sparsity must be a range within 0 to 1")
        return value

    @model_validator(mode="after")
    def _margins(self) -> Self:
        if self.direction in ("not_below", "equal") and self.margin == 0:
            raise ValueError(f"direction {self.direction} needs a margin above 0")
        return self
