"""How sharply the loss rises around a network's weights, on a fixed set of images.

Three measures: the curvature in the steepest direction (`hessian_eigenvalue`), the mean rise in random directions
(`random_rise`) and the rise in the worst direction of a given length (`worst_case_rise`). Inactive weights stay at zero
throughout where masks are given: directions then lie in the space of active weights. The weights of the network are
never written to; every measure is of a function that is given other weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call

from regrow import seeds
from regrow.analysis._networks import (
    Images,
    Labels,
    Loss,
    cross_entropy,
    device_of,
    evaluating,
    labelled,
    losses,
    summary,
)
from regrow.errors import InputError

Vector: TypeAlias = dict[str, Tensor]
Masks: TypeAlias = Mapping[str, Tensor]


class _Landscape:
    """The mean loss of a network over all images, as a function of its parameters."""

    def __init__(
        self, model: nn.Module, images: Images, labels: Labels, masks: Masks | None, loss: Loss, batch_size: int
    ) -> None:
        self.model, self.per_item = model, loss
        self.weights: Vector = {name: p.detach() for name, p in model.named_parameters()}
        self.buffers: Vector = {name: b.detach().clone() for name, b in model.named_buffers()}
        self.masks = _checked(self.weights, masks)
        self.batches = list(labelled(images, labels, device_of(model), batch_size))
        self.n = sum(len(batch) for batch, _ in self.batches)

    def masked(self, vector: Vector) -> Vector:
        """A direction in the space of active weights."""
        return {name: v * self.masks[name] if name in self.masks else v for name, v in vector.items()}

    def _parts(self, weights: Vector) -> Iterator[Tensor]:
        """Losses of the batches, each over the number of all images."""
        for batch, truth in self.batches:
            outputs = functional_call(self.model, {**weights, **self.buffers}, (batch,))
            yield losses(self.per_item, outputs, truth).sum() / self.n

    def loss(self, shift: Vector | None = None, by: float = 1.0) -> float:
        """At the weights, or at the weights plus ``by`` times the shift."""
        weights = self.weights
        if shift is not None:
            weights = {name: w + by * shift[name] if name in shift else w for name, w in weights.items()}
        with torch.no_grad():
            return math.fsum(float(part) for part in self._parts(weights))

    def gradient(self) -> Vector:
        return self._summed(None)

    def curvature(self, direction: Vector) -> Vector:
        """The Hessian times a direction."""
        return self._summed(direction)

    def _summed(self, direction: Vector | None) -> Vector:
        """Gradient over all batches; with a direction, the gradient of its product with the direction."""
        at = {name: w.clone().requires_grad_() for name, w in self.weights.items()}
        names, leaves = list(at), list(at.values())
        total = {name: torch.zeros_like(w) for name, w in self.weights.items()}
        for part in self._parts(at):
            found = torch.autograd.grad(part, leaves, create_graph=direction is not None, materialize_grads=True)
            if direction is not None:
                along = torch.stack([(g * direction[name]).sum() for name, g in zip(names, found, strict=True)]).sum()
                if not along.requires_grad:  # a loss that is linear in the weights
                    continue
                found = torch.autograd.grad(along, leaves, materialize_grads=True)
            for name, g in zip(names, found, strict=True):
                total[name] += g.detach()
        return self.masked(total)


def _checked(weights: Vector, masks: Masks | None) -> Vector:
    """Masks as factors on the device of their weights."""
    for name, mask in (masks or {}).items():
        if name not in weights or mask.shape != weights[name].shape:
            has = tuple(weights[name].shape) if name in weights else "no such weight"
            raise InputError(
                f"the mask {name} has the shape {tuple(mask.shape)}, the network {has}.",
                "give the masks of this network by the names of its parameters.",
            )
    return {name: (mask != 0).to(weights[name]) for name, mask in (masks or {}).items()}


def _dot(a: Vector, b: Vector) -> float:
    return math.fsum(float((a[name].double() * b[name].double()).sum()) for name in a)


def _length(a: Vector) -> float:
    return math.sqrt(_dot(a, a))


def _random(weights: Vector, seed: int, purpose: str, index: int) -> Vector:
    """Standard normal numbers in the shape of the weights, drawn on the host for each by its name."""
    drawn = {}
    for name, weight in weights.items():
        key = (seeds.name_key(f"analysis.sharpness.{purpose}"), index, seeds.name_key(name))
        generator = torch.Generator().manual_seed(seeds.torch_seed(seed, "noise", *key))
        drawn[name] = torch.randn(weight.shape, generator=generator, dtype=torch.float32).to(weight)
    return drawn


def hessian_eigenvalue(
    model: nn.Module,
    images: Images,
    labels: Labels,
    *,
    masks: Masks | None = None,
    iterations: int = 30,
    tolerance: float = 0.01,
    seed: int = 0,
    loss: Loss = cross_entropy,
    batch_size: int = 100,
) -> dict[str, Any]:
    """The eigenvalue of largest size of the Hessian of the mean loss, over all parameters or the active ones.

    Power iteration with Hessian-vector products (as in PyHessian, Yao et al. 2020, arXiv:1912.07145) from a seeded
    start. At a minimum it is the largest eigenvalue; where it comes out negative the weights are at no minimum. A few
    hundred images are enough to compare networks, if they are the same for all.

    Cost: for each iteration 1 forward and about 3 backward passes over all images (a gradient, and the gradient of its
    product with a direction); memory, a dozen copies of the weights.

    Args:
        model: any module from images to outputs; left as it was to the bit.
        images: normalised images (N, C, ..., H, W), or batches of them, which are kept.
        labels: classes (N,), or whatever ``loss`` takes.
        masks: parameter name -> mask; the Hessian is restricted to the active weights.
        iterations: most Hessian-vector products.
        tolerance: done when ||H v - lambda v|| <= tolerance |lambda|. Some eigenvalue then lies as near as that;
            lambda itself, being v'H v, is nearer still.
        seed: of the first direction.
        loss: outputs and labels to the loss of each image, by default the cross-entropy of logits.
        batch_size: size of the batches where one tensor is given.

    Returns:
        {"n", "eigenvalue", "residual" (||H v - lambda v|| / |lambda|; None where lambda is 0), "iterations" (done),
        "converged"}.

    Raises:
        InputError: no images, not one label or loss for each, masks that do not fit, no iterations.
    """
    if iterations < 1:
        raise InputError(f"iterations must be at least 1, got {iterations}.", "give 30.")
    with evaluating(model):
        landscape = _Landscape(model, images, labels, masks, loss, batch_size)
        v = landscape.masked(_random(landscape.weights, seed, "hessian", 0))
        value, residual, done = 0.0, math.inf, 0
        length = _length(v)
        while done < iterations and length > 0 and residual > tolerance:
            v = {name: part / length for name, part in v.items()}
            product = landscape.curvature(v)
            value, done = _dot(v, product), done + 1
            off = _length({name: product[name] - value * part for name, part in v.items()})
            v, length = product, _length(product)
            residual = off / abs(value) if value else math.inf
    return {
        "n": landscape.n,
        "eigenvalue": value,
        "residual": residual if math.isfinite(residual) else None,
        "iterations": done,
        "converged": residual <= tolerance or length == 0,
    }


def _filter_normalised(direction: Tensor, weight: Tensor) -> Tensor:
    """Each filter (first dimension) of a direction brought to the length of the weight's filter."""
    have, want = (t.flatten(1).norm(dim=1) for t in (direction, weight))
    scale = torch.where(have > 0, want / have, torch.zeros_like(have))
    return direction * scale.view(-1, *(1,) * (direction.ndim - 1))


