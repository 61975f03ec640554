"""Where in an image a network finds the class: Grad-CAM, and integrated gradients by captum.

Both speak of one class of each image, the target, through its logit. They leave the network as it was: modes, gradients
and hooks, also where they fail.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regrow import extras
from regrow.errors import InputError, UnknownNameError

#: Classes (N,), or the class that the network itself predicts for each image.
Targets: TypeAlias = Tensor | npt.NDArray[np.integer[Any]] | Literal["prediction"]

#: Before the attention of a block of timm: of the last block, the last tokens that all still act on every answer.
_LAST_TOKENS = re.compile(r"(?:.*\.)?blocks\.\d+\.norm1")
#: Sides of a feature map, as shares of the image's, differ by no more than this.
_ASPECT = 0.1


@dataclass(frozen=True)
class Attribution:
    """Maps of one network on N images.

    Attributes:
        maps: (N, H, W) of the images' dtype, on the host.
        targets: the class that each map speaks of, int64 (N,).
        layer: name of the module that was looked at; empty for integrated gradients.
        change: of integrated gradients, logit of the image minus logit of the baseline (N,); else None.
        gap: of integrated gradients, sum of the attributions minus ``change`` (N,): 0 if the integral were exact.
    """

    maps: Tensor
    targets: Tensor
    layer: str = ""
    change: Tensor | None = None
    gap: Tensor | None = None

    @property
    def completeness_error(self) -> float | None:
        """Mean of abs(gap) over the mean of abs(change); None where there is no such thing."""
        if self.gap is None or self.change is None:
            return None
        whole = float(self.change.abs().mean())
        return float(self.gap.abs().mean()) / whole if whole > 0 else None


class _Grid(NamedTuple):
    """Tokens of a transformer: so many before those of the patches, which lie row by row."""

    height: int
    width: int
    prefix: int


def grad_cam(
    model: nn.Module, images: Tensor, targets: Targets = "prediction", *, layer: str | None = None, batch_size: int = 64
) -> Attribution:
    """Gradient-weighted class activation maps: where the features lie that speak for the target.

    ReLU(sum_k a_k A_k) of the channels A_k of a feature map, a_k the mean over its places of the derivative of the
    target's logit; enlarged to the image by bilinear interpolation. Selvaraju et al. 2017, arXiv:1610.02391, equations
    1 and 2.

    Args:
        model: from normalised images to logits (n, classes).
        images: float tensor (N, C, H, W), normalised as the network takes them.
        targets: classes (N,), or "prediction".
        layer: name of a module whose output is a feature map; default `spatial_layer`.
        batch_size: images at a time.

    Returns:
        Maps >= 0, in units of the logit. A map is 0 where no feature of the layer speaks for the target.

    Raises:
        InputError: images, targets or a layer that cannot be used, or a network without feature maps.
    """
    truth = _checked(images, targets)
    with _evaluating(model):
        name = spatial_layer(model, images) if layer is None else layer
        module, grid = _module(model, name), _token_grid(model)
        found = []
        for x, known in _batches(model, images, truth, batch_size):
            with _output_of(module) as outputs:
                logits = _logits(model, x)
            target = _target(logits, known)
            features = _feature_map(outputs[-1], x, grid) if outputs else None
            if features is None:
                raise _no_map(name, outputs)
            (slope,) = torch.autograd.grad(_score(logits, target), outputs[-1], allow_unused=True)
            if slope is None:
                raise InputError(f"the layer {name!r} has no part in the answer.", "name one that the logits follow.")
            slopes = _feature_map(slope, x, grid)
            assert slopes is not None, "a gradient has its tensor's shape"
            weights = slopes.mean(dim=(2, 3), keepdim=True)
            small = F.relu((weights * features).sum(dim=1, keepdim=True)).detach()
            large = F.interpolate(small, size=x.shape[-2:], mode="bilinear", align_corners=False)
            found.append((large[:, 0].cpu(), target.cpu()))
    maps, classes = (torch.cat(parts) for parts in zip(*found, strict=True))
    return Attribution(maps, classes, name)


def spatial_layer(model: nn.Module, images: Tensor) -> str:
    """Name of the module that gives the last feature map on the way to the logits.

    That is the last module to end whose output has the image's two dimensions, above one place: the last stage of a
    residual network. Of a transformer of timm it is the normalisation before the last attention, since after it the
    patches' own tokens may reach no answer.

    Args:
        model: a network of images.
        images: (N, C, H, W), of which the first is tried.

    Raises:
        InputError: no module has such an output.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
        >>> spatial_layer(net, torch.zeros(1, 3, 8, 8))
        '1'
    """
    grid, x = _token_grid(model), images[:1].to(_device(model))
    ended: list[str] = []
    tokens: list[str] = []

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if _feature_map(output, x, grid) is not None:
                ended.append(name)
                if output.ndim == 3 and _LAST_TOKENS.fullmatch(name):
                    tokens.append(name)

        return hook

    with _evaluating(model), contextlib.ExitStack() as stack, torch.no_grad():
        for name, module in model.named_modules():
            if name:
                stack.callback(module.register_forward_hook(note(name)).remove)
        model(x)
    if not ended:
        raise InputError(
            "no layer of this network gives a map of the image, so Grad-CAM has nothing to show.",
            "use integrated gradients, or name a layer whose output is (n, channels, height, width).",
        )
    return (tokens or ended)[-1]


def integrated_gradients(
    model: nn.Module,
    images: Tensor,
    targets: Targets = "prediction",
    *,
    baseline: float | Sequence[float] = 0.0,
    steps: int = 50,
    batch_size: int = 64,
) -> Attribution:
    """Integrated gradients: what each pixel adds to the target's logit on the straight way from a baseline.

    (x - b) times the mean gradient between b and x, by Gauss-Legendre quadrature, summed over channels. Sundararajan
    et al. 2017, arXiv:1703.01365, equation 1; computed by captum (extra ``regrow[explain]``).

    Args:
        model: from normalised images to logits (n, classes).
        images: float tensor (N, C, H, W), normalised as the network takes them.
        targets: classes (N,), or "prediction".
        baseline: normalised value of all pixels, or of each channel; 0 is the training set's mean colour.
        steps: points of the quadrature.
        batch_size: images at a time, those between baseline and image included.

    Returns:
        Signed maps, in units of the logit; their sums are ``change`` up to ``gap``.

    Raises:
        InputError: images, targets, baseline or steps that cannot be used; captum is not installed.
    """
    truth = _checked(images, targets)
    if steps < 1:
        raise InputError(f"integrated gradients need 1 step or more, got {steps}.", "give e.g. steps=50.")
    start = _baseline(baseline, images)
    captum = extras.library("captum.attr", "integrated gradients")
    found = []
    with _evaluating(model):
        method = captum.IntegratedGradients(model)
        for x, known in _batches(model, images, truth, batch_size):
            b = start.to(x.device).expand_as(x).clone()
            with torch.no_grad():
                logits, at_baseline = _logits(model, x.detach()), _logits(model, b)
            target = _target(logits, known)
            pixels, gap = method.attribute(
                x, b, target=target, n_steps=steps, internal_batch_size=batch_size, return_convergence_delta=True
            )
            change = (logits - at_baseline).gather(1, target[:, None])[:, 0]
            parts = (pixels.sum(dim=1), target, change, gap)
            found.append(tuple(part.detach().cpu() for part in parts))
    maps, classes, changes, gaps = (torch.cat(parts) for parts in zip(*found, strict=True))
    return Attribution(maps, classes, "", changes, gaps.to(changes.dtype))


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode with gradients, whatever the caller has turned off; each module's own mode comes back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def _output_of(module: nn.Module) -> Iterator[list[Any]]:
    """What a module returns while this lasts. The network goes on with a copy, which it may overwrite in place."""
    outputs: list[Any] = []

    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        outputs.append(output)
        return output.clone() if isinstance(output, Tensor) else output

    handle = module.register_forward_hook(hook)
    try:
        yield outputs
    finally:
        handle.remove()


def _module(model: nn.Module, name: str) -> nn.Module:
    named: dict[str, nn.Module] = dict(model.named_modules())
    if not name or name not in named:
        raise UnknownNameError("layer", name, [n for n in named if n], "name one of `model.named_modules()`.")
    return named[name]


def _token_grid(model: nn.Module) -> _Grid | None:
    """How the tokens of a transformer lie on the image, where its patch embedding says so (timm's do)."""
    for module in model.modules():
        size = getattr(module, "grid_size", None)
        if isinstance(size, tuple) and len(size) == 2:
            return _Grid(int(size[0]), int(size[1]), int(getattr(model, "num_prefix_tokens", 0)))
    return None


def _feature_map(output: Any, x: Tensor, grid: _Grid | None) -> Tensor | None:
    """A module's output as (n, channels, h, w); None where it is no map of the images ``x``."""
    if not isinstance(output, Tensor) or not output.is_floating_point() or len(output) != len(x):
        return None
    if output.ndim == 3 and grid is not None and output.shape[1] == grid.prefix + grid.height * grid.width:
        patches = output[:, grid.prefix :].transpose(1, 2)
        return patches.reshape(len(x), -1, grid.height, grid.width)
    if output.ndim == 4:  # channels first, or last as in Swin: whichever has the image's proportions
        likely = min((output, output.permute(0, 3, 1, 2)), key=lambda features: _distortion(features, x))
        return likely if _distortion(likely, x) <= _ASPECT else None
    return None


def _distortion(features: Tensor, x: Tensor) -> float:
    """Difference of the sides as shares of the image's; infinite where these are no sides of a map."""
    (h, w), (height, width) = features.shape[2:], x.shape[2:]
    possible = h * w > 1 and h <= height and w <= width
    return abs(h / height - w / width) if possible else math.inf


def _no_map(name: str, outputs: list[Any]) -> InputError:
    shape = f"the shape {tuple(outputs[-1].shape)}" if outputs and isinstance(outputs[-1], Tensor) else "no tensor"
    return InputError(
        f"the layer {name!r} gives {shape}, which is no map of the image.",
        "name one whose output is (n, channels, height, width), or use integrated gradients.",
    )


def _device(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _checked(images: Tensor, targets: Targets) -> Tensor | None:
    """The given classes as int64 (N,); None for predictions."""
    if images.ndim != 4 or not images.is_floating_point() or len(images) == 0:
        raise InputError(
            f"attributions need normalised images (N, C, H, W) of a float type, got {images.dtype} of the shape "
            f"{tuple(images.shape)}.",
            "normalise the images; clips are not supported.",
        )
    if isinstance(targets, str):
        if targets != "prediction":
            raise UnknownNameError("target", targets, ["prediction"], "give 'prediction' or one class for each image.")
        return None
    classes = torch.as_tensor(targets)
    if classes.shape != (len(images),) or classes.is_floating_point() or classes.dtype == torch.bool:
        raise InputError(
            f"need one class for each of {len(images)} images, got {classes.dtype} of the shape "
            f"{tuple(classes.shape)}.",
            "give whole numbers (N,), or 'prediction'.",
        )
    return classes.to(torch.int64)


def _baseline(value: float | Sequence[float], images: Tensor) -> Tensor:
    start = torch.as_tensor(value, dtype=images.dtype).reshape(1, -1, 1, 1)
    if start.shape[1] not in (1, images.shape[1]) or not bool(start.isfinite().all()):
        raise InputError(
            f"a baseline is one finite number, or one for each of {images.shape[1]} channels, got {value!r}.",
            "0 is the mean colour of normalised images.",
        )
    return start


def _batches(
    model: nn.Module, images: Tensor, truth: Tensor | None, batch_size: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Leaves of a graph on the network's device, each batch with its classes."""
    device = _device(model)
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        yield (
            images[part].detach().clone().to(device).requires_grad_(),
            None if truth is None else truth[part].to(device),
        )


def _logits(model: nn.Module, x: Tensor) -> Tensor:
    logits = model(x)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(x):
        raise InputError("the network does not give one row of logits for each image.", "wrap it so that it does.")
    return logits


def _target(logits: Tensor, known: Tensor | None) -> Tensor:
    if known is None:
        return logits.argmax(dim=1)
    n_classes = logits.shape[1]
    if bool(((known < 0) | (known >= n_classes)).any()):
        raise InputError(
            f"targets must lie in 0 .. {n_classes - 1}, got {int(known.min())} to {int(known.max())}.",
            "give the network's own class numbers.",
        )
    return known


def _score(logits: Tensor, target: Tensor) -> Tensor:
    """The targets' logits in one number; in evaluation mode each depends on its own image alone."""
    return logits.gather(1, target[:, None]).sum()
