"""Examples of texts and sounds for the page: texts as they read, sounds as pictures of their spectra over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from regrow.data.texts import decode
from regrow.report.blocks import Prose, TableBlock, human
from regrow.report.pictures import scale_colours
from regrow.report.table import Column, table
from regrow.study.view import CLEAN, Cell
from regrow.verdict.arms import by_family

#: Samples of a window of a spectrogram, how many windows there are at most, and decibels from black to white.
_WINDOW, _COLUMNS, _RANGE = 128, 96, 70.0
#: What the pictures show, in words.
SPECTROGRAM = "time to the right, frequency upwards, brightness in decibels, the same scale for all."
_COLOURS = np.array(scale_colours(255), np.uint8)


def text_tables(
    examples: Mapping[Cell, npt.NDArray[np.uint8]],
    corruptions: Sequence[str],
    severities: Sequence[int],
    families: Mapping[str, str],
) -> tuple[TableBlock | Prose, ...]:
    """A table for each text: as it was, and as every cell has it."""
    clean = examples.get(CLEAN)
    if clean is None or not len(clean):
        return (Prose("No text of the evaluated cells was stored.", "empty"),)
    order = [(f, c) for f, group in by_family(corruptions, families).items() for c in group]
    columns = (
        Column("corruption", "Corruption"),
        Column("family", "Family"),
        Column("severity", "Severity", "integer"),
        Column("text", "Text"),
    )
    blocks = []
    for number, original in enumerate(clean):
        rows: list[tuple[str | int | None, ...]] = [("clean", "", None, decode(original))]
        for family, name in order:
            found = ((s, examples.get((name, s))) for s in severities)
            rows += [(human(name), family, s, decode(x[number])) for s, x in found if x is not None and number < len(x)]
        made = table(f"Text {number + 1}", columns, rows, "As the networks saw it; cut where it became too long.")
        blocks.append(TableBlock(made, folded=number > 0))
    return tuple(blocks)


def spectrogram(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
    """The short-time spectrum of a sound as a picture, uint8 (64, columns, 3): time to the right, frequency upwards.

    Colours are decibels below full scale, the same for all sounds, so that pictures can be compared.
    """
    wave = samples.astype(np.float64) / 32768
    starts = np.linspace(0, len(wave) - _WINDOW, min(_COLUMNS, max(1, len(wave) - _WINDOW + 1))).astype(np.int64)
    windows = wave[starts[:, None] + np.arange(_WINDOW)] * np.hanning(_WINDOW)
    power = np.square(np.abs(np.fft.rfft(windows, axis=1))[:, 1:]) / np.square(np.hanning(_WINDOW).sum() / 2)
    level = 1 + 10 * np.log10(np.maximum(power, 1e-20)) / _RANGE
    shade = np.clip(np.rint(255 * level), 0, 255).astype(np.int64)
    return np.ascontiguousarray(_COLOURS[shade.T[::-1]])


def sound_pictures(examples: Mapping[Cell, npt.NDArray[Any]]) -> dict[Cell, npt.NDArray[np.uint8]]:
    """The spectrograms of all examples, uint8 (n, 64, columns, 3)."""
    return {cell: np.stack([spectrogram(one) for one in sounds]) for cell, sounds in examples.items() if len(sounds)}
