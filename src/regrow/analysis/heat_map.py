"""Fourier heat maps (Yin et al. 2019, arXiv:1906.08988): a network's error under noise of one spatial frequency.

For every cell of the Fourier plane, x' = x + r eps B, with B the real basis image of its frequency (`fourier_basis`)
and a random sign r of each image and channel; the cell shows the error rate on x'. A second map shows by how much the
activations of a layer change.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from regrow import seeds
from regrow.analysis.fourier_basis import Whole, basis_images, distinct_frequencies
from regrow.analysis.frequencies import frequency_radii
from regrow.analysis.inputs import normalisation, predicted_classes
from regrow.errors import InputError, UnknownNameError

#: Side of the images in pixels -> L2 norm of the perturbation of one channel in [0, 1], of Yin et al.
EPS = {32: 4.0, 224: 15.7}


def heat_map(
    predict: Callable[[Tensor], Tensor],
    pixels: Tensor | npt.NDArray[Any],
    labels: Tensor | npt.NDArray[np.integer[Any]],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    eps: float | None = None,
    images_per_bin: int = 64,
    size: int | None = None,
    clip: bool = True,
    seed: int = 0,
    model: nn.Module | None = None,
    layers: Sequence[str] = (),
    batch_size: int = 512,
    device: torch.device | str | None = None,
) -> dict[str, Any]:
    """The Fourier heat map of a network, every cell on the same images.

    Two mirrored cells have one basis image and are evaluated once. The sign of an image's channel is a function of the
    seed, the frequency and the image's place alone: neither batches nor ``size`` change it.

    Args:
        predict: from normalised images (n, C, H, W) to logits (n, classes) or classes (n,); in evaluation mode.
        pixels: uint8 (N, H, W, C), or float (N, C, H, W) in [0, 1].
        labels: classes, shape (N,).
        mean: of each channel in units of the 0..1 range, by which the network's input is normalised.
        std: likewise.
        eps: L2 norm of the perturbation of each channel, for pixels in [0, 1]; default that of Yin et al. for 32 and
            224 pixels.
        images_per_bin: the first so many images are taken. The standard error of a cell is sqrt(e (1 - e) / n): read
            means over many cells.
        size: side of the map in cells, odd: the middle of the plane alone, |u| and |v| up to (size - 1) / 2; default
            the whole plane.
        clip: clip x' to [0, 1], which weakens the perturbation where an image is black or white.
        seed: of the signs.
        model: whose ``layers`` are looked at: the network behind ``predict``.
        layers: names of its modules for maps of the relative change of their outputs.
        batch_size: images per forward pass.
        device: where the network is; default where the pixels are.

    Returns:
        {"image": [H, W], "shape": [rows, columns] of the map, "eps", "n", "clip", "seed", "error": one list a row,
        zero frequency at row H // 2 and column W // 2 (of the middle alone: in its middle), "clean_error", "layers":
        {name: likewise, mean over images of ||f(x') - f(x)|| / ||f(x)||}}. An image for which a layer is silent,
        f(x) = 0, does not count there; None if all are.

    Raises:
        InputError: images or labels of the wrong shape or type, an impossible ``size``, ``eps`` unknown, a layer that
            is not there or does not give one tensor in a pass.
    """
    x, truth = _first_images(pixels, labels, images_per_bin, device)
    height, width = x.shape[-2:]
    eps = _checked_eps(eps, height)
    rows, columns = _checked_size(size, height, width)
    scale, black, white = normalisation(mean, std, x)
    x = x * scale + black
    frequencies, place = distinct_frequencies(rows, columns)
    signs = _signs(frequencies, height, width, x.shape[:2], seed)
    wrong, clean_wrong = np.zeros(len(frequencies), np.int64), 0
    changes = _Changes(model, layers, len(frequencies))
    with torch.no_grad(), changes.watched():
        for start in range(0, len(x), batch_size):
            some, true = x[start : start + batch_size], truth[start : start + batch_size]
            with changes.clean(len(some)):
                clean_wrong += int((predicted_classes(predict(some)) != true).sum())
            at_once = max(1, batch_size // len(some))
            for first in range(0, len(frequencies), at_once):
                chosen = slice(first, min(first + at_once, len(frequencies)))
                basis = torch.from_numpy(basis_images(frequencies[chosen], height, width)).to(some)
                r = torch.from_numpy(signs[chosen, start : start + len(some)]).to(some)
                noisy = torch.addcmul(some, r[..., None, None] * (eps * scale), basis[:, None, None])
                noisy = torch.clamp(noisy, black, white) if clip else noisy
                with changes.perturbed(chosen):
                    answer = predicted_classes(predict(noisy.flatten(0, 1))).view(len(basis), -1)
                wrong[chosen] += (answer != true).sum(dim=1).numpy()
    return {
        "image": [height, width],
        "shape": [rows, columns],
        "eps": eps,
        "n": len(x),
        "clip": clip,
        "seed": seed,
        "error": (wrong / len(x))[place].tolist(),
        "clean_error": clean_wrong / len(x),
        "layers": {name: _cells(values, place) for name, values in changes.means().items()},
    }


def heat_map_summary(found: Mapping[str, Any]) -> dict[str, Any]:
    """A heat map as means over rings and bands, by which networks can be compared.

    Args:
        found: what `heat_map` gives.

    Returns:
        {"error": summary, "layers": {name: summary}} with summary = {"radial": [{"radius", "mean", "cells"}, ...],
        "low", "middle", "high": {"mean", "cells"}}: cells by the nearest whole radius in cycles per image; rho <= H/8,
        rho in between, and rho > H/4. "mean" is None where a band has no cells, or a layer no value.

    Raises:
        InputError: a map whose rows do not have the shape that it states.
    """
    height, shape = found["image"][0], tuple(found["shape"])
    rho = frequency_radii(*shape).numpy()
    ring = np.floor(rho + 0.5).astype(np.int64)
    bands = {"low": rho <= height / 8, "middle": (rho > height / 8) & (rho <= height / 4), "high": rho > height / 4}

    def summary(cells: Sequence[Sequence[float | None]]) -> dict[str, Any]:
        values = np.array(cells, dtype=np.float64)  # None becomes nan
        if values.shape != shape:
            raise InputError(f"a heat map of the shape {values.shape} says that it has {shape}.", "make it again.")

        def mean(where: npt.NDArray[np.bool_]) -> dict[str, Any]:
            known = values[where & np.isfinite(values)]
            return {"mean": float(known.mean()) if known.size else None, "cells": int(where.sum())}

        radial = [{"radius": k, **mean(ring == k)} for k in range(int(ring.max()) + 1)]
        return {"radial": radial, **{name: mean(where) for name, where in bands.items()}}

    return {
        "error": summary(found["error"]),
        "layers": {name: summary(cells) for name, cells in found["layers"].items()},
    }


def _first_images(
    pixels: Tensor | npt.NDArray[Any],
    labels: Tensor | npt.NDArray[np.integer[Any]],
    n: int,
    device: torch.device | str | None,
) -> tuple[Tensor, Tensor]:
    """The first images as floats (n, C, H, W) in [0, 1] on the device, and their labels on the host."""
    given = pixels[:n] if isinstance(pixels, Tensor) else torch.from_numpy(np.array(pixels[:n]))
    truth = torch.as_tensor(labels).reshape(-1).cpu()
    if n < 1 or len(given) == 0 or len(truth) != len(pixels):
        raise InputError(
            f"need images with one label for each, got {len(pixels)} images, {len(truth)} labels and "
            f"images_per_bin={n}.",
            "give images and labels of the same test set, and images_per_bin of 1 or more.",
        )
    if given.ndim != 4 or not (given.dtype == torch.uint8 or given.is_floating_point()):
        raise InputError(
            f"pixels must be uint8 (N, H, W, C) or float (N, C, H, W), got {given.dtype} of the shape "
            f"{tuple(given.shape)}.",
            "give images; a heat map of clips is not defined.",
        )
    x = given.to(given.device if device is None else device)
    if x.dtype == torch.uint8:
        x = x.movedim(-1, 1).float() / 255
    elif not 0 <= float(x.min()) <= float(x.max()) <= 1:
        raise InputError(
            f"float pixels must lie in [0, 1], got {float(x.min()):g} to {float(x.max()):g}.",
            "give them as they are before normalisation.",
        )
    return x, truth[:n]


def _checked_eps(eps: float | None, height: int) -> float:
    if eps is None and height not in EPS:
        known = ", ".join(f"{norm:g} for {side}" for side, norm in EPS.items())
        raise InputError(f"no eps is known for images of {height} pixels (known: {known}).", "give eps.")
    value = EPS[height] if eps is None else float(eps)
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"eps must be a number above 0, got {eps}.", "give an L2 norm for pixels in [0, 1], e.g. 4.")
    return value


def _checked_size(size: int | None, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the map."""
    if size is None:
        return height, width
    if size % 2 == 0 or not 1 <= size <= min(height, width):
        raise InputError(
            f"size must be odd and from 1 to {min(height, width)}, got {size}.",
            "give the side of the middle of the plane, 2 k + 1 for frequencies up to k.",
        )
    return size, size


def _signs(
    frequencies: Whole, height: int, width: int, images_and_channels: Sequence[int], seed: int
) -> npt.NDArray[np.int8]:
    """Signs of the perturbations, int8 (frequencies, n, C): bit k = image x C + channel of a frequency's stream."""
    n = math.prod(images_and_channels)
    stream = seeds.name_key("analysis.heat_map")
    bits = np.empty((len(frequencies), n), np.int8)
    for row, (u, v) in zip(bits, frequencies.tolist(), strict=True):
        words = seeds.raw(seed, "noise", stream, u % height, v % width, n=-(-n // 64))
        row[:] = np.unpackbits(words.astype("<u8").view(np.uint8), count=n, bitorder="little")
    return (2 * bits - 1).reshape(len(frequencies), *images_and_channels)


def _cells(values: list[float | None], place: Whole) -> list[list[float | None]]:
    return [[values[index] for index in row] for row in place.tolist()]


class _Changes:
    """Relative L2 change of the outputs of some layers, watched by forward hooks.

    Norms are taken inside the hook, since a later layer may work in place.
    """

    def __init__(self, model: nn.Module | None, names: Sequence[str], n_frequencies: int) -> None:
        known = dict(model.named_modules()) if model is not None else {}
        for name in names:
            if name not in known:
                raise UnknownNameError("layer", name, known, "give `model`, and names of its modules.")
        self._modules = {name: known[name] for name in names}
        self._clean: dict[str, tuple[Tensor, Tensor]] = {}
        self._n = self._expected = 0  # images, and rows of a pass
        self._chosen: slice | None = None
        self._calls = dict.fromkeys(names, 0)
        self._sums = {name: np.zeros(n_frequencies) for name in names}
        self._counts = dict.fromkeys(names, 0)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Hooks are in place inside, and gone afterwards."""
        handles = [module.register_forward_hook(self._hook(name)) for name, module in self._modules.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextlib.contextmanager
    def clean(self, n: int) -> Iterator[None]:
        """The pass inside is that of ``n`` images as they are, with which the following ones are compared."""
        self._n, self._expected, self._chosen = n, n, None
        with self._one_pass():
            yield
        for name, (_, norm) in self._clean.items():
            self._counts[name] += int((norm > 0).sum())

    @contextlib.contextmanager
    def perturbed(self, chosen: slice) -> Iterator[None]:
        """The pass inside is that of the same images under each of the chosen frequencies in turn."""
        self._expected, self._chosen = self._n * (chosen.stop - chosen.start), chosen
        with self._one_pass():
            yield

    @contextlib.contextmanager
    def _one_pass(self) -> Iterator[None]:
        self._calls = dict.fromkeys(self._modules, 0)
        yield
        for name, calls in self._calls.items():
            if calls != 1:
                raise InputError(
                    f"layer {name!r} was called {calls} times in one pass.", "choose a layer that is called once."
                )

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            shape = tuple(output.shape) if isinstance(output, Tensor) else ()
            if len(shape) < 2 or shape[0] != self._expected:
                told = f"the shape {shape}" if isinstance(output, Tensor) else type(output).__name__
                raise InputError(
                    f"layer {name!r} gives {told}, not a tensor (images, ...).", "choose a layer inside or after it."
                )
            self._calls[name] += 1
            exact = output.detach() if output.dtype == torch.float64 else output.detach().float()
            if self._chosen is None:
                self._clean[name] = exact.clone(), _norms(exact, 1)
                return
            clean, norm = self._clean[name]
            change = _norms(exact.unflatten(0, (-1, self._n)) - clean, 2)
            ratio = torch.where(norm > 0, change / norm, 0)
            self._sums[name][self._chosen] += ratio.double().sum(dim=1).cpu().numpy()

        return hook

    def means(self) -> dict[str, list[float | None]]:
        """Mean over images by frequency."""
        return {
            name: (sums / self._counts[name]).tolist() if self._counts[name] else [None] * len(sums)
            for name, sums in self._sums.items()
        }


def _norms(values: Tensor, leading: int) -> Tensor:
    """L2 norms over all but the leading dimensions."""
    norms: Tensor = torch.linalg.vector_norm(values, dim=tuple(range(leading, values.ndim)))
    return norms
