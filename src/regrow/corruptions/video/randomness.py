"""Random numbers of a clip: streams of its own, keyed by seed, corruption, severity and the clip's number."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from regrow.clips import Frames
from regrow.corruptions.choice import Choice, Frost, Options
from regrow.corruptions.draws import CounterStream, LegacyStream, Stream
from regrow.corruptions.registry import Corruption


@dataclass(frozen=True)
class Randomness:
    """Where a clip's random numbers come from, and the files that a corruption may need.

    Attributes:
        name: the corruption.
        severity: 1 to 5.
        seed: the user's seed.
        index: number of the clip in its set.
        rng: a legacy stream in place of ``seed`` and ``index``.
        per_frame: new numbers for each frame, or the same for all; ``None``: as published.
        frost: photographs of the frost corruption.
        codec: JPEG encoder of the jpeg corruption.
    """

    name: str
    severity: int
    seed: int = 0
    index: int = 0
    rng: np.random.RandomState | None = None
    per_frame: bool | None = None
    frost: Frost = None
    codec: str | None = None

    def of_clip(self) -> Stream:
        """The stream of the whole clip."""
        if self.rng is not None:
            return LegacyStream(self.rng)
        return CounterStream(self.seed, f"clip/{self.name}", self.severity, [self.index])

    def choose(self, image: Corruption, side: int) -> Choice:
        """An image corruption at the severity, with the settings for 224 px."""
        codec = self.codec if image.codec else None
        return Choice.of_record(image, self.severity, side, Options(scale="imagenet", codec=codec, frost=self.frost))

    def framewise(self, choice: Choice, frames: Frames) -> Frames:
        """Frames (T, H, H, 3) corrupted one by one as images, with new numbers for each unless told otherwise."""
        per_frame = self.per_frame is not False
        out = np.empty(frames.shape, np.uint8)
        if self.rng is None:
            # a stream for each frame of each clip: the name holds the clip, the image number is the frame's
            own = replace(choice.record, name=f"clip {self.index}/{self.name}")
            numbers = range(len(frames)) if per_frame else [0] * len(frames)
            choice._replace(record=own).fill(out, frames, (self.seed, numbers))
        elif per_frame or choice.record.draw is None:
            choice.fill(out, frames, self.rng)
        else:
            state = self.rng.get_state()
            for target, frame in zip(out, frames, strict=True):
                self.rng.set_state(state)
                choice.fill(target[None], frame[None], self.rng)
        return out
