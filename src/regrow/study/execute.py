"""One run, from its folder: train, evaluate, analyse. Idempotent: what is done is left, what is cut short goes on."""

from __future__ import annotations

import io
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from regrow import analysis, data, files
from regrow.data import marker
from regrow.data.spec import DataSpec
from regrow.errors import BusyError, DataError
from regrow.evaluation.evaluate import Predict, evaluate_cell, predictor
from regrow.evaluation.metrics import Cell
from regrow.evaluation.records import is_current, load_answers, record_path, save_record
from regrow.models.user import from_folder, named, named_in, require_named
from regrow.study.analyses import Subject, analyses, versions
from regrow.study.cells import CellSet, open_cells
from regrow.study.plan import describe
from regrow.study.recipe import Recipe
from regrow.study.store import Store, get_state, set_state
from regrow.training.checkpoint import Weights, load_weights
from regrow.training.loop import Progress, Report, Trainer, make_fabric, silent
from regrow.training.network import build_network
from regrow.training.settings import RunSettings
from regrow.training.start import early_weights
from regrow.training.state_dict import fit

#: Seconds to wait for the lock of a run: the process of a killed engine ends at once, but the lock of a node that is
#: lost is kept by its file server until the lease ends (NFS 4: after 90 s).
LAPSE_S = 120.0


def execute(run: Path, data_root: Path | None = None, report: Report = silent) -> None:
    """Do what is left to do of one run.

    Args:
        run: ``STUDY/runs/NAME``, with its ``run.json``.
        data_root: where data sets lie, or None for the usual places.
        report: called as it goes on.

    Raises:
        BusyError: another process works on this run, or has taken it over.
        RegrowError: what went wrong; the run's state says it too.
    """
    with files.owned(run, "run", wait_s=LAPSE_S):
        files.sweep(run)
        attempt = set_state(run, "running")

        def report_ours(progress: Progress) -> None:
            _require_ours(run, attempt)
            report(progress)

        try:
            with named(*_own_network(run)):  # whoever starts a run has seen to it: `require_named_network`
                _stages(run, data_root, report_ours)
        except Exception as error:
            _require_ours(run, attempt)
            set_state(run, "failed", " ".join(str(error).split()) or type(error).__name__)
            raise
        _require_ours(run, attempt)
        set_state(run, "done")


def _own_network(run: Path) -> set[str]:
    """The network of the user's own that a run names, if it does."""
    stored = files.read_json(run / "run.json")
    model = stored["settings"]["model"] if isinstance(stored, dict) else {}
    return named_in(model["name"])


def require_named_network(run: Path) -> None:
    """Refuse a run that would import code which its folder names and the user has not.

    Args:
        run: its folder, with its ``run.json``.

    Raises:
        InputError: it names such a network.
        DataError: ``run.json`` is damaged.
    """
    try:
        own = _own_network(run)
    except (LookupError, TypeError) as error:
        raise DataError(f"{run / 'run.json'} is damaged ({type(error).__name__}).", "make the study anew.") from None
    for name in own:
        require_named(name)


def _require_ours(run: Path, attempt: int) -> None:
    """Refuse to go on with a run that another process has begun again: the lock of a node that was cut off lapses."""
    if get_state(run)["attempts"] != attempt:
        raise BusyError(f"run {run} was taken over by another process.", "leave it to that process.")


def _stages(run: Path, data_root: Path | None, report: Report) -> None:
    store = Store(run.parent.parent)
    recipe, stored = store.recipe(), files.read_json(run / "run.json")
    settings = RunSettings.model_validate(stored["settings"])
    if stored["fingerprint"] != files.value_digest(settings.identity()):
        changed = f", or the source of {settings.model.name} has changed" if ":" in settings.model.name else ""
        raise DataError(f"{run / 'run.json'} was altered{changed}.", "choose another --out and start again.")
    weights_file = run / "model.safetensors"
    if not _is_trained(run):
        train(settings, run, data_root, report)
    weights = load_weights(weights_file)
    if weights.meta.get("fingerprint") != stored["fingerprint"]:
        raise DataError(f"{weights_file} belongs to a run with other settings.", f"remove it: rm {weights_file}")
    cells = open_cells(store.cells, settings.data.name, lambda: _test_images(settings, data_root))
    if marker.is_generated(spec_of(weights, settings).caveat) != marker.is_generated(cells.spec.caveat):
        raise DataError(
            f"{weights_file} and the test images are not both of real or both of generated data.",
            "choose another --out, or give the data that the study was begun with.",
        )
    digest = files.file_digest(weights_file)
    device = make_fabric(settings.precision).device
    model = restore(weights, settings).to(device)
    fast, last = settings.precision.dtype == "bf16", settings.precision.channels_last
    predict = predictor(model, bf16=fast, device=device, channels_last=last)
    evaluate(predict, settings, cells, run / "records", digest, recipe.evaluation.batch, device, report)
    subject = Subject(model, predict, weights, settings, recipe.analysis, cells, recipe.evaluation.batch, device)
    analyse(subject, run / "analysis", _made_from(digest, cells, recipe), report)


