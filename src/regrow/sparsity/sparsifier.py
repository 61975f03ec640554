"""`attach`: hooks on parameters and optimiser that keep a model sparse while any loop trains it.

Per sparse weight, two hooks: one masks the gradient after every accumulation (so before clipping and unscaling, in
every closure evaluation and micro-batch), one keeps the dense gradient, only on steps that an update follows. One hook
on the optimiser counts steps and updates the masks. Layers that keep all their weights get no hook.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regrow import seeds
from regrow.errors import InputError, RegrowError
from regrow.files import value_digest
from regrow.sparsity import history
from regrow.sparsity.layers import INTEGERS, Choice, Chosen
from regrow.sparsity.methods._method import Method
from regrow.sparsity.optimisers import keeps_zeros, skipped, state_tensors, unwrapped
from regrow.sparsity.planning import Plan, make_plan, table
from regrow.sparsity.update import Layer, Rewired, rewire

VERIFY_EVERY = 100
_ATTACHED: weakref.WeakValueDictionary[int, Sparsifier] = weakref.WeakValueDictionary()


class _Sparse:
    """A layer with inactive weights: its mask, and what the hooks need of it."""

    def __init__(self, chosen: Chosen, n_active: int, mask: Tensor) -> None:
        self.name = chosen.name
        self.parameter = chosen.parameter
        self.owner = chosen.owner
        self.attribute = chosen.attribute
        self.shape = chosen.shape
        self.n_active = n_active
        self.ever = mask.clone()
        self.keeping = False
        self.gradient: Tensor | None = None
        self.set_mask(mask)

    def set_mask(self, mask: Tensor) -> None:
        """Take a flat bool mask, and derive the bits: 0 or -1, laid out in memory as the weight is."""
        self.mask = mask
        self.bits = self.like_weight(mask).neg_()

    def like_weight(self, flags: Tensor) -> Tensor:
        """Flat flags as integers 0 and 1 of the weight's size, shape, device and memory format."""
        weight = self.parameter.detach()
        out = torch.empty_like(weight, dtype=INTEGERS[weight.dtype])
        return out.copy_(flags.view(self.shape))

    def flat(self, values: Tensor) -> Tensor:
        """Values of the weight's shape in row-major order, on the mask's device."""
        return values.detach().flatten()

    def follow(self) -> None:
        """Go where the weight went: device, type or memory format may have changed since the mask was made."""
        weight = self.parameter
        same = self.bits.device == weight.device and self.bits.stride() == weight.stride()
        if not same or self.bits.dtype != INTEGERS[weight.dtype]:
            self.ever = self.ever.to(weight.device)
            self.set_mask(self.mask.to(weight.device))

    def mask_gradient(self, parameter: Tensor) -> None:
        """Hook after accumulation: zero the gradient at inactive weights, whatever it was there."""
        gradient = parameter.grad
        if gradient is not None:
            if gradient.device != self.bits.device:
                self.follow()
            gradient.view(INTEGERS[gradient.dtype]).bitwise_and_(self.bits)

    def keep_gradient(self, gradient: Tensor) -> None:
        """Hook before accumulation: add the dense gradient to the buffer; a new accumulation begins a new sum."""
        if not self.keeping:
            return
        so_far = self.parameter.grad
        dtype = torch.float64 if gradient.dtype is torch.float64 else torch.float32
        if self.gradient is None or so_far is None or not bool(so_far.any()):
            self.gradient = gradient.detach().to(dtype, copy=True)
        else:
            self.gradient.add_(gradient.detach())

    def mask_weight(self) -> None:
        """Zero the inactive weights."""
        weight = self.parameter.detach()
        weight.view(INTEGERS[weight.dtype]).bitwise_and_(self.bits)

    def verify(self) -> None:
        """Raise unless the parameter is still the model's and its inactive weights are exactly zero."""
        if getattr(self.owner, self.attribute, None) is not self.parameter:
            raise RegrowError(
                f"{self.name} was replaced by another parameter after attach.", "attach after the model is complete."
            )
        self.follow()
        weight = self.parameter.detach()
        if bool((weight.view(self.bits.dtype) & ~self.bits).any()) and bool(weight[self.bits == 0].any()):
            raise RegrowError(
                f"{self.name} has non-zero inactive weights: something other than the optimiser changed them.",
                "change weights before attach, or multiply by sparsifier.masks afterwards.",
            )


