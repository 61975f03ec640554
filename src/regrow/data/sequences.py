"""Batches of texts and sounds: arrays of one axis, without the geometry and the colours of images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from regrow.data.batches import epoch_order, floats
from regrow.data.device import sent
from regrow.data.spec import DataSpec, Images, Labels
from regrow.errors import InputError


class SequenceBatches:
    """The training input of texts and sounds: shuffled, on the device; nothing is done to an example.

    Epochs, their orders and what is left over are those of :class:`regrow.data.batches.Batches`.

    Args:
        examples: bytes of texts, uint8, or samples of sounds, int16, shape (N, L).
        labels: int64, shape (N,).
        batch: examples per batch.
        spec: says what they are.
        seed: of the order.
        device: where they live.

    Raises:
        InputError: a batch larger than the set.
    """

    def __init__(
        self,
        examples: Images,
        labels: Labels,
        batch: int,
        spec: DataSpec,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        if not 1 <= batch <= len(examples):
            raise InputError(f"batch must be from 1 to the number of {spec.noun} ({len(examples)}), got {batch}.")
        self.spec, self.batch_size, self.seed = spec, batch, seed
        self.device = torch.device(device)
        self._examples, self.labels = (torch.from_numpy(np.array(part)).to(self.device) for part in (examples, labels))
        self._order: tuple[int, npt.NDArray[np.int64]] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass over the examples."""
        return len(self.labels) // self.batch_size

    def indices(self, step: int) -> npt.NDArray[np.int64]:
        """Which examples a step uses: int64, shape (B,)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, epoch_order(self.seed, epoch, len(self.labels))
        return self._order[1][place * self.batch_size : (place + 1) * self.batch_size]

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step, counted from 0 over all epochs: float32 (B, L) and int64 (B,), on the device."""
        chosen = sent(self.indices(step), self.device)
        return floats(self._examples[chosen], self.spec), self.labels[chosen]