def random_rise(
    model: nn.Module,
    images: Images,
    labels: Labels,
    *,
    scales: Sequence[float] = (0.05, 0.1, 0.2),
    directions: int = 10,
    masks: Masks | None = None,
    seed: int = 0,
    loss: Loss = cross_entropy,
    batch_size: int = 100,
) -> dict[str, Any]:
    """Mean rise of the loss in random directions of a length relative to the weights'.

    Directions are normal and normalised filter by filter: each filter of a direction is as long as the filter it is
    added to (Li et al. 2018, arXiv:1712.09913, section 4), so that networks whose layers are scaled differently, but
    compute the same, measure the same. Biases and the vectors of norms are not moved, as there. A direction is taken
    both ways, which cancels the slope: rise = (L(w + s d) + L(w - s d)) / 2 - L(w).

    Cost: 1 + 2 x ``directions`` x (number of scales) forward passes over all images.

    Args:
        model: any module from images to outputs; left as it was to the bit.
        images: normalised images (N, C, ..., H, W), or batches of them, which are kept.
        labels: classes (N,), or whatever ``loss`` takes.
        scales: lengths s, as shares of the filter's own.
        directions: number of random directions, at least 1; the same for all scales.
        masks: parameter name -> mask; inactive weights are not moved.
        seed: of the directions.
        loss: outputs and labels to the loss of each image, by default the cross-entropy of logits.
        batch_size: size of the batches where one tensor is given.

    Returns:
        {"n", "loss" (at the weights), "directions", "rows": [{"scale", "rise", "sd"}, ...]} with mean and standard
        deviation over directions.

    Raises:
        InputError: no images, not one label or loss for each, masks that do not fit, no directions.
    """
    if directions < 1:
        raise InputError(f"directions must be at least 1, got {directions}.", "give 10.")
    rises: list[list[float]] = [[] for _ in scales]
    with evaluating(model):
        landscape = _Landscape(model, images, labels, masks, loss, batch_size)
        matrices = {name: w for name, w in landscape.masked(landscape.weights).items() if w.ndim >= 2}
        base = landscape.loss()
        for index in range(directions):
            drawn = landscape.masked(_random(matrices, seed, "direction", index))
            shift = {name: _filter_normalised(d, matrices[name]) for name, d in drawn.items()}
            for rise, scale in zip(rises, scales, strict=True):
                rise.append((landscape.loss(shift, scale) + landscape.loss(shift, -scale)) / 2 - base)
    spread = [summary(rise) for rise in rises]
    return {
        "n": landscape.n,
        "loss": base,
        "directions": directions,
        "rows": [
            {"scale": float(scale), "rise": found["mean"], "sd": found["sd"]}
            for scale, found in zip(scales, spread, strict=True)
        ],
    }


