"""Choosing a study's arithmetic by timing it: bf16 autocast, channels-last and compiled code, against plain fp32."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from regrow.data.spec import Modality
from regrow.errors import RegrowError, first_line
from regrow.training.augmenting import passes_per_step
from regrow.training.compiling import Mode, begin_pass, compiled, mode_of
from regrow.training.loop import make_fabric
from regrow.training.network import build_network, build_optimizer, channels_last_fault
from regrow.training.settings import ModelSettings, Precision, TrainingSettings

#: Operations of a timed step on a processor, at most.
MOST_FLOPS = 1e11

#: A faster arithmetic is taken only when it gains at least this much.
WORTHWHILE = 1.15

#: Seconds that the steps of a run must last for compiled code to be tried at all: each run's process compiles anew.
MUST_LAST_S = 300.0


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
    steps: int = 0,
    compiles: bool | None = None,
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
        steps: of a run: compiled code must win back the seconds that compiling takes.
        compiles: whether ``training.compile: auto`` tries compiled code; None = on an accelerator.

    Returns:
        The precision, and the probe: ``step_s`` (median seconds of a step by candidate), ``reason``, ``threads``, and
        ``images``, how many were timed, from which a step's seconds follow in proportion; ``compile_s``, seconds until
        compiled code made its first step, by candidate, and ``compile_reason``, where it was tried.

    Raises:
        InputError: this machine cannot compile as the recipe asks.
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
    chosen, reason = (candidates[0], large) if large else _fastest(step_s)
    probe: dict[str, Any] = {
        "step_s": {c.words: round(s, 6) for c, s in step_s.items()},
        "reason": reason,
        "threads": torch.get_num_threads(),
        "images": n,
    }
    modes = _modes(training, torch.cuda.is_available() if compiles is None else compiles)
    if modes:
        trial = _Trial(lambda precision: Stepper(model, training, precision, n_classes, shape, n), steps, rounds)
        chosen, told = trial.choose(chosen, step_s[chosen], modes, pinned=training.compile != "auto")
        probe |= {**told, "step_s": {**probe["step_s"], **told["step_s"]}}
    return chosen, probe


def _fastest(step_s: dict[Precision, float]) -> tuple[Precision, str]:
    """The fastest arithmetic if that is worth leaving the first one for, and why."""
    plain = next(iter(step_s))
    if len(step_s) == 1:
        return plain, "pinned by the recipe"
    fastest = min(step_s, key=step_s.__getitem__)
    if fastest == plain:
        return plain, f"{plain.words} is the fastest here"
    gain = step_s[plain] / step_s[fastest]
    reason = f"{fastest.words} is {gain:.2f} x as fast as {plain.words}; taken from {WORTHWHILE} x on"
    return fastest if gain >= WORTHWHILE else plain, reason


def _modes(training: TrainingSettings, compiles: bool) -> list[Mode]:
    """The modes of torch.compile that a recipe leaves open, without the plain one."""
    if training.compile == "auto":
        modes: list[Mode] = ["default", "reduce-overhead"] if torch.cuda.is_available() else ["default"]
        return [mode for mode in modes if compiles and mode_of(training, Precision(compile=mode)) == mode]
    return [] if training.compile == "no" else [training.compile]


@dataclass(frozen=True)
class _Trial:
    """Compiled code against plain code of the same arithmetic.

    Attributes:
        stepper: makes what is timed.
        steps: of a run.
        rounds: timed rounds of two steps.
    """

    stepper: Callable[[Precision], Stepper]
    steps: int
    rounds: int

    def choose(
        self, plain: Precision, plain_s: float, modes: Sequence[Mode], *, pinned: bool
    ) -> tuple[Precision, dict[str, Any]]:
        """The best of a plain arithmetic and its compiled forms by the seconds of a run, and what the probe tells."""
        told: dict[str, Any] = {"step_s": {}, "compile_s": {}, "compile_reason": ""}
        best, seconds = plain, self.steps * plain_s
        if not pinned and seconds < MUST_LAST_S:
            told["compile_reason"] = f"not tried: a run's steps take {seconds:.0f} s, compiling pays in longer ones"
            return plain, told
        for mode in modes:
            candidate = plain.model_copy(update={"compile": mode})
            try:
                timer = self.stepper(candidate)
                step_s = statistics.median(timer.seconds(steps=2) for _ in range(self.rounds))
            except RuntimeError as error:  # of dynamo, inductor or CUDA, whichever it is
                if pinned:
                    raise RegrowError(f"compiling failed: {first_line(error)}", "set training.compile: no.") from error
                told["compile_reason"] += f"{candidate.words} failed: {first_line(error)}; "
                continue
            told["step_s"][candidate.words], told["compile_s"][candidate.words] = (
                round(step_s, 6),
                round(timer.first_s, 3),
            )
            whole = timer.first_s + self.steps * step_s
            if pinned or whole * WORTHWHILE <= seconds:
                best, seconds = candidate, whole
        told["compile_reason"] += (
            "pinned by the recipe"
            if pinned
            else f"{best.words} takes the fewest seconds of a run; compiled code from {WORTHWHILE} x on"
        )
        return best, told


def _allowed(training: TrainingSettings, *, of_clips: bool) -> tuple[list[str], list[bool]]:
    """The number formats and memory orders (channels last?) that a recipe leaves open."""
    dtypes: list[str] = ["fp32", "bf16"] if training.precision == "auto" else [training.precision]
    layouts = [False, True] if training.channels_last == "auto" else [training.channels_last == "yes"]
    if of_clips:
        layouts = [False]  # memory order of 5-D weights is left alone
        if training.precision == "auto" and not torch.cuda.is_available():
            dtypes = ["fp32"]  # torch 2.13.0 was seen to crash in bf16 steps of 3D networks on processors
    return dtypes, layouts


class Stepper:
    """Training steps of a network on one batch of black inputs: forward, backward, and the optimiser's step.

    Args:
        model: the network.
        training: the recipe.
        precision: the arithmetic.
        n_classes: outputs of the network.
        shape: of one input.
        n: inputs that are timed; None = one part of a batch, with all its views.

    Attributes:
        first_s: seconds of the first step, in which kernels are chosen, memory is taken and code is compiled.
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
        self.mode = mode_of(training, precision)
        self.model, self.optimizer = self.fabric.setup(compiled(network, self.mode), build_optimizer(network, training))
        n = n or -(-training.batch // training.accumulate) * passes_per_step(training)
        self.factor = training.batch * passes_per_step(training) / n  # a part of a batch shows the arithmetic as well
        inputs = torch.zeros(n, *shape)
        layout = torch.channels_last if precision.channels_last else torch.contiguous_format
        self.inputs = inputs.to(self.fabric.device).contiguous(memory_format=layout)
        self.labels = torch.arange(n, device=self.fabric.device) % n_classes
        self.first_s = self.seconds(steps=1) / self.factor

    def seconds(self, steps: int) -> float:
        """Mean wall seconds of a training step on a whole batch, in proportion to the inputs that are timed."""
        start = time.perf_counter()
        loss = torch.zeros(())
        for _ in range(steps):
            begin_pass(self.mode)
            loss = F.cross_entropy(self.model(self.inputs), self.labels)
            self.optimizer.zero_grad()
            self.fabric.backward(loss)
            self.optimizer.step()
        float(loss.detach())  # waits for the device
        return (time.perf_counter() - start) / steps * self.factor
