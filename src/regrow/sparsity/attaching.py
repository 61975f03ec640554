"""`attach`: from a model, its optimiser and a method to a running `Sparsifier`, or to one line that says why not."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regrow import seeds
from regrow.errors import InputError
from regrow.sparsity import ranks
from regrow.sparsity.engine import attached_to
from regrow.sparsity.initial import GivenMask
from regrow.sparsity.layers import Choice, Chosen, plain_name
from regrow.sparsity.masks import unpack
from regrow.sparsity.methods._method import Method
from regrow.sparsity.optimisers import refuse_unfit, unwrapped
from regrow.sparsity.planning import Plan, make_plan
from regrow.sparsity.saliency import Loss, initial_gradients
from regrow.sparsity.sparsifier import Sparsifier
from regrow.sparsity.update import Layer

#: A layer with more zeros than this share, but not all, counts as sparse already.
_ZEROS = 0.01


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
    init_loss: Loss | None = None,
    verify_every: int = 100,
    low_memory: bool = True,
    process_group: ranks.Choice = "auto",
    state: Mapping[str, Any] | None = None,
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
        growth_seed: seed of random drop and growth; ``seed`` by default.
        layers: which weights; None for all Linear, Conv and attention weights, or patterns over their names (those that
            begin with ``!`` leave out), or a function ``(parameter name, owner) -> bool``.
        keep_dense: patterns of layers that keep all weights but count in the density.
        steps_per_epoch: needed by timings in epochs.
        init_loss: for methods that score the initial weights by gradients (SNIP): a function without arguments that
            returns the loss of one batch; the model is as before afterwards.
        verify_every: steps between two checks that inactive weights are zero; 0 for none but at updates.
        low_memory: keep masks as packed bits (one byte a weight on an accelerator). False keeps integer masks of the
            weights' size, which torch applies with all its threads.
        process_group: the ranks that train this model together: ``"auto"`` for all of an initialised
            ``torch.distributed``, None where this process trains alone.
        state: `Sparsifier.state_dict` of a run to go on with, for a model whose weights were loaded before; the other
            arguments must be those of that run. Else attach first, then load all states in any order.

    Returns:
        The `Sparsifier`.

    Raises:
        InputError: an argument that cannot be used; nothing was changed then.
    """
    inner = unwrapped(optimizer)
    refuse_unfit(inner)
    ranks.refuse_sharded(model)
    made = make_plan(model, method, total_steps, layers, keep_dense, steps_per_epoch)
    method = made.method
    seed_of_masks, seed_of_growth = (seed if s is None else s for s in (mask_seed, growth_seed))
    for value in (seed_of_masks, seed_of_growth):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise InputError(f"seeds must be whole numbers >= 0, got {value!r}.")
    sparse = [i for i in range(len(made.layers)) if made.may_be_sparse(i)]
    _refuse([made.layers[i] for i in sparse], inner, zeros_are_fine=state is not None or _keeps_zeros(method))
    if made.window.interval and not made.window.count() and sparse:
        warnings.warn(
            f"{method.name} has no update in {total_steps} steps (one is due every {made.window.interval}): it trains "
            "like Static. Next: train longer, or give a timing with a shorter interval.",
            stacklevel=2,
        )
    group = ranks.process_group(process_group)
    with torch.no_grad():
        if state is None:
            masks = _initial_masks(model, made, sparse, seed_of_masks, init_loss)
            _agree(group, made, sparse, masks)
        else:
            masks = _saved_masks(made, sparse, state)
        names = {plain_name(n): p for n, p in model.named_parameters()}
        sparsifier = Sparsifier(
            inner,
            made,
            masks,
            total_steps=total_steps,
            mask_seed=seed_of_masks,
            growth_seed=seed_of_growth,
            verify_every=verify_every,
            low_memory=low_memory,
            group=group,
        )
        if state is not None:
            sparsifier.load_state_dict(state)
        pairs = getattr(method.step, "followers", ()) if sparse else ()
        # the values of a filter may go only if all layers that make its channel can lose it
        whole = [(members[0], name, names[name]) for members, name in pairs if masks.keys() >= set(members)]
        sparsifier.start(whole)
    return sparsifier


