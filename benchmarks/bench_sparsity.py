"""What does sparse training cost per step, per topology update and in memory, beside the same dense training?

Everything is a ratio of process CPU time, one thread, measured side by side in one run with dense steps; medians; the
dense network against a copy of itself, by the same protocol, is the noise.

Hooks touch two things: the accumulation of gradients into the parameters, and ``optimizer.step()``. Both are timed
alone, on ready gradients (``torch.autograd.backward`` on the leaves runs just the accumulation and its hooks), because
beside a whole step they vanish in its noise: per step = 1 + (attached - bare) / whole dense step. An update is (step
with one - step without), in dense steps; its buffer is the part that falls into the backward pass. Every method walks
its whole schedule, so the medians are over all drop fractions and densities that it passes; the dearest is beside. The
plain ratio of whole steps stands beside, too. The check of every 100th step (steps with an update contain it as well)
is measured apart, spread over 100 steps.

In memory: bytes that attaching adds for good, per weight of the layers that have inactive weights.
"""

from __future__ import annotations

import argparse
import copy
import gc
import inspect
import math
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import RESULTS, median, save, show
from torch import Tensor, nn
from torch.nn import functional as F

from regrow import models
from regrow.errors import InputError
from regrow.sparsity import Every, Sparsifier, attach, methods
from regrow.study.environment import bf16_hardware

BATCH = 64
METHODS = ("set", "rigl", "granet")
SPARSITIES = (0.5, 0.9)
#: Per step in dense steps, update in dense steps.
BARS = {"fp32": (1.01, 0.25), "bf16 channels_last": (1.025, 0.5), "resnet8": (1.01, None)}
CHT_BAR = 1.0
LARGE = {"low_memory": False}


def absent(reason: str) -> dict[str, Any]:
    """What stands where nothing could be measured."""
    return {"result": None, "reason": reason}


def unknown(options: dict[str, Any]) -> list[str]:
    """The options that `attach` does not have."""
    return [name for name in options if name not in inspect.signature(attach).parameters]


def say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


# ---- what is trained


class Work:
    """A network, a batch, and the gradients of its first step."""

    def __init__(
        self, name: str, width: int | None = None, *, bf16: bool = False, batch: int = BATCH, device: str = "cpu"
    ) -> None:
        torch.manual_seed(0)
        self.bf16, self.device = bf16, device
        size, n_classes = (224, 1000) if device == "cuda" else (32, 10)
        layout = torch.channels_last if bf16 else torch.contiguous_format
        network = models.build(name, n_classes, image_size=size, width=width)
        self.network = network.to(self.device, memory_format=layout)  # type: ignore[call-overload]
        self.x = torch.randn(batch, 3, size, size).to(self.device).contiguous(memory_format=layout)
        self.y = torch.randint(n_classes, (batch,)).to(self.device)
        self.loss(self.network).backward()  # type: ignore[no-untyped-call]
        self.gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        self.network.zero_grad()

    def loss(self, network: nn.Module) -> Tensor:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            return F.cross_entropy(network(self.x), self.y)


class OneLayer(Work):
    """A linear layer with random gradients."""

    def __init__(self, n_out: int, n_in: int) -> None:
        torch.manual_seed(0)
        self.network = nn.Linear(n_in, n_out, bias=False)
        self.gradients = [torch.randn(n_out, n_in)]


class Arm:
    """A copy of the network with its own optimiser: dense, or with a method attached that updates every 2nd step."""

    def __init__(
        self, work: Work, method: str = "", sparsity: float = 0.0, updates: int = 1, every: int = 2, **options: Any
    ) -> None:
        self.work, self.method, self.sparsity, self.every, self.options = work, method, sparsity, every, options
        self.total_steps = math.ceil((updates * every + 1) / 0.75)
        self.network = copy.deepcopy(work.network)
        self.parameters = list(self.network.parameters())
        self.sparsifier: Sparsifier | None = None

    def restart(self) -> None:
        """First weights, new optimiser, new masks: the schedule begins again."""
        if self.sparsifier is not None:
            self.sparsifier.detach()
        self.network.load_state_dict(self.work.network.state_dict())
        self.optimizer = torch.optim.SGD(self.parameters, lr=0.01, momentum=0.9, weight_decay=5e-4)
        if self.method:
            method = methods.get(self.method)(self.sparsity, timing=Every(self.every, stop=0.75))
            self.sparsifier = attach(self.network, self.optimizer, method, total_steps=self.total_steps, **self.options)

    def accumulate(self) -> None:
        """Ready gradients into the parameters, through autograd's own nodes and so through the hooks."""
        torch.autograd.backward(self.parameters, grad_tensors=self.work.gradients)

    def touched(self) -> tuple[float, float]:
        """CPU seconds of a step's accumulation and of its optimiser."""
        start = time.process_time()
        self.accumulate()
        between = time.process_time()
        self.optimizer.step()
        end = time.process_time()
        self.optimizer.zero_grad()
        return between - start, end - between

    def step(self) -> None:
        self.optimizer.zero_grad()
        self.work.loss(self.network).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def whole(self) -> float:
        """CPU seconds of a whole training step."""
        start = time.process_time()
        self.step()
        return time.process_time() - start


