"""Images and clips that stay in their files: what a list of files gives at test and in training.

A ``FileSet`` stands where an ``ImageSet`` does: labels, facts, and ``images`` that are decoded when slices of them are
asked for. Everything here is cheap to pickle, so that worker processes can decode (see ``regrow.data.streaming``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from regrow import clips, files
from regrow.clips import Clip
from regrow.data import geometry, pictures
from regrow.data.geometry import Draws, Geometry
from regrow.data.listing import Listing, Pictures
from regrow.data.sampling import Sampling
from regrow.data.spec import DataSpec, Images, Labels
from regrow.errors import OR_SKIP, DataError


class Source(Protocol):
    """What gives one example of a list of files."""

    @property
    def listing(self) -> Pictures | Listing:
        """The files."""
        ...

    def at_test(self, i: int, /) -> Images:
        """As it is tested: uint8 (H, W, 3), or (views, T, H, W, 3)."""
        ...

    def in_training(self, i: int, how: Geometry, word: int, /) -> Images:
        """As it is trained on, by its random word: uint8 (H, W, 3), or (T, H, W, 3)."""
        ...


@dataclass(frozen=True)
class PictureSource:
    """Pictures at one size.

    Attributes:
        listing: the pictures.
        side: height and width in pixels.
    """

    listing: Pictures
    side: int

    def at_test(self, i: int, /) -> Images:
        """The middle of a picture, as the published sets are prepared; see ``pictures.prepare``."""
        return np.asarray(pictures.prepare(self.listing.open(i), self.side))

    def in_training(self, i: int, how: Geometry, word: int, /) -> Images:
        """A picture cut out at random; decoded at a reduced size where its window is large enough so."""
        from PIL import Image

        draws = Draws(word)
        if how.resized_crop is None:
            pixels = self.at_test(i)
        else:
            share = draws.between(*how.resized_crop)
            picture = self.listing.open(i, geometry.enough_for(share, self.side))
            box = geometry.resized_crop(*picture.size, share, draws)
            pixels = np.asarray(picture.resize((self.side, self.side), Image.Resampling.BILINEAR, box=box))
        if how.crop:
            pixels = geometry.padded_window(pixels, how.crop, draws)
        return geometry.mirrored(pixels, draws) if how.flip else pixels


@dataclass(frozen=True)
class ClipSource:
    """Clips cut from videos.

    Attributes:
        listing: the videos.
        side: height and width in pixels.
        sampling: which frames.
        part: share of each video that is used, from and to.
        held: shorter side in pixels at which the frames of this part are kept in memory once decoded; 0 = they are
            read from the file each time.
    """

    listing: Listing
    side: int
    sampling: Sampling
    part: tuple[float, float] = (0.0, 1.0)
    held: int = 0

    def clip(self, i: int, /) -> Clip:
        """The part of a video that is used, frames uint8 (T, side, side, 3): the middle, as the published sets have it.

        Raises:
            DataError: it cannot be read, or has fewer frames than a clip needs.
        """
        from PIL import Image

        found = clips.read(self.listing.place(i), name=self.listing.path(i), whole=True)
        first, last = self.used(i, len(found))
        out = np.empty((last - first, self.side, self.side, 3), np.uint8)
        for frame, target in zip(found.frames[first:last], out, strict=True):
            target[...] = np.asarray(pictures.prepare(Image.fromarray(frame), self.side))
        return Clip(out, found.rate)

    def views(self, frames: Images) -> Images:
        """The clips that are tested of a prepared video, uint8 (views, T, side, side, 3)."""
        return frames[self.sampling.at_test(len(frames))]

    def at_test(self, i: int, /) -> Images:
        """The clips of a video that are tested."""
        return self.views(self.clip(i).frames)

    def in_training(self, i: int, how: Geometry, word: int, /) -> Images:
        """A clip at random; only the frames that it needs are decoded, from the key frame before them on."""
        draws = Draws(word)
        if self.held:
            held = _held(self, i)
            frames = held[self.sampling.in_training(len(held), draws)]
        else:
            path, name = self.listing.place(i), self.listing.path(i)
            frames = clips.frames_at(path, self.drawn(i, clips.count(path, name), draws), name)
        frames = _square(frames, self.side, how.scale_jitter, draws)
        if how.crop:
            frames = geometry.padded_window(frames, how.crop, draws)
        return geometry.mirrored(frames, draws) if how.flip else frames

    def drawn(self, i: int, length: int, draws: Draws) -> npt.NDArray[np.int64]:
        """Numbers of the frames that training takes at random from a video of some length.

        Raises:
            DataError: it is too short.
        """
        first, last = self.used(i, length)
        return first + self.sampling.in_training(last - first, draws)

    def used(self, i: int, length: int) -> tuple[int, int]:
        """First frame that is used of a video of some length, and the one after the last.

        Raises:
            DataError: they are fewer than a clip needs.
        """
        first, last = (int(share * length) for share in self.part)
        if last - first < self.sampling.span:
            raise DataError(
                f"{self.listing.path(i)} has {length} frames, of which {last - first} are used; a clip needs "
                f"{self.sampling.span}.",
                f"ask for fewer frames, or {OR_SKIP}",
            )
        return first, last


@lru_cache(maxsize=4096)
def _held(source: ClipSource, i: int) -> Images:
    from PIL import Image

    found = clips.read(source.listing.place(i), name=source.listing.path(i), whole=True)
    first, last = source.used(i, len(found))
    return np.stack([np.asarray(pictures.resize(Image.fromarray(f), source.held)) for f in found.frames[first:last]])


def _square(frames: Images, side: int, jitter: tuple[int, int] | None, draws: Draws) -> Images:
    """A square of all frames, see ``geometry.square``."""
    from PIL import Image

    window = geometry.square(frames.shape[2], frames.shape[1], side, jitter, draws)
    resized = (Image.fromarray(frame).resize((side, side), Image.Resampling.BILINEAR, box=window) for frame in frames)
    return _gathered((np.asarray(frame) for frame in resized), len(frames))


@dataclass(frozen=True)
class Decoded:
    """Examples of a file set as they are tested, decoded when slices of them are asked for."""

    source: Source
    index: Labels

    def __len__(self) -> int:
        """How many."""
        return len(self.index)

    def __getitem__(self, part: slice, /) -> Images:
        """Some of them, uint8 (n, H, W, 3) or (n, views, T, H, W, 3)."""
        return _gathered((self.source.at_test(int(i)) for i in self.index[part]), len(self.index[part]))


@dataclass(frozen=True)
class FileSet:
    """Examples of one split, in their files.

    Attributes:
        source: what gives them.
        labels: int64, shape (N,).
        spec: the data set's facts.
        split: which split.
        index: int64, shape (N,): each one's place in the list of files.
        skipped: files that were left out, and why.
    """

    source: Source
    labels: Labels
    spec: DataSpec
    split: str
    index: Labels
    skipped: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def images(self) -> Decoded:
        """All as they are tested, decoded when slices of them are asked for."""
        return Decoded(self.source, self.index)

    @property
    def digest(self) -> str:
        """SHA-256 of names and labels, not of pixels: that other files are there now is seen, that one changed is not.

        Names are those that the source's list gives.
        """
        listing = self.source.listing
        names = [listing.path(int(i)) for i in self.index]
        return files.value_digest([names, self.labels.tolist(), self.spec.as_json()])

    def select(self, which: Labels | slice) -> FileSet:
        """Those at the given places, as a set of their own."""
        return replace(self, labels=self.labels[which], index=self.index[which])

    def training(self, places: Sequence[int] | Labels, how: Geometry, words: npt.NDArray[Any]) -> Images:
        """Examples as they are trained on, by their places in this set and their random words."""
        rows = zip(places, words, strict=True)
        made = (self.source.in_training(int(self.index[i]), how, int(word)) for i, word in rows)
        return _gathered(made, len(places))


def _gathered(examples: Iterable[Images], n: int) -> Images:
    """What ``np.stack`` gives of ``n`` examples; each is copied as it comes, while the processor still has it near."""
    rows = iter(examples)
    first = next(rows)
    out = np.empty((n, *first.shape), np.uint8)
    for target, example in zip(out, itertools.chain([first], rows), strict=True):
        target[...] = example
    return out


def clip_source(examples: object) -> ClipSource | None:
    """What gives the clips of a set, or None where it holds images."""
    source = examples.source if isinstance(examples, FileSet) else None
    return source if isinstance(source, ClipSource) else None
