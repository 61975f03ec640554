"""The least that any input must do: read a file, decode it at a reduced size, cut, resize. A yardstick for loaders.

    cuts = bare_cuts(examples, how, places, words)      # where to cut was drawn before
    decode_rate(cuts, processes=2)                      # examples a second of two processes that do nothing else

Apart from the loader's code, and without all else that it does: draws, batches, augmentation, transfer.
"""

from __future__ import annotations

import contextlib
import functools
import io
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from regrow import clips
from regrow.data import geometry
from regrow.data.fileset import ClipSource, FileSet, PictureSource
from regrow.data.geometry import Box, Draws, Geometry
from regrow.data.listing import Listing
from regrow.data.spec import Images, Labels
from regrow.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

#: Work on one example.
Cut = Callable[[], Images]


@dataclass(frozen=True)
class PictureCut:
    """A picture, one window of it, one size.

    Attributes:
        open: reads and decodes it, given the shorter side that suffices.
        at_least: that side in pixels; 0 = full size.
        box: the window in the decoded picture.
        side: height and width of what it gives.
    """

    open: Callable[[int], Image.Image] = field(repr=False)
    at_least: int
    box: Box
    side: int

    def __call__(self) -> Images:
        """The pixels, uint8 (side, side, 3)."""
        return _resized(self.open(self.at_least), self.box, self.side)


@dataclass(frozen=True)
class ClipCut:
    """Some frames of a video, one window of them, one size.

    Attributes:
        path: the file.
        numbers: of the frames, rising; equal ones are decoded once.
        times: of the frames with these numbers; empty = they are counted from the first frame on.
        seek: a time from which on the first of them is found.
        box: the window.
        side: height and width of what it gives.
    """

    path: Path
    numbers: tuple[int, ...]
    times: tuple[int, ...]
    seek: int
    box: Box
    side: int

    def __call__(self) -> Images:
        """The pixels, uint8 (T, side, side, 3).

        Raises:
            DataError: a frame cannot be decoded.
        """
        from PIL import Image

        out, filled = np.empty((len(self.numbers), self.side, self.side, 3), np.uint8), 0
        wanted = self.times or self.numbers
        with clips.opened(self.path.read_bytes(), self.path.name) as container:
            if self.times:
                container.seek(self.seek, stream=container.streams.video[0], backward=True)
            for number, frame in enumerate(clips.decoded(container)):
                at = frame.pts if self.times else number
                if wanted[filled] == at:
                    pixels = _resized(Image.fromarray(clips.upright(frame)), self.box, self.side)
                    while filled < len(wanted) and wanted[filled] == at:
                        out[filled], filled = pixels, filled + 1
                    if filled == len(wanted):
                        return out
        raise DataError(f"frame {self.numbers[filled]} of {self.path.name} cannot be decoded.", "replace it.")


def bare_cuts(
    examples: FileSet, how: Geometry, places: Sequence[int] | Labels, words: npt.NDArray[np.uint64]
) -> list[Cut]:
    """The work on examples, with windows and frames as training draws them by their words.

    Padding and mirroring are left out: they need no decoder.

    Args:
        examples: pictures or clips.
        how: how training cuts them.
        places: of the examples in the set.
        words: uint64, one for each.

    Raises:
        DataError: one cannot be read.
    """
    source, cut = examples.source, _cut_of_clip if isinstance(examples.source, ClipSource) else _cut_of_picture
    pairs = zip(examples.index[np.asarray(places)], words, strict=True)
    return [cut(source, int(i), how, Draws(int(word))) for i, word in pairs]  # type: ignore[arg-type]


def _cut_of_picture(source: PictureSource, i: int, how: Geometry, draws: Draws) -> PictureCut:
    listing = source.listing
    opener: Callable[[int], Any] = functools.partial(listing.open, i)
    if isinstance(listing, Listing):
        opener = functools.partial(_opened, listing.place(i))
    if how.resized_crop is None:
        return PictureCut(opener, 0, geometry.middle(*listing.open(i).size, source.side), source.side)
    share = draws.between(*how.resized_crop)
    at_least = geometry.enough_for(share, source.side)
    box = geometry.resized_crop(*listing.open(i, at_least).size, share, draws)
    return PictureCut(opener, at_least, box, source.side)


def _opened(path: Path, at_least: int) -> Image.Image:
    """A picture file decoded at the smallest reduced size that suffices."""
    from PIL import Image

    picture = Image.open(io.BytesIO(path.read_bytes()))
    if at_least:
        shorter = min(picture.size)
        scale = next((s for s in (8, 4, 2) if s <= shorter and -(-shorter // s) >= at_least), 1)
        if scale > 1:
            picture.draft(None, (picture.width // scale, picture.height // scale))
    picture.load()
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _cut_of_clip(source: ClipSource, i: int, how: Geometry, draws: Draws) -> ClipCut:
    path = source.listing.place(i)
    shown = _shown(path)
    numbers = tuple(int(n) for n in source.drawn(i, shown.count, draws))
    box = geometry.square(shown.width, shown.height, source.side, how.scale_jitter, draws)
    if not shown.times:
        return ClipCut(path, numbers, (), 0, box, source.side)
    return ClipCut(path, numbers, tuple(shown.times[n] for n in numbers), shown.seeks[numbers[0]], box, source.side)


@dataclass(frozen=True)
class _Shown:
    """The frames of a video: how many, their size, and by which times they are known and sought, if by any."""

    count: int
    width: int
    height: int
    times: tuple[int, ...] = ()
    seeks: tuple[int, ...] = ()


@functools.lru_cache(maxsize=1024)
def _shown(path: Path) -> _Shown:
    """Decodes it whole."""
    stamps: list[tuple[Any, Any]] = []
    width = height = 0
    with clips.opened(path.read_bytes(), path.name) as container:
        for frame in clips.decoded(container):
            stamps.append((frame.pts, frame.dts))
            if len(stamps) == 1:
                height, width = clips.upright(frame).shape[:2]
    times = [pts for pts, _ in stamps]
    if None not in times and times == sorted(set(times)):
        seeks = tuple(pts if dts is None else min(pts, dts) for pts, dts in stamps)
        n = len(times) // 2
        sought = ClipCut(path, (n,), (times[n],), seeks[n], (0, 0, width, height), 32)
        with contextlib.suppress(DataError):  # times of some files are not those of showing
            if np.array_equal(sought(), replace(sought, times=())()):
                return _Shown(len(times), width, height, tuple(times), seeks)
    return _Shown(len(times), width, height)


def _resized(picture: Image.Image, box: Box, side: int) -> Images:
    from PIL import Image

    return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR, box=box))


def decode_rate(cuts: Sequence[Cut], processes: int = 1) -> float:
    """Examples a second of processes that do this work side by side, each a part of it, and nothing else."""
    context = multiprocessing.get_context()
    start = context.Barrier(processes)
    with ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(start,)) as pool:
        return sum(pool.map(_rate, [cuts[part::processes] for part in range(processes)]))


_start: list[Barrier] = []


def _begin(start: Barrier) -> None:
    _start[:] = [start]


def _rate(cuts: Sequence[Cut]) -> float:
    _start[0].wait()
    begun = time.perf_counter()
    for cut in cuts:
        cut()
    return len(cuts) / (time.perf_counter() - begun)
