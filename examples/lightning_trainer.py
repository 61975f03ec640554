"""A Lightning Trainer made sparse: attach in ``setup``, save and restore with the checkpoint.

Run it with ``python examples/lightning_trainer.py``; it takes seconds, on generated pictures. Needs ``lightning``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from regrow import RigL, attach
from regrow.sparsity import Every, Sparsifier


class Classifier(lightning.LightningModule):
    """A small convolutional network that trains itself with SGD."""

    sparsifier: Sparsifier

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(32 * 16, 4)),
        )

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Loss of one micro-batch."""
        images, labels = batch
        return F.cross_entropy(self.network(images), labels)

    def setup(self, stage: str) -> None:
        """Make the optimiser and attach: after this Lightning fills in a checkpoint's weights, then calls the next."""
        if stage != "fit":
            return
        self.optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)
        self.steps = int(self.trainer.estimated_stepping_batches)
        self.sparsifier = attach(self, self.optimizer, RigL(0.8, timing=Every(5)), total_steps=self.steps)  # regrow's

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimiser and schedule."""
        scheduler = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, max_lr=0.1, total_steps=self.steps)
        return {"optimizer": self.optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning's hook: what else belongs in the file."""
        checkpoint["sparsifier"] = self.sparsifier.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning's hook; a network that is loaded to be used, not trained, has no sparsifier."""
        if hasattr(self, "sparsifier"):
            self.sparsifier.load_state_dict(checkpoint["sparsifier"])


def loader(n_images: int = 320) -> DataLoader[tuple[Tensor, ...]]:
    """Noisy pictures of four classes; in order, since Lightning does not restore the order of a shuffling loader."""
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (n_images,), generator=random)
    images = torch.randn(n_images, 3, 8, 8, generator=random)
    images[:, :, 2, :4] += 2 * F.one_hot(labels, 4)[:, None]
    return DataLoader(TensorDataset(images, labels), batch_size=16)


def main(folder: Path, epochs: int = 4, resume: Path | None = None) -> tuple[Classifier, Sparsifier]:
    """Train with a checkpoint per epoch in ``folder``, or go on from the checkpoint ``resume``."""
    lightning.seed_everything(0, verbose=False)
    model = Classifier()
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accumulate_grad_batches=2,
        gradient_clip_val=1.0,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ModelCheckpoint(dirpath=folder, filename="{epoch}", save_top_k=-1)],
    )
    trainer.fit(model, loader(), ckpt_path=resume, weights_only=True)
    return model, model.sparsifier


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        _, handle = main(Path(scratch))
    print(handle.summary())
