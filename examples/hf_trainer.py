"""The Trainer of Hugging Face transformers made sparse: its own optimiser, its own checkpoints, one callback.

Run it with ``python examples/hf_trainer.py``; it takes seconds, on generated sentences: nothing is downloaded. Needs
``transformers`` and ``accelerate``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from regrow import RigL, attach
from regrow.sparsity import Every, Sparsifier


class SaveSparsifier(TrainerCallback):
    """Keeps the sparsifier's state beside the Trainer's, in every ``checkpoint-STEP`` of its output folder."""

    def __init__(self, sparsifier: Sparsifier) -> None:
        self.sparsifier = sparsifier

    @staticmethod
    def file(args: TrainingArguments, state: TrainerState) -> Path:
        """Where the state of the present step lies."""
        return Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / "sparsifier.pt"

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Save; the Trainer has just written its own part."""
        torch.save(self.sparsifier.state_dict(), self.file(args, state))

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Restore, if the Trainer has just restored its own part."""
        if state.global_step:
            self.sparsifier.load_state_dict(torch.load(self.file(args, state), weights_only=True))


def sentences(n_sentences: int = 256, length: int = 8) -> list[dict[str, Any]]:
    """Random words, and whether word 1 is among them."""
    random = torch.Generator().manual_seed(0)
    words = torch.randint(1, 12, (n_sentences, length), generator=random)
    return [{"input_ids": row, "labels": int((row == 1).any())} for row in words]


def main(folder: Path, steps: int = 40, resume_at: int = 0) -> tuple[nn.Module, Sparsifier]:
    """Train with checkpoints in ``folder``, or go on from the one there of step ``resume_at``."""
    set_seed(0)
    config = BertConfig(
        vocab_size=12,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=8,
    )
    model = BertForSequenceClassification(config)
    args = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=2,
        max_grad_norm=1.0,
        learning_rate=3e-3,
        save_steps=steps // 2,
        use_cpu=True,
        disable_tqdm=True,
        report_to="none",
    )
    trainer = Trainer(model, args, train_dataset=sentences())
    optimizer = trainer.create_optimizer()  # the Trainer would make it later, and keeps the one it has
    sparsifier = attach(model, optimizer, RigL(0.8, timing=Every(5)), total_steps=steps)  # the line that is regrow's
    trainer.add_callback(SaveSparsifier(sparsifier))
    trainer.train(resume_from_checkpoint=str(folder / f"checkpoint-{resume_at}") if resume_at else None)
    return model, sparsifier


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        _, handle = main(Path(scratch))
    print(handle.summary())
