"""Packets that do not arrive."""

from __future__ import annotations

import numpy as np

from regrow.corruptions.audio.registry import RATE, AudioCorruption, Waves
from regrow.corruptions.draws import Stream

#: Samples of a packet: 20 ms.
_PACKET = RATE // 50


def _draw(stream: Stream, length: int, rate: float) -> Waves:
    return stream.uniform((-(-length // _PACKET),))


def _lose(waves: Waves, draws: Waves, rate: float) -> Waves:
    """Silence in the place of lost packets."""
    kept = np.repeat(draws >= rate, _PACKET, axis=1)[:, : waves.shape[1]]
    return waves * kept


PACKET_LOSS = AudioCorruption(
    name="lost_packets",
    family="transmission",
    source="packets of 20 ms, lost one by one and not concealed",
    words="share of packets that are lost",
    settings=(0.05, 0.10, 0.20, 0.35, 0.50),
    apply=_lose,
    draw=_draw,
)