def arms(work: Work, updates: int, every: int = 2) -> dict[str, Arm]:
    """Dense twice, every method that exists at every sparsity, and one with masks that are large and fast."""
    made = {"dense": Arm(work), "dense again": Arm(work)}
    for method in (m for m in METHODS if m in methods.names()):
        made |= {f"{method} {s}": Arm(work, method, s, updates, every) for s in SPARSITIES}
    if not unknown(LARGE):
        made["rigl 0.9, low_memory=False"] = Arm(work, "rigl", 0.9, updates, every, **LARGE)
    return made


# ---- time


def turns(cases: dict[str, Arm], number: int) -> Iterable[tuple[str, Arm]]:
    """All arms, each time another one first."""
    items = list(cases.items())
    return items[number % len(items) :] + items[: number % len(items)]


def run(
    work: Work, *, updates: int, repeats: int, seconds: float
) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """Walk the schedule ``repeats`` times; after each walk the arms take turns in whole steps, ``seconds`` in all.

    Returns:
        Per arm (repeats, updates, due or not, accumulation or optimiser) CPU seconds; and seconds of whole steps.
    """
    cases = arms(work, updates)
    touched = {name: np.zeros((repeats, updates, 2, 2)) for name in cases}
    whole: dict[str, list[float]] = {name: [] for name in cases}
    for repeat in range(repeats):
        for arm in cases.values():
            arm.restart()
            arm.touched()  # makes the momentum; no update is due
        for update in range(updates):
            for due in (0, 1):  # all arms make the step with an update, then all make the one without
                for name, arm in turns(cases, update):
                    touched[name][repeat, update, due] = arm.touched()
        if repeat == 0:
            cases["dense"].whole()  # kernels are chosen here
            a_round = cases["dense"].whole() * len(cases)
        for number in range(min(12, max(1, round(seconds / repeats / a_round)))):
            for name, arm in turns(cases, number):
                whole[name].append(arm.whole())
        dense = median(whole["dense"])
        say(f"walk {repeat + 1}/{repeats}: dense step {1000 * dense:.4g} ms")
    return touched, whole


def spread(values: Any, places: int = 4) -> dict[str, Any]:
    """Median and quartiles."""
    low, middle, high = np.percentile(np.asarray(values), [25, 50, 75])
    return {
        "median": round(float(middle), places),
        "quartiles": [round(float(low), places), round(float(high), places)],
    }


def figures(
    touched: dict[str, np.ndarray], whole: dict[str, list[float]], name: str, bars: tuple[float | None, ...]
) -> dict[str, Any]:
    """All figures of one arm, in dense steps, beside their bars."""
    dense = median(whole["dense"] + whole["dense again"])
    due, free, bare = touched[name][:, :, 0], touched[name][:, :, 1], touched["dense"][:, :, 1]
    per_step = spread(1 + (free - bare).sum(-1) / dense, 5)
    extra = (due - free) / dense
    update = spread(extra.sum(-1))
    update |= {"buffer": spread(extra[..., 0])["median"], "topology": spread(extra[..., 1])["median"]}
    update["dearest"] = round(float(np.median(extra.sum(-1), axis=0).max()), 4)
    for figure, bar in zip((per_step, update), bars, strict=True):
        if bar is not None:
            figure |= {"bar": bar, "met": figure["median"] <= bar}
    ratios = [a / b for a, b in zip(whole[name], whole["dense"], strict=True)]
    return {"arm": name, "per_step": per_step, "update": update, "whole_step": spread(ratios)}


