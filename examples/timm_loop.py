"""A loop of timm's parts made sparse: its network, optimiser, schedule, Mixup, clipping and averaged weights.

Run it with ``python examples/timm_loop.py``; it takes seconds, on generated pictures: nothing is downloaded. Needs
``timm``.
"""

from __future__ import annotations

import numpy as np
import timm
import torch
from timm.data import Mixup
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3, dispatch_clip_grad
from torch import Tensor, nn
from torch.nn import functional as F

from regrow import RigL, attach
from regrow.sparsity import Every, Sparsifier

STEPS_PER_EPOCH = 10


def batch(number: int, size: int = 16) -> tuple[Tensor, Tensor]:
    """Noisy pictures of four classes, (size, 3, 16, 16), and labels; the number decides all."""
    random = torch.Generator().manual_seed(number)
    labels = torch.randint(4, (size,), generator=random)
    images = torch.randn(size, 3, 16, 16, generator=random)
    images[:, :, 2, :4] += 4 * F.one_hot(labels, 4)[:, None]
    return images, labels


def network() -> nn.Module:
    """A vision transformer of two blocks, random weights."""
    return timm.create_model(
        "vit_tiny_patch16_224", img_size=16, patch_size=4, embed_dim=48, depth=2, num_heads=2, num_classes=4
    )


def main(epochs: int = 4, opt: str = "adamw") -> tuple[nn.Module, Sparsifier, ModelEmaV3]:
    """Train with any optimiser of timm's."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (Mixup draws from numpy's global generator)
    steps = epochs * STEPS_PER_EPOCH
    model = network()
    optimizer = create_optimizer_v2(model, opt=opt, lr=2e-3, weight_decay=0.05)
    sparsifier = attach(model, optimizer, RigL(0.8, timing=Every(5)), total_steps=steps)  # the line that is regrow's
    scheduler, _ = create_scheduler_v2(
        optimizer, sched="cosine", num_epochs=epochs, step_on_epochs=False, updates_per_epoch=STEPS_PER_EPOCH
    )
    mixup, criterion = Mixup(mixup_alpha=0.2, num_classes=4, label_smoothing=0.1), SoftTargetCrossEntropy()
    ema = ModelEmaV3(model, decay=0.9)
    for step in range(steps):
        images, targets = mixup(*batch(step))
        optimizer.zero_grad()
        criterion(model(images), targets).backward()
        dispatch_clip_grad(model.parameters(), value=1.0)
        optimizer.step()
        scheduler.step_update(step + 1)
        ema.update(model, step=step)
    mask_average(ema.module, sparsifier)
    return model, sparsifier, ema


@torch.no_grad()
def mask_average(average: nn.Module, sparsifier: Sparsifier) -> None:
    """Give an average of the weights the masks of now; until then it remembers weights that were dropped since."""
    for name, mask in sparsifier.masks.items():
        average.get_parameter(name).masked_fill_(~mask, 0.0)


if __name__ == "__main__":
    _, handle, _ = main()
    print(handle.summary())
