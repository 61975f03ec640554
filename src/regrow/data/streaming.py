"""Batches of images and clips that stay in their files, decoded by worker processes ahead of the network.

As with ``regrow.data.batches`` a batch is a function of (seed, step): workers change when it is made, never what it is.
The processes, their queues and pinned memory are those of ``torch.utils.data.DataLoader``; each worker makes whole
batches.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from regrow.data.augmentation import Augmentation, augment, words
from regrow.data.batches import Finish, epoch_order, window_words
from regrow.data.fileset import FileSet
from regrow.data.geometry import Geometry
from regrow.errors import InputError, RegrowError

#: Batches that each worker makes ahead.
AHEAD = 2


def default_workers() -> int:
    """Worker processes for one network: the cores of its share of the accelerators; none where the processor trains."""
    if not torch.cuda.is_available():
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // max(1, torch.cuda.device_count()))


class _Steps(Dataset[tuple[Tensor, Tensor]]):
    """Step -> its batch as uint8 images and int64 labels."""

    def __init__(
        self, examples: FileSet, batch: int, how: Geometry, seed: int, augmentation: Augmentation, repeats: int
    ) -> None:
        self.examples, self.batch, self.how, self.seed = examples, batch, how, seed
        self.augmentation, self.repeats = augmentation, repeats
        self._order: tuple[int, npt.NDArray[np.int64]] | None = None

    def indices(self, step: int) -> npt.NDArray[np.int64]:
        epoch, place = divmod(step, len(self.examples) // self.batch)
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, epoch_order(self.seed, epoch, len(self.examples), self.repeats)
        return self._order[1][place * self.batch : (place + 1) * self.batch]

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        places, own = self.indices(step), words(self.seed, step, self.batch)
        views, cut, made = [], {}, self.augmentation
        for view in range(made.views):
            window = made.window(view)
            if window not in cut:  # views of one window are decoded once
                drawn = window_words(self.seed, step, self.batch, made, view)
                cut[window] = self.examples.training(places, self.how, drawn)
            views.append(augment(cut[window], own, made, view) if made.changes else cut[window])
        images = views[0] if len(views) == 1 else np.concatenate(views)
        return torch.from_numpy(images), torch.from_numpy(self.examples.labels[places])


class StreamedBatches:
    """The training input from files; the counterpart of :class:`regrow.data.batches.Batches`, with the same order.

    Args:
        examples: the training examples.
        batch: of them a step.
        how: how each is cut out.
        augmentation: what is done to each on its own then, and how many views of it there are.
        finish: what becomes of the batch on the device.
        repeats: copies of an example in a row, see ``augmentation.repeated``.
        seed: seed of the order and of what is drawn.
        device: where batches go.
        channels_last: lay batches of images out as ``torch.channels_last``.
        workers: processes that decode; 0 = in this one; None = :func:`default_workers`.

    Raises:
        InputError: a batch larger than the set, or mixing of an odd batch.
    """

    def __init__(
        self,
        examples: FileSet,
        batch: int,
        *,
        how: Geometry,
        augmentation: Augmentation | None = None,
        finish: Finish | None = None,
        repeats: int = 1,
        seed: int = 0,
        device: torch.device | str = "cpu",
        channels_last: bool = False,
        workers: int | None = None,
    ) -> None:
        if not 1 <= batch <= len(examples):
            raise InputError(f"batch must be from 1 to the number of examples ({len(examples)}), got {batch}.")
        self.spec, self.batch_size = examples.spec, batch
        self.device, self.channels_last = torch.device(device), channels_last
        self.workers = default_workers() if workers is None else workers
        self.finish, self.seed = finish or Finish(), seed
        self.finish.check(batch)
        self._steps = _Steps(examples, batch, how, seed, augmentation or Augmentation(), repeats)
        self._n = len(examples)
        self._ahead: Iterator[Any] = iter(())
        self._next = -1

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass over the examples."""
        return self._n // self.batch_size

    def indices(self, step: int) -> npt.NDArray[np.int64]:
        """Which examples a step uses: int64, shape (B,)."""
        return self._steps.indices(step)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step; steps in their order are made ahead, any other starts the workers anew.

        Returns:
            x: float32, shape (views * B, 3, H, W) or (views * B, 3, T, H, W), view by view, normalised. y: int64,
            shape (B,); under mixing the soft targets, float32, shape (B, classes). Both on the device.
        """
        if self.workers == 0:
            images, labels = self._steps[step]
        else:
            if step != self._next:
                self._ahead = _made_ahead(self._steps, range(step, 1 << 62), self.workers, self.device)
            self._next = -1  # an error ends the workers
            images, labels = next(self._ahead)
            self._next = step + 1
        images = images.to(self.device, non_blocking=True)
        labels = labels.to(self.device, non_blocking=True)
        return self.finish(images, labels, self.spec, step, self.seed, channels_last=self.channels_last)


class _Pieces(Dataset[Tensor]):
    """Number of a batch -> examples as they are tested, uint8."""

    def __init__(self, examples: FileSet, batch: int) -> None:
        self.examples, self.batch = examples, batch

    def __getitem__(self, number: int) -> Tensor:
        return torch.from_numpy(self.examples.images[number * self.batch : (number + 1) * self.batch])


def in_test_order(examples: FileSet, batch: int, workers: int | None = None) -> Iterator[Tensor]:
    """All examples in order as they are tested, at most ``batch`` a piece.

    Yields:
        uint8 (n, H, W, 3) or (n, views, T, H, W, 3).
    """
    pieces = _Pieces(examples, batch)
    numbers = range(-(-len(examples) // batch))
    workers = default_workers() if workers is None else workers
    if workers == 0:
        yield from (pieces[number] for number in numbers)
        return
    yield from _made_ahead(pieces, numbers, workers, torch.device("cpu"))


def _made_ahead(dataset: Dataset[Any], numbers: range, workers: int, device: torch.device) -> Iterator[Any]:
    """What a data set gives for some numbers, in order, made by worker processes.

    Raises:
        RegrowError: as a worker raised it; or a worker ended before its time.
    """
    loader = DataLoader(
        _Told(dataset),
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=AHEAD,
        pin_memory=device.type == "cuda",
        worker_init_fn=_one_thread,
    )
    try:
        for made in loader:
            if isinstance(made, RegrowError):
                raise made
            yield made
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise RegrowError(
            "a process that reads and decodes files was killed, maybe for lack of memory (also of /dev/shm).",
            "lower data.workers or training.batch, or give more memory.",
        ) from None


class _Told(Dataset[Any]):
    """A data set whose errors of regrow are values: torch would make a traceback of several lines of them."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __getitem__(self, number: int) -> Any:
        try:
            return self.dataset[number]
        except RegrowError as error:
            return error


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
