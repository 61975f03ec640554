"""Recipes: YAML files, read strictly and validated with the nearest name for every unknown key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from regrow import files
from regrow.errors import InputError, UnknownNameError
from regrow.study.claims.paper import expanded, paper_claims
from regrow.study.claims.settings import ClaimSettings
from regrow.study.strict_yaml import read_yaml
from regrow.training.settings import (
    DataSettings,
    MethodSettings,
    ModelSettings,
    Settings,
    SparseSettings,
    TrainingSettings,
)

SCHEMA = 1


class PublishedSettings(Settings):
    """Types of a published set that are tested as they lie, beside those that are made."""

    folder: str = Field(description="the set; absolute, or below a data root")
    corruptions: list[str] = Field(default_factory=list, description="names; empty = all of the set")


class EvaluationSettings(Settings):
    """Which cells every run is tested on."""

    corruptions: list[str] = Field(
        default_factory=list,
        description="names, or groups: common, imagenet-c, imagenet-c-bar, cifar10-c-bar, imagenet-3dcc; "
        "empty = imagenet-c, of clips all of `column`",
    )
    column: Literal["kinetics", "ssv2", "vitta", "imagenet"] = Field(
        default="kinetics", description="of clips: whose settings, see `regrow list clip-corruptions`"
    )
    published: PublishedSettings | None = Field(default=None, description="types that are read from a published set")
    stand_ins: list[str] = Field(
        default_factory=list,
        description="types that cannot be made here, replaced by pictures that show only that the path works",
    )
    severities: list[int] = Field(default=[1, 2, 3, 4, 5])
    seed: int = Field(default=0, ge=0, description="seed of the corruptions' draws; the same cells for all runs")
    batch: int = Field(default=250, ge=1)
    mode: Literal["exact", "fast"] = Field(default="exact", description="arithmetic of the corruptions")
    on_the_fly: bool = Field(default=False, description="corrupt batches as they are evaluated, store no images")
    stored: bool = Field(default=False, description="add the JPEG round trip (quality 85) of ImageNet-C's files")

    @field_validator("severities")
    @classmethod
    def _in_range(cls, values: list[int]) -> list[int]:
        for value in values:
            if not 1 <= value <= 5:
                raise ValueError(f"severity must be in 1 to 5, got {value}")
        return sorted(set(values))


class AttenuationSettings(Settings):
    """Radius-accuracy curves; empty lists take the radii registered for the image size."""

    low: list[float] = Field(default_factory=list, description="keep frequencies below these radii, cycles per image")
    high: list[float] = Field(default_factory=list, description="keep frequencies from these radii on")
    images: int | None = Field(default=None, ge=1, description="first n test images; null = those of the cells")
    soft: list[float] = Field(
        default_factory=list, description="widths of cosine edges in cycles per image, beside the hard edge"
    )
    clip: bool = Field(default=False, description="curves of filtered pixels clipped to 0..1 as well")


class OnImages(Settings):
    """An analysis of the network on test images."""

    images: int | None = Field(
        default=None, ge=0, description="first n test images; null = the usual number up to 32 pixels, else none"
    )


class HeatMapSettings(OnImages):
    """Fourier heat map of the errors (Yin et al. 2019); ``images`` are those of every frequency."""

    size: int | None = Field(default=None, ge=1, description="odd: the middle of the plane alone; null = all of it")
    eps: float | None = Field(default=None, gt=0, description="L2 norm of the change; null = 4 at 32 pixels, in scale")
    layers: list[str] = Field(default_factory=list, description="modules whose outputs are watched as well")


class AttributionSettings(Settings):
    """Maps of where the network looks, on clean images and their corrupted twins."""

    images: int | None = Field(default=None, ge=0, description="first n test images; null = 32 up to 32 pixels, else 8")
    methods: list[Literal["grad_cam", "integrated_gradients"]] = Field(
        default=["grad_cam"], description="integrated_gradients takes the extra `explain` and 50 passes an image"
    )


class AnalysisSettings(Settings):
    """Which analyses follow the evaluation."""

    attenuation: AttenuationSettings = AttenuationSettings()
    heat_map: HeatMapSettings = HeatMapSettings()
    gradients: OnImages = OnImages()
    sharpness: OnImages = OnImages()
    aliasing: OnImages = OnImages()
    attribution: AttributionSettings = AttributionSettings()


class FixedSeeds(Settings):
    """Streams that do not follow the run's seed but are the same in all runs."""

    init: int | None = Field(default=None, ge=0)
    mask: int | None = Field(default=None, ge=0)
    data: int | None = Field(default=None, ge=0)
    growth: int | None = Field(default=None, ge=0)


class Resources(Settings):
    """What one run takes of a machine. Not part of what a study is: it may change from one call to the next."""

    cpus: float = Field(default=1.0, gt=0, description="processor cores")
    gpus: float | None = Field(
        default=None, ge=0, le=1, description="share of a GPU; null = a whole one where there are any, else none"
    )


