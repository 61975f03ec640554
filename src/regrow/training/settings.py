"""What a run is made of, as validated values: the one place where defaults live."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors, values never change, infinities are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataSettings(Settings):
    """Which images are trained on and tested on."""

    name: str = Field(description="data set, see `regrow list data`")
    train_images: int | None = Field(default=None, ge=2, description="size of the training subset; null = all")
    test_images: int | None = Field(default=None, ge=1, description="the first n test images; null = all")
    options: dict[str, Any] = Field(default_factory=dict, description="options of the data set")
    workers: int | None = Field(
        default=None, ge=0, description="processes that decode files; 0 = the training's own; null = by the machine"
    )


class ModelSettings(Settings):
    """Which network is trained."""

    name: str = Field(description="network, see `regrow list models`")
    width: int | None = Field(default=None, ge=1, description="channels of the first stage; null = the usual")
    options: dict[str, Any] = Field(default_factory=dict, description="further arguments of the network")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="before the classifier of a network of regrow's own")
    blurpool: bool = Field(default=False, description="anti-aliased down-sampling: blur before every stride")


class SparseSettings(Settings):
    """How a network is sparse: the parts of a method that a recipe may set. Null = the method's own."""

    allocation: Literal["erk", "er", "uniform"] | None = None
    keep_dense: list[str] = Field(default_factory=list, description="name patterns of layers that stay dense")
    drop: (
        Literal["magnitude", "set_signs", "magnitude_gradient", "taylor", "relative_importance", "random", "soft"]
        | None
    ) = None
    grow: Literal["random", "gradient", "momentum", "ch2", "ch3", "never_active_first"] | None = None
    drop_fraction: Fraction | None = Field(default=None, description="at the start; methods that never drop keep 0")
    drop_schedule: Literal["cosine", "constant", "linear"] = Field(
        default="cosine", description="how a given drop_fraction goes on"
    )
    drop_end: Fraction = Field(default=0.0, description="at the end, where drop_schedule falls")
    updates: int | None = Field(default=None, ge=1, description="topology updates up to `stop`; or give interval")
    interval: int | None = Field(default=None, ge=1, description="steps between updates; overrides `updates`")
    stop: Fraction = Field(default=0.75, description="share of training after which masks stay")
    regrow_dropped: bool = Field(default=True, description="may a weight dropped in an update be grown in it?")
    returned: Literal["keep", "reset"] = Field(
        default="keep", description="value of a weight dropped and grown at once"
    )
    window: int | None = Field(default=None, ge=1, description="steps whose dense gradients growth averages")
    state: Literal["reset", "reference"] = Field(
        default="reset", description="reference: gradients and optimiser state as the public reference codes leave them"
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="further arguments of the method, such as variant or start_density"
    )


class SourceSettings(Settings):
    """Which run of the study another one starts from: of the same seed, axes and sparsity (a dense arm has but one)."""

    label: str = Field(description="name of its arm in tables")
    weights: Literal["initial", "final"] | Annotated[float, Field(gt=0, lt=1)] = Field(
        default="initial", description="initial, final, or after a share of training, from which the run then goes on"
    )
    masks: Literal["final", "magnitude"] | None = Field(
        default=None, description="its final masks, or the largest of its final weights; null = the method's own"
    )
    scope: Literal["layer", "global"] = Field(
        default="layer", description="magnitude: layers as the allocation says, or all weights ranked together"
    )


class MethodSettings(SparseSettings):
    """One entry of a recipe's list of methods: a name, and what differs from the rest of the recipe."""

    name: str = Field(description="method, see `regrow list methods`")
    label: str | None = Field(default=None, pattern=r"^[a-z0-9_.+]+$", description="name in tables; null = name")
    source: SourceSettings | None = Field(default=None, description="run of the study that this one starts from")
    training: dict[str, Any] = Field(default_factory=dict, description="settings of training that differ")
    model: dict[str, Any] = Field(default_factory=dict, description="settings of the network that differ")
    narrow: bool = Field(default=False, description="dense: at the width whose weights are as many as the active ones")
    compute: Literal["steps", "forward_backward"] = Field(
        default="steps", description="forward_backward: as many steps as cost the training FLOPs of the dense recipe"
    )
    compute_of: str | None = Field(default=None, description="as many steps as cost the training FLOPs of that arm")

    @property
    def arm(self) -> str:
        """Its name in tables."""
        return self.label or self.name

    @model_validator(mode="after")
    def _controls(self) -> Self:
        if self.narrow and self.name != "dense":
            raise ValueError("narrow is for dense training")
        if self.compute_of is not None and self.compute != "steps":
            raise ValueError("give either compute or compute_of")
        if self.name == "dense" and self.source is not None and self.source.masks is not None:
            raise ValueError("dense training has no masks; leave source.masks out, or use static")
        return self


