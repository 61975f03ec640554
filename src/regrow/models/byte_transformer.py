"""A small transformer on the bytes of a text."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regrow.errors import InputError
from regrow.models._family import Family, Request

#: Values of a byte; 0 follows the end of a text.
_BYTES = 256


class Attention(nn.Module):
    """Self-attention of several heads, each of the four projections a linear layer of its own.

    Args:
        width: of the stream.
        heads: number of heads; where they do not divide the width, they are a little wider together.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * -(-width // heads)
        self.query, self.key, self.value = (nn.Linear(width, inner) for _ in range(3))
        self.out = nn.Linear(inner, width)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """Stream (N, T, width) and which of its places there are, bool (N, T), to (N, T, width)."""
        q, k, v = (
            part(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=there[:, None, None, :])
        return self.out(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention, then two linear layers with a GELU; each on the normalised stream and added to it (pre-norm)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """As of `Attention`."""
        x = x + self.attention(self.norm1(x), there)
        return x + self.down(F.gelu(self.up(self.norm2(x))))  # type: ignore[no-any-return]


class ByteTransformer(nn.Module):
    """Bytes to logits: embedding, windows of neighbouring bytes, blocks, mean over the windows that hold text.

    A window covers ``2 patch`` bytes and the next begins ``patch`` further on, so attention works on ``1 / patch`` of
    the places.

    Args:
        n_classes: outputs.
        length: bytes of a text.
        width: of the stream.
        depth: blocks.
        heads: of each block.
        patch: bytes from window to window.
    """

    def __init__(self, n_classes: int, length: int, width: int, depth: int, heads: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        each = max(1, width // 4)
        self.embedding = nn.Embedding(_BYTES, each)
        self.windows = nn.Linear(2 * patch * each, width)
        self.position = nn.Parameter(torch.zeros(-(-length // patch), width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_classes)
        nn.init.normal_(self.position, std=0.02)

    def no_weight_decay(self) -> set[str]:
        """Tables that weight decay leaves alone where biases and norms are left alone."""
        return {"position", "embedding.weight"}

    def forward(self, texts: Tensor) -> Tensor:
        """Bytes (N, L), floats or integers from 0 to 255, to logits (N, n_classes)."""
        n = len(self.position) * self.patch
        padded = F.pad(texts.long(), (0, n + self.patch - texts.shape[1]))
        bytes_of = padded.unfold(1, 2 * self.patch, self.patch)  # (N, T, 2 patch)
        there = (bytes_of > 0).any(2)
        there[:, 0] = True  # of an empty text, so that attention has something to look at
        x = self.windows(self.embedding(bytes_of).flatten(2)) + self.position
        for block in self.blocks:
            x = block(x, there)
        weight = there.to(x.dtype)[..., None]
        return self.head((self.norm(x) * weight).sum(1) / weight.sum(1))  # type: ignore[no-any-return]


def byte_transformer(request: Request) -> nn.Module:
    """``depth`` pre-norm blocks of ``heads`` heads over windows that begin every ``patch`` bytes; texts (N, L).

    Linear layers can be made sparse; embedding, positions and norms stay dense.

    Raises:
        InputError: depth, heads or patch is no whole number of its range.
    """
    ranges = {"depth": (2, 1, 64), "heads": (4, 1, 64), "patch": (4, 1, 64)}
    chosen = {}
    for name, (usual, low, high) in ranges.items():
        value = request.options.get(name, usual)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InputError(
                f"the option {name} must be a whole number from {low} to {high}, got {value!r}.", "e.g. 4."
            )
        chosen[name] = value
    return ByteTransformer(request.n_classes, request.image_size, request.width, **chosen)


FAMILY = Family(
    label="byte_transformer",
    pattern=re.compile(r"(byte_transformer)"),
    text="transformer on the bytes of a text: two pre-norm blocks of width channels; options depth, heads, patch",
    source="Vaswani et al. 2017, arXiv:1706.03762, pre-norm; windows as CANINE, arXiv:2103.06874, has of characters",
    build=byte_transformer,
    examples=("byte_transformer",),
    width=64,
    options=("depth", "heads", "patch"),
    modality="text",
)
