"""The engine: hooks on parameters and optimiser that keep a model sparse while any loop trains it.

Per sparse weight, two hooks: one masks the gradient after every accumulation (so before clipping and unscaling, in
every closure evaluation and micro-batch), one keeps the dense gradient, only on steps that an update follows. One hook
on the optimiser counts steps and updates the masks. Layers that always keep all their weights get no hook.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regrow import seeds
from regrow.errors import RegrowError
from regrow.sparsity import guard, history, ranks
from regrow.sparsity.masks import unpack, zero_where
from regrow.sparsity.optimisers import forget_directions, keeps_zeros, skipped, state_tensors
from regrow.sparsity.planning import Plan
from regrow.sparsity.select import count, is_finite
from regrow.sparsity.tracked import Follower, Tracked
from regrow.sparsity.update import Layer, Rewired, Rule

_ATTACHED: weakref.WeakValueDictionary[int, Engine] = weakref.WeakValueDictionary()


class Engine:
    """Counts steps, updates masks, and keeps what is inactive at zero; `Sparsifier` is its public face."""

    def __init__(
        self,
        optimizer: Optimizer,
        plan: Plan,
        masks: Mapping[str, Tensor],
        *,
        total_steps: int,
        mask_seed: int,
        growth_seed: int,
        verify_every: int = 100,
        low_memory: bool = True,
        group: ranks.Group | None = None,
    ) -> None:
        method = plan.method
        self.method = method
        self.total_steps = total_steps
        self.step_count = 0
        self.update_count = 0
        self.history: list[history.Row] = []
        self._of = weakref.ref(optimizer)  # the optimiser's hook holds the engine, and nothing else needs to
        self._plan = plan
        self._growth_seed = growth_seed
        self._verify_every = verify_every
        self._group = group
        self._postponed = False
        self._reference = method.state == "reference"
        self._mask_after_step = self._reference or not keeps_zeros(optimizer)
        self._handles: list[Any] = []
        self._closed = False
        weakref.finalize(self, _remove, self._handles)
        self._config = {
            **method.describe(),
            "total_steps": total_steps,
            "interval": plan.window.interval,
            "mask_seed": mask_seed,
            "growth_seed": growth_seed,
            "layers": [[c.name, *c.shape, n] for c, n in zip(plan.layers, plan.n_active, strict=True)],
        }
        self._sparse: dict[str, Tracked] = {
            chosen.name: Tracked(
                chosen, masks[chosen.name], low_memory=low_memory, window=method.window, decay=method.decay
            )
            for chosen in plan.layers
            if chosen.name in masks
        }
        self._followers: list[Follower] = []
        self._followers_engaged = False
        self._dense_weights = sum(c.size for c in plan.layers if c.name not in self._sparse)

    @property
    def _optimizer(self) -> Optimizer:
        optimizer = self._of()
        if optimizer is None:
            raise RegrowError("the optimiser that the sparsifier was attached to is gone.", "keep it, or attach again.")
        return optimizer

    # ---- hooks

    def start(self, followers: Iterable[tuple[str, str, nn.Parameter]] = ()) -> None:
        """Zero the inactive weights and register the hooks; `attach` does it."""
        guard.welcome(self._optimizer)
        if not self._sparse and self.update_interval == 0:
            return
        resumed = self.step_count > 0
        dirty = [self._start_layer(layer, resumed=resumed) for layer in self._sparse.values()]
        for leader, name, parameter in followers:
            follower = Follower(name, self._sparse[leader], parameter)
            self._followers.append(follower)
            self._hook(parameter.register_post_accumulate_grad_hook(follower.mask_gradient))  # type: ignore[no-untyped-call]
        if self._followers_engaged:
            self._engage_followers()
        if not resumed:
            forget_directions(self._optimizer)
        if any(dirty):
            warnings.warn(
                "attached to an optimiser that has already made steps: the state of inactive weights was reset.",
                stacklevel=3,
            )
        guard.watch(self._optimizer, [id(layer.parameter) for layer in self._sparse.values()])
        # a compiled step must not trace these: masks change shape and meaning at every update
        if not self._reference:
            self._hook(self._optimizer.register_step_pre_hook(torch.compiler.disable(self._before_step)))  # type: ignore[no-untyped-call]
        self._hook(self._optimizer.register_step_post_hook(torch.compiler.disable(self._after_step)))  # type: ignore[no-untyped-call]
        self._prepare_next()

    def _start_layer(self, layer: Tracked, *, resumed: bool) -> bool:
        """Zero and hook one layer; whether the optimiser held state of its inactive weights."""
        _ATTACHED[id(layer.parameter)] = self
        layer.mask_weight()
        dirty = False
        if not self._reference:
            self._hook(layer.parameter.register_post_accumulate_grad_hook(layer.mask_gradient))  # type: ignore[no-untyped-call]
        if self.method.needs_gradient and self.update_interval:
            self._hook(layer.parameter.register_hook(layer.keep_gradient))  # type: ignore[no-untyped-call]
        if not resumed and not self._reference:
            inactive = ~layer.mask.flags()
            state = state_tensors(self._optimizer, layer.parameter)
            dirty = any(bool((tensor.flatten()[inactive] != fresh).any()) for tensor, fresh in state)
            self._reset_state(layer.parameter, inactive)
        return dirty

    def _hook(self, handle: Any) -> None:
        self._handles.append(handle)

    def _prepare_next(self) -> None:
        """Keep dense gradients during the coming step if, and only if, an update looks at them."""
        step = self.step_count + 1
        last = self._plan.window.last()
        keeping = self.method.decay is not None and step <= last
        keeping = keeping or self._postponed or any(self._due(step + i) for i in range(self.method.window))
        for layer in self._sparse.values():
            layer.keeping = keeping
            layer.gradient = None
            if not keeping:
                layer.memory = None

    def _due(self, step: int) -> bool:
        if self._closed:
            return False
        window = self._plan.window
        unsettled = self._postponed and (window.open(step) or self._must_settle(step))
        return window.due(step) or unsettled

    def _must_settle(self, step: int) -> bool:
        """Whether the final number of weights is still to come although updates are over."""
        return bool(self._sparse) and not self.is_final and step > 0

    def _before_step(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        """Hook before the optimiser's step: mask gradients that were set or changed since the backward pass."""
        for layer in self._sparse.values():
            layer.mask_changed_gradient()
        for follower in self._followers:
            follower.mask_gradient(follower.parameter)

    @torch.no_grad()
    def _after_step(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        """Hook after the optimiser's step."""
        if skipped(optimizer):
            return
        self.step_count += 1
        for layer in self._sparse.values():
            layer.present()
            layer.end_step()
        if self._mask_after_step:
            for layer in self._sparse.values():
                layer.mask_weight()
            for follower in self._followers:
                follower.mask_weight()
        due = self._due(self.step_count)
        if due or self.step_count == 1 or self._verification_due():
            for layer in self._sparse.values():
                layer.verify()
        if due:
            self._update()
        self._prepare_next()

    def _verification_due(self) -> bool:
        """On an accelerator only updates verify, since a look at the weights waits for them."""
        if not self._verify_every or self.step_count % self._verify_every:
            return False
        return all(layer.mask.device.type == "cpu" for layer in self._sparse.values())

    # ---- updates

    def _update(self) -> None:
        """Change the masks of all layers; nothing changes unless all can."""
        layers = list(self._sparse.values())
        gradients = self._gradients(layers)
        finite = (is_finite(g) for g in gradients if g is not None)
        self._postponed = not all(finite)
        if self._postponed:
            for layer in layers:
                layer.memory = layer.memory if layer.decay is not None else None
            return
        number = self.update_count + 1
        drop_fraction = self.method.drop_fraction(self._plan.window.progress(self.step_count))
        views = [
            self._view(layer, gradient, number, drop_fraction)
            for layer, gradient in zip(layers, gradients, strict=True)
        ]
        rule = self._rule()
        changes = self.method.step(views, rule)
        self._check_counts(changes, rule, drop_fraction)
        for layer, change in zip(layers, changes, strict=True):
            self._apply(layer, change, number)
            told = layer.track.row(self.step_count, number, layer.name, change, drop_fraction)
            self.history.append(told)
            self._freeze_if_settled(layer, told)
        forget_directions(self._optimizer)
        self.update_count = number
        for layer in layers:
            layer.memory = layer.memory if layer.decay is not None else None
        ranks.check_equal(self._group, self._flags(), layers[0].parameter.device) if layers else None
        if self.step_count >= self._plan.window.last():
            self._engage_followers()

    def _gradients(self, layers: list[Tracked]) -> list[Tensor | None]:
        """What growth looks at, the same on all ranks."""
        if not self.method.needs_gradient:
            return [None] * len(layers)
        found = [layer.growth_gradient for layer in layers]
        if self._group is not None and self.method.decay is not None:
            found = [None if g is None else g.clone() for g in found]
        return ranks.mean(self._group, found, [layer.parameter for layer in layers])

    def _view(self, layer: Tracked, gradient: Tensor | None, number: int, drop_fraction: float) -> Layer:
        mask = layer.mask.flags()
        step_grad = None
        if self.method.needs_step_gradient and layer.parameter.grad is not None:
            step_grad = layer.parameter.grad.detach().flatten()
            step_grad = step_grad * mask if self._reference else step_grad
        return Layer(
            name=layer.name,
            weight=layer.parameter.detach().flatten(),
            mask=mask,
            grad=None if gradient is None else gradient.detach().flatten(),
            shape=layer.shape,
            drop_fraction=drop_fraction,
            key=seeds.name_key(layer.name),
            update=number,
            seed=self._growth_seed,
            progress=self._progress(),
            step_grad=step_grad,
            ever=unpack(layer.track.ever, mask.numel()).to(mask.device) if self.method.needs_history else None,
            # what a layer grows while it takes no part in the loss could not learn
            frozen=layer.frozen or layer.parameter.grad is None or (self.method.needs_gradient and gradient is None),
            last=layer.name == self._plan.layers[-1].name,
        )

    def _progress(self) -> float:
        last = self._plan.window.last()
        return min(1.0, self.step_count / last) if last else 1.0

    def _rule(self, *, final: bool = False) -> Rule:
        """What the update of now is to do; ``final``: what one at the end would."""
        counts = self._plan.n_final if final else self._plan.planned(self.step_count)
        planned = dict(zip((c.name for c in self._plan.layers), counts, strict=True))
        own = [planned[name] for name in self._sparse]
        return Rule(
            drop=self.method.drop,
            grow=self.method.grow,
            regrow_dropped=self.method.regrow_dropped,
            planned=own,
            total=sum(planned.values()) - self._dense_weights,
            progress=1.0 if final else self._progress(),
            falling=final or self._plan.falling,
        )

    def _check_counts(self, changes: list[Rewired], rule: Rule, drop_fraction: float) -> None:
        """Raise, before anything is changed, if an update would miss the number of weights that is due."""
        after = [count(change.mask) for change in changes]
        method = self.method
        sizes = [change.mask.numel() for change in changes]
        if getattr(method.step, "loses_by_rounding", False):
            due = [n if 0 < n <= planned else planned for n, planned in zip(after, rule.planned, strict=True)]
            found = after
        elif method.step.counts_shift and self._counts_moved():
            due, found = [rule.total], [sum(after)]
        else:
            due = method.step.held(rule.planned, sizes, drop_fraction if rule.progress < 1 else 0.0)
            found = after
        if due != found:
            raise RegrowError(f"an update at step {self.step_count} would leave {found} active weights of {due}.")

    def _counts_moved(self) -> bool:
        """Whether layers compete: while the density falls, and where the first mask was a ranking of all layers."""
        return self._plan.falling or hasattr(self.method.initial, "for_all")

    def _apply(self, layer: Tracked, change: Rewired, number: int) -> None:
        """Set mask, weights and optimiser state; weights that were neither dropped nor grown stay to the bit."""
        before = layer.mask.flags()
        changed = change.mask ^ before
        if change.pruned is not None:
            changed |= change.pruned & change.grown
        if self.method.returned == "reset":
            changed |= change.returned
        layer.set_mask(change.mask)
        weight = layer.parameter.detach()
        zero_where(weight, changed)
        if self.method.grow_init != "zeros":
            self._initialise(layer, changed & change.mask, number)
        if not self._reference:
            self._reset_state(layer.parameter, changed)
            layer.mask_gradient(layer.parameter)  # a loop may not clear it before the next step

    def _initialise(self, layer: Tracked, fresh: Tensor, number: int) -> None:
        """Give fresh weights normal values of variance 2 / (mean active fan-in)."""
        n = count(fresh)
        words = seeds.raw(self._growth_seed, "init", seeds.name_key(layer.name), number, n=n)
        normal = torch.special.ndtri(torch.from_numpy(seeds.uniform(words)))
        values = normal * (2 * layer.shape[0] / max(1, layer.n_active)) ** 0.5
        weight = layer.parameter.detach()
        flat = weight.flatten()
        flat[fresh] = values.to(flat)
        weight.copy_(flat.view(layer.shape))

    def _reset_state(self, parameter: nn.Parameter, flags: Tensor) -> None:
        """Give the flagged weights fresh optimiser state."""
        for tensor, fresh in state_tensors(self._optimizer, parameter):
            if fresh == 0.0 and tensor.is_floating_point():
                zero_where(tensor, flags)
            else:
                tensor.masked_fill_(flags.view(tensor.shape), fresh)

    def _freeze_if_settled(self, layer: Tracked, told: history.Row) -> None:
        limit = getattr(self.method.step, "early_stop", None)
        grown = told["returned"] + told["fresh"]
        if limit is not None and grown and told["returned"] / grown > limit:
            layer.frozen = True

    def _engage_followers(self) -> None:
        self._followers_engaged = True
        for follower in self._followers:
            self._reset_state(follower.parameter, follower.engage())

    def _flags(self) -> dict[str, Tensor]:
        return {name: layer.mask.flags() for name, layer in self._sparse.items()}

    @property
    def is_final(self) -> bool:
        """Whether the number of active weights is the method's final one."""
        total = sum(self._plan.n_end) - self._dense_weights
        active = sum(layer.n_active for layer in self._sparse.values())
        return active <= total if getattr(self.method.step, "loses_by_rounding", False) else active == total

    @property
    def planned_updates(self) -> int:
        """Number of updates of the whole run."""
        return self._plan.window.count()

    @property
    def update_interval(self) -> int:
        """Optimiser steps from update to update; 0 when there are none."""
        return self._plan.window.interval

    def detach(self) -> None:
        """Remove all hooks; the weights stay as they are, inactive ones zero."""
        if not self._handles:
            return
        _remove(self._handles)
        for layer in self._sparse.values():
            layer.gradient = layer.memory = None
            if _ATTACHED.get(id(layer.parameter)) is self:
                del _ATTACHED[id(layer.parameter)]
        guard.release(self._of(), [id(layer.parameter) for layer in self._sparse.values()])


def _remove(handles: list[Any]) -> None:
    """Remove hooks; also when an engine goes without `detach`, so that its masks do not outlive it."""
    for handle in handles:
        handle.remove()
    handles.clear()


def attached_to(parameter: nn.Parameter) -> bool:
    """Whether a parameter has a sparsifier that lives."""
    return id(parameter) in _ATTACHED
