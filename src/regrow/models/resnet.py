"""ResNet-18 and ResNet-34 (He et al. 2015, arXiv:1512.03385, table 1) for small images."""

from __future__ import annotations

import re

from torch import nn

from regrow.models._family import Family, Request
from regrow.models._residual import ResidualNetwork

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


def resnet(request: Request) -> nn.Module:
    """Four stages of width, 2, 4 and 8 width channels.

    For 32-pixel images the 7 x 7 stride-2 stem and the max-pool of the paper give way to one 3 x 3 stride-1
    convolution, so that the last map is 4 x 4. 11,173,962 parameters (depth 18, 10 classes).
    """
    return ResidualNetwork(BLOCKS[int(request.part)], request.width, request.n_classes)


FAMILY = Family(
    label="resnet18, resnet34",
    pattern=re.compile(r"resnet(18|34)"),
    text="ImageNet's residual network with a stem for 32 pixels: four stages of width to 8 x width",
    source="He et al. 2015, arXiv:1512.03385, table 1; 3 x 3 stem, no max-pool",
    build=resnet,
    examples=("resnet18", "resnet34"),
    width=64,
)
