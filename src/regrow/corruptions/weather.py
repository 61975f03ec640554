"""Weather: brightness."""

from __future__ import annotations

from regrow.corruptions import colour
from regrow.corruptions.registry import Corruption, Images

_SOURCE = "Hendrycks and Dietterich 2019, arXiv:1903.12261, section 4"


def brightness(images: Images, _: None, shift: float) -> Images:
    """Add ``shift`` to the value of hue, saturation and value, clipped to [0, 1]; (N, H, W, 3)."""
    return colour.change(images, value=shift)


BRIGHTNESS = Corruption(
    name="brightness",
    family="weather",
    source=_SOURCE,
    apply=brightness,
    settings={
        "cifar": (0.05, 0.1, 0.15, 0.2, 0.3),
        "tiny": (0.1, 0.2, 0.3, 0.4, 0.5),
        "imagenet": (0.1, 0.2, 0.3, 0.4, 0.5),
        "inception": (0.1, 0.2, 0.3, 0.4, 0.5),
    },
)
