"""How much a network aliases: what lies above the Nyquist frequency of each coarser grid where maps are sub-sampled.

A layer with stride s is the same layer at stride 1, of which every s-th place is kept. Frequencies of the map at or
above s-fold fewer cycles, |u| >= H / (2 s) in either direction, cannot be told apart on the coarser grid from lower
ones, into which they fold (the notion of Grabinski et al. 2022, arXiv:2204.00491 and arXiv:2112.00656). Anti-aliased
layers, of regrow or of timm, are measured where they sub-sample: after their blur.

Maps are taken as periodic, as by any plain Fourier transform: a jump between opposite edges counts as high frequency.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from regrow.analysis._networks import Images, batched, device_of, evaluating, frozen, summary
from regrow.models.blurpool import blur, blurs

#: Modules whose stride does not sub-sample a map.
_OTHERS = (_ConvTransposeNd, nn.Fold, nn.Unfold)
#: Numbers of a map transformed at a time.
_CHUNK = 1 << 22
#: Energy outside the mean below this share of the whole is rounding (float32).
_ROUNDING = 1e-12


def _stride(module: nn.Module) -> int | tuple[int, ...] | None:
    """The stride at which a module sub-samples maps by itself; None where it does not.

    Known by what it has, not by its class: a stride above 1 and no parts, so that pools and convolutions of other
    libraries count too.
    """
    stride = getattr(module, "stride", None)
    if isinstance(module, _OTHERS) or next(module.children(), None) is not None:
        return None
    if isinstance(stride, int):
        return stride if stride > 1 else None
    if isinstance(stride, (tuple, list)) and all(isinstance(s, int) for s in stride) and max(stride, default=1) > 1:
        return tuple(stride)
    return None


def _at_stride_one(module: nn.Module) -> nn.Module:
    """A twin on the same weights, without hooks of its own being called by ``forward``, that keeps every place."""
    twin = type(module).__new__(type(module))
    vars(twin).update(vars(module))
    changed: Any = twin
    changed.stride = 1 if isinstance(changed.stride, int) else (1,) * len(changed.stride)
    for option in ("ceil_mode", "return_indices"):
        if hasattr(twin, option):
            setattr(twin, option, False)
    return twin


class _Sampled:
    """One layer that sub-samples, and what was measured there: hook before the layer."""

    def __init__(self, name: str, module: nn.Module) -> None:
        before, after = blurs(module)
        self.name, self.kind, self.blurred = name, type(module).__name__, before is not None or after is not None
        self.before, self.after = before, after
        self.stride = before or after or _stride(module) or 1
        self.size: list[int] = []
        self.white_share: float | None = None
        self.shares: list[float] = []
        self.folded: list[float] = []

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        with torch.no_grad():
            x = (*inputs, *named.values())[0]
            strides = self._strides(x)
            for part in torch.split(x, max(1, _CHUNK // max(1, x[:1].numel()))):
                y = _at_stride_one(module).forward(blur(part, self.before) if self.before else part)
                y = blur(y, self.after) if self.after else y
                self.size, self.white_share = list(y.shape[2:]), _white_share(y.shape[2:], strides)
                shares, folded = aliased(y, strides)
                self.shares += shares.tolist()
                self.folded += folded.tolist()

    def _strides(self, x: Tensor) -> tuple[int, ...]:
        return (self.stride,) * (x.ndim - 2) if isinstance(self.stride, int) else self.stride

    def row(self) -> dict[str, Any]:
        return {
            "layer": self.name,
            "kind": self.kind,
            "stride": self.stride if isinstance(self.stride, int) else list(self.stride),
            "blurred": self.blurred,
            "size": self.size,
            "white_share": self.white_share,
            "share": summary(self.shares),
            "relative_error": summary(self.folded),
        }


def _below(shape: Sequence[int], strides: Sequence[int], device: torch.device | None = None) -> Tensor:
    """The bins of ``fftn`` that lie below the Nyquist frequency of the coarser grid in every direction."""
    kept = torch.ones(tuple(shape), dtype=torch.bool, device=device)
    for axis, (length, stride) in enumerate(zip(shape, strides, strict=True)):
        if stride > 1:
            low = torch.fft.fftfreq(length, dtype=torch.float64, device=device).abs() < 1 / (2 * stride)
            kept &= low.view(-1, *(1,) * (len(shape) - axis - 1))
    return kept


def _white_share(shape: Sequence[int], strides: Sequence[int]) -> float | None:
    """The share of maps that are white noise: that of bins, the mean left out."""
    kept = _below(shape, strides)
    return float((~kept).sum()) / (kept.numel() - 1) if kept.numel() > 1 else None


def aliased(maps: Tensor, strides: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Energy of maps that sub-sampling folds, and how wrong the sub-sampled maps are by it.

    With y the map less the mean of each channel, and y_H its part at or above the Nyquist frequency of the coarser
    grid in any direction: share = ||y_H||^2 / ||y||^2, and relative error = ||y_H at the places kept|| / ||y at the
    places kept||, that is, the distance between the sub-sampled map and the one that a perfect low-pass filter gives
    first. Channels are added up before quotients are taken.

    Args:
        maps: (n, C, ...) with as many dimensions after the second as there are strides.
        strides: of each of them; every ``stride``-th place is kept, from the first on.

    Returns:
        share and relative error of each item, float64 (n,); NaN where maps do not vary.
    """
    dims = tuple(range(2, maps.ndim))
    y = maps if maps.dtype == torch.float64 else maps.float()
    whole = y.double().square().flatten(1).sum(dim=1)
    y = y - y.mean(dim=dims, keepdim=True)
    kept = _below(maps.shape[2:], strides, maps.device)
    low = torch.fft.ifftn(torch.fft.fftn(y, dim=dims) * kept, dim=dims).real
    places = (slice(None), slice(None), *(slice(None, None, stride) for stride in strides))

    def energy(x: Tensor) -> Tensor:
        found: Tensor = x.double().square().flatten(1).sum(dim=1)
        return found

    everything, sampled = energy(y), energy(y[places])
    flat = everything <= _ROUNDING * whole
    share = (energy(y - low) / everything).clamp(max=1).masked_fill(flat, torch.nan)
    error = (energy((y - low)[places]) / sampled).sqrt().masked_fill(flat | (sampled == 0), torch.nan)
    return share, error