def _is_trained(run: Path) -> bool:
    """Whether the first stage has left all that it must."""
    result = run / "result.json"
    if not (result.exists() and (run / "model.safetensors").exists()):
        return False
    steps = files.read_json(result).get("kept_steps")
    if steps is None:
        return not files.read_json(run / "run.json").get("keeps")
    return all(early_weights(run, step).exists() for step in steps)


def is_complete(run: Path, cells: CellSet, recipe: Recipe) -> bool:
    """Whether a run is done and all it left was made from the weights and the images that are there now."""
    weights, marker = run / "model.safetensors", run / "analysis" / "made_from.json"
    if get_state(run)["state"] != "done" or not marker.exists() or not _is_trained(run):
        return False
    digest = files.file_digest(weights)
    made_from = {**_made_from(digest, cells, recipe), "versions": versions()}
    return files.read_json(marker) == made_from and all(
        is_current(record_path(run / "records", cells.dataset, *cell), {"weights": digest, "cell": cell_digest})
        for cell, cell_digest in cells.digests.items()
    )


def _made_from(weights_digest: str, cells: CellSet, recipe: Recipe) -> dict[str, Any]:
    settings = files.value_digest(recipe.analysis.model_dump(mode="json"))
    return {"weights": weights_digest, "cells": cells.digests["clean", 0], "settings": settings, "schema": 2}


def _test_images(settings: RunSettings, data_root: Path | None) -> data.ImageSet | data.FileSet:
    chosen = settings.data
    return data.load(chosen.name, "test", root=data_root, options=chosen.options, n=chosen.test_images)


def train(settings: RunSettings, run: Path, data_root: Path | None, report: Report) -> None:
    """The first stage: writes ``model.safetensors``, ``result.json`` and the weights that other runs start from."""
    images = data.load(
        settings.data.name, "train", root=data_root, options=settings.data.options, n=settings.data.train_images
    )
    spec = images.spec
    source = None if settings.source is None else files.inside(run.parent, settings.source.run)
    keep = files.read_json(run / "run.json").get("keeps", ())
    trainer = Trainer(settings, images, run, report, source=source, keep=keep)
    plan = describe(settings, spec, n_images=len(images.labels), masks=trainer.start_masks)
    files.write_json(run / "plan.json", plan)
    result = trainer.train()
    result["flops"] = plan["flops"]
    result["peak_memory_bytes"] = peak_memory()
    files.write_json(run / "result.json", result)


