"""One picture, or one frame of a clip, under all corruptions and severities, as one picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from regrow.clips import Clip
from regrow.corruptions.inputs import check_images
from regrow.corruptions.registry import Images
from regrow.corruptions.writer.clips import Clips, ClipSettings, choose_clip_names, severities_in
from regrow.corruptions.writer.manifest import Settings, choose_names

_SMALLEST = 96  # pixels of a cell: smaller pictures are enlarged by a whole factor
_GAP = 4
_TEXT = 15
_LEFT = 190


def preview(
    image: Images,
    corruptions: Sequence[str] = ("all",),
    severities: Sequence[int] = (1, 2, 3, 4, 5),
    *,
    seed: int = 0,
    mode: str = "exact",
    scale: str | None = None,
    codec: str | None = None,
    frost: Path | str | None = None,
) -> Images:
    """A strip of one picture: a row for each corruption, a column for each severity, the clean one first; labelled.

    Args:
        image: uint8 (S, S, 3).
        corruptions: names, or groups of them; see ``choose_names``.
        severities: rising numbers from 1 to 5.
        seed: as in ``corrupt``, and so all that follow.
        mode: ``"exact"`` or ``"fast"``.
        scale: column of published settings.
        codec: JPEG encoder of jpeg_compression.
        frost: folder of the frost photographs.

    Returns:
        uint8 (height, width, 3).

    Raises:
        InputError: as ``corrupt``.
    """
    side = check_images(image[None])
    settings = Settings.of(severities, seed, mode, scale, codec, frost)
    rows = {name: settings.notes(name, side) for name in choose_names(corruptions, side, scale)}
    return _sheet(
        image, rows, settings.severities, lambda name, level: settings.corrupt(image[None], name, level, 0)[0]
    )


def preview_clip(
    clips: Clips, corruptions: Sequence[str] = ("all",), severities: Sequence[int] | None = None, **how: Any
) -> Images:
    """The same of the first clip: its middle frame under all corruptions and severities.

    Args:
        clips: where it comes from.
        corruptions: names, or ``all`` of the column.
        severities: rising numbers; by default all of the column.
        **how: ``column``, ``seed``, ``per_frame``, ``codec`` and ``frost`` of ``write_clips``.

    Returns:
        uint8 (height, width, 3).

    Raises:
        InputError: as ``write_clips``.
        DataError: the clip cannot be read.
    """
    column = str(how.get("column", "kinetics"))
    settings = ClipSettings(severities=severities_in(column, severities), **how)
    rows = {name: settings.notes(name, clips.side) for name in choose_clip_names(corruptions, column)}
    clip = clips.read(0)
    prepared = clips.prepared(clip)

    def frame(name: str, severity: int) -> Images:
        by_file = settings.by_file(name)
        done = settings.corrupt(clip if by_file else prepared, name, severity, 0)
        shown = Clip(done.frames[len(done) // 2][None], done.rate)
        middle: Images = (clips.prepared(shown) if by_file else shown).frames[0]
        return middle

    return _sheet(prepared.frames[len(clip) // 2], rows, settings.severities, frame)


def _sheet(
    image: Images,
    rows: Mapping[str, Mapping[str, str]],
    severities: Sequence[int],
    cell_of: Callable[[str, int], Images],
) -> Images:
    """A labelled table of pictures: a row for each name, the clean one and each severity as columns."""
    from PIL import Image, ImageDraw, ImageFont

    side = image.shape[0]
    factor = -(-_SMALLEST // side)
    pitch = side * factor + _GAP
    size = (_LEFT + (len(severities) + 1) * pitch, 2 * _TEXT + len(rows) * pitch)
    canvas = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(_TEXT)
    for column, label in enumerate(["clean", *(f"severity {severity}" for severity in severities)]):
        pen.text((_LEFT + column * pitch + (pitch - _GAP) // 2, _TEXT), label, "black", font, anchor="mm")
    for row, (name, notes) in enumerate(rows.items()):
        top = 2 * _TEXT + row * pitch
        pen.text((_GAP, top + pitch // 2), name, "black", font, anchor="lm")
        if "frost" in notes:
            pen.text((_GAP, top + pitch // 2 + _TEXT), "not comparable", "firebrick", font, anchor="lm")
        cells = [image, *(cell_of(name, severity) for severity in severities)]
        for column, cell in enumerate(cells):
            shown = np.repeat(np.repeat(cell, factor, axis=0), factor, axis=1)
            canvas.paste(Image.fromarray(shown), (_LEFT + column * pitch, top))
    return np.asarray(canvas)
