"""Which frames of a video a network sees: windows of neighbours, or frames spread over all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from regrow.data.geometry import Draws

#: ``window``: frames ``stride`` apart. ``uniform``: one of each of as many equal parts (Wang et al. 2016,
#: arXiv:1608.00859).
Way = Literal["window", "uniform"]
WAYS: tuple[Way, ...] = ("window", "uniform")


@dataclass(frozen=True)
class Sampling:
    """How clips are cut from a video.

    Attributes:
        frames: of a clip.
        way: see ``Way``.
        stride: frames from one of a window to the next.
        views: clips of a video at test.
    """

    frames: int
    way: Way = "window"
    stride: int = 1
    views: int = 1

    @property
    def span(self) -> int:
        """Frames that a video must have for one clip."""
        return self.frames if self.way == "uniform" else (self.frames - 1) * self.stride + 1

    def at_test(self, length: int) -> npt.NDArray[np.int64]:
        """Frame numbers of the clips of a video, int64 (views, frames).

        Windows start at equal distances, from the first frame to the last that can be; a single one lies in the
        middle. Frames spread over the video are those in the middle of its parts; several views take them at equal
        distances within the parts. A video that is too short shows its last frame on.

        Args:
            length: frames of the video, at least 1.
        """
        views = np.arange(self.views)[:, None]
        if self.way == "uniform":
            halves = 2 * (self.views * np.arange(self.frames) + views) + 1  # of a view's share of a part
            return _within(halves * length // (2 * self.views * self.frames), length)
        room = max(0, length - self.span)
        starts = np.floor(views * room / (self.views - 1) + 0.5) if self.views > 1 else np.full((1, 1), room // 2)
        return _within(starts.astype(np.int64) + np.arange(self.frames) * self.stride, length)

    def in_training(self, length: int, draws: Draws) -> npt.NDArray[np.int64]:
        """Frame numbers of one clip at random, int64 (frames,)."""
        if self.way == "uniform":
            offsets = np.array([draws.next() for _ in range(self.frames)])
            places = (np.arange(self.frames) + offsets) * (length / self.frames)
            return _within(places, length)
        start = draws.below(max(0, length - self.span) + 1)
        return _within(start + np.arange(self.frames) * self.stride, length)


def _within(places: npt.NDArray[np.number[Any]], length: int) -> npt.NDArray[np.int64]:
    return np.minimum(places.astype(np.int64), length - 1).astype(np.int64)
