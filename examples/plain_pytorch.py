"""A plain PyTorch loop made sparse: bfloat16 autocast, accumulation, clipping, a schedule, an average of the weights.

Run it with ``python examples/plain_pytorch.py``; it takes seconds, on generated pictures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from regrow import RigL, attach
from regrow.sparsity import Every, Sparsifier

ACCUMULATION = 2


def batch(number: int, size: int = 16) -> tuple[Tensor, Tensor]:
    """Noisy pictures of four classes, (size, 3, 8, 8), and labels; the number decides all, so a resumed run agrees."""
    random = torch.Generator().manual_seed(number)
    labels = torch.randint(4, (size,), generator=random)
    images = torch.randn(size, 3, 8, 8, generator=random)
    images[:, :, 2, :4] += 2 * F.one_hot(labels, 4)[:, None]
    return images, labels


def network() -> nn.Module:
    """A small convolutional network with BatchNorm."""
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(32 * 16, 4)),
    )


def main(
    steps: int = 60, checkpoint: Path | None = None, save_at: int = 0
) -> tuple[nn.Module, Sparsifier, AveragedModel]:
    """Train, or go on from ``checkpoint`` where that file exists; write it after step ``save_at``."""
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    sparsifier = attach(model, optimizer, RigL(0.8, timing=Every(5)), total_steps=steps)  # the line that is regrow's
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)

    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "ema": ema}
    parts["sparsifier"] = sparsifier  # saved and loaded as the others are
    if checkpoint is not None and checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(saved[name])

    for step in range(scheduler.last_epoch, steps):
        optimizer.zero_grad()
        for micro in range(ACCUMULATION):
            images, labels = batch(ACCUMULATION * step + micro)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = F.cross_entropy(model(images), labels) / ACCUMULATION
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        scheduler.step()
        ema.update_parameters(model)
        if checkpoint is not None and step + 1 == save_at:
            torch.save({name: part.state_dict() for name, part in parts.items()}, checkpoint)

    mask_average(ema.module, sparsifier)
    return model, sparsifier, ema


@torch.no_grad()
def mask_average(average: nn.Module, sparsifier: Sparsifier) -> None:
    """Give an average of the weights the masks of now; until then it remembers weights that were dropped since."""
    for name, mask in sparsifier.masks.items():
        average.get_parameter(name).masked_fill_(~mask, 0.0)


if __name__ == "__main__":
    trained, handle, average = main()
    test_images, test_labels = batch(10**6, size=500)
    for title, each in (("model", trained), ("average", average)):
        accuracy = (each.eval()(test_images).argmax(1) == test_labels).float().mean()
        print(f"{title}: accuracy {accuracy:.3f}")
    print(handle.summary())
