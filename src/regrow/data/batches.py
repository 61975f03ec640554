"""Training and evaluation batches as tensors on the device, without any work per image in Python.

A batch is a function of (seed, step): the order of an epoch and the crops and flips of a step come from counter-based
streams, so any step can be made alone and a resumed run needs no stored state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from regrow import seeds
from regrow.data.augmentation import Augmentation, augment, repeated, words
from regrow.data.augmentation.tensors import Mixing, erase, mix
from regrow.data.device import sent
from regrow.data.spec import DataSpec, Images, Labels
from regrow.errors import InputError

_CLIPS = 6  # dimensions of clips with several views each

#: Keys of the streams under ("data", ...); key 2 is the choice of a subset, 3 to 5 are of ``augmentation.streams``.
ORDER, AUGMENT = 0, 1


def normalise(images: Tensor, spec: DataSpec, *, channels_last: bool = False) -> Tensor:
    """Images as the network sees them: ``x * scale + shift`` by channel, scale = 1 / (255 std), shift = -mean / std.

    Args:
        images: uint8, shape (N, H, W, C), or clips (N, T, H, W, C), any device; texts and sounds as of `floats`.
        spec: whose mean and standard deviation to use.
        channels_last: lay the result out as ``torch.channels_last``; of images alone.

    Returns:
        float32, shape (N, C, H, W) or (N, C, T, H, W). Both operations are rounded on their own, so the bits are the
        same everywhere.
    """
    if spec.modality != "image":
        return floats(images, spec)
    *rows, width, channels = images.shape
    if channels_last and images.ndim == 4:
        # Rows of W * C values keep the inner loops long; a last axis of 3 would be several times slower.
        scale, shift = _scale_and_shift(tuple(spec.mean), tuple(spec.std), width, images.device)
        flat = _floats((images.numel() // (width * channels), width * channels), images.device)
        flat.copy_(images.reshape(flat.shape)).mul_(scale).add_(shift)
        return flat.view(*rows, width, channels).movedim(-1, 1)
    scale, shift = _scale_and_shift(tuple(spec.mean), tuple(spec.std), 1, images.device).view(
        2, channels, *[1] * (images.ndim - 2)
    )
    planes = images.movedim(-1, 1)
    return _floats(planes.shape, images.device).copy_(planes).mul_(scale).add_(shift)


@lru_cache(maxsize=8)
def _scale_and_shift(mean: tuple[float, ...], std: tuple[float, ...], repeats: int, device: torch.device) -> Tensor:
    """Constants of `normalise`, float32 (2, repeats * C), on the device once and for all."""
    of_channels = 1 / (255 * np.asarray(std, np.float64)), -np.asarray(mean, np.float64) / np.asarray(std, np.float64)
    with torch.inference_mode(False):  # a tensor made within could not be used outside
        return torch.from_numpy(np.tile(np.stack(of_channels).astype(np.float32), repeats)).to(device)


#: Value of a sample of a sound at full scale.
FULL_SCALE = 32768.0


def floats(examples: Tensor, spec: DataSpec) -> Tensor:
    """Texts or sounds as the network sees them.

    Args:
        examples: bytes of texts, uint8, or samples of sounds, int16, shape (N, L), any device.
        spec: says which.

    Returns:
        float32 (N, L): bytes as they are, from 0 to 255, which an embedding turns back into numbers; samples in -1..1.
    """
    values = examples.to(torch.float32)
    return values if spec.modality == "text" else values.div_(FULL_SCALE)


def _floats(shape: Sequence[int], device: torch.device) -> Tensor:
    """Memory for float32 values."""
    if device.type == "cpu":  # numpy asks for large pages; page by page, torch's costs several times what is written
        return torch.from_numpy(np.empty(tuple(shape), np.float32))
    return torch.empty(tuple(shape), dtype=torch.float32, device=device)


class Rows(Protocol):
    """What images are read from: its length, and arrays uint8 (k, H, W, C) for slices."""

    def __len__(self) -> int:
        """How many images."""
        ...

    def __getitem__(self, part: slice, /) -> Images:
        """Some of them."""
        ...


def eval_batches(
    images: Rows | Tensor,
    spec: DataSpec,
    *,
    batch: int,
    device: torch.device | str = "cpu",
    channels_last: bool = False,
    change: Callable[[Tensor, range], Tensor] | None = None,
) -> Iterator[Tensor]:
    """All images in order, normalised.

    Args:
        images: uint8, shape (N, H, W, C), or clips (N, views, T, H, W, C), whose views are inputs of their own; an
            array (also a memory map), what gives such arrays for slices, or a tensor.
        spec: whose mean and standard deviation to use.
        batch: images, or videos with all their views, per batch; the last one may be smaller.
        device: where the batches go.
        channels_last: lay them out as ``torch.channels_last``.
        change: takes a batch, uint8 (B, H, W, C) on the device, and the numbers of its images; what it returns is
            normalised in its place.

    Yields:
        float32, shape (B, C, H, W) or (B, C, T, H, W).
    """
    for start in range(0, len(images), batch):
        piece = images[start : start + batch]
        if not isinstance(piece, Tensor):
            piece = torch.from_numpy(np.array(piece))
        piece = (piece.flatten(0, 1) if piece.ndim == _CLIPS else piece).to(device)
        if change is not None:
            piece = change(piece, range(start, start + len(piece)))
        yield normalise(piece, spec, channels_last=channels_last)


@dataclass(frozen=True)
class Finish:
    """What becomes of a batch of uint8 images once they are on the device: normalised, erased, mixed.

    Attributes:
        clean_first: whether the first view of each image is spared from erasing.
        erasing: probability of random erasing.
        mixing: Mixup and CutMix.
    """

    clean_first: bool = False
    erasing: float = 0.0
    mixing: Mixing = field(default_factory=Mixing)

    def check(self, batch: int) -> None:
        """Refuse a batch that cannot be mixed.

        Raises:
            InputError: it is odd.
        """
        if self.mixing.is_on and batch % 2:
            raise InputError(f"Mixup and CutMix pair the images of a batch of {batch}.", "take an even batch.")

    def __call__(
        self, x: Tensor, labels: Tensor, spec: DataSpec, step: int, seed: int, *, channels_last: bool
    ) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a step, from uint8 images (views * B, ...) and their labels (B,)."""
        x = normalise(x, spec, channels_last=channels_last)
        x = erase(x, self.erasing, seed=seed, step=step, skip=len(labels) if self.clean_first else 0)
        return mix(x, labels, self.mixing, spec.n_classes, seed=seed, step=step) if self.mixing.is_on else (x, labels)


