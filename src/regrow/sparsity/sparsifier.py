"""The handle that `attach` returns: what it tells, how it is saved and loaded, and how a run ends."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from regrow.errors import InputError
from regrow.files import value_digest
from regrow.markup import html_table
from regrow.sparsity import ranks
from regrow.sparsity.engine import Engine
from regrow.sparsity.layers import Chosen, plain_name
from regrow.sparsity.masks import pack, unpack
from regrow.sparsity.planning import row, table

_VERSION = 2


class Sparsifier(Engine):
    """The handle that `attach` returns. The loop needs nothing of it; it tells, saves, restores and ends.

    Attributes:
        method: the method, fitted to the model.
        total_steps: optimiser steps of the whole run.
        step_count: completed optimiser steps that changed weights.
        update_count: updates so far.
        history: a row per update and layer; see `regrow.sparsity.history.Row`.
    """

    @property
    def masks(self) -> dict[str, Tensor]:
        """Parameter name to bool mask of the weight's shape, True where active; copies."""
        return {
            chosen.name: self._sparse[chosen.name].mask.flags().view(chosen.shape).clone()
            if chosen.name in self._sparse
            else torch.ones(chosen.shape, dtype=torch.bool, device=chosen.parameter.device)
            for chosen in self._plan.layers
        }

    def packed_mask(self, name: str) -> npt.NDArray[np.uint8]:
        """The mask of one sparse layer as packed bits on the host: row-major, little-endian within a byte.

        Raises:
            InputError: no such layer, or one that always keeps all its weights.
        """
        if name not in self._sparse:
            raise InputError(f"{name} is not a sparse layer.", f"sparse are: {', '.join(self._sparse) or 'none'}.")
        return pack(self._sparse[name].mask.flags())

    def _active(self, chosen: Chosen) -> int:
        layer = self._sparse.get(chosen.name)
        return chosen.size if layer is None else layer.n_active

    @property
    def densities(self) -> dict[str, float]:
        """Parameter name to share of active weights, now."""
        return {c.name: self._active(c) / c.size for c in self._plan.layers}

    @property
    def density(self) -> float:
        """Share of active weights over all chosen layers, now."""
        total = sum(c.size for c in self._plan.layers)
        return sum(self._active(c) for c in self._plan.layers) / total if total else 1.0

    @property
    def itop_rate(self) -> float:
        """Share of the weights that were active at any time so far (in-time over-parametrisation, arXiv:2102.02887)."""
        total = sum(c.size for c in self._plan.layers)
        return sum(self._ever_active(c) for c in self._plan.layers) / total if total else 1.0

    @property
    def masks_after_step(self) -> bool:
        """Whether weights are masked after every step too, since the optimiser may move zeros."""
        return self._mask_after_step

    def _ever_active(self, chosen: Chosen) -> int:
        layer = self._sparse.get(chosen.name)
        return chosen.size if layer is None else layer.track.n_ever

    @torch.no_grad()
    def mask(self, model: nn.Module) -> None:
        """Zero the inactive weights of a copy of the model (EMA, SWA), in place, by the masks of now.

        Args:
            model: has parameters of the same names, with or without the prefixes of wrappers.

        Raises:
            InputError: a sparse parameter is missing, or of another shape.
        """
        found = {plain_name(name): parameter for name, parameter in model.named_parameters()}
        for name, layer in self._sparse.items():
            if name not in found or tuple(found[name].shape) != layer.shape:
                raise InputError(f"the model has no parameter {name} of shape {list(layer.shape)}.", "give it a copy.")
            layer.mask.apply(found[name].detach())
        for follower in self._followers:
            if follower.name in found:
                follower.mask(found[follower.name])

    def memory(self) -> dict[str, int]:
        """Bytes held between steps: ``mask``, ``history`` (on the host), ``gradient``."""
        layers = self._sparse.values()
        kept = [t for layer in layers for t in (layer.gradient, layer.memory) if t is not None]
        return {
            "mask": sum(layer.mask.n_bytes for layer in layers),
            "history": sum(layer.track.n_bytes for layer in layers),
            "gradient": sum(t.numel() * t.element_size() for t in kept),
        }

    def report(self) -> list[dict[str, Any]]:
        """A row per layer, now: name, shape, n_weights, n_active, density, kept_dense, ever_active (a count)."""
        return [
            {
                **row(c, self._active(c), kept_dense=c.name not in self._sparse),
                "ever_active": self._ever_active(c),
            }
            for c in self._plan.layers
        ]

    def summary(self) -> str:
        """A text table of the layers, with totals, the layers kept dense, the updates and the ITOP rate so far."""
        rows = self.report()
        weights, active = (sum(one[key] for one in rows) for key in ("n_weights", "n_active"))
        dense = sum(one["kept_dense"] for one in rows)
        updates = f"updates: {self.update_count} of {self.planned_updates}"
        if self.update_interval:
            updates += f", every {self.update_interval} steps; step {self.step_count} of {self.total_steps}"
        lines = [
            table(rows),
            f"{self.method.name}: {active} of {weights} weights active, density {self.density:.4f}; "
            f"{dense} of {len(rows)} layers dense",
            f"{updates}; ITOP rate so far {self.itop_rate:.4f}",
        ]
        if self._plan.falling:
            final = sum(self._plan.n_final)
            lines.append(f"density falls to {final / weights:.4f} ({final} weights) by step {self._plan.settled}")
        if self._reference:
            lines.append('state="reference": gradients of inactive weights reach the optimiser, its state is not reset')
        elif self._mask_after_step and self._sparse:
            lines.append(f"{type(self._optimizer).__name__} may move zeros: weights are masked after every step")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The layers as they are now, for a notebook."""
        rows = [
            (
                one["name"],
                "x".join(map(str, one["shape"])),
                f"{one['n_weights']:,}",
                f"{one['n_active']:,}",
                f"{one['density']:.4f}",
                "dense" if one["kept_dense"] else "",
            )
            for one in self.report()
        ]
        note = (
            f"Step {self.step_count} of {self.total_steps}, {self.update_count} of {self.planned_updates} updates; "
            f"density {self.density:.4f}, ITOP rate so far {self.itop_rate:.4f}."
        )
        headings = ("Layer", "Shape", "Weights", "Active", "Density", "Kept")
        return html_table(self.method.name, headings, rows, (False, False, True, True, True, False), note)

    # ---- saving, ending

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs, as plain containers and tensors (loads with ``weights_only=True``).

        Save it between steps, not between the micro-batches of one.
        """
        layers = self._sparse.items()
        return {
            "version": _VERSION,
            "config": value_digest(self._config),
            "parameters": [[c.name, *c.shape] for c in self._plan.layers],
            "step": self.step_count,
            "update": self.update_count,
            "postponed": self._postponed,
            "closed": self._closed,
            "masks": {name: torch.from_numpy(pack(layer.mask.flags())) for name, layer in layers},
            "first": {name: torch.from_numpy(layer.track.first.copy()) for name, layer in layers},
            "ever": {name: torch.from_numpy(layer.track.ever.copy()) for name, layer in layers},
            "fresh": {name: torch.from_numpy(layer.track.fresh.copy()) for name, layer in layers},
            "frozen": [name for name, layer in layers if layer.frozen],
            "gradients": {name: layer.memory.clone() for name, layer in layers if layer.memory is not None},
            "followers": self._followers_engaged,
            "history": [dict(told) for told in self.history],
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a saved run was; load the model's and the optimiser's own state as well, in any order.

        Raises:
            InputError: the state is of another method, model, seed or run length; nothing was changed.
        """
        self._refuse_foreign(state)
        for name, layer in self._sparse.items():
            device, size = layer.parameter.device, layer.mask.size
            layer.set_mask(unpack(state["masks"][name].cpu().numpy(), size).to(device))
            for part in ("first", "ever", "fresh"):
                setattr(layer.track, part, state[part][name].cpu().numpy().copy())
            layer.frozen = name in state["frozen"]
            layer.gradient = layer.memory = None
            layer.mask_weight()
        self.step_count, self.update_count = int(state["step"]), int(state["update"])
        self._postponed, self._closed = bool(state["postponed"]), bool(state.get("closed", False))
        self.history = [dict(told) for told in state["history"]]  # type: ignore[misc]
        self._prepare_next()
        for name, memory in state["gradients"].items():
            self._sparse[name].memory = memory.to(self._sparse[name].parameter.device, copy=True)
        for follower in self._followers:
            follower.dead = None
        self._followers_engaged = bool(state["followers"])
        if self._followers_engaged:
            self._engage_followers()

    def _refuse_foreign(self, state: Mapping[str, Any]) -> None:
        if state.get("version") != _VERSION:
            raise InputError(
                f"this state has version {state.get('version')!r}, this regrow reads version {_VERSION}.",
                "go on with the version of regrow that saved it.",
            )
        theirs = {str(name): list(shape) for name, *shape in state["parameters"]}
        for chosen in self._plan.layers:
            if theirs.get(chosen.name) != list(chosen.shape):
                other = theirs.get(chosen.name)
                raise InputError(
                    f"this state is of another model: {chosen.name} has shape {list(chosen.shape)} here and "
                    f"{other if other is not None else 'no place'} there.",
                    "attach to the model that saved it.",
                )
        if extra := [name for name in theirs if name not in {c.name for c in self._plan.layers}]:
            raise InputError(
                f"this state is of another model: {extra[0]} is not among the sparse layers here.",
                "attach to the model that saved it.",
            )
        if state["config"] != value_digest(self._config):
            raise InputError(
                "this state belongs to another run: method, parts, layers, seeds or total_steps differ.",
                "attach with the arguments of the run that saved it.",
            )

    @torch.no_grad()
    def finish(self, *, prune_to_final: bool = False) -> None:
        """Check that counts and zeros are exact; call it once training is over (or do not).

        Args:
            prune_to_final: where a run ended before the density came down, prune the lowest-scored weights now.

        Raises:
            RegrowError: an inactive weight is not zero, or a parameter was replaced.

        Warns:
            UserWarning: no step was ever seen, or the density has not come down.
        """
        for layer in self._sparse.values():
            layer.present()
            layer.verify()
        if self._handles and self.step_count == 0:
            warnings.warn(
                "the optimiser that regrow is attached to made no step: something else trained this model, or nothing.",
                stacklevel=2,
            )
        if self.is_final:
            return
        active, final = sum(self._active(c) for c in self._plan.layers), sum(self._plan.n_end)
        if not prune_to_final:
            warnings.warn(
                f"the run ended at step {self.step_count} of {self.total_steps} with {active} active weights; the "
                f"method ends at {final}. finish(prune_to_final=True) prunes the rest.",
                stacklevel=2,
            )
            return
        self._prune_to_final()

    def _prune_to_final(self) -> None:
        layers = list(self._sparse.values())
        views = [self._view(layer, None, self.update_count + 1, 0.0) for layer in layers]
        number = self.update_count + 1
        for layer, change in zip(layers, self.method.step(views, self._rule(final=True)), strict=True):
            self._apply(layer, change, number)
            self.history.append(layer.track.row(self.step_count, number, layer.name, change, 0.0))
        self._closed = True  # what comes after is training at the final density
        ranks.check_equal(self._group, self._flags(), layers[0].parameter.device)
        self._engage_followers()
