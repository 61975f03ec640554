"""RobustBench's protocol for corruptions: a metric of its own, which no other score stands in for.

    CIFAR-10-C, CIFAR-100-C    all 10,000 test images, 15 types x 5 severities: mean accuracy
    ImageNet-C                 the first 5,000 images of its list: mean accuracy, and mCE against its own AlexNet
    ImageNet-3DCC              the same images, 12 types

CE_c is the mean error of a type over its severities, divided by AlexNet's mean on those 5,000 images.
Croce et al. 2021, arXiv:2010.09670.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from regrow.corruptions import common_names
from regrow.errors import DataError, InputError
from regrow.evaluation.metrics import Cell, mean_accuracy
from regrow.evaluation.scores import EVERY, Score

#: Images of a CIFAR set, and of an ImageNet set.
N_CIFAR, N_IMAGENET = 10_000, 5_000

#: AlexNet's mean error over the severities of each type of ImageNet-C, on RobustBench's 5,000 images.
ALEXNET_C: dict[str, float] = {
    "gaussian_noise": 0.88160,
    "shot_noise": 0.88832,
    "impulse_noise": 0.91724,
    "defocus_blur": 0.82204,
    "glass_blur": 0.83080,
    "motion_blur": 0.78724,
    "zoom_blur": 0.79572,
    "snow": 0.86800,
    "frost": 0.83148,
    "fog": 0.82364,
    "brightness": 0.55848,
    "contrast": 0.85432,
    "elastic_transform": 0.64804,
    "pixelate": 0.71856,
    "jpeg_compression": 0.60680,
}

#: The same of ImageNet-3DCC.
ALEXNET_3DCC: dict[str, float] = {
    "near_focus": 0.61068,
    "far_focus": 0.65152,
    "bit_error": 0.68336,
    "color_quant": 0.59620,
    "flash": 0.80124,
    "fog_3d": 0.77356,
    "h265_abr": 0.56740,
    "h265_crf": 0.52520,
    "iso_noise": 0.93152,
    "low_light": 0.82248,
    "xy_motion_blur": 0.82484,
    "z_motion_blur": 0.79588,
}

#: Set by its types -> AlexNet's errors.
_SETS = {"ImageNet-C": ALEXNET_C, "ImageNet-3DCC": ALEXNET_3DCC}

_MEAN = "mean over types and severities of the share of right answers, in %"


def read_ids(path: Path) -> list[str]:
    """The first 5,000 names of a list of image files.

    Args:
        path: a line for each image, with or without its class folder and file type, in RobustBench's order; further
            columns are left aside.

    Returns:
        File names without folder and type.

    Raises:
        DataError: it cannot be read, or has fewer than 5,000 names, or one twice.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read as text ({error}).", "give RobustBench's list of image names."
        ) from None
    names = [PurePosixPath(line.split()[0]).stem for line in lines if line.strip()][:N_IMAGENET]
    if len(names) < N_IMAGENET:
        raise DataError(f"{path} has {len(names)} names, the protocol needs {N_IMAGENET}.", "give the whole list.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path} names {twice} twice.", "give RobustBench's own list.")
    return names


def wanted(types: Sequence[str], *, is_imagenet: bool) -> list[str]:
    """The types that the protocol takes of a set, by those it has.

    Raises:
        InputError: it is a set of another kind, or one of the types is missing.
    """
    if not is_imagenet:
        missing = sorted(set(common_names()) - set(types))
        if missing:
            raise _incomplete("CIFAR-10-C or CIFAR-100-C", missing)
        return common_names()
    name = max(_SETS, key=lambda name: len(set(_SETS[name]) & set(types)))
    missing = sorted(set(_SETS[name]) - set(types))
    if missing:
        raise _incomplete("ImageNet-C or ImageNet-3DCC", missing)
    return list(_SETS[name])


def _incomplete(sets: str, missing: Sequence[str]) -> InputError:
    return InputError(
        f"RobustBench's protocol is for {sets}: {len(missing)} of its types are not there, e.g. {missing[0]}.",
        "give the folder of the whole published set, or leave --robustbench out.",
    )


def check_images(n_images: int, *, is_imagenet: bool) -> None:
    """Refuse another number of images than the protocol's.

    Raises:
        InputError: it is another.
    """
    expected = N_IMAGENET if is_imagenet else N_CIFAR
    if n_images != expected:
        raise InputError(
            f"RobustBench's protocol takes {expected} images a cell, these are {n_images}.",
            "give the folder of the whole published set, or leave --robustbench out.",
        )


def scores(accuracy: Mapping[Cell, float], n_images: int, *, is_imagenet: bool) -> list[Score]:
    """The protocol's scores.

    Args:
        accuracy: (corruption, severity) -> accuracy in [0, 1], of the protocol's images.
        n_images: how many these were, in each cell.
        is_imagenet: of ImageNet, else of CIFAR.

    Raises:
        InputError: types, severities or images are not the protocol's.

    Example:
        >>> alexnet = {(c, s): 1 - e for c, e in ALEXNET_C.items() for s in range(1, 6)}
        >>> round(scores(alexnet, 5000, is_imagenet=True)[1].value, 6)
        100.0
    """
    names = wanted([name for name, _ in accuracy], is_imagenet=is_imagenet)
    check_images(n_images, is_imagenet=is_imagenet)
    mean = mean_accuracy(accuracy, names, EVERY)
    if mean is None:
        raise InputError("RobustBench's protocol needs severities 1 to 5 of each type.", "leave --severities out.")
    kind = next((name for name, errors in _SETS.items() if list(errors) == names), "CIFAR-C")
    over = f"{len(names)} types of {kind} x severities 1 to 5, {n_images} images each"
    found = [Score("RobustBench accuracy", 100 * mean, _MEAN, over)]
    if is_imagenet:
        alexnet = _SETS[kind]
        ce = [sum(1 - accuracy[name, s] for s in EVERY) / 5 / alexnet[name] for name in names]
        formula = "mean over c of mean_s E[c,s] / AlexNet[c], AlexNet's means on the protocol's 5,000 images"
        found.append(Score("RobustBench mCE", 100 * sum(ce) / len(ce), formula, over))
    return found