def peak_memory() -> int:
    """Largest memory of this process so far, in bytes; with an accelerator, of the device."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)


def spec_of(weights: Weights, settings: RunSettings) -> DataSpec:
    """Facts of the data that a network was trained on: kept with its weights, else those of the data set."""
    if "data" in weights.meta:
        return DataSpec.of_json(weights.meta["data"])
    return data.spec(settings.data.name, settings.data.options)


#: Options of a network that say where its first weights come from: trained ones need none, and nothing is fetched.
_FIRST_WEIGHTS = ("pretrained", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay")


def trained(settings: RunSettings) -> RunSettings:
    """The settings without what only untrained weights need."""
    options = {key: value for key, value in settings.model.options.items() if key not in _FIRST_WEIGHTS}
    return settings.model_copy(update={"model": settings.model.model_copy(update={"options": options})})


def restore(weights: Weights, settings: RunSettings) -> nn.Module:
    """The trained network of a run; nothing is fetched for it.

    Raises:
        InputError: it is code that the user has not named, or cannot be built, or the weights are of another.
    """
    spec, settings = spec_of(weights, settings), trained(settings)
    with from_folder():
        network = build_network(
            settings.model, len(spec.classes), spec.image_size, seed=settings.seeds.init, precision=settings.precision
        )
    fit(network, weights.tensors, "the run's weights", settings.model.name)
    return network


def evaluate(
    predict: Predict,
    settings: RunSettings,
    cells: CellSet,
    folder: Path,
    weights_digest: str,
    batch: int,
    device: torch.device,
    report: Report,
) -> None:
    """The second stage: a record for every cell that has none made from these weights and these images."""
    spec = cells.spec
    for done, ((corruption, severity), digest) in enumerate(cells.digests.items()):
        path = record_path(folder, cells.dataset, corruption, severity)
        inputs = {"weights": weights_digest, "cell": digest}
        if not is_current(path, inputs):
            images, change = cells.source(corruption, severity)
            labels = cells.labels(corruption, severity)
            record = evaluate_cell(
                predict,
                images,
                labels,
                spec,
                batch=batch,
                device=device,
                channels_last=settings.precision.channels_last,
                change=change,
            )
            save_record(path, record, inputs)
        report(Progress("evaluate", done + 1, len(cells.digests)))


def analyse(subject: Subject, folder: Path, made_from: dict[str, Any], report: Report) -> None:
    """The third stage: kernel maps, and all analyses of :mod:`regrow.study.analyses` that are not there yet.

    Args:
        subject: the network and what it is looked at with.
        folder: ``analysis`` of the run.
        made_from: digests of what the analyses are made from.
        report: called as it goes on.
    """
    marker = folder / "made_from.json"
    if not _is_of(marker, made_from):
        marker.unlink(missing_ok=True)
        _write_kernel_maps(subject.weights, folder)
        files.write_json(marker, {**made_from, "versions": {}})
    everything = analyses()
    for number, one in enumerate(everything):
        report(Progress("analyse", number, len(everything)))
        if _analysed(marker).get(one.name) != one.version:
            found = one.make(subject)
            if found is None:
                (folder / f"{one.name}.json").unlink(missing_ok=True)
            else:
                files.write_json(folder / f"{one.name}.json", found)
            # read anew, for a process that took this run over may have done more
            files.write_json(marker, {**made_from, "versions": {**_analysed(marker), one.name: one.version}})
    report(Progress("analyse", len(everything), len(everything)))


def _analysed(marker: Path) -> dict[str, int]:
    """Version of each analysis that is there."""
    found: dict[str, int] = files.read_json(marker)["versions"]
    return found


def _is_of(marker: Path, made_from: Mapping[str, Any]) -> bool:
    stored = files.read_json(marker) if marker.exists() else {}
    return {key: value for key, value in stored.items() if key != "versions"} == made_from


def _write_kernel_maps(weights: Weights, folder: Path) -> None:
    """Active weights per kernel of every layer that has a mask; of a dense network, non-zero weights."""
    layers = dict(weights.masks) or {
        name: value != 0 for name, value in weights.tensors.items() if value.ndim in (2, 4, 5)
    }
    maps: dict[str, Any] = {name: analysis.kernel_map(mask).astype(np.uint16) for name, mask in layers.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **maps)
    files.write_json(folder / "kernel_sizes.json", {name: int(mask[0, 0].numel()) for name, mask in layers.items()})
    files.write_bytes(folder / "kernels.npz", buffer.getvalue())


def run_answers(run: Path, cells: CellSet, digest: str) -> tuple[dict[Cell, npt.NDArray[np.bool_]], list[str]]:
    """Correct answers of every cell whose record was made from these weights and these images.

    Args:
        run: its folder.
        cells: the images.
        digest: of its weights.

    Returns:
        (corruption, severity) -> bool (n,), and a line for each record that is there and cannot be used: it counts as
        missing, and the study's command makes it again.
    """
    answers, damaged = {}, []
    for cell, cell_digest in cells.digests.items():
        path = record_path(run / "records", cells.dataset, *cell)
        if not path.exists():
            continue
        try:
            right, inputs = load_answers(path)
        except DataError as error:
            damaged.append(error.message)
            continue
        if {key: inputs.get(key) for key in ("weights", "cell")} == {"weights": digest, "cell": cell_digest}:
            answers[cell] = right
        else:
            what = "another checkpoint" if inputs.get("weights") != digest else "other test images"
            damaged.append(f"record {path.name} was made from {what}.")
    return answers, damaged