def worst_case_rise(
    model: nn.Module,
    images: Images,
    labels: Labels,
    *,
    rho: float = 0.5,
    adaptive: bool = True,
    masks: Masks | None = None,
    loss: Loss = cross_entropy,
    batch_size: int = 100,
) -> dict[str, Any]:
    """Rise of the loss after one step of length rho up its gradient g, over all images.

    Adaptive: w + rho |w|^2 g / || |w| g ||, products by element (Kwon et al. 2021, arXiv:2102.11600, equation 10 with
    T = |w|): the step is measured in units of each weight, so that rescaling a layer changes nothing; weights of 0 do
    not move. Otherwise w + rho g / ||g|| (Foret et al. 2021, arXiv:2010.01412, equation 2).

    Cost: 2 forward passes, and 1 forward and 1 backward pass for the gradient, over all images.

    Args:
        model: any module from images to outputs; left as it was to the bit.
        images: normalised images (N, C, ..., H, W), or batches of them, which are kept.
        labels: classes (N,), or whatever ``loss`` takes.
        rho: length of the step, >= 0; 0.5 is usual for the adaptive one, 0.05 for the other.
        adaptive: whether the step is measured in units of each weight.
        masks: parameter name -> mask; inactive weights are not moved.
        loss: outputs and labels to the loss of each image, by default the cross-entropy of logits.
        batch_size: size of the batches where one tensor is given.

    Returns:
        {"n", "loss" (at the weights), "rho", "adaptive", "rise"}.

    Raises:
        InputError: no images, not one label or loss for each, masks that do not fit, rho below 0.
    """
    if not (math.isfinite(rho) and rho >= 0):
        raise InputError(f"rho must be a number >= 0, got {rho!r}.", "give 0.5, or 0.05 if not adaptive.")
    with evaluating(model):
        landscape = _Landscape(model, images, labels, masks, loss, batch_size)
        base, gradient = landscape.loss(), landscape.gradient()
        unit = {name: w.abs() if adaptive else torch.ones_like(w) for name, w in landscape.weights.items()}
        scaled = {name: unit[name] * g for name, g in gradient.items()}
        length = _length(scaled)
        step = {name: unit[name] * s for name, s in scaled.items()}
        rise = landscape.loss(step, rho / length) - base if length > 0 else 0.0
    return {"n": landscape.n, "loss": base, "rho": float(rho), "adaptive": adaptive, "rise": rise}
