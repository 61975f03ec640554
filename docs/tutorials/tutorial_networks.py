"""What the first experiments share: small images, a plain training loop, accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regrow import Method, Sparsifier, attach, data, models
from regrow.data.batches import normalise
from regrow.data.spec import ImageSet
from regrow.errors import DataError


class Parts(NamedTuple):
    """The two parts of a data set."""

    train: ImageSet
    test: ImageSet


def images(settings: Mapping[str, Any]) -> Parts:
    """CIFAR-10 where it lies on this machine (nothing is downloaded), else ``cues``, which is generated."""

    def of(name: str) -> Parts:
        train, test = (
            data.load_images(name, split, n=settings[f"{split}_images"], download=False) for split in ("train", "test")
        )
        return Parts(train, test)

    try:
        return of("cifar10")
    except DataError:
        return of("cues")


def described(parts: Parts) -> dict[str, Any]:
    """Which images these are, as JSON values."""
    spec = parts.train.spec
    return {"name": spec.name, "train": len(parts.train), "test": len(parts.test), "caveat": spec.caveat}


def words(about: Mapping[str, Any]) -> str:
    """The same as a sentence."""
    what = {"cifar10": "CIFAR-10", "cues": "`cues`, the set that regrow generates (no CIFAR-10 was at hand)"}
    text = f"{about['train']:,} training and {about['test']:,} test images of {what[about['name']]}"
    return f"{text}; {about['caveat']}" if about["caveat"] else text


def inputs(some: ImageSet) -> tuple[Tensor, Tensor]:
    """Normalised images (N, 3, H, W) and labels (N,)."""
    return normalise(torch.from_numpy(some.images), some.spec), torch.from_numpy(some.labels)


def train(method: Method, seed: int, some: ImageSet, settings: Mapping[str, Any]) -> tuple[nn.Module, Sparsifier]:
    """Train one network; the only line that a dense loop has not is ``attach``."""
    torch.manual_seed(seed)
    x, labels = inputs(some)
    model = models.build(settings["model"], some.spec.n_classes, width=settings["width"])
    optimizer = torch.optim.SGD(model.parameters(), settings["lr"], momentum=0.9, weight_decay=5e-4)
    steps = settings["epochs"] * (len(x) // settings["batch"])
    sparsifier = attach(model, optimizer, method, total_steps=steps, seed=seed)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings["lr"], total_steps=steps, pct_start=0.1)
    order = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(settings["epochs"]):
        for some_of in torch.randperm(len(x), generator=order).split(settings["batch"]):
            if len(some_of) < settings["batch"]:
                continue
            optimizer.zero_grad()
            F.cross_entropy(model(x[some_of]), labels[some_of]).backward()
            optimizer.step()
            rate.step()
    return model.eval(), sparsifier


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, labels: Tensor) -> float:
    """Share of right answers."""
    right = sum(
        int((model(part).argmax(1) == truth).sum()) for part, truth in zip(x.split(250), labels.split(250), strict=True)
    )
    return right / len(labels)
