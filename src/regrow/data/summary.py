"""What lies in a data set here: classes, images of each, their mean and spread, and what cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from regrow import data
from regrow.data import imagenet
from regrow.data.fileset import FileSet
from regrow.data.on_disk import place
from regrow.data.spec import DataSpec, ImageSet, Options, Progress
from regrow.errors import InputError

#: Training images (or frames of clips) over which mean and standard deviation are taken.
SAMPLE = 2000
#: Images, or videos, that are decoded at once.
_AT_ONCE = {False: 64, True: 1}


@dataclass(frozen=True)
class Summary:
    """What lies in a data set.

    Attributes:
        spec: its facts; splits count what can be read.
        counts: class -> split -> images or videos.
        mean: per channel over the sampled training images as they are tested, of values in 0..1.
        std: standard deviation likewise, over all their pixels.
        sampled: how many training images or videos these are.
        unreadable: split, file and reason of all that cannot be read; ``None`` where nobody looked.
    """

    spec: DataSpec
    counts: dict[str, dict[str, int]]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sampled: int
    unreadable: list[tuple[str, str, str]] | None = field(default_factory=list)


def summarise(
    name: str, options: Options | None = None, root: str | Path | None = None, *, scan: bool = True
) -> Summary:
    """Look at a data set that lies here; nothing is fetched.

    Args:
        name: a data set of :func:`regrow.data.names`.
        options: its settings, over its defaults.
        root: folder to search first.
        scan: decode all files to see which cannot be read.

    Raises:
        UnknownNameError: no such data set.
        DataError: it is not here, or cannot be used.
    """
    settings = dict(options or {})
    if scan and "on_error" in data.default_options(name):
        settings["on_error"] = "skip"
    spec = data.spec(name, settings, root)
    parts = {split: data.load(name, split, root=root, options=settings, download=False) for split in spec.splits}
    counts: dict[str, dict[str, int]] = {label: {} for label in spec.classes}
    for split, part in parts.items():
        for label, n in zip(spec.classes, np.bincount(part.labels, minlength=spec.n_classes), strict=True):
            counts[label][split] = int(n)
    each = 1 if spec.frames is None else spec.frames * spec.views
    n = min(len(parts["train"]), max(1, SAMPLE // each))
    sample = data.load(name, "train", root=root, options=settings, download=False, n=n)
    mean, std = statistics(sample)
    files = [
        (split, path, reason)
        for split, part in parts.items()
        if isinstance(part, FileSet)
        for path, reason in part.skipped
    ]
    return Summary(spec, counts, mean, std, n, files if scan else None)


def statistics(images: ImageSet | FileSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of all pixels by channel, of values in 0..1; exact sums."""
    size = _AT_ONCE[images.spec.frames is not None]
    n, total, squares = 0, np.zeros(images.spec.channels, np.int64), np.zeros(images.spec.channels, np.int64)
    for start in range(0, len(images), size):
        pixels = np.asarray(images.images[start : start + size]).reshape(-1, images.spec.channels).astype(np.int64)
        n += len(pixels)
        total += pixels.sum(0)
        squares += (pixels * pixels).sum(0)
    mean = total / n
    return tuple((mean / 255).tolist()), tuple((np.sqrt(squares / n - mean * mean) / 255).tolist())


def verify(
    name: str, options: Options | None = None, roots: Sequence[Path] = (), progress: Progress | None = None
) -> dict[str, bool]:
    """Compare the official archives of ImageNet with their digests, see :func:`regrow.data.imagenet.verify`.

    Raises:
        InputError: another data set.
        DataError: it is not here, or no archive is.
    """
    if name != "imagenet":
        raise InputError(f"--verify compares the official archives of imagenet, {name} has none.", "leave it out.")
    given = str((options or {}).get("path", ""))
    folder = place(given, roots, name) if given else imagenet.require(roots)
    return imagenet.verify(folder, progress)
