"""Corrupting batches as they are evaluated, on the device where the network is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from regrow.corruptions import corrupt

#: uint8 images (B, H, W, 3) on any device, and their numbers in the set -> corrupted ones, same layout.
Change = Callable[[Tensor, range], Tensor]


def live(
    name: str,
    severity: int,
    *,
    seed: int = 0,
    mode: str = "exact",
    stored: bool = False,
    scale: str | None = None,
    codec: str | None = None,
    frost: Path | str | None = None,
) -> Change:
    """A corruption of batches that go by.

    On a processor its images are, bit for bit, those of ``regrow.corruptions.corrupt_set`` with the same arguments,
    so those of the files that ``regrow corrupt`` writes; fast mode on an accelerator stays within its grey level.

    Args:
        name: which corruption.
        severity: 1 to 5.
        seed: seed of the noise; an image's noise depends on its number in the set.
        mode: ``"exact"`` or ``"fast"``.
        stored: add the JPEG round trip (quality 85) of the published ImageNet-C files.
        scale: as in ``regrow.corruptions.corrupt``.
        codec: as there.
        frost: folder of the frost photographs, as there.
    """

    def change(images: Tensor, numbers: range) -> Tensor:
        planes = images.permute(0, 3, 1, 2)
        done = corrupt(
            planes,
            name,
            severity,
            seed=seed,
            index=numbers,
            mode=mode,
            stored=stored,
            scale=scale,
            codec=codec,
            frost=frost,
        )
        return done.permute(0, 2, 3, 1)

    return change
