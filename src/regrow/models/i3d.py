"""I3D for clips (Carreira and Zisserman 2017, arXiv:1705.07750): Inception-v1 with a third dimension, time."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from regrow.errors import InputError
from regrow.models._family import Family, Request
from regrow.models._residual import initialise

#: Channels of each mixed block: 1; 3 after a reduction; 3 after a reduction (5 in two dimensions); 1 after a pool.
MIXED = {
    "3b": (64, (96, 128), (16, 32), 32),
    "3c": (128, (128, 192), (32, 96), 64),
    "4b": (192, (96, 208), (16, 48), 64),
    "4c": (160, (112, 224), (24, 64), 64),
    "4d": (128, (128, 256), (24, 64), 64),
    "4e": (112, (144, 288), (32, 64), 64),
    "4f": (256, (160, 320), (32, 128), 128),
    "5b": (256, (160, 320), (32, 128), 128),
    "5c": (384, (192, 384), (48, 128), 128),
}
_WIDTH = 64


def unit(n_in: int, n_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, normalisation and ReLU; zero-padded to keep the size at stride 1."""
    conv = nn.Conv3d(n_in, n_out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(n_out), nn.ReLU(inplace=True))


class Mixed(nn.Module):
    """Four branches side by side; channels of the output are the sum of theirs."""

    def __init__(self, n_in: int, name: str, scaled: Callable[[int], int]) -> None:
        super().__init__()
        one, (reduce3, three), (reduce5, five), pooled = MIXED[name]
        self.n_out = scaled(one) + scaled(three) + scaled(five) + scaled(pooled)
        self.branch0 = unit(n_in, scaled(one), 1)
        self.branch1 = nn.Sequential(unit(n_in, scaled(reduce3), 1), unit(scaled(reduce3), scaled(three), 3))
        self.branch2 = nn.Sequential(unit(n_in, scaled(reduce5), 1), unit(scaled(reduce5), scaled(five), 3))
        self.branch3 = nn.Sequential(nn.MaxPool3d(3, 1, 1), unit(n_in, scaled(pooled), 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, n_in, T, H, W) to (N, n_out, T, H, W)."""
        return torch.cat([self.branch0(x), self.branch1(x), self.branch2(x), self.branch3(x)], dim=1)


class I3D(nn.Module):
    """Stem, nine mixed blocks, mean over time and space, dropout, one linear layer.

    Args:
        width: channels of the first convolution, 64 in the paper; the others scale with it.
        n_classes: number of outputs.
        dropout: before the last layer, 0.5 in the paper.
    """

    def __init__(self, width: int, n_classes: int, dropout: float = 0.5) -> None:
        super().__init__()

        def scaled(channels: int) -> int:
            return max(1, round(channels * width / _WIDTH))

        layers: list[tuple[str, nn.Module]] = [
            ("conv1a", unit(3, scaled(64), 7, 2)),
            ("pool2a", nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))),
            ("conv2b", unit(scaled(64), scaled(64), 1)),
            ("conv2c", unit(scaled(64), scaled(192), 3)),
            ("pool3a", nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))),
        ]
        channels = scaled(192)
        for name in MIXED:
            if name == "4b":
                layers.append(("pool4a", nn.MaxPool3d(3, 2, 1)))
            if name == "5b":
                layers.append(("pool5a", nn.MaxPool3d(2, 2, ceil_mode=True)))
            block = Mixed(channels, name, scaled)
            layers.append((f"mixed{name}", block))
            channels = block.n_out
        self.features = nn.Sequential()
        for name, layer in layers:
            self.features.add_module(name, layer)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, n_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W) to logits (N, n_classes)."""
        return cast(Tensor, self.fc(self.dropout(self.features(x).mean(dim=(2, 3, 4)))))


def i3d(request: Request) -> nn.Module:
    """I3D; 12.7 million parameters at 400 classes, as its last layer has a bias.

    Raises:
        InputError: the option dropout is outside [0, 1).
    """
    dropout = request.options.get("dropout", 0.5)
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise InputError(f"the option dropout must be in [0, 1), got {dropout!r}.", "e.g. 0.5.")
    return I3D(request.width, request.n_classes, float(dropout))


FAMILY = Family(
    label="i3d",
    pattern=re.compile(r"(i3d)"),
    text="inflated Inception for clips, channels scale with width; option dropout",
    source="Carreira and Zisserman 2017, arXiv:1705.07750, figure 3",
    build=i3d,
    examples=("i3d",),
    width=_WIDTH,
    options=("dropout",),
    frames=64,
)
