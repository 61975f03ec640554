"""Compiled forms of the slowest loops: one C file, compiled when first used, with the array code's bytes.

The file is compiled once by the system's C compiler into the user's cache, under a name made of its digest, the
compiler, its flags and the processor. Without a compiler, or with ``REGROW_KERNEL=off``, the array code runs: slower,
same bytes. Nothing here is needed to install or to use regrow.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from regrow import files
from regrow.corruptions.pixels import UNIT, UNIT32, Floats

#: No fused multiply-add: it would change bytes.
FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-fPIC", "-shared")

Bytes = npt.NDArray[np.uint8]


class Status(NamedTuple):
    """Whether the compiled loops are in use, and why or why not."""

    active: bool
    detail: str


_switched_off = False


@contextlib.contextmanager
def disabled() -> Iterator[None]:
    """Run the array code inside this block, as on a machine without a compiler."""
    global _switched_off
    before, _switched_off = _switched_off, True
    try:
        yield
    finally:
        _switched_off = before


def library() -> Library | None:
    """The compiled loops, or ``None`` where the array code is to be used."""
    return None if _switched_off else _load()[0]


def status() -> Status:
    """Whether the compiled loops can be used here, and what they were made by, or why they cannot."""
    found, detail = _load()
    return Status(found is not None, detail)


@functools.cache
def _load() -> tuple[Library | None, str]:
    if os.environ.get("REGROW_KERNEL", "").lower() in ("off", "0", "no"):
        return None, "switched off by REGROW_KERNEL"
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return None, "no C compiler (cc) on this machine: array code is used, same bytes, slower"
    try:
        made = _compiled(compiler)
        return Library(ctypes.CDLL(str(made))), f"{compiler}, {made}"
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        return None, f"{compiler} failed: {' '.join(str(said).split())[:160]}; array code is used, same bytes, slower"


def _compiled(compiler: str) -> Path:
    source = resources.files(__package__).joinpath("kernel.c").read_text("utf-8")
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
    key = "\0".join([source, compiler, version, " ".join(FLAGS), _processor()])
    path = files.cache_root() / "kernel" / f"corruptions-{hashlib.sha256(key.encode()).hexdigest()[:24]}.so"
    if not path.exists():
        with files.atomic_path(path) as unfinished:
            command = [compiler, *FLAGS, "-x", "c", "-o", str(unfinished), "-", "-lm"]
            subprocess.run(command, input=source, capture_output=True, text=True, check=True, timeout=120)
    return path


def _processor() -> str:
    """What decides about the instructions that ``-march=native`` chooses."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return platform.machine() + "".join(sorted({line for line in lines if line.startswith(("flags", "model name"))}))


_BLOCK = 32  # as in the C file


def _pointer(array: npt.NDArray[Any]) -> ctypes.c_void_p:
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)


