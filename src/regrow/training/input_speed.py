"""How fast training gets its input, and whether that or the network limits it: measured side by side on this machine.

speed = measure(examples, settings, workers=(0, 1, 2))
speed.loader[2], speed.decode[2], speed.training          # examples a second
print(speed.verdict())
"""

from __future__ import annotations

import itertools
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from regrow.data import packed
from regrow.data.bare import Cut, bare_cuts, decode_rate
from regrow.data.batches import window_words
from regrow.data.fileset import FileSet, PictureSource
from regrow.data.listing import Chosen, Source
from regrow.data.spec import ImageSet
from regrow.data.streaming import AHEAD, default_workers
from regrow.errors import InputError
from regrow.training.augmenting import batch_options
from regrow.training.inputs import check, geometry_of, make_batches
from regrow.training.loop import make_fabric
from regrow.training.probe import Stepper, choose_precision
from regrow.training.settings import Precision, RunSettings

#: Examples that are used again and again, about so many: enough for sizes and codings to even out.
IMAGES, CLIPS = 256, 16
#: Values of a batch by which a network is timed on a processor: its rate no longer rises from there on.
VALUES = 1_500_000


@dataclass(frozen=True)
class Case:
    """One of the things that are measured.

    Attributes:
        rate: does it and gives its examples a second.
        examples: that it handles then, those before and after its timing too.
    """

    rate: Callable[[], float]
    examples: int


