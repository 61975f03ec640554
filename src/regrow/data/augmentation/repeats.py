"""Repeated augmentation: several differently augmented copies of an image in one batch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def repeated(order: npt.NDArray[np.int64], repeats: int) -> npt.NDArray[np.int64]:
    """An epoch's order in which the images of the beginning come ``repeats`` times in a row.

    Batch augmentation of Hoffer et al. 2020 (CVPR, "Augment your batch"), as DeiT (arXiv:2012.12877) uses it: the
    epoch has as many steps as before and shows about a share 1/repeats of the images, each in ``repeats`` copies,
    which differ by their own flips, crops and augmentations.

    Args:
        order: int64 (n,): the epoch's order.
        repeats: copies of an image; 1 = the order itself.

    Returns:
        int64 (n,).

    Example:
        >>> repeated(np.array([4, 2, 0, 3, 1]), 3).tolist()
        [4, 4, 4, 2, 2]
    """
    return np.repeat(order[: -(-len(order) // repeats)], repeats)[: len(order)]
