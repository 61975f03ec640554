"""What a study holds, as plain values: the one thing that the report and the tables read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from regrow.data.spec import NOUNS, Modality
from regrow.markup import html_lines, html_table

if TYPE_CHECKING:
    from regrow.training.film import MaskFilm

#: A cell of the evaluation: corruption name and severity; the clean images are ``("clean", 0)``.
Cell = tuple[str, int]
CLEAN: Cell = ("clean", 0)
#: Family of types that stand in for others; they are part of no mean.
STAND_IN = "stand-in"


def at(values: Any, path: str) -> Any:
    """What lies at a dotted path of nested mappings; None where there is nothing.

    Example:
        >>> at({"a": {"b": 1}}, "a.b"), at({"a": 1}, "a.b")
        (1, None)
    """
    for key in path.split("."):
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


@dataclass(frozen=True)
class CellScore:
    """Top-1 accuracy of one run on one cell.

    Attributes:
        accuracy: share of correct answers, in [0, 1].
        n: number of images.
    """

    accuracy: float
    n: int


@dataclass(frozen=True)
class RunView:
    """One run of a study, finished or not.

    Attributes:
        name: folder name, ``METHOD-sSPARSITY-seedK`` (with the values of further axes).
        method: name of the method, e.g. ``"rigl"``.
        sparsity: target share of inactive weights, in [0, 1); 0 for dense.
        seed: the run's seed; runs of one seed share initial weights and data order.
        axes: values of the recipe's further axes, by dotted key.
        state: ``planned``, ``running``, ``done``, ``failed``, or ``damaged`` where its files cannot be read: it then
            counts as missing.
        reason: why it failed, or empty.
        attempts: how many times it was started.
        settings: everything that changes its bits (``run.json``).
        plan: layers (name, shape, n_weights, n_active, density, kept_dense), n_weights, n_active, density,
            updates (planned topology updates) and interval (steps between them).
        result: train_accuracy, steps, wall_s, images_per_s, updates, itop_rate, density,
            flops (forward_dense, forward_sparse, training_ratio), peak_memory_bytes, n_parameters; None before the end.
        metrics: rows step, loss, accuracy, lr, density, images_per_s.
        history: rows step, update, layer, n_active, dropped, returned, fresh, drop_fraction, itop_rate.
        scores: score of every evaluated cell.
        attenuation: convention, n, and lists ``low`` and ``high`` of {radius, accuracy}: ``low`` keeps frequencies
            below the radius (high ones attenuated), ``high`` those from the radius on.
        kernels: layer name -> non-zero weights per kernel, integers of shape (out, in).
        kernel_sizes: layer name -> weights in a full kernel (e.g. 9).
        reliance: for the data set ``cues``: low, high (share of answers following that cue where they conflict),
            other, low_only, high_only (accuracy with that cue alone), n; else None.
        analyses: name -> what each further analysis of the run found, as JSON values.
        correct: for each cell the correct answers as packed bits (``numpy.packbits``), in the order of the images.
        damaged: what of it is there and cannot be used, each with the file and why.
        registration: digest of the registration that it was begun under; empty where there was none.
        images: for each cell the digest of its images, or of what they are made from.
    """

    name: str
    method: str
    sparsity: float
    seed: int
    axes: Mapping[str, Any]
    state: str
    reason: str = ""
    attempts: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    metrics: Sequence[Mapping[str, Any]] = ()
    history: Sequence[Mapping[str, Any]] = ()
    scores: Mapping[Cell, CellScore] = field(default_factory=dict)
    attenuation: Mapping[str, Any] | None = None
    kernels: Mapping[str, npt.NDArray[np.integer[Any]]] = field(default_factory=dict)
    kernel_sizes: Mapping[str, int] = field(default_factory=dict)
    reliance: Mapping[str, Any] | None = None
    analyses: Mapping[str, Any] = field(default_factory=dict)
    correct: Mapping[Cell, npt.NDArray[np.uint8]] = field(default_factory=dict)
    damaged: Sequence[str] = ()
    registration: str = ""
    images: Mapping[Cell, str] = field(default_factory=dict)

    @property
    def arm(self) -> str:
        """What is compared over seeds: method, sparsity and further axes, as one label."""
        parts = [f"{self.method} {self.sparsity:g}" if self.sparsity else self.method]
        parts += [f"{key.rsplit('.', 1)[-1]}={value}" for key, value in self.axes.items()]
        return " ".join(parts)


@dataclass(frozen=True)
class StudyView:
    """A whole study.

    Attributes:
        folder: where it lies.
        name: the recipe's name.
        title: one line that says what is compared.
        tier: ``T0``, ``T0c``, ``T1`` ... (how much a run of this length may say).
        recipe: the resolved recipe.
        precision: dtype, channels_last, and the probe that chose them.
        environment: versions, processor, device, threads.
        data: name, image_size, n_train, n_test, classes, note (e.g. on the origin of the data); of texts and sounds
            their modality, see ``DataSpec``.
        runs: all planned runs, dense first.
        corruptions: evaluated corruptions in the recipe's order.
        severities: evaluated severities.
        families: corruption -> noise, blur, weather or digital.
        common: the evaluated corruptions that the mean is taken over: those of the fifteen common types, where there
            are any, else all; the others are extras.
        common_words: what they are called together.
        examples: cell -> a few of the images that were evaluated, uint8 (n, H, W, 3); of texts and sounds (n, L).
        notes: sentences that a reader must know (codec of JPEG, substitute pictures, nearest scale ...).
        started: number of runs ever started, failed and repeated ones counted.
        registration: the claims as they were registered before the first run, with their digest; None where none were.
        registered_at: when they were, in UTC.
        analyses: name -> what analyses of the study as a whole found (spectra of the corruptions ...), as JSON values.
        films: run name -> masks over training, of one run of each arm that rewires.
        problems: what must be known before any number: results that are missing, damaged or not comparable.
    """

    folder: Path
    name: str
    title: str
    tier: str
    recipe: Mapping[str, Any]
    precision: Mapping[str, Any]
    environment: Mapping[str, Any]
    data: Mapping[str, Any]
    runs: Sequence[RunView]
    corruptions: Sequence[str]
    severities: Sequence[int]
    families: Mapping[str, str]
    common: Sequence[str]
    examples: Mapping[Cell, npt.NDArray[np.uint8]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    started: int = 0
    common_words: str = "of the fifteen common types of ImageNet-C"
    registration: Mapping[str, Any] | None = None
    registered_at: str = ""
    analyses: Mapping[str, Any] = field(default_factory=dict)
    films: Mapping[str, MaskFilm] = field(default_factory=dict)
    problems: Sequence[str] = ()

    @property
    def modality(self) -> Modality:
        """What the study is of: images (or clips), texts or sounds."""
        found: Modality = self.data.get("modality", "image")
        return found

    @property
    def noun(self) -> str:
        """What its examples are called, in the plural."""
        return NOUNS[self.modality]

    @property
    def example(self) -> str:
        """What one of its examples is called."""
        return self.noun.removesuffix("s")

    def _repr_html_(self) -> str:
        """The arms, for a notebook: how many of their runs are done, and their clean accuracy."""
        arms: dict[str, list[RunView]] = {}
        for run in self.runs:
            arms.setdefault(run.arm, []).append(run)
        rows = []
        for arm, runs in arms.items():
            clean = [run.scores[CLEAN].accuracy for run in runs if run.state == "done" and CLEAN in run.scores]
            mean = f"{sum(clean) / len(clean):.1%}" if clean else ""
            rows.append((arm, f"{sum(run.state == 'done' for run in runs)} of {len(runs)}", mean))
        tested = f"{len(self.corruptions)} corruptions at severities {', '.join(map(str, self.severities))}"
        note = f"{self.name}, tier {self.tier}; {tested}. Its numbers: regrow.report.tables.tables(study)."
        table = html_table(self.title, ("Arm", "Runs done", "Clean accuracy"), rows, (False, True, True), note)
        return html_lines(list(self.problems)) + table
