"""The CIFAR residual networks of He et al. 2015 (arXiv:1512.03385, section 4.2): depth 6n + 2, three stages."""

from __future__ import annotations

import re

from torch import nn

from regrow.errors import InputError
from regrow.models._family import Family, Request
from regrow.models._residual import ResidualNetwork

#: These depths are known as the bottleneck networks for ImageNet, even where 6n + 2 fits.
BOTTLENECK = (101, 152)
LARGEST = 1202


def cifar_resnet(request: Request) -> nn.Module:
    """ResNet of depth 6n + 2: n blocks in each of three stages of width, 2 width and 4 width channels.

    The shortcuts between stages are 1 x 1 convolutions (option B). The paper's own networks for CIFAR take the
    parameter-free option A: ResNet-20 has 272,474 parameters here and 269,722 there.

    Raises:
        InputError: the depth is not 6n + 2, or means a bottleneck network.
    """
    depth = int(request.part)
    if depth in BOTTLENECK:
        raise InputError(
            f"resnet{depth} is a bottleneck network, which regrow does not have itself.",
            f"use torchvision:resnet{depth} or timm:resnet{depth}, or resnet20, resnet50.",
        )
    if depth < 8 or depth > LARGEST or (depth - 2) % 6:
        below = min(max(8, depth - (depth - 2) % 6), LARGEST)
        near = [f"resnet{d}" for d in (below, below + 6) if d <= LARGEST and d not in BOTTLENECK]
        raise InputError(
            f"{request.name}: the depth must be 6n + 2 from 8 to {LARGEST} (or 18, 34, 50), got {depth}.",
            f"use {' or '.join(near)}.",
        )
    return ResidualNetwork([(depth - 2) // 6] * 3, request.width, request.n_classes)


FAMILY = Family(
    label="resnet8, resnet14, resnet20, ... (6n + 2)",
    pattern=re.compile(r"resnet(?!18$|34$|50$)(\d{1,9})"),  # 18, 34 and 50 are the ImageNet design: resnet.py
    text="CIFAR residual network: three stages of width, 2 x and 4 x width; any depth 6n + 2",
    source="He et al. 2015, arXiv:1512.03385, section 4.2, shortcut option B",
    build=cifar_resnet,
    examples=("resnet8", "resnet14", "resnet20", "resnet32", "resnet44", "resnet56"),
    width=16,
)
