"""ResNet-18, ResNet-34 and ResNet-50 (He et al. 2015, arXiv:1512.03385, table 1) at any image size."""

from __future__ import annotations

import re

from torch import nn

from regrow.models._family import Family, Request
from regrow.models._residual import IMAGENET, SMALL, BasicBlock, Bottleneck, ResidualNetwork

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}

#: Largest side in pixels for which the small stem is taken.
SMALL_IMAGES = 64


def resnet(request: Request) -> nn.Module:
    """Four stages of width, 2, 4 and 8 width channels; depth 50 has bottleneck blocks, of four times as many.

    For images of up to 64 pixels the 7 x 7 stride-2 stem and the max-pool of the paper give way to one 3 x 3 stride-1
    convolution, so that the last map is 4 x 4 at 32. Parameters at 10 classes and 32 pixels: 11,173,962 (depth 18),
    23,520,842 (depth 50); at 1,000 classes and 224 pixels as torchvision's.
    """
    depth = int(request.part)
    block = Bottleneck if depth == 50 else BasicBlock
    stem = SMALL if request.image_size <= SMALL_IMAGES else IMAGENET
    return ResidualNetwork(BLOCKS[depth], request.width, request.n_classes, block, stem)


FAMILY = Family(
    label="resnet18, resnet34, resnet50",
    pattern=re.compile(r"resnet(18|34|50)"),
    text="ImageNet's residual network, up to 64 pixels with a 3 x 3 stem: four stages of width to 8 x width",
    source="He et al. 2015, arXiv:1512.03385, table 1; small images: 3 x 3 stem, no max-pool",
    build=resnet,
    examples=("resnet18", "resnet34", "resnet50"),
    width=64,
)
