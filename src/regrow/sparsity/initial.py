"""Initial masks: random, by magnitude, by saliency, or given. Graphs of a kind are in `topologies`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor

from regrow.errors import InputError
from regrow.sparsity.masks import pack
from regrow.sparsity.update import Layer, prune, smallest


class Initial(Protocol):
    """A rule for the first mask of a layer.

    A rule that looks at all layers together has a method ``for_all(layers, n_active) -> list of masks``, which is then
    called instead and may shift weights between layers. A rule that needs gradients says so in ``batches``: so many
    losses are asked of ``attach(..., init_loss=...)``, and ``layer.grad`` is the mean of their gradients.
    """

    def __call__(self, layer: Layer, n_active: int) -> Tensor:
        """Bool mask (N,) with exactly ``n_active`` True entries."""
        ...


@dataclass(frozen=True)
class RandomMask:
    """Exactly ``n_active`` entries, uniformly at random: those with the smallest random keys.

    Example:
        >>> import torch
        >>> layer = Layer("w", torch.zeros(8), torch.ones(8, dtype=torch.bool))
        >>> RandomMask()(layer, 5).nonzero().flatten().tolist()
        [0, 1, 3, 5, 7]
    """

    def __call__(self, layer: Layer, n_active: int) -> Tensor:
        """See `Initial`."""
        return smallest(layer.draw("mask", layer.mask.numel()), n_active)


@dataclass(frozen=True)
class MagnitudeMask:
    """The largest initial weights, of all layers together or layer by layer; of equal ones the later index stays.

    Attributes:
        scope: ``"global"`` (every layer keeps one weight at least) or ``"layer"``.
        normalised: divide by the layer's root mean square first, so that layers compare whatever their scale.
    """

    scope: Literal["global", "layer"] = "global"
    normalised: bool = False

    def __call__(self, layer: Layer, n_active: int) -> Tensor:
        """See `Initial`."""
        return self.for_all([layer], [n_active])[0]

    def for_all(self, layers: Sequence[Layer], n_active: Sequence[int]) -> list[Tensor]:
        """See `Initial`."""
        return _best(layers, n_active, self.scope, _Magnitude(self.normalised))


@dataclass(frozen=True)
class SaliencyMask:
    """The largest ``|w g|`` at initialisation: SNIP (Lee et al. 2019, arXiv:1810.02340, equation 6).

    Of equal ones the later index stays, as when the others are pruned.

    Attributes:
        scope: ``"global"`` (the paper; every layer keeps one weight at least) or ``"layer"``.
        batches: losses whose gradients are averaged.
    """

    scope: Literal["global", "layer"] = "global"
    batches: int = 1

    def __call__(self, layer: Layer, n_active: int) -> Tensor:
        """See `Initial`."""
        return self.for_all([layer], [n_active])[0]

    def for_all(self, layers: Sequence[Layer], n_active: Sequence[int]) -> list[Tensor]:
        """See `Initial`."""
        return _best(layers, n_active, self.scope, _Saliency())


@dataclass(frozen=True)
class GivenMask:
    """Masks that exist already: of another run, or where the weights are not zero.

    Attributes:
        masks: parameter name to bool mask of the weight's shape; None takes the weights that are not zero. The numbers
            of active weights are those of the masks, whatever the allocation says; their total must fit the sparsity.
    """

    masks: Mapping[str, Tensor] | None = field(default=None, repr=False)

    def counts(self, layers: Sequence[tuple[str, Tensor]]) -> list[int]:
        """Active weights of each layer, given as (name, weight)."""
        return [int(self._of(name, weight).count_nonzero()) for name, weight in layers]

    def _of(self, name: str, weight: Tensor) -> Tensor:
        if self.masks is None:
            return weight.detach() != 0
        if name not in self.masks:
            raise InputError(f"there is no mask for {name}.", f"masks are given for: {', '.join(self.masks)}.")
        mask = self.masks[name]
        if mask.dtype is not torch.bool or (mask.shape != weight.shape and weight.dim() > 1):
            raise InputError(
                f"the mask of {name} is {mask.dtype} of shape {list(mask.shape)}.",
                f"it must be bool of the weight's shape {list(weight.shape)}.",
            )
        return mask

    def __call__(self, layer: Layer, n_active: int) -> Tensor:
        """See `Initial`."""
        mask = self._of(layer.name, layer.weight).reshape(-1).to(layer.mask.device)
        if int(mask.count_nonzero()) != n_active:
            raise InputError(
                f"the mask of {layer.name} has {int(mask.count_nonzero())} active weights, {n_active} are planned."
            )
        return mask.clone()

    def __repr__(self) -> str:
        """What is given, by its content: part of a run's digest."""
        if self.masks is None:
            return "GivenMask(not zero)"
        from regrow.files import value_digest

        content = {name: pack(m.reshape(-1)).tobytes().hex() for name, m in self.masks.items()}
        return f"GivenMask({value_digest(content)[:16]})"


@dataclass(frozen=True)
class _Magnitude:
    normalised: bool
    needs_gradient = False

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        size = layer.weight.abs()
        return size / size.square().mean().sqrt().clamp(min=1e-30) if self.normalised else size


@dataclass(frozen=True)
class _Saliency:
    needs_gradient = True

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        if layer.grad is None:
            raise InputError(
                f"the saliency of {layer.name} needs a gradient, and the loss gives none.",
                "pass attach(..., init_loss=function that returns the loss of one batch).",
            )
        return (layer.weight * layer.grad.to(layer.weight.dtype)).abs()


def _best(layers: Sequence[Layer], n_active: Sequence[int], scope: str, score: _Magnitude | _Saliency) -> list[Tensor]:
    if scope == "layer":
        return [one.mask & ~prune([one], score, n)[0] for one, n in zip(layers, n_active, strict=True)]
    gone = prune(layers, score, sum(n_active))
    return [one.mask & ~flags for one, flags in zip(layers, gone, strict=True)]