@contextlib.contextmanager
def _watching(model: nn.Module) -> Iterator[list[_Sampled]]:
    """Measure at every layer that sub-samples, in the order of registration."""
    found = []
    handles = []
    for name, module in model.named_modules():
        if any(blurs(module)) or _stride(module) is not None:
            sampled = _Sampled(name, module)
            hook = module.register_forward_pre_hook(sampled, prepend=True, with_kwargs=True)
            handles.append(hook)  # at the front: it sees the input before a blur does
            found.append(sampled)
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def measure_aliasing(model: nn.Module, images: Images, *, batch_size: int = 50) -> dict[str, Any]:
    """Aliasing at every place where a network sub-samples: strided convolutions, pools and blurs, found by hooks.

    Cost: 1 forward pass for each image, in which strided layers run at stride 1 as well (for stride s on maps, s^2
    times their own cost: little in most networks, much in the patch embedding of a transformer), and 2 Fourier
    transforms of each map at full size.

    Args:
        model: any module that takes images or clips; its sub-sampling layers are those modules without parts that have
            a stride above 1 and take maps (N, C, ...), and those that `regrow.models.blurpool.antialiased` made. Layers
            that sub-sample otherwise (by slices, reshaping or adaptive pools) are not seen. Left as it was.
        images: normalised images (N, C, ..., H, W), or batches of them.
        batch_size: size of the batches where one tensor is given.

    Returns:
        - n: images.
        - layers: rows of layer (its name), kind (its class), stride, blurred (whether regrow's blur comes first), size
          (of the map at stride 1), white_share (what white noise of that size would have; on a map of 4 x 4 at stride
          2 it is 1, since only the mean lies below), share and relative_error = {mean, sd, n} over images, see
          `aliased`. A layer that is called several times has all calls in its means; one that is never called, or whose
          maps do not vary, has None.
        - share, relative_error: means of the layers' means; None where nothing is sub-sampled.

    Raises:
        InputError: no images.
    """
    n = 0
    with evaluating(model), _watching(model) as layers, torch.no_grad():
        answer, device = frozen(model), device_of(model)
        for batch in batched(images, device, batch_size):
            answer(batch)
            n += len(batch)
    rows = [layer.row() for layer in layers]
    means = {
        key: summary([row[key]["mean"] for row in rows if row[key]["mean"] is not None])["mean"]
        for key in ("share", "relative_error")
    }
    return {"n": n, "layers": rows, **means}