class Library:
    """The compiled functions; arguments and results are arrays."""

    def __init__(self, functions: ctypes.CDLL) -> None:
        self._functions = functions

    def _call(self, name: str, *arguments: Any) -> None:
        converted = [
            _pointer(a)
            if isinstance(a, np.ndarray)
            else ctypes.c_double(a)
            if isinstance(a, float)
            else ctypes.c_long(a)
            for a in arguments
        ]
        function = getattr(self._functions, name)
        function.restype = None
        function(*converted)

    def uniform(self, words: npt.NDArray[np.uint64]) -> Floats:
        """See :func:`regrow.seeds.uniform`."""
        words = np.ascontiguousarray(words)
        out = np.empty(words.shape)
        self._call("uniform", words, out, words.size)
        return out

    def normal(self, uniform: Floats, out: Floats, table: Floats) -> None:
        """See :func:`regrow.corruptions.quantile.normal`."""
        self._call("normal", uniform, out, uniform.size, table)

    def poisson(self, uniform: Floats, levels: Bytes, law: Any, bins: int) -> npt.NDArray[np.int16]:
        """See :func:`regrow.corruptions.draws.poisson`."""
        out = np.empty(uniform.shape, np.int16)
        tables = (law.cdf, law.first, law.last, law.n_counts)
        self._call("poisson", uniform, levels, out, uniform.size, *tables, bins)
        return out

    def gaussian(self, values: Floats, weights: Floats, reflect: bool) -> Floats:
        """See :func:`regrow.corruptions.gaussian.gaussian`: float64 (N, H, W, ...), radius at most H and W."""
        values = np.ascontiguousarray(values)
        n, height, width = values.shape[:3]
        channels, radius = values[:1, :1, :1].size if values.size else 1, len(weights) - 1
        out = np.empty_like(values)
        work = np.empty((height + 2 * radius) * width * channels + (width + 2 * radius) * channels)
        weights = np.ascontiguousarray(weights)
        self._call("gaussian", values, out, n, height, width, channels, weights, radius, int(reflect), work)
        return out

    def motion(self, images: Bytes, weights: Floats, steps: npt.NDArray[np.int32]) -> Bytes:
        """See :func:`regrow.corruptions.motion.motion`."""
        images = np.ascontiguousarray(images)
        n, height, width, channels = images.shape
        out, taps = np.empty_like(images), len(weights)
        margin = int(np.abs(steps[..., 1]).max(initial=0))
        work = np.empty(width * channels + height * (width + 2 * margin) * channels)
        steps = np.ascontiguousarray(steps)
        self._call("motion", images, out, n, height, width, channels, weights, steps, taps, margin, work)
        return out

    def shuffle(self, images: Bytes, shifts: npt.NDArray[Any], distance: int) -> Bytes:
        """See :func:`regrow.corruptions.glass.shuffle`."""
        out = images.copy()
        n, height, width = images.shape[:3]
        small = np.ascontiguousarray(shifts, np.int8)
        self._call("shuffle", out, n, height, width, small, shifts.shape[1], distance)
        return out

    def zoom_blur(self, images: Bytes, zooms: Sequence[tuple[Any, Any, Any]]) -> Bytes:
        """See :func:`regrow.corruptions.zoom.zoom_blur`."""
        images = np.ascontiguousarray(images)
        n, side = images.shape[:2]
        first, second = (np.array([zoom[k] for zoom in zooms], np.int32) for k in (0, 1))
        share = np.array([zoom[2] for zoom in zooms])
        out, work = np.empty_like(images), np.empty(4 * side * (side + 2))
        total = np.empty(4 * side * side, np.float32)
        self._call("zoom_blur", images, out, n, side, first, second, share, len(zooms), UNIT32, work, total)
        return out

    def elastic(self, images: Bytes, place: npt.NDArray[np.int32], shift: npt.NDArray[np.float32]) -> Bytes:
        """See :func:`regrow.corruptions.elastic.elastic_transform`."""
        images = np.ascontiguousarray(images)
        n, side = images.shape[:2]
        out, work = np.empty_like(images), np.empty(3 * side * side, np.float32)
        place, shift = np.ascontiguousarray(place, np.int32), np.ascontiguousarray(shift, np.float32)
        self._call("elastic", images, out, n, side, place, shift, UNIT32, work)
        return out

    def disk(self, padded: Floats, kernel: Floats, shape: tuple[int, ...]) -> Bytes:
        """See :func:`regrow.corruptions.blur.defocus_blur`; ``padded`` is (N, H + 2 m, W + 2 m, C)."""
        _, height, width, channels = shape
        margin = (padded.shape[1] - height) // 2
        rows, columns = np.nonzero(kernel)
        taps = ((rows * padded.shape[2] + columns) * channels).astype(np.int64)
        weights = np.ascontiguousarray(kernel[rows, columns])
        out, room = np.empty(shape, np.uint8), np.zeros(padded[:1].size + _BLOCK)
        for image, target in zip(padded, out, strict=True):
            room[: image.size] = image.ravel()
            self._call("disk", room, target, height, width, channels, margin, taps, weights, len(taps))
        return out

    def colour(self, images: Bytes, which: int, factor: float, add: float) -> Bytes:
        """See :func:`regrow.corruptions.colour.change`; ``which`` is 0 for the value, 1 for the saturation."""
        images = np.ascontiguousarray(images)
        out = np.empty_like(images)
        self._call("colour", images, out, images.size // 3, UNIT, which, float(factor), float(add))
        return out

    def chamfer(self, edges: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """See :func:`regrow.corruptions.edges.chamfer`."""
        edges = np.ascontiguousarray(edges)
        n, height, width = edges.shape
        out, work = np.empty(edges.shape, np.float32), np.empty((height + 4) * (width + 4), np.int32)
        self._call("chamfer", edges.view(np.uint8), out, n, height, width, work)
        return out