def window_words(seed: int, step: int, n: int, augmentation: Augmentation, view: int) -> seeds.UINT64:
    """The words by which the ``n`` images of a view are cropped and mirrored, uint64 (n,)."""
    window = augmentation.window(view)
    return seeds.raw(seed, "data", AUGMENT, step, n=n * (window + 1))[n * window :]


def epoch_order(seed: int, epoch: int, n: int, repeats: int = 1) -> npt.NDArray[np.int64]:
    """The order in which an epoch visits ``n`` examples, int64 (n,)."""
    return repeated(seeds.permutation(seed, "data", ORDER, epoch, n=n), repeats)


class Batches:
    """The training input: shuffled, cropped, flipped and normalised on the device; augmented where asked.

    Every epoch visits the images in a new order; the images left over after the last full batch sit that epoch out,
    so no batch spans two epochs. For image ``j`` of a step the word ``w_j`` of the step's stream gives: mirrored
    if bit 0 is set; row offset ``(w_j >> 1 & 0x7fffffff) mod (2 crop + 1)``; column offset
    ``(w_j >> 32) mod (2 crop + 1)`` of the window in the padded image. Cropped first, then mirrored. View ``v`` of a
    batch of ``B`` takes word ``w_(vB + j)``. Then come, on the host, the augmentation of each image by its own word,
    normalisation, erasing and mixing.

    Args:
        images: uint8, shape (N, H, W, C), or clips (N, T, H, W, C).
        labels: int64, shape (N,).
        batch: images per batch.
        spec: gives the normalisation, and the padding unless one is named.
        flip: mirror every second image, at random.
        crop: pixels of padding around the image before a window of the old size is taken; 0 = no crop.
        padding: "reflect" (without the border row itself) or "zero" (black).
        seed: seed of the order and of the augmentation.
        device: where images and batches live.
        channels_last: lay batches out as ``torch.channels_last``.
        augmentation: what is done to each image on its own, and how many views of it there are.
        erasing: probability of random erasing; clean first views are spared.
        mixing: Mixup and CutMix.
        repeats: copies of an image in a row, see ``augmentation.repeated``.

    Raises:
        InputError: a batch larger than the set, a crop that does not fit the image, or mixing of an odd batch.
    """

    def __init__(
        self,
        images: Images | Tensor,
        labels: Labels | Tensor,
        batch: int,
        spec: DataSpec,
        *,
        flip: bool = False,
        crop: int = 0,
        padding: Literal["reflect", "zero"] | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        channels_last: bool = False,
        augmentation: Augmentation | None = None,
        erasing: float = 0.0,
        mixing: Mixing | None = None,
        repeats: int = 1,
    ) -> None:
        held = _tensor(images)
        n, *frames, height, width, channels = held.shape
        if not 1 <= batch <= n:
            raise InputError(f"batch must be from 1 to the number of images ({n}), got {batch}.")
        if not 0 <= crop < min(height, width):
            raise InputError(f"crop must be from 0 to {min(height, width) - 1} pixels, got {crop}.")
        self.spec, self.batch_size, self.seed = spec, batch, seed
        self.flip, self.crop, self.channels_last = flip, crop, channels_last
        self.augmentation, self.repeats = augmentation or Augmentation(), repeats
        self.finish = Finish(self.augmentation.clean_first, erasing, mixing or Mixing())
        self.finish.check(batch)
        self.device = torch.device(device)
        self._n, self._shape = n, held.shape[1:]
        self.labels = _tensor(labels).to(self.device)
        self._images = _padded(held, crop, padding or spec.padding).contiguous().to(self.device)
        rows, row = height + 2 * crop, (width + 2 * crop) * channels
        # windows[i, y, x] is the crop of image i at (y, x): a view, nothing is copied until a batch is gathered.
        each = self._images.stride(0)
        self._windows = self._images.as_strided(
            (n, 2 * crop + 1, 2 * crop + 1, *frames, height, width * channels),
            (each, row, channels, *[rows * row for _ in frames], row, 1),
        )
        self._order: tuple[int, npt.NDArray[np.int64]] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass over the images."""
        return self._n // self.batch_size

    def indices(self, step: int) -> npt.NDArray[np.int64]:
        """Which images a step uses: int64, shape (B,)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, epoch_order(self.seed, epoch, self._n, self.repeats)
        return self._order[1][place * self.batch_size : (place + 1) * self.batch_size]

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step, counted from 0 over all epochs.

        Returns:
            x: float32, shape (views * B, C, H, W), view by view, normalised; of clips (views * B, C, T, H, W).
            y: int64, shape (B,); under mixing the soft targets, float32, shape (B, classes). Both on the device.
        """
        chosen = sent(self.indices(step), self.device)
        x = torch.cat([self._view(chosen, step, view) for view in range(self.augmentation.views)])
        return self.finish(x, self.labels[chosen], self.spec, step, self.seed, channels_last=self.channels_last)

    def _view(self, chosen: Tensor, step: int, view: int) -> Tensor:
        """One view of the chosen images, uint8 (B, H, W, C)."""
        n, size = len(chosen), 2 * self.crop + 1
        if self.flip or self.crop:
            raw = window_words(self.seed, step, n, self.augmentation, view)
            draws = np.stack([raw & 1, (raw >> 1 & 0x7FFFFFFF) % size, (raw >> 32) % size]).astype(np.int64)
            mirrored, top, left = sent(draws, self.device)
        x = self._windows[chosen, top, left] if self.crop else self._images[chosen]
        x = x.view(n, *self._shape)
        if self.flip:
            x = torch.where(mirrored.bool()[(..., *[None] * (x.ndim - 1))], x.flip(-2), x)
        if self.augmentation.changes:
            made = augment(x.cpu().numpy(), words(self.seed, step, n), self.augmentation, view)
            x = sent(made, self.device)
        return x


def _tensor(values: npt.NDArray[np.generic] | Tensor) -> Tensor:
    return values if isinstance(values, Tensor) else torch.from_numpy(np.require(values, requirements=["C", "W"]))


def _padded(images: Tensor, crop: int, padding: str) -> Tensor:
    if not crop:
        return images
    unpadded = [(0, 0)] * (images.ndim - 3)
    mode: Literal["reflect", "constant"] = "reflect" if padding == "reflect" else "constant"
    return torch.from_numpy(np.pad(images.cpu().numpy(), [*unpadded, (crop, crop), (crop, crop), (0, 0)], mode=mode))