def compare(work: Work, bars: tuple[float | None, ...], **sizes: Any) -> dict[str, Any]:
    """Every method against the dense network, and the dense network against itself."""
    touched, whole = run(work, **sizes)
    rows = [figures(touched, whole, name, bars) for name in touched if not name.startswith("dense")]
    rows += [
        {"arm": f"{m} {s}", **absent("no such method")} for m in METHODS for s in SPARSITIES if m not in methods.names()
    ]
    return {
        "n_weights": sum(p.numel() for p in work.network.parameters() if p.dim() > 1),
        "dense_step_ms": round(1000 * median(whole["dense"] + whole["dense again"]), 2),
        "dense_touched_ms": round(1000 * float(np.median(touched["dense"][:, :, 1].sum(-1))), 3),
        "samples": {**sizes, "per_step": touched["dense"][:, :, 0, 0].size, "whole_steps": len(whole["dense"])},
        "noise": figures(touched, whole, "dense again", (None, None)),
        "rows": rows,
    }


class _Given(torch.autograd.Function):
    """A gradient that nobody else holds, as a layer's backward pass makes it."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, seen: list[int]) -> Tensor:
        ctx.shape, ctx.seen = weight.shape, seen
        return weight.new_zeros(())

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor, None]:
        gradient = torch.ones(ctx.shape)
        ctx.seen.append(gradient.data_ptr())
        return gradient, None


def copies_caused() -> dict[str, bool]:
    """Whether hooks make autograd copy a gradient that it would otherwise take over.

    The ready gradients above are copied with and without hooks, so that cost would not show in their difference.
    """
    found: dict[str, bool] = {}
    for method in ("", *(m for m in METHODS if m in methods.names())):
        arm = Arm(OneLayer(64, 64), method, 0.5 if method else 0.0)
        weight, seen, copied = arm.parameters[0], list[int](), False
        arm.restart()
        for _ in range(2):  # without and with an update due
            _Given.apply(weight, seen).backward()  # type: ignore[no-untyped-call]
            copied |= weight.grad is None or weight.grad.data_ptr() != seen[-1]
            arm.optimizer.step()
            arm.optimizer.zero_grad()
        found[method or "dense"] = copied
    return found


def every_100th(work: Work, dense_s: float, steps: int = 205) -> dict[str, Any]:
    """What the check of every 100th step costs: in dense steps, and spread over 100 steps."""
    arm = Arm(work, "set", 0.9, every=10_000)
    arm.restart()
    seconds = [sum(arm.touched()) for _ in range(steps)]
    extra = median([s - median(seconds) for s in seconds[99::100]]) / dense_s
    return {"arm": "set 0.9", "dense_steps": round(extra, 4), "spread_over_100_steps": round(extra / 100, 6)}


def link_prediction(work: Work, n_out: int, n_in: int, updates: int) -> dict[str, Any]:
    """A whole CHT update of one layer, link prediction included, in dense steps of the network."""
    if "cht" not in methods.names():
        return absent("no method cht")
    dense = Arm(work)
    cases = {f"cht {s}": Arm(OneLayer(n_out, n_in), "cht", s, updates) for s in SPARSITIES}
    for arm in (dense, *cases.values()):
        arm.restart()
    dense.whole()
    for arm in cases.values():
        arm.touched()
    steps: list[float] = []
    extra: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(updates):
        steps.append(dense.whole())
        for name, arm in cases.items():
            due, free = sum(arm.touched()), sum(arm.touched())
            extra[name].append(due - free)
        say(f"cht: {[round(values[-1] / steps[-1], 3) for values in extra.values()]} dense steps")
    rows = [{"arm": name, **spread(np.array(values) / median(steps))} for name, values in extra.items()]
    rows = [{**row, "bar": CHT_BAR, "met": row["median"] < CHT_BAR} for row in rows]
    return {"layer": [n_out, n_in], "dense_step_ms": round(1000 * median(steps), 2), "rows": rows}


# ---- memory


def alive() -> dict[int, tuple[int, bool]]:
    """Memory of all tensors, arrays and long byte strings that Python reaches: address to (bytes, whether floats)."""
    gc.collect()
    found: dict[int, tuple[int, bool]] = {}
    for holder in gc.get_objects():
        for one in (holder, *gc.get_referents(holder)):  # arrays and bytes are known by their holders alone
            kind = type(one)
            if issubclass(kind, Tensor):
                storage = one.untyped_storage()
                found[storage.data_ptr()] = (storage.nbytes(), one.is_floating_point())
            elif issubclass(kind, np.ndarray):
                while isinstance(one.base, np.ndarray):
                    one = one.base
                known = found.get(one.ctypes.data, (0, False))  # a tensor may be over the same memory
                found[one.ctypes.data] = (max(known[0], one.nbytes), known[1] or one.dtype.kind == "f")
            elif issubclass(kind, bytes | bytearray) and len(one) >= 1024:
                found[id(one)] = (len(one), False)
    return found


def added(before: dict[int, tuple[int, bool]], arm: Arm) -> tuple[int, int]:
    """Bytes alive now and not before, all and floats only; gradients and the optimiser's state are not counted."""
    held = [p.grad for p in arm.parameters if p.grad is not None]
    held += [t for state in arm.optimizer.state.values() for t in state.values() if isinstance(t, Tensor)]
    known = {tensor.untyped_storage().data_ptr() for tensor in held}
    new = [value for address, value in alive().items() if before.get(address) != value and address not in known]
    return sum(size for size, _ in new), sum(size for size, floats in new if floats)


