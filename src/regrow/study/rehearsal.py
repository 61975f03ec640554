"""One real optimiser step and one topology update of a recipe, at full size: does it fit, how long does it take?"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from regrow import data
from regrow.data.fileset import FileSet
from regrow.data.spec import DataSpec, ImageSet
from regrow.errors import DataError, InputError, RegrowError
from regrow.study.execute import peak_memory
from regrow.study.plan import PlannedRun, expand
from regrow.study.recipe import Recipe
from regrow.training.loop import Trainer
from regrow.training.settings import Precision, RunSettings


@dataclass(frozen=True)
class Rehearsal:
    """What one step of a recipe took.

    Attributes:
        run: whose step.
        samples: what it was made on.
        batch: examples of the recipe's batch.
        done: examples of the step that was made; fewer where only some parts were asked for.
        micro_batch: examples of a part.
        updates: topology updates made.
        exact: whether each layer holds as many active weights as planned and all others are exactly 0.
        loss: of the step.
        seconds: wall time of the step, batch and update included.
        peak_bytes: largest memory of the process so far (of an accelerator: of the device).
        threads: of the processor.
    """

    run: str
    samples: str
    batch: int
    done: int
    micro_batch: int
    updates: int
    exact: bool
    loss: float
    seconds: float
    peak_bytes: int
    threads: int


def rehearse(
    recipe: Recipe,
    *,
    micro_batch: int | None = None,
    parts: int | None = None,
    samples: Path | None = None,
    data_root: Path | None = None,
) -> Rehearsal:
    """Make one optimiser step with a topology update of a recipe's first run that grows by gradient.

    Args:
        recipe: what to try; its network and batch at their full size.
        micro_batch: examples that go through the network at once; None = 16 images or 2 clips.
        parts: at most so many of them; None = all of the batch.
        samples: folder of pictures or videos to make the batch of, repeated to fill it; None = the recipe's own data,
            or random pixels where these are not here.
        data_root: where data sets lie; None = the usual places.

    Raises:
        InputError: the recipe has no run with topology updates.
    """
    planned = _chosen(recipe)
    examples, what = _examples(recipe, samples, data_root)
    micro = micro_batch or (16 if examples.spec.frames is None else 2)
    batch = planned.settings.training.batch
    n = min(batch, micro * parts) if parts else batch
    n -= n % 2 if planned.settings.training.augment.mixes else 0
    settings = _one_step_of(planned.settings, n, micro, in_files=isinstance(examples, FileSet))
    repeated = examples.select(np.arange(n) % len(examples))
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(settings, repeated, Path(folder))
        trainer.model.train()
        start = time.perf_counter()
        loss, _ = trainer.one_step()
        value = float(loss)
        seconds = time.perf_counter() - start
        exact, updates = _is_exact(trainer), trainer.sparsifier.update_count
    if not np.isfinite(value):
        raise RegrowError(f"the loss of the first step is {value}.", "lower training.lr in the recipe.")
    return Rehearsal(
        planned.name, what, batch, n, micro, updates, exact, value, seconds, peak_memory(), torch.get_num_threads()
    )


def _chosen(recipe: Recipe) -> PlannedRun:
    """The first run of RigL, else the first with topology updates."""
    from regrow import sparsity
    from regrow.training.method import build_method

    runs = [run for run in expand(recipe, Precision()) if run.settings.method.name != "dense"]
    runs = [
        run
        for run in runs
        if not isinstance(build_method(run.settings.method, run.settings.sparsity).timing, sparsity.Never)
    ]
    if not runs:
        raise InputError("no run of the recipe has topology updates.", "add a method such as rigl.")
    return next((run for run in runs if run.settings.method.name == "rigl"), runs[0])


def _is_exact(trainer: Trainer) -> bool:
    """Whether each layer holds what is planned for it after the update, and weights without a mask are 0."""
    from regrow.sparsity.planning import make_plan
    from regrow.training.method import build_method

    chosen = trainer.settings.method
    method = build_method(chosen, trainer.settings.sparsity)
    made = make_plan(trainer.network, method, trainer.length.total, None, tuple(chosen.keep_dense), 1)
    planned = dict(zip((one.name for one in made.layers), made.planned(1), strict=True))
    weights, masks = dict(trainer.network.named_parameters()), trainer.sparsifier.masks
    return all(int(mask.sum()) == planned[name] for name, mask in masks.items()) and not any(
        bool(weights[name].detach()[~mask].any()) for name, mask in masks.items()
    )


def _one_step_of(settings: RunSettings, n: int, micro: int, *, in_files: bool) -> RunSettings:
    values = settings.model_dump(mode="json")
    # an update after the first of two steps: the last step of a run has none
    values["training"] |= {"batch": n, "accumulate": max(1, -(-n // micro)), "steps": 2, "epochs": None}
    values["training"]["augment"]["repeats"] = 1
    if not in_files:  # random pixels are cut to size already
        values["training"]["augment"] |= {"resized_crop": None, "scale_jitter": None}
    values["method"] |= {"interval": 1, "updates": None, "stop": 1.0}
    return RunSettings.model_validate(values)


def _examples(recipe: Recipe, samples: Path | None, data_root: Path | None) -> tuple[ImageSet | FileSet, str]:
    nominal = _nominal(recipe, data_root)
    if samples is not None and nominal.modality != "image":
        raise InputError(
            f"{nominal.name} holds {nominal.noun}: pictures are no samples of them.", "leave --samples out."
        )
    if samples is not None:
        options: dict[str, Any] = {"size": nominal.image_size, "train_is_test": True}
        if nominal.frames is not None:
            of = data.nominal_spec(recipe.data.name, recipe.data.options).options
            chosen = {**of, **recipe.data.options}
            options |= {"frames": nominal.frames, "sampling": chosen["sampling"], "stride": chosen["stride"]}
            options |= {"paths": [str(samples.resolve())], "class_by": "file"}
        else:
            options |= {"path": str(samples.resolve())}
        name = "image_folder" if nominal.frames is None else "video_folder"
        found = data.load(name, "train", options=options)
        found = replace(found, spec=nominal, labels=found.labels % nominal.n_classes)
        return found, f"{len(found)} samples of {samples}, repeated"
    try:
        found = data.load(recipe.data.name, "train", root=data_root, options=recipe.data.options, download=False)
    except DataError:
        made_of = "pixels" if nominal.modality == "image" else nominal.unit
        return _random(nominal, recipe.training.batch), f"random {made_of}: the data are not here"
    return found, f"{len(found)} examples of {recipe.data.name}"


def _nominal(recipe: Recipe, data_root: Path | None) -> DataSpec:
    try:
        return data.nominal_spec(recipe.data.name, recipe.data.options)
    except InputError:
        return data.spec(recipe.data.name, recipe.data.options, data_root)


def _random(spec: DataSpec, n: int) -> ImageSet:
    rng = np.random.Generator(np.random.PCG64(0))
    n = min(n, 64 if spec.frames is None else 4)
    if spec.modality == "image":
        shape: tuple[int, ...] = (
            n,
            *([] if spec.frames is None else [spec.frames]),
            spec.image_size,
            spec.image_size,
            3,
        )
    else:
        shape = (n, spec.image_size)
    images = rng.integers(0, 256, shape, np.uint8)
    return ImageSet(images, np.arange(n) % spec.n_classes, spec, "train", np.arange(n))
