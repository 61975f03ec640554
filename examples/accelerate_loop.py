"""A loop on Hugging Face Accelerate made sparse: attach before ``prepare`` or after it, whichever suits.

Run it with ``python examples/accelerate_loop.py``; it takes seconds, on generated pictures. Needs ``accelerate``.
"""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from regrow import RigL, attach
from regrow.sparsity import Every, Sparsifier

METHOD = RigL(0.8, timing=Every(5))


def loader(n_images: int = 320) -> DataLoader[tuple[Tensor, ...]]:
    """Noisy pictures of four classes, in order."""
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (n_images,), generator=random)
    images = torch.randn(n_images, 3, 8, 8, generator=random)
    images[:, :, 2, :4] += 2 * F.one_hot(labels, 4)[:, None]
    return DataLoader(TensorDataset(images, labels), batch_size=16)


def network() -> nn.Module:
    """A small convolutional network."""
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(32 * 16, 4)),
    )


def main(
    epochs: int = 4, *, prepare_first: bool = False, folder: Path | None = None, resume: bool = False
) -> tuple[nn.Module, Sparsifier]:
    """Train, saving half-way in ``folder``; with ``resume``, go on from what was saved there."""
    set_seed(0)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    data, model = loader(), network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(data) // 2)
    steps = epochs * len(data) // accelerator.gradient_accumulation_steps
    if prepare_first:
        model, optimizer, data, scheduler = accelerator.prepare(model, optimizer, data, scheduler)
        sparsifier = attach(accelerator.unwrap_model(model), optimizer, METHOD, total_steps=steps)  # either here
    else:
        sparsifier = attach(model, optimizer, METHOD, total_steps=steps)  # or here
        model, optimizer, data, scheduler = accelerator.prepare(model, optimizer, data, scheduler)
    accelerator.register_for_checkpointing(sparsifier)  # save_state and load_state know it from now on
    if resume:
        accelerator.load_state(str(folder))

    for epoch in range(epochs // 2 if resume else 0, epochs):
        for images, labels in data:
            with accelerator.accumulate(model):
                loss = F.cross_entropy(model(images), labels)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
        if folder is not None and not resume and epoch + 1 == epochs // 2:
            accelerator.save_state(str(folder))
    return accelerator.unwrap_model(model), sparsifier


if __name__ == "__main__":
    _, handle = main()
    print(handle.summary())
