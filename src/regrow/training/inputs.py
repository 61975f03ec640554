"""What a run trains on, as batches: from an array or from files, by the run's settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from regrow import seeds
from regrow.data.augmentation import Augmentation
from regrow.data.batches import Batches, Finish, eval_batches, normalise
from regrow.data.cifar import SUBSET
from regrow.data.fileset import FileSet
from regrow.data.geometry import Geometry
from regrow.data.sequences import SequenceBatches
from regrow.data.spec import ImageSet
from regrow.data.streaming import StreamedBatches, in_test_order
from regrow.errors import InputError
from regrow.training.augmenting import batch_options
from regrow.training.settings import AugmentSettings, RunSettings

#: Accuracy on the training examples is taken over so many of them at most, where these are decoded from files.
MEMORISED = 20_000
#: Images, or clips, of an evaluation batch.
EVALUATED, EVALUATED_CLIPS = 256, 16


class Input(Protocol):
    """Batches by step."""

    def indices(self, step: int) -> npt.NDArray[np.int64]:
        """Which examples a step uses, int64 (B,)."""
        ...

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Normalised inputs and labels of a step, on the device."""
        ...


def check(examples: ImageSet | FileSet, augment: AugmentSettings) -> None:
    """Refuse geometry that a kind of data cannot have.

    Raises:
        InputError: the setting and why not.
    """
    spec = examples.spec
    if spec.modality != "image":
        set_ = augment.model_dump(mode="json")
        off = AugmentSettings(flip=False).model_dump(mode="json")
        wrong = next((key for key in off if set_[key] != off[key]), None)
        if wrong is not None:
            raise InputError(
                f"training.augment.{wrong} is for images, {spec.name} holds {spec.noun}.",
                "training: {augment: {flip: false}}, and nothing else there.",
            )
        return
    if augment.resized_crop is not None and (not isinstance(examples, FileSet) or spec.frames is not None):
        raise InputError(
            f"training.augment.resized_crop is for images in files, {spec.name} is none.", "give augment.crop."
        )
    if augment.scale_jitter is not None and spec.frames is None:
        raise InputError(f"training.augment.scale_jitter is for clips, {spec.name} holds images.", "leave it out.")
    if augment.scale_jitter is not None and augment.scale_jitter[0] < spec.image_size:
        raise InputError(
            f"training.augment.scale_jitter starts at {augment.scale_jitter[0]} pixels, below the "
            f"{spec.image_size} of the network's input.",
            "raise it.",
        )


def geometry_of(augment: AugmentSettings) -> Geometry:
    """How examples in files are cut out."""
    return Geometry(augment.flip, augment.crop, augment.resized_crop, augment.scale_jitter)


def make_batches(examples: ImageSet | FileSet, settings: RunSettings, device: torch.device) -> Input:
    """The training input of a run.

    Raises:
        InputError: settings that this kind of data cannot have.
    """
    train, augment = settings.training, settings.training.augment
    check(examples, augment)
    if isinstance(examples, ImageSet) and examples.spec.modality != "image":
        return SequenceBatches(
            examples.images, examples.labels, train.batch, examples.spec, seed=settings.seeds.data, device=device
        )
    channels_last, options = settings.precision.channels_last, batch_options(train, examples.spec)
    if isinstance(examples, FileSet):
        made: Augmentation = options["augmentation"]
        return StreamedBatches(
            examples,
            train.batch,
            how=geometry_of(augment),
            augmentation=made,
            finish=Finish(made.clean_first, options["erasing"], options["mixing"]),
            repeats=options["repeats"],
            seed=settings.seeds.data,
            device=device,
            channels_last=channels_last,
            workers=settings.data.workers,
        )
    return Batches(
        examples.images,
        examples.labels,
        train.batch,
        examples.spec,
        flip=augment.flip,
        crop=augment.crop,
        **options,
        seed=settings.seeds.data,
        device=device,
        channels_last=channels_last,
    )


def memorised(examples: ImageSet | FileSet) -> ImageSet | FileSet:
    """The examples that the accuracy in training is taken over: all, or of many files some by a fixed random order."""
    if isinstance(examples, ImageSet) or len(examples) <= MEMORISED:
        return examples
    return examples.select(seeds.permutation(0, "data", SUBSET, n=len(examples))[:MEMORISED])


def unaugmented(examples: ImageSet | FileSet, settings: RunSettings, device: torch.device) -> Iterator[Tensor]:
    """All examples in order as they are tested, normalised; views of a video are inputs of their own."""
    spec, channels_last = examples.spec, settings.precision.channels_last
    batch = max(EVALUATED, settings.training.batch) if spec.frames is None else max(1, EVALUATED_CLIPS // spec.views)
    if isinstance(examples, ImageSet):
        yield from eval_batches(examples.images, spec, batch=batch, device=device, channels_last=channels_last)
        return
    for piece in in_test_order(examples, batch, settings.data.workers):
        images = piece.flatten(0, 1) if spec.frames else piece
        yield normalise(images.to(device), spec, channels_last=channels_last)


def classes_of(logits: Tensor, views: int) -> Tensor:
    """Predicted classes, from the mean probabilities over the views of each example."""
    if views == 1:
        return logits.argmax(1)
    p = logits.float().softmax(1)
    return p.view(-1, views, p.shape[1]).mean(1).argmax(1)
