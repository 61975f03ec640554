"""Choosing a study's arithmetic by timing it: bf16 autocast and channels-last, against plain fp32."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from regrow.data.spec import Modality
from regrow.training.augmenting import passes_per_step
from regrow.training.loop import make_fabric
from regrow.training.network import build_network, build_optimizer, channels_last_fault
from regrow.training.settings import ModelSettings, Precision, TrainingSettings

#: Operations of a timed step on a processor, at most.
MOST_FLOPS = 1e11

#: A faster arithmetic is taken only when it gains at least this much.
WORTHWHILE = 1.15


def choose_precision(
    model: ModelSettings,
    training: TrainingSettings,
    *,
    n_classes: int,
    image_size: int,
    frames: int | None = None,
    modality: Modality = "image",
    forward_flops: float = 0.0,
    rounds: int = 3,
    also: Sequence[ModelSettings] = (),
) -> tuple[Precision, dict[str, Any]]:
    """Time training steps in every allowed arithmetic, side by side, and choose.

    Args:
        model: the network.
        training: batch size, and which of precision and channels_last are pinned.
        n_classes: outputs of the network.
        image_size: side of its input, pixels.
        frames: of its input, where it takes clips.
        modality: what it takes; of texts and sounds ``image_size`` is the length.
        forward_flops: of one input, to time fewer of them where a processor would take too long for a whole part; 0 =
            not known.
        also: further networks of the study, which are not timed; channels-last order must suit them too.
        rounds: timed rounds; in each, every candidate makes two steps in turn.

    Returns:
        The precision, and the probe: ``step_s`` (median seconds of a step by candidate), ``reason``, ``threads``, and
        ``images``, how many were timed, from which a step's seconds follow in proportion.
    """
    n = n_wanted = -(-training.batch // training.accumulate) * passes_per_step(training)
    if forward_flops and not torch.cuda.is_available():
        n = min(n, max(2, int(MOST_FLOPS / (3 * forward_flops))))
    dtypes, layouts = _allowed(training, of_clips=frames is not None)
    if modality == "image":
        shape: tuple[int, ...] = (3, *([] if frames is None else [frames]), image_size, image_size)
    else:
        shape, layouts = (image_size,), [False]
    distinct = {one.model_dump_json(): one for one in (model, *also)}.values()
    if (
        True in layouts
        and training.channels_last == "auto"
        and any(
            channels_last_fault(build_network(one, n_classes, image_size, seed=0, precision=Precision()), image_size)
            for one in distinct
        )
    ):
        layouts = [False]
    candidates = [Precision.model_validate({"dtype": d, "channels_last": c}) for d in dtypes for c in layouts]
    large = ""
    if n < n_wanted:
        large, candidates, rounds = f"too large to time more than {n} inputs here", candidates[:1], 1
    timers = {c: Stepper(model, training, c, n_classes, shape, n) for c in candidates}
    times: dict[Precision, list[float]] = {c: [] for c in candidates}
    slow: set[Precision] = set()
    for _ in range(rounds):
        for candidate, timer in timers.items():
            if candidate not in slow:
                times[candidate].append(timer.seconds(steps=2))
        best = min(min(values) for values in times.values())
        slow |= {c for c, values in times.items() if min(values) > 3 * best}  # emulated bf16: do not wait for it again
    step_s = {c: statistics.median(values) for c, values in times.items()}
    chosen, reason = candidates[0], large or ("pinned by the recipe" if len(candidates) == 1 else "")
    if not reason:
        fastest = min(step_s, key=step_s.__getitem__)
        gain = step_s[candidates[0]] / step_s[fastest]
        chosen = fastest if gain >= WORTHWHILE else candidates[0]
        if fastest == candidates[0]:
            reason = f"{name_of(fastest)} is the fastest here"
        else:
            reason = (
                f"{name_of(fastest)} is {gain:.2f} x as fast as {name_of(candidates[0])}; taken from {WORTHWHILE} x on"
            )
    probe = {
        "step_s": {name_of(c): round(s, 6) for c, s in step_s.items()},
        "reason": reason,
        "threads": torch.get_num_threads(),
        "images": n,
    }
    return chosen, probe


def _allowed(training: TrainingSettings, *, of_clips: bool) -> tuple[list[str], list[bool]]:
    """The number formats and memory orders (channels last?) that a recipe leaves open."""
    dtypes: list[str] = ["fp32", "bf16"] if training.precision == "auto" else [training.precision]
    layouts = [False, True] if training.channels_last == "auto" else [training.channels_last == "yes"]
    if of_clips:
        layouts = [False]  # memory order of 5-D weights is left alone
        if training.precision == "auto" and not torch.cuda.is_available():
            dtypes = ["fp32"]  # torch 2.13.0 was seen to crash in bf16 steps of 3D networks on processors
    return dtypes, layouts


def name_of(precision: Precision) -> str:
    """An arithmetic in words, e.g. ``bf16 channels_last``."""
    return precision.dtype + (" channels_last" if precision.channels_last else "")


class Stepper:
    """Training steps of a network on one batch of black inputs: forward, backward, and the optimiser's step.

    Args:
        model: the network.
        training: the recipe.
        precision: the arithmetic.
        n_classes: outputs of the network.
        shape: of one input.
        n: inputs that are timed; None = one part of a batch, with all its views.
    """

    def __init__(
        self,
        model: ModelSettings,
        training: TrainingSettings,
        precision: Precision,
        n_classes: int,
        shape: tuple[int, ...],
        n: int | None = None,
    ) -> None:
        self.fabric = make_fabric(precision)
        network = build_network(model, n_classes, shape[-1], seed=0, precision=precision).to(self.fabric.device)
        self.model, self.optimizer = self.fabric.setup(network, build_optimizer(network, training))
        n = n or -(-training.batch // training.accumulate) * passes_per_step(training)
        self.factor = training.batch * passes_per_step(training) / n  # a part of a batch shows the arithmetic as well
        inputs = torch.zeros(n, *shape)
        layout = torch.channels_last if precision.channels_last else torch.contiguous_format
        self.inputs = inputs.to(self.fabric.device).contiguous(memory_format=layout)
        self.labels = torch.arange(n, device=self.fabric.device) % n_classes
        self.seconds(steps=1)  # warm-up: kernels are chosen and memory is taken here

    def seconds(self, steps: int) -> float:
        """Mean wall seconds of a training step on a whole batch, in proportion to the inputs that are timed."""
        start = time.perf_counter()
        loss = torch.zeros(())
        for _ in range(steps):
            loss = F.cross_entropy(self.model(self.inputs), self.labels)
            self.optimizer.zero_grad()
            self.fabric.backward(loss)
            self.optimizer.step()
        float(loss.detach())  # waits for the device
        return (time.perf_counter() - start) / steps * self.factor
