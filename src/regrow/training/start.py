"""Runs that start from another run of the same study: its weights, its masks, or masks made from its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from regrow import sparsity
from regrow.errors import DataError, InputError
from regrow.sparsity import GivenMask, MagnitudeMask, Static
from regrow.training.checkpoint import Weights, load_weights
from regrow.training.length import EARLY, length_of, step_at
from regrow.training.method import build_method
from regrow.training.network import build_network
from regrow.training.settings import RunSettings, SourceRun


@dataclass(frozen=True)
class Start:
    """What a run starts from.

    Attributes:
        weights: state dict of the network; None leaves the initial weights of its own seed.
        masks: parameter name to bool mask; None leaves the method's own.
    """

    weights: dict[str, Tensor] | None = None
    masks: dict[str, Tensor] | None = None


def early_weights(folder: Path, step: int) -> Path:
    """Where a run keeps its weights of an early step, for those that start from them."""
    return folder / EARLY.format(step)


def read_start(settings: RunSettings, source: Path | None, *, n_images: int, n_classes: int, image_size: int) -> Start:
    """Read what a run starts from.

    Args:
        settings: the run.
        source: folder of the run it starts from; None where it starts from none.
        n_images: training images.
        n_classes: outputs of the network.
        image_size: side of its input, pixels.

    Raises:
        DataError: the source is not done, or another run than was planned.
    """
    wanted = settings.source
    if wanted is None:
        return Start()
    if source is None:
        raise DataError(f"this run starts from {wanted.run}, and its folder was not given.", "run the whole study.")
    final = _checked(source / "model.safetensors", wanted)
    weights = None
    if wanted.weights == "final":
        weights = final.tensors
    elif not isinstance(wanted.weights, str):
        total = length_of(RunSettings.model_validate(final.meta["settings"]), n_images).total
        weights = _checked(early_weights(source, step_at(wanted.weights, total)), wanted).tensors
    masks = None
    if wanted.masks == "final":
        masks = final.masks
    elif wanted.masks == "magnitude":
        masks = _largest(settings, wanted, final.tensors, n_classes, image_size)
    return Start(weights, masks)


def _checked(path: Path, wanted: SourceRun) -> Weights:
    stored = load_weights(path)
    if stored.meta.get("fingerprint") != wanted.fingerprint:
        raise DataError(f"{path} is not of the run that was planned as the source.", "choose another --out.")
    return stored


def _largest(
    settings: RunSettings, wanted: SourceRun, weights: dict[str, Tensor], n_classes: int, image_size: int
) -> dict[str, Tensor]:
    """Masks of the largest weights, drawn as the sparsity engine draws any first mask."""
    network = build_network(
        settings.model, n_classes, image_size, seed=settings.seeds.init, precision=settings.precision
    )
    network.load_state_dict(weights)
    method = Static(
        settings.sparsity,
        allocation=build_method(settings.method, settings.sparsity).allocation,
        initial=MagnitudeMask(scope=wanted.scope),
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    keep_dense = tuple(settings.method.keep_dense)
    sparsifier = sparsity.attach(network, optimizer, method, total_steps=1, keep_dense=keep_dense, process_group=None)
    masks = sparsifier.masks
    sparsifier.detach()
    return masks


def method_of(settings: RunSettings, masks: Mapping[str, Tensor] | None = None) -> sparsity.Method:
    """The record of a run's method.

    Args:
        settings: the run.
        masks: those it starts from; None where it has its own, or where they are not known yet (a plan).

    Raises:
        InputError: masks are given to a method that starts denser than it ends.
    """
    method = build_method(settings.method, settings.sparsity)
    source = settings.source
    if source is None or source.masks is None:
        return method
    if method.start_density != method.target_density:
        raise InputError(
            f"method {method.name} starts denser than it ends, so it cannot start from masks of another run.",
            "leave source.masks out, or use a method of one density, such as static or rigl.",
        )
    if masks is not None:
        return replace(method, initial=GivenMask(masks))
    return replace(method, initial=MagnitudeMask()) if source.scope == "global" else method
