"""A film of masks: those of a few layers at some of the updates, kept beside the run while it trains.

The frames are chosen before the first step, by the number of planned updates; the file is written before every
checkpoint and cut to it when a run goes on, so a run that was killed leaves the film of one that was not.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from regrow import files
from regrow.errors import DataError, InputError
from regrow.sparsity import Sparsifier

Bits = npt.NDArray[np.uint8]

#: File name in a run's folder.
FILM = "masks_film.npz"
#: Most frames of a film.
MOST_FRAMES = 60
#: Most bytes of a film; large layers get fewer frames (two at least).
MOST_BYTES = 8 * 2**20
#: Weights of the largest layer that is filmed where there is a smaller one.
LARGEST_LAYER = 2**18


@dataclass(frozen=True)
class MaskFilm:
    """Masks of some layers over training.

    Attributes:
        updates: update after which each frame was taken, rising; 0 is the initial mask.
        steps: its optimiser step.
        shapes: layer name to shape.
        bits: layer name to packed masks, uint8 (frames, bytes): row-major, little-endian within a byte.
    """

    updates: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    shapes: dict[str, tuple[int, ...]]
    bits: dict[str, Bits]

    def masks(self, layer: str) -> npt.NDArray[np.bool_]:
        """The masks of a layer, (frames, *shape).

        Raises:
            InputError: a layer that was not filmed.
        """
        if layer not in self.bits:
            raise InputError(f"layer {layer!r} was not filmed.", f"filmed are: {', '.join(self.bits) or 'none'}.")
        shape = self.shapes[layer]
        flat = np.unpackbits(self.bits[layer], axis=1, count=math.prod(shape), bitorder="little")
        return flat.view(np.bool_).reshape(-1, *shape)


def save_film(path: Path, film: MaskFilm) -> None:
    """Write a film atomically; the bytes depend on it alone."""
    layers = json.dumps({name: list(shape) for name, shape in film.shapes.items()})
    arrays = {f"layer{i}": bits for i, bits in enumerate(film.bits.values())}
    buffer = io.BytesIO()
    np.savez(buffer, layers=np.array(layers), updates=film.updates, steps=film.steps, **arrays)  # type: ignore[arg-type]
    files.write_bytes(path, buffer.getvalue())


def load_film(path: Path) -> MaskFilm | None:
    """Read a film; None where there is none.

    Raises:
        DataError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        stored = files.read_arrays(path)
        shapes = {name: tuple(map(int, shape)) for name, shape in json.loads(str(stored["layers"])).items()}
        bits = {name: stored[f"layer{i}"] for i, name in enumerate(shapes)}
        film = MaskFilm(stored["updates"], stored["steps"], shapes, bits)
        _require_whole(film)
        return film
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise DataError(
            f"{path} is not a readable film of masks ({type(error).__name__}).", f"remove it: rm {path}"
        ) from None


def _require_whole(film: MaskFilm) -> None:
    n = len(film.updates)
    of_layer = {name: (n, (math.prod(shape) + 7) // 8) for name, shape in film.shapes.items()}
    packed = all(
        film.bits[name].shape == shape and film.bits[name].dtype == np.uint8 for name, shape in of_layer.items()
    )
    if not packed or any(a.shape != (n,) or a.dtype.kind not in "iu" for a in (film.updates, film.steps)):
        raise ValueError("its parts do not fit each other")


def filmed_layers(sparsifier: Sparsifier) -> list[str]:
    """The layers that are filmed unless others are named, in the network's order.

    The sparse layer with most weights up to `LARGEST_LAYER` (above it the smallest there is), and the first sparse one
    if it is no larger than that.
    """
    sizes = {row["name"]: row["n_weights"] for row in sparsifier.report() if not row["kept_dense"]}
    if not sizes:
        return []
    limit = max(LARGEST_LAYER, min(sizes.values()))
    large = max((name for name in sizes if sizes[name] <= limit), key=lambda name: sizes[name])
    first = next(iter(sizes))
    return [name for name in sizes if name == large or (name == first and sizes[first] <= limit)]


class FilmRecorder:
    """Takes the frames of one run.

    A run without planned updates has no film and no file.

    Args:
        path: the run's `FILM`.
        sparsifier: that of the run, as it begins or restored.
        layers: names of the layers; None for `filmed_layers`.

    Raises:
        InputError: a layer that is not sparse.
    """

    def __init__(self, path: Path, sparsifier: Sparsifier, layers: Sequence[str] | None = None) -> None:
        self.path, self._sparsifier = path, sparsifier
        shapes = {row["name"]: row["shape"] for row in sparsifier.report() if not row["kept_dense"]}
        chosen = filmed_layers(sparsifier) if layers is None else list(layers)
        if unknown := [name for name in chosen if name not in shapes]:
            raise InputError(f"{unknown[0]} is no sparse layer.", f"sparse are: {', '.join(shapes) or 'none'}.")
        planned = sparsifier.planned_updates
        self._shapes = {name: tuple(shapes[name]) for name in chosen} if planned else {}
        self._wanted: set[int] = set()
        if self._shapes:
            frame = sum(-(-math.prod(shape) // 8) for shape in self._shapes.values())
            n = max(2, min(MOST_FRAMES, MOST_BYTES // frame, planned + 1))
            self._wanted = set(np.linspace(0, planned, n).round().astype(int).tolist())
        self._frames: list[tuple[int, int, dict[str, Bits]]] = []
        self._saved = False

    def resume(self) -> None:
        """Go on with the frames up to the sparsifier's update; take the first one where a run begins.

        A file that is damaged or of other layers is replaced from here on.
        """
        if not self._shapes:
            return
        done = self._sparsifier.update_count
        try:
            film = load_film(self.path)
        except DataError:
            film = None
        self._frames = []
        if film is not None and film.shapes == self._shapes:
            self._frames = [
                (int(update), int(step), {name: bits[i] for name, bits in film.bits.items()})
                for i, (update, step) in enumerate(zip(film.updates, film.steps, strict=True))
                if update <= done
            ]
        self._saved = False
        self.take()

    def take(self, *, last: bool = False) -> None:
        """Take a frame if the update made last is one of the film's, and has none yet.

        Args:
            last: training is over: take it in any case.
        """
        update = self._sparsifier.update_count
        if not (update in self._wanted or (last and self._shapes)) or (self._frames and self._frames[-1][0] >= update):
            return
        history = self._sparsifier.history
        bits = {name: self._sparsifier.packed_mask(name) for name in self._shapes}
        self._frames.append((update, history[-1]["step"] if history else 0, bits))
        self._saved = False

    @property
    def film(self) -> MaskFilm:
        """The film so far."""
        frames = self._frames
        return MaskFilm(
            np.array([update for update, _, _ in frames], dtype=np.int64),
            np.array([step for _, step, _ in frames], dtype=np.int64),
            dict(self._shapes),
            {name: np.stack([bits[name] for _, _, bits in frames]) for name in self._shapes},
        )

    def save(self) -> None:
        """Write the film where it has grown since; call it before a checkpoint is written."""
        if self._frames and not self._saved:
            save_film(self.path, self.film)
            self._saved = True