def _initial_masks(
    model: nn.Module, plan: Plan, sparse: list[int], seed: int, init_loss: Loss | None
) -> dict[str, Tensor]:
    """The first mask of every layer that may be sparse, by name."""
    chosen = [plan.layers[i] for i in sparse]
    counts = [plan.n_active[i] for i in sparse]
    rule: Any = plan.method.initial
    gradients: list[Tensor | None] = [None] * len(chosen)
    if chosen and (batches := getattr(rule, "batches", 0)):
        gradients = initial_gradients(model, [c.parameter for c in chosen], init_loss, batches)
    views = [
        _view(one, gradient, seed, last=one.name == plan.layers[-1].name)
        for one, gradient in zip(chosen, gradients, strict=True)
    ]
    if hasattr(rule, "for_all"):
        masks: list[Tensor] = rule.for_all(views, counts)
        due, found = [sum(counts)], [sum(int(m.count_nonzero()) for m in masks)]
    else:
        masks = [
            view.mask.clone() if n == view.mask.numel() else rule(view, n)
            for view, n in zip(views, counts, strict=True)
        ]
        due, found = counts, [int(m.count_nonzero()) for m in masks]
    for view, mask in zip(views, masks, strict=True):
        if not plan.method.step.holds(mask, view.shape):
            raise InputError(
                f"the first mask of {view.name} ({type(rule).__name__}) has not the structure of "
                f"{type(plan.method.step).__name__}.",
                "leave the method's own initial mask, or give one that fits.",
            )
    if due != found:
        raise InputError(f"{type(rule).__name__} gave masks of {found} active weights where {due} are planned.")
    return {one.name: mask for one, mask in zip(chosen, masks, strict=True)}


def _keeps_zeros(method: Method) -> bool:
    return isinstance(method.initial, GivenMask)


def _saved_masks(plan: Plan, sparse: list[int], state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Masks of a saved run; names and sizes that do not fit are told apart when the state is loaded."""
    masks = {}
    for one in (plan.layers[i] for i in sparse):
        packed = state.get("masks", {}).get(one.name)
        if packed is None or packed.numel() != -(-one.size // 8):
            masks[one.name] = torch.ones(one.size, dtype=torch.bool, device=one.parameter.device)
        else:
            masks[one.name] = unpack(packed.cpu().numpy(), one.size).to(one.parameter.device)
    return masks


def _view(one: Chosen, gradient: Tensor | None, seed: int, *, last: bool) -> Layer:
    weight = one.parameter.detach().flatten()
    return Layer(
        name=one.name,
        weight=weight,
        mask=torch.ones_like(weight, dtype=torch.bool),
        grad=None if gradient is None else gradient.detach().flatten(),
        shape=one.shape,
        key=seeds.name_key(one.name),
        seed=seed,
        last=last,
    )


def _agree(group: ranks.Group | None, plan: Plan, sparse: list[int], masks: dict[str, Tensor]) -> None:
    """Take the first rank's masks on all ranks (they differ where weights do, before a wrapper has made them equal)."""
    if group is None:
        return
    for i in sparse:
        name = plan.layers[i].name
        flags = masks[name].to(torch.uint8).contiguous()
        ranks.broadcast(group, [flags])
        masks[name] = flags.bool()


def _refuse(sparse: list[Chosen], optimizer: Optimizer, *, zeros_are_fine: bool) -> None:
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    for chosen in sparse:
        if id(chosen.parameter) not in held:
            raise InputError(
                f"the optimiser does not hold {chosen.name}.",
                "give it all parameters of the model, or leave the layer out with layers=['!...'].",
            )
        if attached_to(chosen.parameter):
            gc.collect()  # a sparsifier that nobody holds any more may only wait for this
        if attached_to(chosen.parameter):
            raise InputError(f"{chosen.name} already has a sparsifier.", "call its detach() first.")
        if not zeros_are_fine:
            _refuse_zeros(chosen)


def _refuse_zeros(chosen: Chosen) -> None:
    """A layer that has zeros already was sparse before: a new mask would throw away what it learnt."""
    weight = chosen.parameter.detach()
    zeros = chosen.size - int(weight.count_nonzero())
    if _ZEROS * chosen.size < zeros < chosen.size and zeros > 1:
        raise InputError(
            f"{chosen.name} is sparse already: {zeros} of its {chosen.size} weights are zero.",
            "go on with that run by attach(..., state=), keep its mask by initial=GivenMask(), or give it new weights.",
        )
