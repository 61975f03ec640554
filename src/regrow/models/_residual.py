"""What the residual networks share: the two-convolution block, the stages and the initial weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F


def conv3x3(n_in: int, n_out: int, stride: int = 1) -> nn.Conv2d:
    """3 x 3 convolution without bias (a normalisation follows), zero-padded by 1."""
    return nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)


def initialise(model: nn.Module) -> None:
    """Draw the convolutions' weights from a normal distribution of variance 2 / (n_out k k); in place.

    He et al. 2015 (arXiv:1502.01852), equation 14, so that gradients keep their scale through ReLUs. Normalisation
    scales are 1 and shifts 0; a linear layer keeps torch's own uniform in +-1 / sqrt(n_in).
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut; (N, n_in, H, W) to (N, n_out, ceil(H / stride), ceil(W / stride)).

    Where the shape changes the shortcut is a 1 x 1 convolution (option B of He et al. 2015, arXiv:1512.03385),
    otherwise the identity. Names of the parts are torchvision's.
    """

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(n_in, n_out, stride)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = conv3x3(n_out, n_out)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or n_in != n_out:
            self.downsample = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        """ReLU of the branch plus the shortcut."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(out)) + shortcut, inplace=True)


class ResidualNetwork(nn.Module):
    """3 x 3 stride-1 stem, stages of `BasicBlock` that double the channels and halve the map, mean, one linear layer.

    Args:
        blocks: number of blocks of each stage.
        width: channels of the stem and the first stage.
        n_classes: number of outputs.
    """

    def __init__(self, blocks: Sequence[int], width: int, n_classes: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(3, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.n_stages = len(blocks)
        channels = width
        for stage, n_blocks in enumerate(blocks):
            n_out = width * 2**stage
            parts = [BasicBlock(channels, n_out, 1 if stage == 0 else 2)]
            parts += [BasicBlock(n_out, n_out, 1) for _ in range(n_blocks - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*parts))
            channels = n_out
        self.fc = nn.Linear(channels, n_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W) to logits (N, n_classes)."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        for stage in range(self.n_stages):
            out = self.get_submodule(f"layer{stage + 1}")(out)
        return cast(Tensor, self.fc(out.mean(dim=(2, 3))))
