"""What the residual networks share: blocks, stems, stages and initial weights, for images and for clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

from torch import Tensor, nn
from torch.nn import functional as F


class Kind(NamedTuple):
    """The layers of one number of dimensions: two for images, three for clips (time first)."""

    conv: Callable[..., nn.Module]
    norm: Callable[[int], nn.Module]
    pool: Callable[..., nn.Module]
    n_dims: int

    def conv3(self, n_in: int, n_out: int, stride: int = 1) -> nn.Module:
        """Convolution of 3 pixels (and frames) each way without bias (a normalisation follows), zero-padded by 1."""
        return self.conv(n_in, n_out, 3, stride, 1, bias=False)


IMAGES = Kind(nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, 2)
CLIPS = Kind(nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d, 3)


def initialise(model: nn.Module) -> None:
    """Draw the convolutions' weights from a normal distribution of variance 2 / (n_out k k); in place.

    He et al. 2015 (arXiv:1502.01852), equation 14, so that gradients keep their scale through ReLUs. Normalisation
    scales are 1 and shifts 0; a linear layer keeps torch's own uniform in +-1 / sqrt(n_in).
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def shortcut_of(kind: Kind, n_in: int, n_out: int, stride: int) -> nn.Sequential | None:
    """1 x 1 convolution where the shape changes (option B of He et al. 2015, arXiv:1512.03385), else the identity."""
    if stride == 1 and n_in == n_out:
        return None
    return nn.Sequential(kind.conv(n_in, n_out, 1, stride, bias=False), kind.norm(n_out))


class BasicBlock(nn.Module):
    """Two convolutions of 3 and a shortcut; the first has the stride. Names of the parts are torchvision's.

    Args:
        n_in: channels of the input.
        width: channels of the block and of its output.
        stride: of each dimension.
        kind: images or clips.
    """

    expansion = 1

    def __init__(self, n_in: int, width: int, stride: int, kind: Kind = IMAGES) -> None:
        super().__init__()
        self.conv1 = kind.conv3(n_in, width, stride)
        self.bn1 = kind.norm(width)
        self.conv2 = kind.conv3(width, width)
        self.bn2 = kind.norm(width)
        self.downsample = shortcut_of(kind, n_in, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """ReLU of the branch plus the shortcut."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(out)) + shortcut, inplace=True)


class Bottleneck(nn.Module):
    """1, 3 and 1 pixels, to four times the width, and a shortcut; the middle convolution has the stride.

    That is torchvision's place for it; the paper has it in the first. Args as of `BasicBlock`.
    """

    expansion = 4

    def __init__(self, n_in: int, width: int, stride: int, kind: Kind = IMAGES) -> None:
        super().__init__()
        n_out = width * self.expansion
        self.conv1 = kind.conv(n_in, width, 1, bias=False)
        self.bn1 = kind.norm(width)
        self.conv2 = kind.conv3(width, width, stride)
        self.bn2 = kind.norm(width)
        self.conv3 = kind.conv(width, n_out, 1, bias=False)
        self.bn3 = kind.norm(n_out)
        self.downsample = shortcut_of(kind, n_in, n_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """ReLU of the branch plus the shortcut."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        return F.relu(self.bn3(self.conv3(out)) + shortcut, inplace=True)


class Stem(NamedTuple):
    """The first convolution, and the 3-pixel stride-2 max-pool after it, if any.

    Attributes:
        kernel: one length, or one for each dimension.
        stride: likewise.
        pool: whether there is a max-pool.
    """

    kernel: int | tuple[int, ...]
    stride: int | tuple[int, ...]
    pool: bool


SMALL = Stem(3, 1, pool=False)
IMAGENET = Stem(7, 2, pool=True)


class ResidualNetwork(nn.Module):
    """Stem, stages of blocks that double the channels and halve the map, mean over the map, one linear layer.

    Args:
        blocks: number of blocks of each stage.
        width: channels of the stem and of the blocks of the first stage.
        n_classes: number of outputs.
        block: `BasicBlock` or `Bottleneck`.
        stem: `SMALL`, for images of 32 or 64 pixels, `IMAGENET`, or another.
        kind: images or clips.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        width: int,
        n_classes: int,
        block: type[BasicBlock] | type[Bottleneck] = BasicBlock,
        stem: Stem = SMALL,
        kind: Kind = IMAGES,
    ) -> None:
        super().__init__()
        padding = stem.kernel // 2 if isinstance(stem.kernel, int) else tuple(k // 2 for k in stem.kernel)
        self.conv1 = kind.conv(3, width, stem.kernel, stem.stride, padding, bias=False)
        self.bn1 = kind.norm(width)
        self.maxpool = kind.pool(3, 2, 1) if stem.pool else None
        self.n_stages = len(blocks)
        self._map = tuple(range(2, 2 + kind.n_dims))
        channels = width
        for stage, n_blocks in enumerate(blocks):
            parts = []
            for i in range(n_blocks):
                parts.append(block(channels, width * 2**stage, 2 if stage and i == 0 else 1, kind))
                channels = width * 2**stage * block.expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*parts))
        self.fc = nn.Linear(channels, n_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W), or clips (N, 3, T, H, W), to logits (N, n_classes)."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        if self.maxpool is not None:
            out = self.maxpool(out)
        for stage in range(self.n_stages):
            out = self.get_submodule(f"layer{stage + 1}")(out)
        return cast(Tensor, self.fc(out.mean(dim=self._map)))
