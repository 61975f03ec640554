"""What the engine holds of one sparse weight: its mask, the gradient that growth waits for, and its history."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regrow.errors import RegrowError
from regrow.sparsity.history import Track
from regrow.sparsity.layers import Chosen
from regrow.sparsity.masks import Mask, pack, zero_where


class Tracked:
    """A layer that is or may become sparse.

    Args:
        chosen: the parameter and where it is.
        mask: its first mask, bool (N,), row-major.
        low_memory: see `regrow.sparsity.masks.Mask`.
        window: steps whose dense gradients are averaged.
        decay: factor of a running mean of dense gradients, or None.
    """

    def __init__(self, chosen: Chosen, mask: Tensor, *, low_memory: bool, window: int, decay: float | None) -> None:
        self.name, self.parameter = chosen.name, chosen.parameter
        self.owner, self.attribute, self.shape = chosen.owner, chosen.attribute, chosen.shape
        self.low_memory, self.window, self.decay = low_memory, window, decay
        self.keeping = False
        self.frozen = False
        self.gradient: Tensor | None = None
        self.memory: Tensor | None = None
        self._left = (0, 0)
        self.set_mask(mask)
        self.track = Track(pack(mask), chosen.size)

    @property
    def n_active(self) -> int:
        """Number of active weights."""
        return self.mask.n_active

    def set_mask(self, flags: Tensor) -> None:
        """Take a new mask, bool (N,), row-major."""
        self.mask = Mask(flags, self.parameter.detach(), low_memory=self.low_memory)

    def follow(self) -> None:
        """Go where the weight went: device, type or memory format may have changed since the mask was made."""
        weight = self.parameter.detach()
        if not self.mask.fits(weight):
            self.set_mask(self.mask.flags().to(weight.device))

    # ---- hooks

    def mask_gradient(self, parameter: Tensor) -> None:
        """Hook after accumulation: zero the gradient at inactive weights, whatever it was there."""
        gradient = parameter.grad
        if gradient is not None:
            self.mask.apply(gradient)
            self._left = (id(gradient), gradient._version)

    def mask_changed_gradient(self) -> None:
        """Mask the gradient again if it is not what the hook left: set by hand, clipped, or given noise."""
        gradient = self.parameter.grad
        if gradient is not None and self._left != (id(gradient), gradient._version):
            self.mask_gradient(self.parameter)

    def keep_gradient(self, gradient: Tensor) -> None:
        """Hook before accumulation: add the dense gradient to the buffer; a new accumulation begins a new sum."""
        if not self.keeping:
            return
        dtype = torch.float64 if gradient.dtype is torch.float64 else torch.float32
        if self.gradient is None or not self._accumulating():
            self.gradient = gradient.detach().to(dtype, copy=True)
        else:
            self.gradient.add_(gradient.detach())

    def _accumulating(self) -> bool:
        """Whether the gradient so far is of the same step: it was not cleared since the last backward pass."""
        so_far = self.parameter.grad
        if so_far is None:
            return False
        return self._left == (id(so_far), so_far._version) or bool(so_far.any())

    def end_step(self) -> None:
        """After a step that was taken: fold its gradient into the mean over steps, if there is one."""
        if not self.keeping or self.gradient is None:
            return
        if self.decay is not None:
            finite = bool(self.gradient.isfinite().all())
            if self.memory is None:
                self.memory = torch.zeros_like(self.gradient)
            if finite:
                self.memory.mul_(self.decay).add_(self.gradient, alpha=1 - self.decay)
        elif self.window > 1:
            self.memory = self.gradient if self.memory is None else self.memory.add_(self.gradient)

    @property
    def growth_gradient(self) -> Tensor | None:
        """What growth looks at, of the weight's shape; up to a positive factor."""
        return self.gradient if self.decay is None and self.window == 1 else self.memory

    def mask_weight(self) -> None:
        """Zero the inactive weights."""
        self.mask.apply(self.parameter.detach())

    # ---- checks

    def present(self) -> None:
        """Raise if the parameter is no longer the model's."""
        if self.owner._parameters.get(self.attribute) is not self.parameter:
            raise RegrowError(
                f"{self.name} was replaced by another parameter after attach.", "attach after the model is complete."
            )

    def verify(self) -> None:
        """Raise unless the inactive weights are exactly zero."""
        self.follow()
        if self.mask.n_active < self.mask.size and bool(self.mask.violations(self.parameter)):
            raise RegrowError(
                f"{self.name} has non-zero inactive weights: something other than the optimiser changed them.",
                "change weights before attach, or multiply by sparsifier.masks afterwards.",
            )


class Follower:
    """A bias or norm parameter with one value a filter, held at zero where the filter is dead once updates are over."""

    def __init__(self, name: str, leader: Tracked, parameter: nn.Parameter) -> None:
        self.name, self.leader, self.parameter = name, leader, parameter
        self.dead: Tensor | None = None

    def mask(self, parameter: Tensor) -> None:
        """Zero the dead filters' values of a copy of the parameter."""
        if self.dead is not None:
            zero_where(parameter.detach(), self.dead.to(parameter.device))

    def engage(self) -> Tensor:
        """Hold the dead filters' values at zero from now on; returns their flags, bool (filters,)."""
        rows = self.leader.shape[0]
        self.dead = ~self.leader.mask.flags().view(rows, -1).any(1)
        zero_where(self.parameter.detach(), self.dead)
        return self.dead

    def mask_gradient(self, parameter: Tensor) -> None:
        """Hook after accumulation."""
        if self.dead is not None and parameter.grad is not None:
            if self.dead.device != parameter.grad.device:
                self.dead = self.dead.to(parameter.grad.device)
            zero_where(parameter.grad, self.dead)

    def mask_weight(self) -> None:
        """Zero the dead filters' values."""
        self.mask(self.parameter)
