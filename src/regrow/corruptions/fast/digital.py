"""Digital corruptions, on a device."""

from __future__ import annotations

import torch
from torch import Tensor

from regrow.corruptions.digital import box_weights
from regrow.corruptions.elastic import Elastic, inverse_affine, smoothing_matrix
from regrow.corruptions.fast import accelerator_only, device_draws
from regrow.corruptions.fast.filters import both_axes, to_bytes, unit


@accelerator_only
def contrast(images: Tensor, _: None, factor: float) -> Tensor:
    """See ``regrow.corruptions.digital.contrast``."""
    values = unit(images)
    mean = values.mean((2, 3), keepdim=True)
    return to_bytes((values - mean) * factor + mean)


@accelerator_only
def saturate(images: Tensor, _: None, params: tuple[float, float]) -> Tensor:
    """See ``regrow.corruptions.digital.saturate``: distances to the value scale with the saturation."""
    factor, shift = params
    values = unit(images)
    high, low = values.amax(1, keepdim=True), values.amin(1, keepdim=True)
    share = (high - low) / high.clamp(min=1e-9)
    changed = (share * factor + shift).clamp_(0, 1)
    coloured = high - (high - values) * (changed / share.clamp(min=1e-9))
    red = torch.tensor([0.0, 1.0, 1.0], dtype=values.dtype, device=values.device)[:, None, None]  # a grey has hue 0
    grey = high * (1 - changed * red)
    return to_bytes(torch.where(share > 0, coloured, grey) + 1e-12)


@accelerator_only
def pixelate(images: Tensor, _: None, factor: float) -> Tensor:
    """See ``regrow.corruptions.digital.pixelate``: the same bytes."""
    side = images.shape[2]
    small = int(side * factor)
    for n_in, n_out in ((side, small), (small, side)):
        box = box_weights(n_in, n_out)
        at, weight = (torch.from_numpy(part).to(images.device) for part in (box.at, box.weight.astype("int64")))
        for axis in (3, 2):
            shape = (1, 1, 1, -1) if axis == 3 else (1, 1, -1, 1)
            total = sum(
                images.index_select(axis, place).long() * w.reshape(shape) for place, w in zip(at, weight, strict=True)
            )
            assert isinstance(total, Tensor)
            images = ((total + (1 << 21)) >> 22).clamp_(0, 255).to(torch.uint8)
    return images


def _mirrored(place: Tensor, side: int) -> Tensor:
    period = max(2 * side - 2, 1)
    place = place.abs() % period
    return torch.where(place >= side, period - place, place)


def _folded(place: Tensor, side: int) -> Tensor:
    """See ``regrow.corruptions.elastic.fold``."""
    low = torch.where(place < -2 * side, place + 2 * side * torch.floor(-place / (2 * side)), place)
    low = torch.where(low < -side, low + 2 * side, -low - 1)
    high = place - 2 * side * torch.floor(place / (2 * side))
    high = torch.where(high >= side, 2 * side - high - 1, high)
    return torch.where(place < 0, low, torch.where(place > side - 1, high, place))


def _sampled(values: Tensor, whole: tuple[Tensor, Tensor], share: tuple[Tensor, Tensor]) -> Tensor:
    """Four taps around places (x, y) of every image; all but ``values`` (N, 3, H, W) are (N, H, W)."""
    side = values.shape[-1]
    flat, (x, y), (right, down) = values.flatten(2), whole, share
    total = torch.zeros_like(flat)
    for row, wy in ((y, 1 - down), (y + 1, down)):
        for column, wx in ((x, 1 - right), (x + 1, right)):
            at = (_mirrored(row, side) * side + _mirrored(column, side)).flatten(1)
            total += flat.gather(2, at[:, None].expand(-1, 3, -1)) * (wy * wx).flatten(1)[:, None]
    return total.reshape(values.shape)


@accelerator_only
@device_draws
def elastic_transform(images: Tensor, draws: tuple[Tensor, Tensor], params: Elastic) -> Tensor:
    """See ``regrow.corruptions.elastic.elastic_transform``: same places in 1/32 pixel."""
    shifts, raw = draws
    side, device = images.shape[2], images.device
    inverse = torch.from_numpy(inverse_affine(shifts.cpu().numpy(), side)).to(device)
    line = torch.arange(side, device=device, dtype=torch.float64)
    m = [[inverse[:, i, j, None, None] for j in range(3)] for i in (0, 1)]
    places = [
        ((((m1 * line[:, None] + c) * 1024).round() + (m0 * line * 1024).round()).long() + 16) >> 5 for m0, m1, c in m
    ]
    x, y = places
    shares = (x & 31).float() / 32, (y & 31).float() / 32
    warped = _sampled(images.float() / 255, (x >> 5, y >> 5), shares)
    if params.sigma > 1e-15:
        raw = both_axes(torch.from_numpy(smoothing_matrix(side, params.sigma).copy()).to(device), raw)
    shift = (params.strength * raw).float().double()
    x, y = _folded(line + shift[:, 0], side), _folded(line[:, None] + shift[:, 1], side)
    x0, y0 = torch.floor(x), torch.floor(y)
    return to_bytes(_sampled(warped.double(), (x0.long(), y0.long()), (x - x0, y - y0)).float())