class Sparsifier:
    """The handle that `attach` returns. The loop needs nothing of it; it tells, saves, restores and ends.

    Attributes:
        method: the method.
        total_steps: optimiser steps of the whole run.
        step_count: completed optimiser steps that changed weights.
        update_count: updates so far.
        history: a row per update and layer; see `regrow.sparsity.history.Row`.
    """

    def __init__(
        self, optimizer: Optimizer, method: Method, plan: Plan, total_steps: int, mask_seed: int, growth_seed: int
    ) -> None:
        self.method = method
        self.total_steps = total_steps
        self.step_count = 0
        self.update_count = 0
        self.history: list[history.Row] = []
        self._optimizer = optimizer
        self._plan = plan
        self._growth_seed = growth_seed
        self._postponed = False
        self._mask_after_step = not keeps_zeros(optimizer)
        self._handles: list[Any] = []
        self._sparse: dict[str, _Sparse] = {}
        self._config = {
            **method.describe(),
            "total_steps": total_steps,
            "interval": plan.window.interval,
            "mask_seed": mask_seed,
            "growth_seed": growth_seed,
            "layers": [[c.name, *c.shape, n] for c, n in zip(plan.layers, plan.n_active, strict=True)],
        }
        for chosen, n_active in zip(plan.layers, plan.n_active, strict=True):
            if n_active < chosen.size:
                mask = self._initial_mask(chosen, n_active, mask_seed)
                self._sparse[chosen.name] = _Sparse(chosen, n_active, mask)

    def _initial_mask(self, chosen: Chosen, n_active: int, seed: int) -> Tensor:
        weight = chosen.parameter.detach().flatten()
        everything = torch.ones_like(weight, dtype=torch.bool)
        key = seeds.name_key(chosen.name)
        layer = Layer(chosen.name, weight, everything, None, chosen.shape, key=key, update=0, seed=seed)
        return self.method.initial(layer, n_active)

    # ---- hooks

    def _start(self) -> None:
        """Zero the inactive weights and register the hooks."""
        if not self._sparse and self.update_interval == 0:
            return
        dirty = False
        for layer in self._sparse.values():
            _ATTACHED[id(layer.parameter)] = self
            layer.mask_weight()
            flags = layer.like_weight(~layer.mask)
            state = state_tensors(self._optimizer, layer.parameter)
            dirty |= any(bool((tensor[flags != 0] != fresh).any()) for tensor, fresh in state)
            self._reset_state(layer, flags)
            hook = layer.parameter.register_post_accumulate_grad_hook(layer.mask_gradient)  # type: ignore[no-untyped-call]
            self._handles.append(hook)
            if self.method.needs_gradient and self.update_interval:
                self._handles.append(layer.parameter.register_hook(layer.keep_gradient))  # type: ignore[no-untyped-call]
        if dirty:
            warnings.warn(
                "attached to an optimiser that has already made steps: the state of inactive weights was reset.",
                stacklevel=3,
            )
        self._handles.append(self._optimizer.register_step_post_hook(self._after_step))
        self._prepare_next()

    def _prepare_next(self) -> None:
        """Keep dense gradients during the coming step if, and only if, an update follows it."""
        due = self._due(self.step_count + 1)
        for layer in self._sparse.values():
            layer.keeping = due
            layer.gradient = None

    def _due(self, step: int) -> bool:
        window = self._plan.window
        return window.due(step) or (self._postponed and window.open(step))

    @torch.no_grad()
    def _after_step(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        """Hook after the optimiser's step."""
        if skipped(optimizer):
            return
        self.step_count += 1
        if self._mask_after_step:
            for layer in self._sparse.values():
                layer.mask_weight()
        due = self._due(self.step_count)
        if due or self.step_count % VERIFY_EVERY == 0:
            for layer in self._sparse.values():
                layer.verify()
        if due:
            self._update()
        self._prepare_next()

    # ---- updates

    def _update(self) -> None:
        """Drop and grow in every layer; nothing changes unless all layers can."""
        gradients = {name: self._shared(layer.gradient) for name, layer in self._sparse.items()}
        finite = (bool(g.isfinite().all()) for g in gradients.values() if g is not None)
        self._postponed = not all(finite)
        if self._postponed:
            return
        number = self.update_count + 1
        drop_fraction = self.method.drop_fraction(self._plan.window.progress(self.step_count))
        changes = {
            name: self._rewired(layer, gradients[name], number, drop_fraction) for name, layer in self._sparse.items()
        }
        for name, change in changes.items():
            layer = self._sparse[name]
            self._apply(layer, change)
            self.history.append(history.row(self.step_count, number, name, change, drop_fraction, layer.ever))
        self.update_count = number

    @staticmethod
    def _shared(gradient: Tensor | None) -> Tensor | None:
        """The gradient that all ranks agree on. The one place where ranks will average it (mean, float32)."""
        return gradient

    def _rewired(self, layer: _Sparse, gradient: Tensor | None, number: int, drop_fraction: float) -> Rewired:
        if self.method.needs_gradient and gradient is None:
            drop_fraction = 0.0  # the layer took no part in this step's loss: it sits this update out
        view = Layer(
            name=layer.name,
            weight=layer.flat(layer.parameter),
            mask=layer.mask,
            grad=None if gradient is None else layer.flat(gradient),
            shape=layer.shape,
            drop_fraction=drop_fraction,
            key=seeds.name_key(layer.name),
            update=number,
            seed=self._growth_seed,
        )
        change = rewire(view, self.method.drop, self.method.grow, regrow_dropped=self.method.regrow_dropped)
        if int(change.mask.count_nonzero()) != layer.n_active:
            raise RegrowError(f"an update of {layer.name} would miss its {layer.n_active} active weights.")
        return change

    def _apply(self, layer: _Sparse, change: Rewired) -> None:
        """Set mask, weights and optimiser state; weights that were neither dropped nor grown stay to the bit."""
        changed = change.mask ^ layer.mask
        if self.method.returned == "reset":
            changed |= change.dropped & change.grown
        flags = layer.like_weight(changed)
        layer.set_mask(change.mask)
        layer.ever |= change.mask
        weight = layer.parameter.detach()
        weight.view(flags.dtype).bitwise_and_(flags - 1)
        self._reset_state(layer, flags)
        layer.mask_gradient(layer.parameter)  # a loop may not clear it before the next step

    def _reset_state(self, layer: _Sparse, flags: Tensor) -> None:
        """Give the flagged weights (integers 1) fresh optimiser state."""
        for tensor, fresh in state_tensors(self._optimizer, layer.parameter):
            if fresh == 0.0 and tensor.dtype in INTEGERS:
                tensor.view(INTEGERS[tensor.dtype]).bitwise_and_(flags - 1)
            else:
                tensor.masked_fill_(flags != 0, fresh)

    # ---- what it tells

    @property
    def masks(self) -> dict[str, Tensor]:
        """Parameter name to bool mask of the weight's shape, True where active; copies."""
        return {
            chosen.name: self._sparse[chosen.name].mask.view(chosen.shape).clone()
            if chosen.name in self._sparse
            else torch.ones(chosen.shape, dtype=torch.bool, device=chosen.parameter.device)
            for chosen in self._plan.layers
        }

    @property
    def densities(self) -> dict[str, float]:
        """Parameter name to share of active weights."""
        return {c.name: n / c.size for c, n in zip(self._plan.layers, self._plan.n_active, strict=True)}

    @property
    def density(self) -> float:
        """Share of active weights over all chosen layers."""
        total = sum(c.size for c in self._plan.layers)
        return sum(self._plan.n_active) / total if total else 1.0

    @property
    def itop_rate(self) -> float:
        """Share of the weights that were active at any time so far (in-time over-parametrisation, arXiv:2102.02887)."""
        total = sum(c.size for c in self._plan.layers)
        return sum(self._ever_active(c) for c in self._plan.layers) / total if total else 1.0

    @property
    def planned_updates(self) -> int:
        """Number of updates of the whole run."""
        return self._plan.window.count()

    @property
    def update_interval(self) -> int:
        """Optimiser steps from update to update; 0 when there are none."""
        return self._plan.window.interval

    def _ever_active(self, chosen: Chosen) -> int:
        layer = self._sparse.get(chosen.name)
        return chosen.size if layer is None else int(layer.ever.count_nonzero())

    def report(self) -> list[dict[str, Any]]:
        """A row per layer: name, shape, n_weights, n_active, density, kept_dense, ever_active (a count)."""
        rows = self._plan.rows()
        return [{**row, "ever_active": self._ever_active(c)} for row, c in zip(rows, self._plan.layers, strict=True)]

    def summary(self) -> str:
        """A text table of the layers, with totals, the layers kept dense, the updates and the ITOP rate so far."""
        rows = self.report()
        weights, active = (sum(row[key] for row in rows) for key in ("n_weights", "n_active"))
        dense = sum(row["kept_dense"] for row in rows)
        updates = f"updates: {self.update_count} of {self.planned_updates}"
        if self.update_interval:
            updates += f", every {self.update_interval} steps; step {self.step_count} of {self.total_steps}"
        return "\n".join(
            [
                table(rows),
                f"{self.method.name}: {active} of {weights} weights active, density {self.density:.4f}; "
                f"{dense} of {len(rows)} layers dense",
                f"{updates}; ITOP rate so far {self.itop_rate:.4f}",
            ]
        )

    # ---- saving, ending

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs, as plain containers and uint8 tensors (loads with ``weights_only=True``).

        Save it between steps, not between the micro-batches of one.
        """
        return {
            "version": 1,
            "config": value_digest(self._config),
            "step": self.step_count,
            "update": self.update_count,
            "postponed": self._postponed,
            "masks": {name: _pack(layer.mask) for name, layer in self._sparse.items()},
            "ever": {name: _pack(layer.ever) for name, layer in self._sparse.items()},
            "history": [dict(row) for row in self.history],
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a saved run was; load the model's and the optimiser's own state as well, in any order.

        Raises:
            InputError: the state is of another method, model, seed or run length; nothing was changed.
        """
        if state.get("version") != 1 or state.get("config") != value_digest(self._config):
            raise InputError(
                "this state belongs to another run: method, parts, layers, seeds or total_steps differ.",
                "attach with the arguments of the run that saved it.",
            )
        for name, layer in self._sparse.items():
            device, size = layer.parameter.device, layer.mask.numel()
            layer.ever = _unpack(state["ever"][name], size).to(device)
            layer.set_mask(_unpack(state["masks"][name], size).to(device))
            layer.mask_weight()
        self.step_count, self.update_count = int(state["step"]), int(state["update"])
        self._postponed = bool(state["postponed"])
        self.history = [dict(row) for row in state["history"]]  # type: ignore[misc]
        self._prepare_next()

    @torch.no_grad()
    def finish(self) -> None:
        """Check that counts and zeros are exact; call it once training is over (or do not)."""
        for layer in self._sparse.values():
            layer.verify()
            if int(layer.mask.count_nonzero()) != layer.n_active:
                raise RegrowError(f"{layer.name} does not have its {layer.n_active} active weights.")

    def detach(self) -> None:
        """Remove all hooks; the weights stay as they are, inactive ones zero."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        for layer in self._sparse.values():
            layer.gradient = None
            if _ATTACHED.get(id(layer.parameter)) is self:
                del _ATTACHED[id(layer.parameter)]


def _pack(mask: Tensor) -> Tensor:
    return torch.from_numpy(np.packbits(mask.cpu().numpy(), bitorder="little"))


def _unpack(packed: Tensor, size: int) -> Tensor:
    return torch.from_numpy(np.unpackbits(packed.cpu().numpy(), count=size, bitorder="little").astype(bool))


def attach(
    model: nn.Module,
    optimizer: Optimizer,
    method: Method,
    *,
    total_steps: int,
    seed: int = 0,
    mask_seed: int | None = None,
    growth_seed: int | None = None,
    layers: Choice | None = None,
    keep_dense: Iterable[str] = (),
    steps_per_epoch: int | None = None,
) -> Sparsifier:
    """Make a model sparse and keep it so while the loop at hand trains it; the loop needs no change.

    Draws the initial masks, zeroes the inactive weights and registers hooks. `Dense` registers none.

    Args:
        model: the model, on any device, in any memory format.
        optimizer: the optimiser that trains it.
        method: what to do, e.g. ``RigL(0.5)``.
        total_steps: optimiser steps of the whole run (timings and schedules follow it).
        seed: seed of all randomness here; torch's and numpy's own generators are not touched.
        mask_seed: seed of the initial masks; ``seed`` by default.
        growth_seed: seed of random growth; ``seed`` by default.
        layers: which weights; None for all Linear, Conv and attention weights, or patterns over their names (those that
            begin with ``!`` leave out), or a function ``(parameter name, owner) -> bool``.
        keep_dense: patterns of layers that keep all weights but count in the density.
        steps_per_epoch: needed by timings in epochs.

    Returns:
        The `Sparsifier`.

    Raises:
        InputError: an argument that cannot be used; nothing was changed then.
    """
    made = make_plan(model, method, total_steps, layers, keep_dense, steps_per_epoch)
    inner = unwrapped(optimizer)
    seed_of_masks, seed_of_growth = (seed if s is None else s for s in (mask_seed, growth_seed))
    for value in (seed_of_masks, seed_of_growth):
        if value < 0:
            raise InputError(f"seeds must be >= 0, got {value}.")
    sparse = [c for c, n in zip(made.layers, made.n_active, strict=True) if n < c.size]
    _refuse(sparse, inner, updates=made.window.interval > 0)
    sparsifier = Sparsifier(inner, method, made, total_steps, seed_of_masks, seed_of_growth)
    with torch.no_grad():
        sparsifier._start()
    return sparsifier


def _refuse(sparse: list[Chosen], optimizer: Optimizer, *, updates: bool) -> None:
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for chosen in sparse:
        if id(chosen.parameter) not in held:
            raise InputError(
                f"the optimiser does not hold {chosen.name}.",
                "give it all parameters of the model, or leave the layer out with layers=['!...'].",
            )
        if id(chosen.parameter) in _ATTACHED:
            raise InputError(f"{chosen.name} already has a sparsifier.", "call its detach() first.")
    ranks = torch.distributed.is_available() and torch.distributed.is_initialized()
    if ranks and torch.distributed.get_world_size() > 1 and sparse and updates:
        raise InputError(
            "updating masks on several ranks is not supported yet.", "train on one, or use Static, which needs none."
        )
