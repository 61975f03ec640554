"""The masks of a run as a moving picture: an animated PNG, which browsers show like any image."""

from __future__ import annotations

import io
import math

from regrow.analysis import kernel_frames
from regrow.report.pictures import map_image, thinned
from regrow.training.film import MaskFilm

#: Larger maps are thinned to this many pixels a side: a film is many pictures.
FRAME_SIDE = 96
#: Times in milliseconds: all frames together, the shortest one, and how much longer the last one stays.
WHOLE_MS, SHORTEST_MS, HELD_MS = 6000, 80, 1500


def frames_png(film: MaskFilm, layer: str, *, side: int = FRAME_SIDE) -> bytes:
    """Kernel maps of one layer over training, one pixel a kernel, in the colours of `map_picture`.

    Args:
        film: the recorded masks.
        layer: one of its layers.
        side: most pixels a side; larger maps keep evenly spaced rows and columns.

    Returns:
        An animated PNG that plays without end and holds its last frame; frames that equal the one before lengthen it.
        The same film makes the same bytes. ``Picture`` it as ``image/png`` beside frame 0 or the last for print.

    Raises:
        InputError: a layer that was not filmed.
    """
    counts = kernel_frames(film, layer)
    k = math.prod(film.shapes[layer][2:])
    first, *rest = [map_image(thinned(frame, side), k) for frame in counts]
    each = max(SHORTEST_MS, WHOLE_MS // len(counts))
    out = io.BytesIO()
    durations = [each] * len(rest) + [each + HELD_MS]
    first.save(out, format="PNG", save_all=True, append_images=rest, duration=durations, loop=0)
    return out.getvalue()
