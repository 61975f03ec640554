"""The training loop: one step after the other, resumable at any of them to the bit."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from regrow import files, seeds, sparsity
from regrow.data.fileset import FileSet
from regrow.data.spec import ImageSet
from regrow.errors import RegrowError
from regrow.training.averaging import Average, find_classifier, watched
from regrow.training.checkpoint import load_checkpoint, save_checkpoint, save_weights
from regrow.training.compiling import begin_pass, compiled, mode_of
from regrow.training.controls import ascended, l1_penalty
from regrow.training.film import FILM, FilmRecorder
from regrow.training.inputs import classes_of, make_batches, memorised, unaugmented
from regrow.training.length import length_of, step_at
from regrow.training.network import build_network, build_optimizer
from regrow.training.objective import hits, parts, training_loss
from regrow.training.schedules import learning_rate
from regrow.training.settings import Precision, RunSettings
from regrow.training.start import early_weights, method_of, read_start


@dataclass(frozen=True)
class Progress:
    """Where a run stands, for a progress bar."""

    stage: str
    done: int
    total: int
    loss: float = 0.0
    accuracy: float = 0.0
    density: float = 1.0
    images_per_s: float = 0.0


#: Called often; must return at once.
Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Show nothing."""


def make_fabric(precision: Precision) -> Fabric:
    """Lightning Fabric on the accelerator that is there, one device, in the study's precision."""
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)  # it announces bf16 at every start
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    return Fabric(accelerator="auto", devices=1, precision="bf16-mixed" if precision.dtype == "bf16" else "32-true")