class Recipe(Settings):
    """A study: what is trained, how, on what it is tested. Methods, sparsities, seeds and axes multiply."""

    schema_version: int = Field(default=SCHEMA, alias="schema", ge=1, le=SCHEMA)
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="names the default output folder")
    title: str = ""
    notes: list[str] = Field(default_factory=list, description="sentences that must stand on the study's page")
    runs_of: str | None = Field(
        default=None, description="recipe whose trained networks are tested here; what trains them is taken from it"
    )
    tier: str = Field(default="T0", pattern=r"^T(0|0c|1|2|3)$", description="how much a run of this length may say")
    data: DataSettings
    model: ModelSettings
    methods: list[MethodSettings] = Field(min_length=1)
    sparsity: list[float] = Field(default=[0.5], min_length=1)
    seeds: list[int] = Field(default=[0], min_length=1)
    order: Literal["seeds", "arms"] = Field(
        default="seeds", description="what is finished first: all arms of a seed, or all seeds of an arm"
    )
    fixed_seeds: FixedSeeds = FixedSeeds()
    sparse: SparseSettings = Field(default=SparseSettings(), description="parts shared by all methods of the list")
    training: TrainingSettings
    evaluation: EvaluationSettings = EvaluationSettings()
    analysis: AnalysisSettings = AnalysisSettings()
    resources: Resources = Field(
        default=Resources(), exclude=True, description="what each run takes; changes no result and no digest"
    )
    axes: dict[str, list[Any]] = Field(default_factory=dict, description="dotted key -> values; multiplies the runs")
    claims: list[ClaimSettings] = Field(
        default_factory=lambda: list(paper_claims().values()),
        description="what the study is judged by, registered before its first run: ids of the paper's claims, with "
        "changes where wanted, and claims of your own; left out = all of the paper's",
    )

    @model_validator(mode="before")
    @classmethod
    def _expand_claims(cls, values: Any) -> Any:
        """A claim may be the id of one of the paper's, or such an id with changes."""
        if not isinstance(values, dict) or not isinstance(values.get("claims"), list):
            return values
        return {**values, "claims": expanded(values["claims"])}

    @field_validator("claims")
    @classmethod
    def _claim_ids(cls, values: list[ClaimSettings]) -> list[ClaimSettings]:
        ids = [claim.id for claim in values]
        if len(set(ids)) < len(ids):
            raise ValueError("two claims have the same id")
        return values

    @model_validator(mode="before")
    @classmethod
    def _expand_methods(cls, values: Any) -> Any:
        """A method may be a bare name; parts that it does not set come from ``sparse``."""
        if not isinstance(values, dict) or not isinstance(values.get("methods"), list):
            return values
        shared = values.get("sparse") or {}
        entries = [{"name": m} if isinstance(m, str) else m for m in values["methods"]]
        if isinstance(shared, dict):
            entries = [{**shared, **m} if isinstance(m, dict) else m for m in entries]
        return {**values, "methods": entries}

    @field_validator("sparsity")
    @classmethod
    def _sparsities(cls, values: list[float]) -> list[float]:
        for value in values:
            if not 0 <= value < 1:
                hint = f"; did you mean {value / 100:g}?" if 1 <= value < 100 and value != 1 else ""
                raise ValueError(f"sparsity must be in [0, 1), got {value:g}{hint}")
        return values

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, values: list[int]) -> list[int]:
        if min(values) < 0 or len(set(values)) < len(values):
            raise ValueError("seeds must be different and not negative")
        return values

    @field_validator("axes")
    @classmethod
    def _axes(cls, values: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for key, choices in values.items():
            if not choices or len({str(c) for c in choices}) < len(choices):
                raise ValueError(f"axis {key} needs one or more different values")
        return values

    @model_validator(mode="after")
    def _labels(self) -> Self:
        labels = [m.label or m.name for m in self.methods]
        if len(set(labels)) < len(labels):
            raise ValueError("two methods have the same name; give one a label")
        if any(m.name == "dense" for m in self.methods) and "dense" not in labels:
            raise ValueError("differences are to the arm called dense; leave one dense method without a label")
        if any(m.name != "dense" and m.label == "dense" for m in self.methods):
            raise ValueError("only dense training may be called dense")
        return self

    def resolved(self) -> dict[str, Any]:
        """The recipe with every default filled in, as JSON values."""
        return self.model_dump(mode="json", by_alias=True)

    @property
    def digest(self) -> str:
        """Digest of the resolved recipe."""
        return files.value_digest(self.resolved())


def json_schema() -> dict[str, Any]:
    """JSON schema of a recipe, for completion in editors; ships as ``regrow/recipes/schema.json``."""
    schema = Recipe.model_json_schema(by_alias=True)
    items = schema["properties"]["methods"]["items"]
    schema["properties"]["methods"]["items"] = {"anyOf": [{"type": "string"}, items]}  # a bare name will do
    claim = schema["properties"]["claims"]["items"]
    ids = {"enum": list(paper_claims())}
    changed = {"properties": {"id": ids}, "required": ["id"], "type": "object"}
    schema["properties"]["claims"] |= {"items": {"anyOf": [{"type": "string", **ids}, changed, claim]}}
    schema["properties"]["claims"].pop("default", None)
    trained = [key for key in schema["required"] if key in TRAINED or key == "training"]
    schema["required"] = [key for key in schema["required"] if key not in trained]
    schema["anyOf"] = [{"required": trained}, {"required": ["runs_of"]}]
    return schema


def names() -> list[str]:
    """Names of the recipes that ship with the package, e.g. ``quick/cues``."""
    root = resources.files("regrow.recipes")
    found = []
    for folder in root.iterdir():
        if folder.is_dir():
            found += [f"{folder.name}/{f.name[:-5]}" for f in folder.iterdir() if f.name.endswith(".yaml")]
    return sorted(found)


def read_text(recipe: str) -> tuple[str, str]:
    """Text of a recipe given as a path or a packaged name, and where it was found.

    Raises:
        UnknownNameError: neither a file nor a packaged recipe.
    """
    path = Path(recipe)
    if path.is_file():
        try:
            return path.read_text(), str(path)
        except UnicodeDecodeError:
            raise InputError(f"recipe {path} is not text.", "give a YAML file.") from None
    if path.is_dir():
        raise InputError(f"recipe {path} is a folder.", "give a YAML file, or a name of `regrow list recipes`.")
    name = recipe.removesuffix(".yaml").removeprefix("recipes/")
    if name in names():
        return resources.files("regrow.recipes").joinpath(*f"{name}.yaml".split("/")).read_text(), name
    raise UnknownNameError(
        "recipe", recipe, names(), "give the path of a YAML file, or a name of `regrow list recipes`."
    )


def load(recipe: str) -> Recipe:
    """Read and validate a recipe.

    Raises:
        InputError: not YAML, an unknown key (names the nearest), an impossible value.
    """
    text, where = read_text(recipe)
    values = read_yaml(text, f"recipe {where}")
    return parse(_with_runs_of(values, where), where)


#: What makes the networks of a study: a recipe that tests those of another takes all of it from there.
TRAINED = ("data", "model", "methods", "sparsity", "seeds", "fixed_seeds", "sparse", "training", "axes")


def _with_runs_of(values: object, where: str) -> object:
    """The values of a recipe that tests another's networks, with what trains them."""
    if not isinstance(values, Mapping) or not isinstance(values.get("runs_of"), str):
        return values
    own = [key for key in TRAINED if key in values]
    if own:
        raise InputError(
            f"recipe {where}: {own[0]} is settled by runs_of, whose networks are tested.", f"leave {own[0]} out."
        )
    place = beside(str(values["runs_of"]), where)
    text, there = read_text(place)
    others = read_yaml(text, f"recipe {there}")
    if isinstance(others, Mapping) and others.get("runs_of") is not None:
        raise InputError(
            f"recipe {where}: {values['runs_of']} trains nothing itself.", f"give runs_of: {others['runs_of']}."
        )
    resolved = parse(others, there).resolved()
    return {**{key: resolved[key] for key in TRAINED}, **values, "runs_of": place}


def beside(name: str, where: str) -> str:
    """A recipe that another one names: a file beside it, where there is one, else the name as it is."""
    file = Path(where).parent / name
    return str(file) if file.is_file() else name


def parse(values: object, where: str) -> Recipe:
    """Validate a recipe's values; ``where`` names it in messages."""
    if not isinstance(values, Mapping):
        raise InputError(f"recipe {where} is not a mapping of keys.", "start from `regrow list recipes`.")
    try:
        return Recipe.model_validate(dict(values))
    except ValidationError as error:
        found = error.errors()  # a misspelt key explains the missing one
        first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
        raise InputError(f"recipe {where}: {explain(first, Recipe)}", "correct the recipe.") from None


def explain(error: Any, model: type[BaseModel]) -> str:
    """One sentence for a pydantic error: the dotted key, what is wrong, the nearest known key."""
    path = [str(part) for part in error["loc"]]
    key = ".".join(path) or "recipe"
    if error["type"] == "extra_forbidden":
        known = _keys_at(model, path[:-1])
        near = difflib.get_close_matches(path[-1], known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" Known here: {', '.join(sorted(known))}."
        return f"unknown key {key!r}.{hint}"
    if error["type"] == "missing":
        return f"key {key!r} is missing."
    message = error["msg"].removeprefix("Value error, ")
    given = error.get("input")
    shown = f" (given: {given!r})" if isinstance(given, str | int | float) and repr(given) not in message else ""
    return f"{key}: {message[0].lower()}{message[1:]}{shown}."


def _keys_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """Keys that a nested model knows at a dotted path."""
    current: Any = model
    for part in path:
        if part.isdigit():
            continue
        fields = {(f.alias or name): f for name, f in current.model_fields.items()}
        if part not in fields:
            return []
        annotation = fields[part].annotation
        inner = [a for a in getattr(annotation, "__args__", ()) if isinstance(a, type)]
        models = [t for t in [annotation, *inner] if isinstance(t, type) and issubclass(t, BaseModel)]
        if not models:
            return []
        current = models[0]
    return [f.alias or name for name, f in current.model_fields.items()]
