"""VGG-11, 13, 16 and 19 (Simonyan and Zisserman 2014, arXiv:1409.1556) with batch normalisation, for small images."""

from __future__ import annotations

import re
from typing import cast

from torch import Tensor, nn

from regrow.models._family import Family, Request
from regrow.models._residual import initialise

#: Convolutions of each stage; a 2 x 2 max-pool ends every stage.
STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
#: Channels of each stage, in widths.
FACTORS = (1, 2, 4, 8, 8)


class VGG(nn.Module):
    """Stages of 3 x 3 convolution (with bias), normalisation and ReLU; the mean over the last map; one linear layer.

    Args:
        depth: 11, 13, 16 or 19 (layers with weights in the paper, whose three linear layers are one here).
        width: channels of the first stage, 64 in the paper.
        n_classes: number of outputs.
    """

    def __init__(self, depth: int, width: int, n_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for n_convs, factor in zip(STAGES[depth], FACTORS, strict=True):
            for _ in range(n_convs):
                conv = nn.Conv2d(channels, factor * width, 3, padding=1)
                layers += [conv, nn.BatchNorm2d(factor * width), nn.ReLU(inplace=True)]
                channels = factor * width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, n_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W) with H, W >= 32 to logits (N, n_classes)."""
        return cast(Tensor, self.classifier(self.features(x).mean(dim=(2, 3))))


def vgg(request: Request) -> nn.Module:
    """VGG with batch normalisation; 14,728,266 parameters (depth 16, 10 classes)."""
    return VGG(int(request.part), request.width, request.n_classes)


FAMILY = Family(
    label="vgg11, vgg13, vgg16, vgg19",
    pattern=re.compile(r"vgg(11|13|16|19)"),
    text="VGG with batch normalisation and one linear layer: five stages of width to 8 x width",
    source="Simonyan and Zisserman 2014, arXiv:1409.1556, table 1, columns A, B, D and E",
    build=vgg,
    examples=("vgg11", "vgg13", "vgg16", "vgg19"),
    width=64,
    min_image_size=32,
)
