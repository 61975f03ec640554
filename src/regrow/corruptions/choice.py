"""A corruption with everything chosen (setting, mode, encoder, photographs), and how it runs over a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from regrow.corruptions import fast, registry
from regrow.corruptions.draws import CounterStream, LegacyStream, stack
from regrow.corruptions.inputs import check_severity
from regrow.corruptions.jpeg import encoder, stored
from regrow.corruptions.registry import Corruption, Images, Params
from regrow.corruptions.scales import choose_scale
from regrow.errors import UnknownNameError

if TYPE_CHECKING:
    import torch

#: Values worked on at a time: some arrays of float64 of that length stay in a processor's cache.
CHUNK_VALUES = 1 << 17

MODES = ("exact", "fast")
Frost = Path | str | Sequence[npt.NDArray[np.uint8]] | None

#: Where the random numbers come from: a legacy stream, or a seed and the images' numbers.
Source = np.random.RandomState | tuple[int, Sequence[int]]


class Options(NamedTuple):
    """How a corruption is to be applied; see ``regrow.corruptions.corrupt``."""

    scale: str | None = None
    mode: str = "exact"
    codec: str | None = None
    frost: Frost = None
    stored: bool = False


class Choice(NamedTuple):
    """A corruption at a severity, for images of one size."""

    record: Corruption
    severity: int
    params: Params
    apply: Callable[[Images, Any, Any], Images]
    notes: dict[str, str]
    is_fast: bool
    stored: bool

    @classmethod
    def of(cls, name: str, severity: int, side: int, options: Options) -> Choice:
        """Choose.

        Raises:
            InputError: a severity, scale, mode or codec that cannot be, or photographs that cannot be used.
            UnknownNameError: no such corruption.
        """
        return cls.of_record(registry.get(name), severity, side, options)

    @classmethod
    def of_record(cls, record: Corruption, severity: int, side: int, options: Options) -> Choice:
        """Choose, for a record that need not be in the registry; errors as in ``of``."""
        if options.mode not in MODES:
            raise UnknownNameError("mode", str(options.mode), MODES, "use mode='fast' or mode='exact'.")
        severity, scale = check_severity(severity), choose_scale(side, options.scale, record.settings)
        params, apply = record.settings[scale.name][severity - 1], record.apply
        notes = {"scale": scale.note} if scale.note else {}
        if record.prepare is not None:
            params, note = record.prepare(params, options.frost, side)
            notes |= note
        if record.codec is not None and options.codec not in (None, record.codec):
            if options.codec not in record.codecs:
                raise UnknownNameError("codec", str(options.codec), [record.codec, *record.codecs], "leave codec out.")
            apply = record.codecs[options.codec]
            notes["codec"] = (
                f"{encoder(options.codec)}: the published sets were coded by libjpeg 9, whose pixels differ"
            )
        return cls(record, severity, params, apply, notes, options.mode == "fast", options.stored)

    def fill(self, out: Images, images: Images, source: Source) -> None:
        """Corrupt an array into another one, chunk after chunk, on the processor."""
        form = self._form("cpu")
        step = max(1, CHUNK_VALUES // max(1, images[:1].size))
        for start in range(0, len(images), step):
            part = slice(start, start + step)
            chunk = np.ascontiguousarray(images[part])
            done = self._chunk(chunk, source, part, form)
            out[part] = stored(done) if self.stored else done

    def on_tensor(self, images: torch.Tensor, source: Source) -> torch.Tensor:
        """Corrupt a tensor (N, 3, H, W) where it is; without a fast form for its device, on the processor."""
        import torch

        form = self._form(images.device.type)
        if form is None or images.device.type == "cpu" or not isinstance(source, tuple):
            array = images.detach().cpu().permute(0, 2, 3, 1).contiguous().numpy()
            out = np.empty(array.shape, np.uint8)
            self.fill(out, array, source)
            return torch.from_numpy(out).permute(0, 3, 1, 2).contiguous().to(images.device)
        done = fast.on_device(self.record, self.severity, form, images.detach(), source, self.params)
        return fast.stored(done) if self.stored else done

    def _form(self, device: str) -> fast.Form | None:
        is_fast = self.is_fast and self.apply is self.record.apply
        return fast.find(self.record.name, device) if is_fast else None

    def _chunk(self, images: Images, source: Source, part: slice, form: fast.Form | None) -> Images:
        record, shape = self.record, images.shape[1:]
        draws = None
        if record.draw is not None and isinstance(source, tuple):
            stream = CounterStream(source[0], record.name, self.severity, source[1][part])
            draws = record.draw(stream, shape, self.params)
        elif record.draw is not None and not isinstance(source, tuple):
            if record.replay is not None:
                return record.replay(source, images, self.params)
            draws = stack([record.draw(LegacyStream(source), shape, self.params) for _ in images])
        if form is not None:
            return fast.on_array(form, images, draws, self.params)
        return self.apply(images, draws, self.params)
