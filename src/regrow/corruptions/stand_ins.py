"""Stand-ins of the six types of ImageNet-3DCC that need a depth map. They are NOT 3D Common Corruptions.

No number may be reported of them. They let loaders of the published tree and recipes run where the published set is not
at hand: an image is taken for a plane that rises from the camera's feet (bottom row, depth 0) to the horizon (top row,
depth 1), and each row is drawn towards another picture by a share that its depth gives. They are no records of the
registry: nothing lists them, and ``regrow corrupt`` does not write them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from regrow import files
from regrow.corruptions.inputs import check_severity
from regrow.corruptions.pixels import Floats
from regrow.corruptions.registry import N_SEVERITIES, Images
from regrow.errors import InputError, UnknownNameError

#: File of a written set that says what it is.
SAID = "STAND_IN.txt"

_WHAT = """\
A stand-in in the layout of ImageNet-3DCC, made without depth, for trying out programs.
These are not 3D Common Corruptions: report no number of them.
"""


def _near(depth: Floats) -> Floats:
    return 1 - depth


def _far(depth: Floats) -> Floats:
    return depth


def _blurred(image: Floats) -> Floats:
    from scipy.ndimage import uniform_filter

    width = max(3, min(image.shape[:2]) // 8)
    found: Floats = uniform_filter(image, (width, width, 1), mode="nearest")
    return found


def _swept(image: Floats) -> Floats:
    """The mean over a way to the right, of an eighth of the width."""
    from scipy.ndimage import uniform_filter1d

    found: Floats = uniform_filter1d(image, max(3, image.shape[1] // 8), axis=1, mode="nearest")
    return found


def _zoomed(image: Floats) -> Floats:
    """The mean over enlargements by up to a quarter."""
    height, width = image.shape[:2]
    total = np.zeros_like(image)
    factors = np.linspace(1, 1.25, 6)
    for factor in factors:
        rows, columns = ((np.arange(n) - n / 2) / factor + n / 2 for n in (height, width))
        total += image[rows.astype(int)[:, None], columns.astype(int)]
    return total / len(factors)


#: Name -> what an image is drawn towards, and the share by depth.
_TOWARDS: dict[str, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {
    "far_focus": (_blurred, _near),
    "flash": (lambda image: np.full_like(image, 255), _near),
    "fog_3d": (lambda image: np.full_like(image, image.mean()), _far),
    "near_focus": (_blurred, _far),
    "xy_motion_blur": (_swept, _near),
    "z_motion_blur": (_zoomed, _near),
}

NAMES: tuple[str, ...] = tuple(_TOWARDS)

#: What must be said beside numbers on them.
NOTE = (
    "stand-ins are no corruptions of 3DCC, whose depth maps are not at hand: they show that sets in the published "
    "layout are read and evaluated, and are part of no mean"
)


def _known(name: str) -> tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]:
    if name not in _TOWARDS:
        raise UnknownNameError("stand-in", str(name), NAMES, "the other types can be made: `regrow corrupt`.")
    return _TOWARDS[name]


def stand_in(image: Images, name: str, severity: int) -> Images:
    """A picture under a stand-in; each value moves further from the image with every severity, or stays.

    Args:
        image: uint8 (H, W, 3).
        name: one of ``NAMES``.
        severity: 1 to 5.

    Returns:
        uint8 (H, W, 3).

    Raises:
        InputError: an image or severity that cannot be used.
        UnknownNameError: no such stand-in.
    """
    towards, share = _known(name)
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError("a stand-in takes one image, uint8 (H, W, 3).", "give them one by one.")
    level = image.astype(np.float64)
    depth = np.linspace(1, 0, len(image))[:, None, None]
    weight = share(depth) * check_severity(severity) / N_SEVERITIES
    result: Images = np.rint(level + weight * (towards(level) - level)).astype(np.uint8)
    return result


def write(
    folder: Path,
    images: Images,
    labels: npt.NDArray[Any],
    classes: Sequence[str],
    names: Sequence[str] = NAMES,
    severities: Sequence[int] = (1, 2, 3, 4, 5),
) -> None:
    """Write a tree ``NAME/SEVERITY/CLASS/FILE.JPEG``, quality 85, and a file ``STAND_IN.txt`` that says what it is.

    A type's folder gets its name when all of it is there; that of an earlier stand-in is replaced.

    Args:
        folder: where to; made when absent.
        images: uint8 (N, H, W, 3).
        labels: class of each, (N,).
        classes: names of the classes.
        names: which stand-ins.
        severities: of each.

    Raises:
        InputError: images or severities that cannot be used, or a folder that holds something else.
        UnknownNameError: no such stand-in.
        DataError: the folder cannot be written to, or the disk is full.
        BusyError: another process is writing to the folder.
    """
    import shutil

    from regrow.corruptions.writer.folders import part_of, write_file
    from regrow.corruptions.writer.manifest import told_when_full
    from regrow.corruptions.writer.pictures import ArrayPictures, target_paths
    from regrow.corruptions.writer.tree import encoded

    paths = target_paths(ArrayPictures("the stand-in", images, labels, classes))
    for name in names:
        _known(name)
    if folder.exists() and not (folder / SAID).exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is there, and no stand-in.", "give a new folder.")
    with told_when_full(folder), files.owned(folder, "set"):
        files.write_text(folder / SAID, _WHAT)
        for name in names:
            part, there = part_of(folder, name), folder / name
            shutil.rmtree(part, ignore_errors=True)
            for severity in severities:
                for path, image in zip(paths, images, strict=True):
                    write_file(part / str(severity) / path, encoded(stand_in(image, name, severity)))
            shutil.rmtree(there, ignore_errors=True)
            part.replace(there)
