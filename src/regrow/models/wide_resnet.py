"""Wide residual networks (Zagoruyko and Komodakis 2016, arXiv:1605.07146) for small images."""

from __future__ import annotations

import re
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regrow.errors import InputError
from regrow.models._family import Family, Request
from regrow.models._residual import IMAGES, initialise


class WideBlock(nn.Module):
    """Normalisation and ReLU before each of two 3 x 3 convolutions, dropout between; the shortcut is 1 x 1 where the
    shape changes, and then starts behind the first normalisation.

    Args:
        n_in: channels of the input.
        n_out: of the output.
        stride: of the first convolution.
        dropout: share of values that are dropped between the convolutions.
    """  # noqa: D205

    def __init__(self, n_in: int, n_out: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(n_in)
        self.conv1 = IMAGES.conv3(n_in, n_out, stride)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = IMAGES.conv3(n_out, n_out)
        same = stride == 1 and n_in == n_out
        self.shortcut = None if same else nn.Conv2d(n_in, n_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The branch plus the shortcut."""
        first = F.relu(self.bn1(x))
        out = self.dropout(F.relu(self.bn2(self.conv1(first))))
        shortcut = x if self.shortcut is None else self.shortcut(first)
        return cast(Tensor, self.conv2(out) + shortcut)


class WideResNet(nn.Module):
    """3 x 3 stem of ``width`` channels, three stages of ``factor`` times width, 2 and 4 width, mean, one linear layer.

    Args:
        depth: 6n + 4.
        factor: k of the paper.
        width: channels of the stem, 16 in the paper.
        n_classes: number of outputs.
        dropout: in each block.
    """

    def __init__(self, depth: int, factor: int, width: int, n_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv1 = IMAGES.conv3(3, width)
        blocks: list[nn.Module] = []
        channels = width
        for stage in range(3):
            n_out = width * factor * 2**stage
            for i in range((depth - 4) // 6):
                blocks.append(WideBlock(channels, n_out, 2 if stage and i == 0 else 1, dropout))
                channels = n_out
        self.blocks = nn.Sequential(*blocks)
        self.bn = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels, n_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W) to logits (N, n_classes)."""
        out = torch.relu(self.bn(self.blocks(self.conv1(x))))
        return cast(Tensor, self.fc(out.mean(dim=(2, 3))))


def wide_resnet(request: Request) -> nn.Module:
    """WRN-depth-k; 36.5 million parameters for 28-10 and 10 classes.

    Raises:
        InputError: the depth is not 6n + 4, the factor 0, or the dropout outside [0, 1).
    """
    depth, factor = (int(number) for number in request.part.split("-"))
    if depth < 10 or depth > 1000 or (depth - 4) % 6 or not 1 <= factor <= 64:
        raise InputError(
            f"{request.name}: the depth must be 6n + 4 from 10 on and the factor 1 to 64.",
            "use wrn-16-4, wrn-28-10 or wrn-40-2.",
        )
    dropout = request.options.get("dropout", 0.0)
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise InputError(f"the option dropout must be in [0, 1), got {dropout!r}.", "e.g. 0.3.")
    return WideResNet(depth, factor, request.width, request.n_classes, float(dropout))


FAMILY = Family(
    label="wrn-DEPTH-K, e.g. wrn-28-10",
    pattern=re.compile(r"wrn-(\d{1,4}-\d{1,3})"),
    text="wide residual network for small images: depth 6n + 4, k times width; option dropout",
    source="Zagoruyko and Komodakis 2016, arXiv:1605.07146",
    build=wide_resnet,
    examples=("wrn-16-4", "wrn-28-10", "wrn-40-2"),
    width=16,
    options=("dropout",),
)
