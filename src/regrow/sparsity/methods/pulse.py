"""Pulse: dense training whose smallest weights are set to zero again and again; the control for repeated zeroing."""

from __future__ import annotations

from regrow.sparsity.growth import RandomGrowth
from regrow.sparsity.methods._method import Method, with_parts
from regrow.sparsity.steps import Pulse


def PulsedDense(sparsity: float, **parts: object) -> Method:  # noqa: N802 (reads like the other methods)
    """At every topology update of `RigL` or `SET` the weights that they would drop are zeroed, and stay trainable.

    Numbers, layers and times are those of dynamic sparse training at ``sparsity``, but the network is dense. It tells
    whether zeroing weights now and then does what sparsity is said to do: at low sparsity most links that a dynamic
    method drops come back at once.

    Args:
        sparsity: of the method whose drops are imitated.
        parts: parts of the `Method` to exchange. Nothing grows, so ``grow``, ``regrow_dropped`` and ``returned`` change
            nothing; ``state="reference"`` leaves the optimiser's state of the zeroed weights as it is.
    """
    return with_parts(Method("pulse", sparsity, "", step=Pulse()), {**parts, "grow": RandomGrowth()})


METHOD = PulsedDense