class Trainer:
    """One training run in a folder.

    Args:
        settings: everything that changes its bits.
        images: the training images or clips.
        folder: where checkpoint, metrics, history and weights go; an unfinished run there goes on.
        report: called after every step.
        source: folder of the finished run that this one starts from, if it starts from any.
        keep: shares of training at which the weights are kept as well, for runs that start from them.
    """

    def __init__(
        self,
        settings: RunSettings,
        images: ImageSet | FileSet,
        folder: Path,
        report: Report = silent,
        *,
        source: Path | None = None,
        keep: Sequence[float] = (),
    ) -> None:
        self.settings, self.images, self.folder, self.report = settings, images, folder, report
        self.fingerprint = files.value_digest(settings.identity())
        spec, train = images.spec, settings.training
        self.fabric = make_fabric(settings.precision)
        network = build_network(
            settings.model, len(spec.classes), spec.image_size, seed=settings.seeds.init, precision=settings.precision
        )
        self.length = length_of(settings, len(images.labels))
        start = read_start(
            settings,
            source,
            n_images=len(images.labels),
            n_classes=len(spec.classes),
            image_size=spec.image_size,
        )
        self.start_masks = start.masks
        if start.weights is not None:
            network.load_state_dict(start.weights)
        network = network.to(self.fabric.device)
        optimizer = build_optimizer(network, train)
        self.classifier = None if train.supcon is None else find_classifier(network, len(spec.classes))
        self.batches = make_batches(images, settings, self.fabric.device)
        self._kept = {step: early_weights(folder, step) for step in (step_at(s, self.length.total) for s in keep)}
        self.sparsifier = sparsity.attach(
            network,
            optimizer,
            method_of(settings, start.masks),
            total_steps=max(1, self.length.total - self.length.first),
            mask_seed=settings.seeds.mask,
            growth_seed=settings.seeds.growth,
            keep_dense=tuple(settings.method.keep_dense),
            steps_per_epoch=max(1, len(images.labels) // train.batch),
            init_loss=self._first_losses(network),
        )
        self.network, self.optimizer = network, optimizer
        self.average = None if train.ema is None else Average(network, train.ema, self.sparsifier)
        self._mode = mode_of(train, settings.precision)
        self.model, self.stepper = self.fabric.setup(compiled(network, self._mode), optimizer)
        self._maskable = [p for name, p in network.named_parameters() if name in self.sparsifier.densities]
        self.film = FilmRecorder(folder / FILM, self.sparsifier)
        self.step, self.elapsed_s, self._written = self.length.first, 0.0, 0
        self._window, self._since = torch.zeros(2), self.step  # sums of loss and hits since the last line of metrics
        self._resume()

    def _first_losses(self, network: torch.nn.Module) -> Callable[[], torch.Tensor]:
        """Losses of the first training batches, one a call, for methods that score the initial weights."""
        steps = itertools.count()

        def loss() -> torch.Tensor:
            inputs, labels = self.batches.batch(next(steps))
            return self._loss(network, inputs, labels)[0]

        return loss

    def _loss(self, network: torch.nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The loss of a batch or a part of one, and the logits of all views."""
        with watched(self.classifier) as features:
            logits = network(inputs)
        return training_loss(self.settings.training, logits, labels, features[-1] if features else None), logits

    def _resume(self) -> None:
        state = load_checkpoint(self.folder / "checkpoint.pt", self.fingerprint)
        lost = state is not None and any(step < state["step"] and not f.exists() for step, f in self._kept.items())
        if state is not None and not lost:  # what was to be kept and is lost needs the run from its beginning
            self.network.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.sparsifier.load_state_dict(state["sparsifier"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
            self.step, self.elapsed_s = state["step"], state["elapsed_s"]
            self._since = state.get("since", self.step)  # checkpoints of before these were kept
            self._window = state.get("window", self._window)
        self._metrics = self._cut_to("metrics.jsonl", self.step)
        self._history = self._cut_to("history.jsonl", self.sparsifier.step_count)  # its own: some runs begin later
        self._written = len(self.sparsifier.history)
        self.film.resume()

    def _cut_to(self, name: str, step: int) -> files.Lines:
        path = self.folder / name
        return files.Lines(path, [row for row in files.read_lines(path) if row["step"] <= step])

    def train(self) -> dict[str, Any]:
        """Train to the end and write ``model.safetensors``.

        Returns:
            The run's result: steps, wall_s, images_per_s, updates, itop_rate, density, train_accuracy.

        Raises:
            RegrowError: the loss is no longer finite.
        """
        train, started = self.settings.training, time.monotonic()
        saved = logged = started
        before, self._window = self.elapsed_s, self._window.to(self.fabric.device)
        window, correct = self._window  # views, so that a checkpoint has them
        self.model.train()
        while self.step < self.length.last:
            self._keep_weights()
            loss, hits = self.one_step()
            window += loss
            correct += hits
            self.step += 1
            now = time.monotonic()
            self.elapsed_s = before + now - started
            if self.step % train.log_every == 0 or self.step == self.length.last:
                steps = self.step - self._since
                row = self._log(float(window) / steps, float(correct) / (steps * train.batch), steps, now - logged)
                self.report(row)
                self._window.zero_()
                logged, self._since = now, self.step
            if now - saved >= train.checkpoint_seconds and self.step < self.length.last:
                self._checkpoint()
                saved = now
        if self.length.made:
            self.sparsifier.finish()
        self.film.take(last=True)
        if self.average is not None:
            self.average.install()
        result = self._result()
        self._checkpoint()
        save_weights(self.folder / "model.safetensors", self.network, self.sparsifier.masks, self._meta())
        return result

    def _meta(self) -> dict[str, Any]:
        return {
            "settings": self.settings.model_dump(mode="json"),
            "fingerprint": self.fingerprint,
            "data": self.images.spec.as_json(),
        }

    def _keep_weights(self) -> None:
        """Write the weights of now where other runs start from them."""
        path = self._kept.get(self.step)
        if path is not None and not path.exists():
            save_weights(path, self.network, self.sparsifier.masks, {**self._meta(), "step": self.step})

    def one_step(self) -> tuple[torch.Tensor, torch.Tensor]:
        """One optimiser step, that of ``self.step``, which the caller counts on; its loss and number of right answers.

        Both stay on the device: nothing here waits for it.
        """
        train = self.settings.training
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.length.total, train)
        inputs, labels = self.batches.batch(self.step)
        total, right = self._gradients(inputs, labels)
        if train.sam:
            masks = self.sparsifier.masks if self.sparsifier.method.state == "reference" else None
            with ascended(self.network, train.sam, masks):
                self._gradients(inputs, labels)
        self.stepper.step()
        self.film.take()
        if self.average is not None:
            self.average.update()
        return total, right

    def _gradients(self, inputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One pass forward and backward over a batch; its loss, without penalties, and number of correct answers."""
        train = self.settings.training
        torch.manual_seed(seeds.torch_seed(self.settings.seeds.data, "forward", self.step))  # what dropout draws
        self.stepper.zero_grad()
        total, right = torch.zeros((), device=labels.device), torch.zeros((), dtype=torch.long, device=labels.device)
        for part, wanted in parts(inputs, labels, train.accumulate):
            begin_pass(self._mode)
            loss, logits = self._loss(self.model, part, wanted)
            if len(wanted) != len(labels):
                loss = loss * (len(wanted) / len(labels))  # parts add up to the mean over the batch
            self.fabric.backward(loss)
            total += loss.detach()
            right += hits(logits.detach(), wanted)
        if train.l1:
            self.fabric.backward(train.l1 * l1_penalty(self._maskable))
        return total, right

    def _log(self, loss: float, accuracy: float, steps: int, seconds: float) -> Progress:
        if not math.isfinite(loss):
            raise RegrowError(
                f"training diverged: the loss is {loss} at step {self.step}.", "lower training.lr in the recipe."
            )
        speed = steps * self.settings.training.batch / max(seconds, 1e-9)
        row = {
            "step": self.step,
            "loss": loss,
            "accuracy": accuracy,
            "lr": self.optimizer.param_groups[0]["lr"],
            "density": self.sparsifier.density,
            "images_per_s": speed,
        }
        self._metrics.append([row])
        self._write_history()
        return Progress("train", self.step, self.length.last, loss, accuracy, self.sparsifier.density, speed)

    def _write_history(self) -> None:
        rows = self.sparsifier.history
        self._history.append(rows[self._written :])
        self._written = len(rows)

    def _checkpoint(self) -> None:
        self._write_history()
        self.film.save()
        state = {
            "fingerprint": self.fingerprint,
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "window": self._window.cpu(),
            "since": self._since,
            "model": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sparsifier": self.sparsifier.state_dict(),
            **({} if self.average is None else {"average": self.average.state_dict()}),
        }
        save_checkpoint(self.folder / "checkpoint.pt", state)

    def _result(self) -> dict[str, Any]:
        """Facts of a finished training; the training accuracy is that of the final weights on un-augmented images."""
        self.model.eval()
        examples = memorised(self.images)
        hits = start = 0
        with torch.inference_mode(), torch.compiler.set_stance("force_eager"):
            for inputs in unaugmented(examples, self.settings, self.fabric.device):
                predicted = classes_of(self.model(inputs), examples.spec.views).cpu()
                hits += int((predicted == torch.from_numpy(examples.labels[start : start + len(predicted)])).sum())
                start += len(predicted)
        return {
            "steps": self.length.made,
            "schedule_steps": self.length.total,
            "wall_s": self.elapsed_s,
            "images_per_s": self.length.made * self.settings.training.batch / max(self.elapsed_s, 1e-9),
            "updates": self.sparsifier.update_count,
            "itop_rate": self.sparsifier.itop_rate,
            "density": self.sparsifier.density,
            "train_accuracy": hits / len(examples),
            "train_accuracy_images": len(examples),
            **({"kept_steps": sorted(self._kept)} if self._kept else {}),
            "n_parameters": sum(p.numel() for p in self.network.parameters()),
        }