@dataclass(frozen=True)
class InputSpeed:
    """Examples a second; medians of rounds in which all cases took turns.

    Attributes:
        unit: ``images`` or ``clips``.
        batch: of them a step.
        examples: different ones that were used. They had been read before, so that no disk is measured.
        decode: of the bare decode loop, by processes; empty where nothing is decoded.
        loader: of the training loader, by worker processes.
        packed: of the loader from a pack, by worker processes; empty where there is none.
        packed_side: shorter side in pixels of the pack.
        training: of the network: forward, backward and the optimiser's step.
        precision: its arithmetic.
        workers: that a run would use.
        processor_us: microseconds of processor time for an example, in all processes, by case. Other work on the
            machine changes it little, but processes that begin and end have a part in it.
        rounds: all measurements, by case.
    """

    unit: str
    batch: int
    examples: int
    decode: Mapping[int, float]
    loader: Mapping[int, float]
    packed: Mapping[int, float]
    packed_side: int
    training: float
    precision: str
    workers: int
    processor_us: Mapping[str, float]
    rounds: Mapping[str, Sequence[float]] = field(repr=False)

    def share_of_decode(self, workers: int) -> float | None:
        """The loader's rate over that of the bare decode loop in as many processes; None where nothing is decoded."""
        return self.loader[workers] / self.decode[max(1, workers)] if self.decode else None

    def overhead_us(self, workers: int) -> float | None:
        """Microseconds of processor time that the loader spends on an example beyond decoding; None likewise."""
        if not self.decode:
            return None
        return self.processor_us[f"loader {workers}"] - self.processor_us[f"decode {max(1, workers)}"]

    def verdict(self) -> str:
        """Which of the two limits training, in one sentence."""
        ratio = self.loader[self.workers] / self.training
        which = "Training limits" if ratio >= 1 else "Input limits"
        if self.workers == 0:
            return f"{which}: without workers, as a run here has it, batches take {1 / (1 + ratio):.0%} of the time."
        number = "1 worker gives" if self.workers == 1 else f"{self.workers} workers give"
        if ratio >= 1:
            return f"{which}: {number} {ratio:.1f} times the {self.unit} that training can use."
        return (
            f"{which}: {number} {ratio:.0%} of the {self.unit} that training could use; "
            "set data.workers to the number of cores, or pack pictures (option packed)."
        )

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values."""

        def rates(values: Mapping[int, float]) -> dict[str, float]:
            return {str(key): round(value, 2) for key, value in values.items()}

        overheads = {str(w): self.overhead_us(w) for w in self.loader} if self.decode else {}
        shares = {str(w): self.share_of_decode(w) for w in self.loader} if self.decode else {}
        return {
            "unit": f"{self.unit}/s",
            "batch": self.batch,
            "examples": self.examples,
            "bare_decode_by_processes": rates(self.decode),
            "loader_by_workers": rates(self.loader),
            "packed_by_workers": rates(self.packed),
            "packed_side": self.packed_side if self.packed else None,
            "training": round(self.training, 3),
            "training_precision": self.precision,
            "overhead_us_by_workers": {key: round(cast(float, value), 1) for key, value in overheads.items()},
            "share_of_bare_decode_by_workers": {key: round(cast(float, value), 3) for key, value in shares.items()},
            "processor_us": {key: round(value, 1) for key, value in self.processor_us.items()},
            "workers_of_a_run": self.workers,
            "verdict": self.verdict(),
            "rounds": {key: [round(value, 3) for value in values] for key, values in self.rounds.items()},
        }


def measure(
    examples: ImageSet | FileSet,
    settings: RunSettings,
    *,
    workers: Sequence[int] = (0, 1, 2),
    packed_side: int | None = None,
    seconds: float = 2.0,
    rounds: int = 3,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> InputSpeed:
    """Measure the input of a run beside its network.

    Some of the examples are used again and again, as long as a measurement must last; all cases use the same ones.
    The network is timed as when a study chooses its arithmetic, on a processor with a smaller batch.

    Args:
        examples: the training examples.
        settings: the run; its arithmetic is chosen anew.
        workers: numbers of worker processes to measure; what the run would use is added.
        packed_side: shorter side of a pack in pixels; None = that from which the middle is cut at test.
        seconds: of each measurement, about; at least one pass over the examples.
        rounds: of all cases in turn.
        progress: called with (measurements so far, in all).

    Raises:
        InputError: settings that cannot be; a file that cannot be read.
    """
    if examples.spec.modality != "image":
        raise InputError(
            f"{examples.spec.name} holds {examples.spec.noun}: the speed of input is measured of images and clips.",
            "nothing is done to them as they are read.",
        )
    check(examples, settings.training.augment)
    used = _workers(settings, examples)
    numbers = sorted({*workers, used}) if isinstance(examples, FileSet) else [0]
    sample = _sample(examples, settings.training.batch)
    _loader_rate(sample, settings, 0, range(len(sample) // settings.training.batch))  # every file is read once
    precision, stepper, n = _network(settings, sample)
    settings = settings.model_copy(update={"precision": precision})
    side = packed_side or round(examples.spec.image_size * 256 / 224)
    with tempfile.TemporaryDirectory(prefix="regrow-bench-") as temporary:
        cases = _input_cases(sample, settings, numbers, _packed(sample, Path(temporary), side), seconds)
        cases["training"] = _training(stepper, n, seconds)
        found: dict[str, list[float]] = {name: [] for name in cases}
        spent: dict[str, list[float]] = {name: [] for name in cases}
        for done, (_, name) in enumerate(itertools.product(range(rounds), cases)):
            progress(done, rounds * len(cases))
            before = _processor_s()
            found[name].append(cases[name].rate())
            spent[name].append(1e6 * (_processor_s() - before) / cases[name].examples)
    progress(rounds * len(cases), rounds * len(cases))
    median = {name: statistics.median(values) for name, values in found.items()}

    def of(kind: str) -> dict[int, float]:
        return {int(name.split()[1]): value for name, value in median.items() if name.startswith(f"{kind} ")}

    return InputSpeed(
        unit="images" if examples.spec.frames is None else "clips",
        batch=settings.training.batch,
        examples=len(sample),
        decode=of("decode"),
        loader=of("loader"),
        packed=of("packed"),
        packed_side=side,
        training=median["training"],
        precision=precision.words,
        workers=used,
        processor_us={name: statistics.median(values) for name, values in spent.items()},
        rounds=found,
    )


def _workers(settings: RunSettings, examples: ImageSet | FileSet) -> int:
    """Worker processes that a run would use."""
    if isinstance(examples, ImageSet):
        return 0
    return default_workers() if settings.data.workers is None else settings.data.workers


def _processor_s() -> float:
    """Processor seconds of this process and of those that it started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _sample(examples: ImageSet | FileSet, batch: int) -> ImageSet | FileSet:
    """The first examples, in whole batches."""
    if batch > len(examples):
        raise InputError(f"the batch of {batch} is larger than the {len(examples)} examples.", "give a smaller batch.")
    wanted = -(-(IMAGES if examples.spec.frames is None else CLIPS) // batch)
    return examples.select(np.arange(batch * max(1, min(len(examples) // batch, wanted))))


def _network(settings: RunSettings, examples: ImageSet | FileSet) -> tuple[Precision, Stepper, int]:
    """A run's arithmetic, its network, and the examples of a step by which it is timed."""
    model, train, spec = settings.model, settings.training, examples.spec
    n = -(-train.batch // train.accumulate)
    if not torch.cuda.is_available():
        n = min(n, max(1, VALUES // math.prod(spec.input_shape)))
    part = train.model_copy(update={"batch": n, "accumulate": 1})
    precision, _ = choose_precision(
        model, part, n_classes=spec.n_classes, image_size=spec.image_size, frames=spec.frames, rounds=1
    )
    return precision, Stepper(model, part, precision, spec.n_classes, spec.input_shape), n


def _training(stepper: Stepper, n: int, seconds: float) -> Case:
    """A network's rate over so many steps of ``n`` examples that they last about as long."""
    steps = max(1, round(seconds / stepper.seconds(1)))
    return Case(lambda: n / stepper.seconds(steps), n * steps)


def _packed(examples: ImageSet | FileSet, folder: Path, side: int) -> FileSet | None:
    """Pictures from a pack of them; None of what is not packed, or is already."""
    if not isinstance(examples, FileSet) or not isinstance(examples.source, PictureSource):
        return None
    listing = examples.source.listing
    if isinstance(listing, packed.Packed):
        return None
    made = packed.pack(Chosen(cast(Source, listing), examples.index), folder / "pack", packed.Form(side=side))
    return replace(examples, source=replace(examples.source, listing=made), index=np.arange(len(made)))


def _input_cases(
    examples: ImageSet | FileSet, settings: RunSettings, workers: Sequence[int], small: FileSet | None, seconds: float
) -> dict[str, Case]:
    """Name of a case -> its rate: every case goes over the same examples as often for each of its processes."""
    batches = len(examples) // settings.training.batch
    start = time.perf_counter()
    _loader_rate(examples, settings, 0, range(batches))
    passes = max(1, round(seconds / (time.perf_counter() - start)))
    most = passes * batches * max(1, *workers)
    cuts = _cuts(examples, settings, AHEAD * max(workers) + most) if isinstance(examples, FileSet) else []
    cases: dict[str, Case] = {}
    for w in workers:
        processes = max(1, w)
        steps = range(AHEAD * w, AHEAD * w + passes * batches * processes)
        if cuts:
            work = list(itertools.chain.from_iterable(cuts[step] for step in steps))
            per_example = len(work) / (len(steps) * settings.training.batch)
            rate = partial(_decode_rate, work, processes, per_example)
            cases[f"decode {processes}"] = Case(rate, len(steps) * settings.training.batch)
        made = (steps.stop + w) * settings.training.batch  # at the end each worker makes a batch that nobody takes
        cases[f"loader {w}"] = Case(partial(_loader_rate, examples, settings, w, steps), made)
        if small is not None:
            cases[f"packed {w}"] = Case(partial(_loader_rate, small, settings, w, steps), made)
    return cases


def _cuts(examples: FileSet, settings: RunSettings, steps: int) -> list[list[Cut]]:
    """The decoding of each of the first steps of training, as its loader does it."""
    train = settings.training
    made = batch_options(train, examples.spec)["augmentation"]
    how = geometry_of(train.augment)
    batches = make_batches(examples, settings, torch.device("cpu"))
    found: list[list[Cut]] = []
    for step in range(steps):
        places, n = batches.indices(step), train.batch
        windows = dict.fromkeys(made.window(view) for view in range(made.views))
        words = np.concatenate([window_words(settings.seeds.data, step, n, made, view) for view in windows])
        found.append(bare_cuts(examples, how, np.tile(places, len(windows)), words))
    return found


def _decode_rate(work: Sequence[Cut], processes: int, per_example: float) -> float:
    """Examples a second, of each of which there are several pieces of work where views are cut out each on its own."""
    return decode_rate(work, processes) / per_example


def _loader_rate(examples: ImageSet | FileSet, settings: RunSettings, workers: int, steps: range) -> float:
    """Examples a second of training's own batches of some steps, after those before them."""
    data = settings.data.model_copy(update={"workers": workers})
    device = make_fabric(settings.precision).device
    batches = make_batches(examples, settings.model_copy(update={"data": data}), device)
    for step in range(steps.start):
        batches.batch(step)
    start = time.perf_counter()
    for step in steps:
        inputs, _ = batches.batch(step)
    float(inputs.flatten()[0])  # waits for the device
    return len(steps) * settings.training.batch / (time.perf_counter() - start)