def memory(work: Work, method: str, sparsity: float, options: dict[str, Any]) -> dict[str, Any]:
    """What attaching keeps, and what steps without and with an update hold on top."""
    row = {"arm": f"{method} {sparsity}", "options": options}
    if unknown(options) or method not in methods.names():
        return row | absent(f"attach has no argument {unknown(options)[0]}" if unknown(options) else "no such method")
    arm = Arm(work, method, sparsity, updates=2, **options)
    arm.optimizer = torch.optim.SGD(arm.parameters)
    before = alive()
    arm.restart()
    assert arm.sparsifier is not None
    sparse = sum(layer["n_weights"] for layer in arm.sparsifier.report() if not layer["kept_dense"])
    attached, _ = added(before, arm)
    held, left = [], []
    for _ in range(2):  # the second step has an update
        arm.accumulate()
        held.append(added(before, arm)[1])
        arm.optimizer.step()
        arm.optimizer.zero_grad()
        total, floats = added(before, arm)
        left.append(floats)
    told: dict[str, int] = getattr(arm.sparsifier, "memory", dict)()
    told_total = sum(told.values()) if told else None
    return row | {
        "sparse_weights": sparse,
        "bytes_per_sparse_weight": round(total / sparse, 4),
        "of_these_mask": round(told["mask"] / sparse, 4) if "mask" in told else None,
        "right_after_attach": round(attached / sparse, 4),
        "told_by_sparsifier": told or None,
        "told_agrees": None if told_total is None else abs(told_total - total) <= 0.01 * total,
        "buffer_bytes_in_step": {"without_update": held[0], "with_update": held[1]},
        "float_bytes_left_after_step": {"without_update": left[0], "with_update": left[1]},
        "no_gradient_buffer_survives": max(left) < 4 * 1024,
    }


# ---- CUDA


def device_ms(arm: Arm, steps: int) -> float:
    """Milliseconds of a step by CUDA events."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    for _ in range(steps):
        arm.step()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end)) / steps


def synchronises(arm: Arm) -> str | None:
    """None if steps without an update never wait for the device; else what torch says of the first that does."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            arm.step()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return None


def cuda(*, rounds: int) -> dict[str, Any]:
    """ResNet-50, batch 256, bf16, channels_last, on steps without an update."""
    if not torch.cuda.is_available():
        return absent("no GPU on this machine")
    try:
        work = Work("torchvision:resnet50", bf16=True, batch=256, device="cuda")
    except InputError as error:
        return absent(str(error))
    cases = arms(work, updates=1, every=10_000)
    for arm in cases.values():
        arm.restart()
        device_ms(arm, 5)  # warm-up
    times: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds):
        for name, arm in turns(cases, number):
            times[name].append(device_ms(arm, 5))
        say(f"cuda round {number + 1}/{rounds}: dense step {times['dense'][-1]:.4g} ms")
    return {
        "device": torch.cuda.get_device_name(),
        "dense_step_ms": round(median(times["dense"]), 3),
        "rows": [
            {
                "arm": name,
                "whole_step": spread([a / b for a, b in zip(times[name], times["dense"], strict=True)]),
                "synchronisation": synchronises(arm),
            }
            for name, arm in cases.items()
        ],
    }


# ---- the table


def verdict(figure: dict[str, Any]) -> str:
    return "" if "met" not in figure else f"{'met' if figure['met'] else 'MISSED'} ({figure['bar']:g})"


def times_table(title: str, result: dict[str, Any]) -> list[Sequence[str]]:
    if "reason" in result:
        return [(title, result["reason"])]
    lines: list[Sequence[str]] = [
        (
            f"{title}, dense step {result['dense_step_ms']} ms",
            "per step x",
            "",
            "update",
            "",
            "buffer",
            "dearest",
            "whole x",
        )
    ]
    for row in [*result["rows"], {**result["noise"], "arm": "noise (dense against dense)"}]:
        if "reason" in row:
            lines.append((row["arm"], row["reason"]))
            continue
        per_step, update, whole = row["per_step"], row["update"], row["whole_step"]
        low, high = whole["quartiles"]
        lines.append(
            (
                row["arm"],
                f"{per_step['median']:.4f}",
                verdict(per_step),
                f"{update['median']:.3f}",
                verdict(update),
                f"{update['buffer']:.3f}",
                f"{update['dearest']:.3f}",
                f"{whole['median']:.3f} [{low:.3f}, {high:.3f}]",
            )
        )
    return lines