class SourceRun(Settings):
    """The run that one starts from, as planned.

    ``run`` names its folder; ``fingerprint`` is that of its settings, so what it was is part of what this run is.
    """

    run: str
    fingerprint: str
    weights: Literal["initial", "final"] | float
    masks: Literal["final", "magnitude"] | None
    scope: Literal["layer", "global"]


class SeedSettings(Settings):
    """Seeds of the four independent streams of a run."""

    init: int = Field(ge=0, description="initial weights")
    mask: int = Field(ge=0, description="initial masks")
    data: int = Field(ge=0, description="order and augmentation of the training images")
    growth: int = Field(ge=0, description="random growth")


class AugMixSettings(Settings):
    """AugMix (arXiv:1912.02781): chains of operations, mixed; its defaults are the paper's for CIFAR."""

    severity: int = Field(default=3, ge=1, le=10, description="strength of the operations")
    width: int = Field(default=3, ge=1, le=10, description="chains")
    depth: int | None = Field(default=None, ge=1, le=10, description="operations of a chain; null = 1 to 3, at random")
    alpha: float = Field(default=1.0, gt=0, description="of the Dirichlet and Beta distributions of the mixture")
    all_ops: bool = Field(default=False, description="also four operations that resemble common corruptions")
    consistency: float = Field(
        default=12.0, ge=0, description="weight of the Jensen-Shannon loss, which needs three views; 0 = one mixed view"
    )


class PrimeSettings(Settings):
    """PRIME (arXiv:2112.13547): chains of random filters, warps and colours, mixed; the defaults are for CIFAR."""

    width: int = Field(default=3, ge=1, le=10, description="chains")
    depth: int | None = Field(default=None, ge=1, le=10, description="primitives of a chain; null = 1 to 3, at random")
    filter_sd: float = Field(default=4.0, ge=0, description="largest sd of the taps of the random filter")
    colour_terms: int = Field(default=100, ge=1, description="most sine terms of a colour function")
    colour_power: float = Field(default=0.01, ge=0, description="largest variance of a term, pixels in 0..1")
    colour_band: int | None = Field(default=None, ge=1, description="terms in a row that are not zero; null = all")
    warp_terms: int = Field(default=100, ge=3, description="highest frequency of a displacement, in half waves")
    consistency: float = Field(
        default=12.0, ge=0, description="weight of the Jensen-Shannon loss, which needs three views; 0 = one mixed view"
    )


class NoiseSettings(Settings):
    """Gaussian noise on training images (arXiv:2001.06057)."""

    sd: float = Field(gt=0, description="standard deviation, pixels in 0..1")
    share: float = Field(default=1.0, gt=0, le=1, description="share of the images that get it")


