"""Blurs: matrix products, Fourier transforms and gathers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from regrow.corruptions.blur import trimmed_kernel
from regrow.corruptions.fast import accelerator_only, device_draws
from regrow.corruptions.fast.filters import both_axes, gaussian, to_bytes, unit, zoom_matrix
from regrow.corruptions.motion import motion_steps, motion_weights
from regrow.corruptions.zoom import factors


@accelerator_only
def gaussian_blur(images: Tensor, _: None, sigma: float) -> Tensor:
    """See ``regrow.corruptions.blur.gaussian_blur``."""
    return to_bytes(gaussian(unit(images), sigma))


@accelerator_only
def defocus_blur(images: Tensor, _: None, params: tuple[float, float]) -> Tensor:
    """See ``regrow.corruptions.blur.defocus_blur``: by Fourier transform."""
    kernel = torch.from_numpy(trimmed_kernel(*params)).to(images.device)
    margin = len(kernel) // 2
    padded = functional.pad(unit(images), (margin,) * 4, mode="reflect")
    height, width = padded.shape[2:]
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(kernel, (height, width)).conj()
    blurred = torch.fft.irfft2(spectrum, (height, width))[..., : images.shape[2], : images.shape[3]]
    return to_bytes(blurred + 1e-12)  # a flat colour's own value lies on the edge between two bytes


@accelerator_only
@device_draws
def glass_blur(images: Tensor, shifts: Tensor, params: tuple[float, int, int]) -> Tensor:
    """See ``regrow.corruptions.glass.glass_blur``: chains of copies are followed by doubling."""
    sigma, distance, rounds = params
    n, _, height, width = images.shape
    pixels = to_bytes(gaussian(unit(images), sigma)).flatten(2)
    places = torch.arange(height * width, device=images.device).reshape(height, width)
    # targets go from the last row and column to the first
    inner = slice(distance + 1, height - distance + 1), slice(distance + 1, width - distance + 1)
    for a_round in range(rounds):
        step = shifts[:, a_round].long().flip(1, 2)
        source = places.repeat(n, 1, 1)
        source[:, inner[0], inner[1]] += step[..., 1] * width + step[..., 0]
        source = source.flatten(1)
        end = torch.maximum(source, places.flatten())
        while not torch.equal(further := end.gather(1, end), end):
            end = further
        source = source.gather(1, end)
        pixels = pixels.gather(2, source[:, None].expand(-1, 3, -1))
    return to_bytes(gaussian(unit(pixels.reshape(images.shape)), sigma))


def motion(planes: Tensor, radius: float, sigma: float, angles: Tensor) -> Tensor:
    """Bytes (N, C, H, W) blurred along an angle of each image; see ``regrow.corruptions.motion.motion``."""
    weights = motion_weights(radius, sigma)
    steps = torch.from_numpy(motion_steps(angles.cpu().numpy(), len(weights))).long().to(planes.device)
    n, channels, height, width = planes.shape
    flat = planes.permute(0, 2, 3, 1).reshape(n, height * width, channels)
    rows, columns = (torch.arange(k, device=planes.device) for k in (height, width))
    total = torch.zeros(n, height * width, channels, dtype=torch.float64, device=planes.device)
    for tap, weight in enumerate(weights.tolist()):
        down = (rows + steps[:, tap, :1]).clamp_(0, height - 1)
        right = (columns + steps[:, tap, 1:]).clamp_(0, width - 1)
        at = (down[:, :, None] * width + right[:, None]).reshape(n, -1, 1).expand(-1, -1, channels)
        total += flat.gather(1, at) * (257.0 * weight)
    quanta = total.add_(0.5).long()
    return (quanta // 257).to(torch.uint8).reshape(n, height, width, channels).permute(0, 3, 1, 2)


@accelerator_only
def motion_blur(images: Tensor, angles: Tensor, params: tuple[float, float]) -> Tensor:
    """See ``regrow.corruptions.motion.motion_blur``."""
    return motion(images, *params, angles)


@accelerator_only
def zoom_blur(images: Tensor, _: None, params: tuple[float, float]) -> Tensor:
    """See ``regrow.corruptions.zoom.zoom_blur``."""
    zooms = factors(params)
    values = images.float() / 255
    wide = values.double()
    total = torch.zeros_like(values)
    for factor in zooms:
        total += both_axes(zoom_matrix(images.shape[-1], factor, images.device), wide).float()
    return to_bytes((total + values) / (len(zooms) + 1))
