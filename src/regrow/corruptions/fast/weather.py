"""Weather, on a device."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from regrow.corruptions.fast import accelerator_only, device_draws
from regrow.corruptions.fast.blur import motion
from regrow.corruptions.fast.filters import both_axes, gaussian, to_bytes, unit, zoom_matrix
from regrow.corruptions.fog import map_side
from regrow.corruptions.frost import Frost
from regrow.corruptions.snow import Snow
from regrow.corruptions.spatter import MUD, WATER, Spatter


@accelerator_only
def brightness(images: Tensor, _: None, shift: float) -> Tensor:
    """See ``regrow.corruptions.weather.brightness``: colours scale with their value."""
    values = unit(images)
    high = values.amax(1, keepdim=True)
    lifted = (high + shift).clamp_(0, 1)
    scaled = torch.where(high > 0, values * (lifted / high.clamp(min=1e-9)), lifted)
    return to_bytes(scaled + 1e-12)


@accelerator_only
@device_draws
def fog(images: Tensor, uniform: Tensor, params: tuple[float, float]) -> Tensor:
    """See ``regrow.corruptions.fog.fog``."""
    strength, decay = params
    side = images.shape[2]
    cloud = _clouds(uniform, map_side(side), decay)[:, None, :side, :side]
    values = unit(images)
    high = values.amax((1, 2, 3), keepdim=True)
    return to_bytes((values + strength * cloud) * high / (high + strength))


def _clouds(uniform: Tensor, side: int, decay: float) -> Tensor:
    n = len(uniform)
    cloud = uniform.new_zeros(n, side, side)
    rough, step, at = 100.0, side, 0
    while step >= 2:
        half, k = step // 2, side // step
        noise = [uniform[:, at + i * k * k : at + (i + 1) * k * k].reshape(n, k, k) for i in range(3)]
        noise = [rough * (-rough + 2 * rough * part) for part in noise]
        at += 3 * k * k
        corners = cloud[:, ::step, ::step].clone()
        square = corners + corners.roll(-1, 1)
        square = (square + square.roll(-1, 2)) / 4 + noise[0]
        cloud[:, half::step, half::step] = square
        rows = (square + square.roll(1, 1)) + (corners + corners.roll(-1, 2))
        cloud[:, ::step, half::step] = rows / 4 + noise[1]
        columns = (square + square.roll(1, 2)) + (corners + corners.roll(-1, 1))
        cloud[:, half::step, ::step] = columns / 4 + noise[2]
        step, rough = half, rough / decay
    cloud -= cloud.amin((1, 2), keepdim=True)
    return cloud / cloud.amax((1, 2), keepdim=True)


@accelerator_only
def frost(images: Tensor, draws: tuple[Tensor, Tensor, Tensor], params: Frost) -> Tensor:
    """See ``regrow.corruptions.frost.frost``."""
    height, width = images.shape[2:]
    pieces = [
        params.pictures[which][top : top + height, left : left + width]
        for which, top, left in zip(*(part.tolist() for part in draws), strict=True)
    ]
    ice = torch.from_numpy(np.stack(pieces)).to(images.device).permute(0, 3, 1, 2)
    level = images.double() * params.image + ice.double() * params.ice
    return level.clamp_(0, 255).to(torch.uint8)


@accelerator_only
@device_draws
def snow(images: Tensor, draws: tuple[Tensor, Tensor], params: Snow) -> Tensor:
    """See ``regrow.corruptions.snow.snow``."""
    field, angles = draws
    if params.zoom != 1:
        field = both_axes(zoom_matrix(field.shape[-1], params.zoom, field.device), field)
    layer = to_bytes(torch.where(field < params.threshold, 0.0, field))
    layer = unit(motion(layer[:, None], params.radius, params.sigma, angles))
    values = images.float() / 255
    white = torch.maximum(values, _grey(values) * 1.5 + 0.5)
    values = values * params.keep + white * (1 - params.keep)
    return to_bytes(values.double() + layer + layer.flip(2, 3))


def _grey(values: Tensor) -> Tensor:
    return values[:, :1] * 0.299 + values[:, 1:2] * 0.587 + values[:, 2:] * 0.114


@accelerator_only
@device_draws
def spatter(images: Tensor, field: Tensor, params: Spatter) -> Tensor:
    """See ``regrow.corruptions.spatter.spatter``."""
    liquid = gaussian(field, params.sigma)
    liquid = torch.where(liquid < params.threshold, 0.0, liquid)
    values = images.float() / 255
    if params.is_mud:
        cover = gaussian((liquid > params.threshold).double(), params.strength).float()[:, None]
        cover = torch.where(cover < 0.8, 0.0, cover)
        values = values * (1 - cover) + _colour(MUD, values) * cover
    else:
        values = values + _drops(liquid, params.strength)[:, None] * _colour(WATER, values)
    return to_bytes(values.nan_to_num_(0.0))


def _colour(colour: np.ndarray[tuple[int], np.dtype[np.float64]], like: Tensor) -> Tensor:
    return torch.from_numpy(colour).to(like)[:, None, None]


def _drops(liquid: Tensor, strength: float) -> Tensor:
    layer = ((liquid * 255).long() & 255).float()
    near = _chamfer(_canny(layer)).clamp_(max=20)
    soft = (_box_sum(near.double()) * (1.0 / 9)).float().long()
    carved = _filtered(_equalised(soft).double(), _relief).clamp_(0, 255)
    shine = (_box_sum(carved) / 9).round().float() * layer
    bright: Tensor = shine / shine.amax((1, 2), keepdim=True) * strength
    return bright


_relief = ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))
_ones = ((1, 1, 1), (1, 1, 1), (1, 1, 1))


def _window(values: Tensor, mode: str) -> list[list[Tensor]]:
    padded = functional.pad(values[:, None], (1, 1, 1, 1), mode=mode)[:, 0]
    height, width = values.shape[1:]
    return [[padded[:, i : i + height, j : j + width] for j in range(3)] for i in range(3)]


def _filtered(values: Tensor, weights: tuple[tuple[int, ...], ...]) -> Tensor:
    window = _window(values, "reflect")
    terms = [w * v for row, views in zip(weights, window, strict=True) for w, v in zip(row, views, strict=True) if w]
    return functools.reduce(torch.add, terms)


def _box_sum(values: Tensor) -> Tensor:
    return _filtered(values, _ones)


def _canny(layer: Tensor) -> Tensor:
    (a, b, c), (d, _, f), (g, h, i) = _window(layer, "replicate")
    gx, gy = (c + 2 * f + i - a - 2 * d - g).long(), (g + 2 * h + i - a - 2 * b - c).long()
    strength = gx.abs() + gy.abs()
    (nw, n, ne), (w, _, e), (sw, s, se) = _window(strength, "constant")
    across, along = gx.abs(), gy.abs() << 15
    flat = 13573 * across
    diagonal = torch.where((gx ^ gy) >= 0, (strength > nw) & (strength > se), (strength > ne) & (strength > sw))
    steep = torch.where(along > flat + (across << 16), (strength > n) & (strength >= s), diagonal)
    peak = torch.where(along < flat, (strength > w) & (strength >= e), steep)
    candidate = peak & (strength > 50)
    edges = candidate & (strength > 150)
    while True:  # grow the sure edges through the candidates
        grown = candidate & (functional.max_pool2d(edges.float()[:, None], 3, 1, 1)[:, 0] > 0)
        if torch.equal(grown, edges):
            return edges
        edges = grown


_MOVES = {(0, 1): 65536, (1, 0): 65536, (1, 1): 91750, (1, -1): 91750} | dict.fromkeys(
    ((1, 2), (1, -2), (2, 1), (2, -1)), 143976
)
_REACH = 21  # pixels: more than the distance that counts


def _chamfer(edges: Tensor) -> Tensor:
    """Distance by relaxation: a path of length 20 has at most 20 steps."""
    far, (height, width) = 1 << 24, edges.shape[1:]
    distance = torch.where(edges, 0, far)
    for _ in range(_REACH):
        padded = functional.pad(distance, (2, 2, 2, 2), value=far)
        nearest = distance
        for (down, right), length in _MOVES.items():
            for sign in (1, -1):
                top, left = 2 + sign * down, 2 + sign * right
                nearest = torch.minimum(nearest, padded[:, top : top + height, left : left + width] + length)
        distance = nearest
    return distance.float() / 65536


def _equalised(images: Tensor) -> Tensor:
    n = len(images)
    counts = functional.one_hot(images.flatten(1), 256).sum(1) if n else images.new_zeros(0, 256)
    total = images[0].numel() if n else 0
    first = (counts > 0).int().argmax(1, keepdim=True)
    in_first = counts.gather(1, first)
    scale = torch.tensor(255.0, device=images.device) / (total - in_first).float()
    cumulative = counts.cumsum(1)
    table = ((cumulative - cumulative.gather(1, first)).clamp_(min=0).float() * scale).round()
    identity = torch.arange(256, device=images.device, dtype=table.dtype).expand(n, 256)
    table = torch.where(in_first == total, identity, table)
    return table.gather(1, images.flatten(1)).reshape(images.shape)