class AugmentSettings(Settings):
    """Augmentation of training images; what is null, 0 or 1 by default is off."""

    flip: bool = True
    crop: int = Field(default=0, ge=0, description="pixels of padding before a random crop to the old size; 0 = none")
    resized_crop: tuple[Fraction, Fraction] | None = Field(
        default=None, description="of images in files: least and largest share of the area of a random resized crop"
    )
    scale_jitter: tuple[int, int] | None = Field(
        default=None, description="of clips: least and largest shorter side in pixels before a random square is cut"
    )
    randaugment: str | None = Field(
        default=None,
        pattern=r"^rand(-((m|n|mmax)\d+|(mstd|p)\d+(\.\d+)?|inc[01]|t(weights|3a|3aw)))*$",
        description="RandAugment in timm's notation, e.g. rand-m9-mstd0.5-inc1",
    )
    augmix: AugMixSettings | None = None
    prime: PrimeSettings | None = None
    gaussian_noise: NoiseSettings | None = None
    erasing: Fraction = Field(default=0.0, description="probability of random erasing")
    mixup: float = Field(default=0.0, ge=0, description="alpha of Mixup; 0 = none")
    cutmix: float = Field(default=0.0, ge=0, description="alpha of CutMix; 0 = none")
    mix_probability: Fraction = Field(default=1.0, description="share of the batches that are mixed")
    switch_probability: Fraction = Field(default=0.5, description="share of CutMix where Mixup is on too")
    repeats: int = Field(default=1, ge=1, description="copies of an image in a batch (repeated augmentation)")

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for name in ("resized_crop", "scale_jitter"):
            given = getattr(self, name)
            if given is not None and not 0 < given[0] <= given[1]:
                raise ValueError(f"{name} must be two rising numbers above 0")
        return self

    @model_validator(mode="after")
    def _one_policy(self) -> Self:
        if self.augmix is not None and self.prime is not None:
            raise ValueError("augmix and prime are alternatives: give one of them")
        return self

    @property
    def consistency(self) -> float:
        """Weight of the Jensen-Shannon loss; 0 = none."""
        policy = self.augmix or self.prime
        return 0.0 if policy is None else policy.consistency

    @property
    def mixes(self) -> bool:
        """Whether images of a batch are mixed with each other."""
        return (self.mixup > 0 or self.cutmix > 0) and self.mix_probability > 0


class SupConSettings(Settings):
    """Supervised contrastive loss (arXiv:2004.11362) on the penultimate features of two views, beside cross-entropy."""

    weight: float = Field(default=1.0, gt=0, description="times the loss, added to cross-entropy")
    temperature: float = Field(default=0.1, gt=0, description="of the softmax over cosines")


