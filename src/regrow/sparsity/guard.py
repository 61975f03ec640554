"""Watching for optimisers that would train something else in silence: copies, and others with the same weights."""

from __future__ import annotations

import copy
import weakref
from typing import Any

from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from regrow.errors import InputError, RegrowError
from regrow.sparsity.optimisers import unwrapped

#: Sparsified parameters by identity, and the optimiser whose steps keep them sparse.
_OWNERS: dict[int, weakref.ref[Optimizer]] = {}
_watching = False


class _Defaults(dict[str, Any]):
    """An optimiser's defaults that know whether they were copied with it: hooks are not, so masks would be lost."""

    copied = False
    owner: weakref.ref[Optimizer]

    @classmethod
    def of(cls, optimizer: Optimizer) -> _Defaults:
        made = cls(optimizer.defaults)
        made.owner = weakref.ref(optimizer)
        return made

    def fit(self, optimizer: Optimizer) -> bool:
        """Whether an optimiser is theirs, or a wrapper that shares them (of another type than a shallow copy)."""
        if self.copied:
            return False
        owner = self.owner()
        return owner is optimizer or type(owner) is not type(optimizer)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Defaults:
        made = _Defaults(copy.deepcopy(dict(self), memo))
        made.copied = True
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def watch(optimizer: Optimizer, parameters: list[int]) -> None:
    """Notice steps of other optimisers on these parameters (by identity), and of copies of this one."""
    global _watching
    optimizer.defaults = _Defaults.of(optimizer)
    for key in [key for key, owner in _OWNERS.items() if owner() is None]:
        del _OWNERS[key]
    for key in parameters:
        _OWNERS[key] = weakref.ref(optimizer)
    if not _watching:
        register_optimizer_step_pre_hook(_before_step)
        _watching = True


def release(optimizer: Optimizer | None, parameters: list[int]) -> None:
    """Stop watching; the optimiser may be gone already."""
    if optimizer is not None:
        optimizer.defaults = dict(optimizer.defaults)
    for key in parameters:
        _OWNERS.pop(key, None)


def welcome(optimizer: Optimizer) -> None:
    """Forget that an optimiser is a copy: it is being attached itself, sparsely or densely."""
    if isinstance(optimizer.defaults, _Defaults):
        optimizer.defaults = dict(optimizer.defaults)


def _before_step(optimizer: Optimizer, args: object, kwargs: object) -> None:
    defaults = optimizer.defaults
    if isinstance(defaults, _Defaults):
        if defaults.fit(optimizer):
            return
        raise InputError(
            "this optimiser is a copy of one with a sparsifier, and copies carry no hooks: it would train densely.",
            "attach a method (Dense() to train densely) to the copied model and optimiser, or detach() before copying.",
        )
    if not _OWNERS:
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            owner = _OWNERS.get(id(parameter))
            if owner is not None and owner() is not None and owner() not in (optimizer, unwrapped(optimizer)):
                raise RegrowError(
                    "two optimisers hold a sparsified parameter, and only one has the sparsifier.",
                    "let one optimiser hold it, or detach() and attach again to the one that trains.",
                )