def other_tables(content: dict[str, Any]) -> list[list[Sequence[str]]]:
    memory_lines: list[Sequence[str]] = [
        ("memory", "options", "bytes per sparse weight", "of these mask", "told agrees", "buffer survives")
    ]
    for row in content["memory"]:
        options = ", ".join(f"{k}={v}" for k, v in row["options"].items()) or "default"
        cells = (
            (row["reason"],)
            if "reason" in row
            else (
                f"{row['bytes_per_sparse_weight']:.3f}",
                f"{row['of_these_mask']}",
                f"{row['told_agrees']}",
                f"{not row['no_gradient_buffer_survives']}",
            )
        )
        memory_lines.append((row["arm"], options, *cells))
    cht, gpu = content["cht"], content["cuda"]
    cht_lines: list[Sequence[str]] = [
        ("CHT update of a layer", cht.get("reason", f"{cht.get('layer')}, in dense steps"))
    ]
    cht_lines += [(row["arm"], f"{row['median']:.3f}", verdict(row)) for row in cht.get("rows", [])]
    gpu_lines: list[Sequence[str]] = [("CUDA, ResNet-50", gpu.get("reason", "whole x"), "synchronises")]
    gpu_lines += [
        (row["arm"], f"{row['whole_step']['median']:.4f}", row["synchronisation"] or "never")
        for row in gpu.get("rows", [])
    ]
    check = content["check_of_every_100th_step"]
    check_lines: list[Sequence[str]] = [
        ("check of every 100th step", f"{check['dense_steps']} dense steps, once in 100 steps")
    ]
    copied = [name for name, copies in content["hooks_make_autograd_copy"].items() if copies]
    return [
        check_lines,
        memory_lines,
        cht_lines,
        gpu_lines,
        [("gradients that hooks make autograd copy", ", ".join(copied) or "none")],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run on narrow networks; its figures mean nothing")
    parser.add_argument("--out", type=Path, help="JSON to write; without --quick benchmarks/results/sparsity.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    quick, started = given.quick, time.perf_counter()
    width = 8 if quick else 64
    sizes = {"updates": 2, "repeats": 1, "seconds": 1} if quick else {"updates": 12, "repeats": 3, "seconds": 120}
    small = {"updates": 2, "repeats": 1, "seconds": 1} if quick else {"updates": 24, "repeats": 5, "seconds": 10}
    fp32 = Work("resnet18", width)
    content: dict[str, Any] = {"quick": quick, "threads": 1, "batch": BATCH, "resnet18": {}}
    content["resnet18"]["fp32"] = compare(fp32, BARS["fp32"], **sizes)
    dense_s = content["resnet18"]["fp32"]["dense_step_ms"] / 1000
    content["check_of_every_100th_step"] = every_100th(fp32, dense_s)
    content["resnet18"]["bf16 channels_last"] = (
        compare(Work("resnet18", width, bf16=True), BARS["bf16 channels_last"], **sizes)
        if bf16_hardware()
        else absent("the processor has no bf16 arithmetic of its own")
    )
    content["resnet8"] = {"fp32": compare(Work("resnet8"), BARS["resnet8"], **small)}
    content["hooks_make_autograd_copy"] = copies_caused()
    kept = [("rigl", 0.9, {}), ("rigl", 0.9, LARGE)]
    if not quick:
        kept = [(m, s, options) for options in ({}, LARGE) for m in METHODS for s in SPARSITIES]
    content["memory"] = [memory(fp32, method, sparsity, options) for method, sparsity, options in kept]
    content["cht"] = link_prediction(fp32, *((64, 576) if quick else (512, 4608)), updates=2 if quick else 5)
    content["cuda"] = cuda(rounds=2 if quick else 10)
    content["wall_s"] = round(time.perf_counter() - started, 1)
    for network in ("resnet18", "resnet8"):
        for precision, result in content[network].items():
            show(times_table(f"{network}, {precision}", result))
    for lines in other_tables(content):
        show(lines)
    out = given.out or (None if quick else RESULTS / "sparsity.json")
    if out is not None:
        save("sparsity", __doc__.splitlines()[0], content, out=out)


if __name__ == "__main__":
    main()