class TrainingSettings(Settings):
    """The optimisation."""

    steps: int | None = Field(default=None, ge=0, description="optimiser steps; or give epochs")
    epochs: float | None = Field(default=None, gt=0, description="passes over the training images; or give steps")
    batch: int = Field(default=128, ge=1)
    accumulate: int = Field(default=1, ge=1, description="parts that a batch is split into; gradients add up")
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(default=0.1, gt=0)
    momentum: Fraction = 0.9
    nesterov: bool = True
    betas: tuple[Fraction, Fraction] = Field(default=(0.9, 0.999), description="adamw: decay of both moments")
    eps: float = Field(default=1e-8, gt=0, description="adamw: added to the root of the second moment")
    weight_decay: float = Field(default=5e-4, ge=0)
    decay_norms: bool = Field(default=True, description="whether biases and norm parameters decay too")
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    milestones: list[Fraction] = Field(default=[0.5, 0.75], description="step schedule: shares of training")
    gamma: float = Field(default=0.1, gt=0, le=1, description="step schedule: factor at each milestone")
    warmup: Fraction = Field(default=0.0, description="share of training with linearly rising learning rate")
    label_smoothing: Fraction = 0.0
    l1: float = Field(default=0.0, ge=0, description="weight of the sum of |w| over all weights that may be masked")
    sam: float = Field(default=0.0, ge=0, description="sharpness-aware minimisation: radius rho; 0 = without")
    stop_after: float = Field(default=1.0, gt=0, le=1, description="share of training made; schedules stay as they are")
    augment: AugmentSettings = AugmentSettings()
    ema: float | None = Field(
        default=None, gt=0, lt=1, description="decay of a moving average of the weights, which become the final ones"
    )
    supcon: SupConSettings | None = None
    precision: Literal["auto", "fp32", "bf16"] = Field(default="auto", description="auto = timed when planned")
    channels_last: Literal["auto", "yes", "no"] = Field(default="auto", description="auto = timed when planned")
    compile: Literal["auto", "no", "default", "reduce-overhead"] = Field(
        default="auto",
        description="mode of torch.compile; reduce-overhead: CUDA graphs; auto = timed when planned, on an accelerator",
    )
    checkpoint_seconds: float = Field(default=30.0, gt=0, description="longest time between two checkpoints")
    log_every: int = Field(default=50, ge=1, description="steps between two lines of metrics.jsonl")

    @model_validator(mode="after")
    def _length_and_optimiser(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        if self.optimizer == "sgd" and self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs momentum > 0")
        if self.accumulate > self.batch:
            raise ValueError(f"a batch of {self.batch} cannot be split into {self.accumulate} parts")
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.augment.mixes and self.batch % 2:
            raise ValueError(f"mixup and cutmix pair the images of a batch: take an even batch, not {self.batch}")
        if self.supcon is not None and self.augment.mixes:
            raise ValueError("supcon needs one class an image: leave out mixup and cutmix")
        if self.supcon is not None and self.accumulate > 1:
            raise ValueError("supcon compares all images of a batch: leave accumulate at 1")
        return self


class Precision(Settings):
    """The arithmetic of a study: chosen once, stored, used by all its runs."""

    dtype: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = False
    compile: Literal["no", "default", "reduce-overhead"] = "no"

    @property
    def words(self) -> str:
        """The arithmetic in words, e.g. ``bf16 channels_last``."""
        compiled = {"no": "", "default": " compiled", "reduce-overhead": " CUDA graphs"}[self.compile]
        return self.dtype + (" channels_last" if self.channels_last else "") + compiled


#: Settings of training that were added after the first studies, and what was done before.
_LATER: dict[str, Any] = {"accumulate": 1, "betas": [0.9, 0.999], "eps": 1e-8, "decay_norms": True}
_LATER |= {"ema": None, "supcon": None, "l1": 0.0, "sam": 0.0, "stop_after": 1.0}
#: The same of the network.
_LATER_OF_MODEL: dict[str, Any] = {"dropout": 0.0, "blurpool": False}

#: The same of the method.
_LATER_OF_METHOD: dict[str, Any] = {"drop_end": 0.0}

#: The same of the arithmetic.
_LATER_OF_PRECISION: dict[str, Any] = {"compile": "no"}

#: Of the augmentation, what was there from the first study on; the rest is left out where it is off.
_FIRST_AUGMENT = {"flip", "crop"}

#: What a method's entry says to the planner alone: the run's other settings hold what came of it.
_OF_PLANNER = ("label", "source", "training", "model", "narrow", "compute", "compute_of")


class RunSettings(Settings):
    """Everything that changes the bits of one run."""

    data: DataSettings
    model: ModelSettings
    method: MethodSettings
    sparsity: float = Field(ge=0, lt=1, description="of dense training: that of the arm it is matched with")
    seeds: SeedSettings
    training: TrainingSettings
    precision: Precision
    source: SourceRun | None = None

    @model_validator(mode="after")
    def _length(self) -> Self:
        if self.training.steps == 0 and (self.source is None or self.source.weights == "initial"):
            raise ValueError("a run of 0 steps must start from weights of another run")
        return self

    def identity(self) -> dict[str, Any]:
        """The settings without what leaves the bits alone (logging, checkpoint times, labels)."""
        values = self.model_dump(mode="json")
        for key in ("checkpoint_seconds", "log_every", "precision", "channels_last", "compile"):
            del values["training"][key]
        added = {"training": _LATER, "model": _LATER_OF_MODEL, "method": _LATER_OF_METHOD}
        for part, later in {**added, "precision": _LATER_OF_PRECISION}.items():
            for key, default in later.items():  # runs of before these settings keep their identity
                if values[part][key] == default:
                    del values[part][key]
        off = AugmentSettings().model_dump(mode="json")
        values["training"]["augment"] = {
            key: value
            for key, value in values["training"]["augment"].items()
            if key in _FIRST_AUGMENT or value != off[key]
        }
        for key in _OF_PLANNER:
            del values["method"][key]
        del values["data"]["workers"]
        if self.source is None:
            del values["source"]
        else:
            del values["source"]["run"]
        if ":" in self.model.name:
            from regrow.models.user import source_digest  # needs torch, which settings do not

            source = source_digest(self.model.name)
            if source is not None:  # a network of the user's is another one when its file has changed
                values["model"]["source_sha256"] = source
        return values
