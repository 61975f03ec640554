"""A network for clips on a set of corrupted clips: cut as at test, answers averaged over the views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from regrow.data.clips import prepare
from regrow.data.on_disk import sampling_of
from regrow.data.published_clips import CLEAN, ClipCell, ClipSet
from regrow.data.sampling import Sampling
from regrow.data.spec import Images
from regrow.errors import DataError, InputError
from regrow.evaluation.evaluate import evaluate_cell, predictor
from regrow.evaluation.metrics import Cell
from regrow.study.networks import CheckedModel
from regrow.study.scored import Scored, class_numbers, unreadable

#: Videos of a batch, whose frames are all in memory.
_BATCH = 8


@dataclass(frozen=True)
class Cut:
    """Clips of a cell as they are tested, cut when slices of them are asked for.

    Attributes:
        cell: the videos.
        side: height and width in pixels that their frames are brought to.
        sampling: which frames.
        part: share of each video that is used, from and to.
    """

    cell: ClipCell
    side: int
    sampling: Sampling
    part: tuple[float, float] = (0.0, 1.0)

    def __len__(self) -> int:
        """How many videos."""
        return len(self.cell)

    def __getitem__(self, which: slice, /) -> Images:
        """The clips of some videos, uint8 (n, views, T, side, side, 3)."""
        return np.stack([self.at(i) for i in range(*which.indices(len(self)))])

    def at(self, i: int) -> Images:
        """The clips of one video, uint8 (views, T, side, side, 3); one that is too short shows its last frame on.

        Raises:
            DataError: it cannot be read, or nothing of it is used.
        """
        frames = prepare(self.cell.read(i), self.side).frames
        first, last = (int(share * len(frames)) for share in self.part)
        if first >= last:
            raise DataError(f"{self.cell.files[i]} has {len(frames)} frames: none is left to test.", "leave it out.")
        return frames[first:last][self.sampling.at_test(last - first)]


def on_clip_set(
    checked: CheckedModel,
    folder: Path,
    names: Sequence[str],
    severities: Sequence[int],
    *,
    on_error: str = "raise",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Scored:
    """Records of the cells of a set of clips, the clean ones among them where the set has them.

    Args:
        checked: a run of ours on clips, which says how they are cut.
        folder: what ``regrow corrupt`` has written of clips, or ViTTA's layout.
        names: types; empty = all of the set.
        severities: of 1 to 5; those that are there are taken.
        on_error: ``"raise"`` at a video that cannot be read, or ``"skip"`` it.
        progress: called with (cells done, all cells).

    Raises:
        InputError: a network for images, or of other classes; a type or severity that is not there.
        DataError: a video that cannot be read.
    """
    if checked.spec.frames is None or checked.trained_on is None:
        raise InputError(
            f"{folder} holds clips, {checked.name} takes images.",
            "give a run that was trained on clips, or a set of images.",
        )
    opened = ClipSet(folder)
    options = {**checked.spec.options, **checked.trained_on.options}
    sampling, part = sampling_of(options), options["test_part"]
    wanted = [(n, s) for n in names or opened.corruptions for s in opened.severities(n) if s in severities]
    if not wanted:
        raise InputError(f"{folder} has none of the severities {', '.join(map(str, severities))}.", "give others.")
    cells: list[Cell] = [*([(CLEAN, 0)] if opened.has_clean else []), *wanted]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    predict = predictor(checked.model.to(device), bf16=False, device=device)
    scored = Scored()
    short: dict[str, None] = {}
    for done, (name, severity) in enumerate(cells):
        progress(done, len(cells))
        cell = opened.cell(name, severity)
        short |= dict.fromkeys(
            f"{file.parent.name}/{file.name}"
            for file, n in zip(cell.files, cell.n_frames, strict=False)
            if n < sampling.span
        )
        labels = class_numbers([file.parent.name for file in cell.files], cell.labels, checked, folder)
        cut = Cut(replace(cell, labels=labels), checked.spec.image_size, sampling, (part[0], part[1]))
        if on_error == "skip":
            cut = _readable(cut, f"{name} {severity}", scored.skipped)
        scored.records[name, severity] = evaluate_cell(
            predict, cut, cut.cell.labels, checked.spec, batch=_BATCH * checked.spec.views, device=device
        )
    progress(len(cells), len(cells))
    if short:
        first = next(iter(short))
        scored.notes.append(
            f"{len(short)} clips have fewer than {sampling.span} frames: their last is held, e.g. {first}"
        )
    if not opened.has_clean:
        scored.notes.append("no rPC: the set holds no clean clips (`regrow corrupt --clean` writes them)")
    return scored


def _readable(cut: Cut, where: str, skipped: list[str]) -> Cut:
    """Those that can be read; the others are added to a list."""
    bad = unreadable(len(cut), cut.at, where)
    skipped += [f"{where}: {reason}" for reason in bad.values()]
    keep = [i for i in range(len(cut)) if i not in bad]
    cell = cut.cell
    return replace(
        cut,
        cell=ClipCell(
            tuple(cell.files[i] for i in keep),
            cell.labels[keep],
            tuple(cell.n_frames[i] for i in keep) if cell.n_frames else (),
        ),
    )
