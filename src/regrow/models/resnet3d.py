"""3D residual networks for clips (Hara et al. 2018, arXiv:1711.09577): every kernel gets a third dimension, time."""

from __future__ import annotations

import re

from torch import nn

from regrow.models._family import Family, Request
from regrow.models._residual import CLIPS, BasicBlock, Bottleneck, ResidualNetwork, Stem
from regrow.models.resnet import BLOCKS

#: 7 frames and pixels each way, stride 1 in time and 2 in space, then the max-pool.
STEM = Stem((7, 7, 7), (1, 2, 2), pool=True)


def resnet3d(request: Request) -> nn.Module:
    """The residual network of depth 18, 34 or 50 with 3 x 3 x 3 (depth 50: 1, 3, 1) convolutions, stride 2 in time too.

    33.4 million parameters at depth 18 and 400 classes, 47.0 million at depth 50. Clips (N, 3, T, H, W) of any length.
    """
    depth = int(request.part)
    block = Bottleneck if depth == 50 else BasicBlock
    return ResidualNetwork(BLOCKS[depth], request.width, request.n_classes, block, STEM, CLIPS)


FAMILY = Family(
    label="resnet3d18, resnet3d34, resnet3d50",
    pattern=re.compile(r"resnet3d(18|34|50)"),
    text="3D residual network for clips: four stages of width to 8 x width",
    source="Hara et al. 2018, arXiv:1711.09577, table 1, shortcut option B",
    build=resnet3d,
    examples=("resnet3d18", "resnet3d34", "resnet3d50"),
    width=64,
    frames=16,
)
