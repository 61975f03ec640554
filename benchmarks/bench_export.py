"""How small and fast is a ResNet-18 that lost half of its filters in training, and how small is a compact file?"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from _measure import save, show
from torch.nn import functional as F

from regrow import models
from regrow.sparsity import attach, methods
from regrow.sparsity.export.compact import save_compact
from regrow.sparsity.export.compaction import compact
from regrow.sparsity.export.measure import latency, memory

STEPS, BATCH = 80, 16


def trained(method: str) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """A ResNet-18 (CIFAR stem, 11.2 M weights) after a short training on generated images."""
    torch.manual_seed(0)
    model = models.build("resnet18", 10, image_size=32).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    sparsifier = attach(model, optimizer, methods.get(method)(0.5), total_steps=STEPS)
    for _ in range(STEPS):
        labels = torch.randint(10, (BATCH,))
        images = torch.randn(BATCH, 3, 32, 32) + labels.view(-1, 1, 1, 1) / 5
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    sparsifier.finish()
    return model.eval(), sparsifier.masks


def files_of(model: torch.nn.Module, masks: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Bytes of the compact file beside the dense one."""
    with tempfile.TemporaryDirectory() as folder:
        size = save_compact(Path(folder) / "model.rgz", model.state_dict(), masks)
        dense = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    return {"compact_bytes": size.total, "dense_bytes": dense, "ratio": round(size.total / dense, 4), "bar": 0.55}


def main() -> None:
    torch.set_num_threads(1)
    content: dict[str, Any] = {"threads": 1, "steps": STEPS}
    content["compact file, rigl at 0.5"] = files_of(*trained("rigl"))
    model, masks = trained("channel")
    small, report = compact(model, masks, example=torch.randn(4, 3, 32, 32))
    lines = [("ResNet-18, channel at 0.5", "before ms", "after ms", "gain x (aim 1.6)", "memory before", "after")]
    rows = []
    for batch in (1, 32):
        example = torch.randn(batch, 3, 32, 32)
        with torch.inference_mode():
            times = latency({"before": model, "after": small}, example, repeats=25, threads=1)
            peaks = {name: memory(net, example).peak for name, net in (("before", model), ("after", small))}
        gain = times["before"].median_ms / times["after"].median_ms
        rows.append(
            {
                "batch": batch,
                "before_ms": times["before"].median_ms,
                "after_ms": times["after"].median_ms,
                "gain": round(gain, 3),
                "aim": 1.6,
                "met": gain >= 1.6,
                "memory_before": peaks["before"],
                "memory_after": peaks["after"],
            }
        )
        row = rows[-1]
        lines.append(
            (
                f"batch {batch}",
                f"{row['before_ms']:.1f}",
                f"{row['after_ms']:.1f}",
                f"{row['gain']:.2f}",
                f"{row['memory_before'] / 1e6:.1f} MB",
                f"{row['memory_after'] / 1e6:.1f} MB",
            )
        )
    content["compaction, channel at 0.5"] = {
        "parameters_before": report.parameters_before,
        "parameters_after": report.parameters_after,
        "max_difference": report.max_difference,
        "output_scale": report.output_scale,
        "latency": rows,
    }
    show(lines)
    save("export", __doc__.splitlines()[0], content)


if __name__ == "__main__":
    main()
