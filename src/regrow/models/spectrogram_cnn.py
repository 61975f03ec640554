"""A small convolutional network on the log-mel spectrogram of a sound, which its first layer computes."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regrow.models._family import Family, Request

#: Samples a second, of a window and from window to window; bands of the spectrogram.
RATE, WINDOW, HOP, BANDS = 8000, 256, 128, 40
_FLOOR = 1e-8  # power that counts as silence


def _mel(hertz: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    return np.asarray(2595 * np.log10(1 + hertz / 700))


def mel_bands(bands: int = BANDS) -> npt.NDArray[np.float32]:
    """Triangles that are evenly spaced in mel (2595 log10(1 + f / 700)) from 0 Hz to half the rate.

    Returns:
        float32 (bands, WINDOW / 2 + 1), from power by frequency to power by band; each triangle's peak is 1.

    Example:
        >>> mel_bands().shape
        (40, 129)
    """
    place = (
        _mel(np.arange(WINDOW // 2 + 1, dtype=np.float64) * (RATE / WINDOW)) / _mel(np.array(RATE / 2)) * (bands + 1)
    )
    middles = np.arange(1, bands + 1)[:, None]
    triangles = np.maximum(0, 1 - np.abs(place[None, :] - middles))
    nearest = np.argmin(np.abs(place[None, :] - middles), axis=1)  # low bands are narrower than a bin
    triangles[np.arange(bands), nearest] = np.maximum(triangles[np.arange(bands), nearest], 0.5)
    return np.asarray(triangles, np.float32)


class LogMel(nn.Module):
    """Samples (N, L) to the logarithm of the power in mel bands, (N, 1, bands, windows); nothing here is learnt."""

    window: Tensor
    bands: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.register_buffer("bands", torch.from_numpy(mel_bands()), persistent=False)

    def forward(self, sounds: Tensor) -> Tensor:
        """In float32 whatever the arithmetic of the rest: the logarithm needs the digits."""
        with torch.autocast(sounds.device.type, enabled=False):
            pieces = sounds.float().unfold(1, WINDOW, HOP) * self.window
            power = torch.view_as_real(torch.fft.rfft(pieces)).square().sum(-1)
            return (F.linear(power, self.bands) + _FLOOR).log().transpose(1, 2).unsqueeze(1)


def _block(n_in: int, n_out: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True))


class SpectrogramCNN(nn.Module):
    """Log-mel spectrogram, normalised, six 3 x 3 convolutions in three stages, mean over time and frequency, classes.

    Args:
        width: channels of the first stage; the others have 2 and 4 times as many, at half and a quarter of the size.
        n_classes: outputs.
    """

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        self.spectrogram = LogMel()
        self.norm = nn.BatchNorm2d(1)
        sizes = [(1, width, 1), (width, width, 1), (width, 2 * width, 2), (2 * width, 2 * width, 1)]
        sizes += [(2 * width, 4 * width, 2), (4 * width, 4 * width, 1)]
        self.blocks = nn.Sequential(*(_block(*size) for size in sizes))
        self.head = nn.Linear(4 * width, n_classes)

    def forward(self, sounds: Tensor) -> Tensor:
        """Samples (N, L) in -1..1 to logits (N, n_classes)."""
        x = self.blocks(self.norm(self.spectrogram(sounds)))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


def spectrogram_cnn(request: Request) -> nn.Module:
    """The network; sounds (N, L) of 8,000 samples a second, at least one window long."""
    return SpectrogramCNN(request.width, request.n_classes)


FAMILY = Family(
    label="spectrogram_cnn",
    pattern=re.compile(r"(spectrogram_cnn)"),
    text="convolutional network on the log-mel spectrogram of a sound: three stages of width to 4 x width channels",
    source="in the manner of small networks for keyword spotting, e.g. arXiv:1710.10361; sizes of regrow's own",
    build=spectrogram_cnn,
    examples=("spectrogram_cnn",),
    width=16,
    min_image_size=WINDOW,
    modality="audio",
)
