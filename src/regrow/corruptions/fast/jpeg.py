"""The JPEG round trip of libjpeg 9 on a device: float64 products of whole numbers, so the same bytes everywhere."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from regrow.corruptions.fast import accelerator_only
from regrow.corruptions.jpeg import STORED_QUALITY, forward_matrix, inverse_matrix, quantisation_tables


@accelerator_only
def jpeg_compression(images: Tensor, _: None, quality: int) -> Tensor:
    """See ``regrow.corruptions.jpeg.round_trip``."""
    luma_table, chroma_table = (torch.from_numpy(t).to(images.device).double() for t in quantisation_tables(quality))
    red, green, blue = images.double().unbind(1)
    planes = [
        (red * 19595 + green * 38470 + blue * 7471 + 32768) / 65536,
        (red * -11058 + green * -21710 + blue * 32768 + (8388608 + 32767)) / 65536,
        (red * 32768 + green * -27439 + blue * -5329 + (8388608 + 32767)) / 65536,
    ]
    luma, cb, cr = (
        _coded(plane.floor(), size, table)
        for plane, size, table in zip(planes, (8, 16, 16), (luma_table, chroma_table, chroma_table), strict=True)
    )
    cb, cr = cb - 128, cr - 128
    rgb = [
        luma + ((91881 * cr + 32768) / 65536).floor(),
        luma + ((-22553 * cb - 46802 * cr + 32768) / 65536).floor(),
        luma + ((116130 * cb + 32768) / 65536).floor(),
    ]
    return torch.clamp(torch.stack(rgb, 1), 0, 255).to(torch.uint8)


def stored(images: Tensor) -> Tensor:
    """See ``regrow.corruptions.jpeg.stored``."""
    return jpeg_compression(images, None, STORED_QUALITY)


def _coded(plane: Tensor, size: int, table: Tensor) -> Tensor:
    """See ``regrow.corruptions.jpeg.code_plane``; float64 (N, H, W) in and out."""
    n, height, width = plane.shape
    down, right = -height % size, -width % size
    if down or right:
        plane = functional.pad(plane[:, None], (0, right, 0, down), mode="replicate")[:, 0]
    rows, columns = (height + down) // size, (width + right) // size
    blocks = plane.reshape(n, rows, size, columns, size).transpose(2, 3) - 128
    forward, inverse = (
        torch.from_numpy(m.copy()).to(plane).double() for m in (forward_matrix(size), inverse_matrix(size))
    )
    once = _rounded(blocks @ forward.T, 11)
    twice = _rounded(forward @ once, 15 if size == 8 else 17)
    kept = ((twice.abs() + 4 * table) / (8 * table)).floor() * table
    kept = torch.copysign(kept, twice)
    done = _rounded(_rounded(inverse @ kept, 11) @ inverse.T, 18)
    done = torch.remainder(done + 512, 1024) - 512
    samples = (done + 128).clamp_(0, 255).transpose(2, 3)
    return samples.reshape(n, height + down, width + right)[:, :height, :width]


def _rounded(values: Tensor, bits: int) -> Tensor:
    return torch.floor(values / (1 << bits) + 0.5)
