"""Corrupt texts."""

from __future__ import annotations

import numpy as np

from regrow.corruptions.draws import CounterStream
from regrow.corruptions.inputs import Index, check_index, check_seed, check_severity
from regrow.corruptions.text import registry
from regrow.corruptions.text.registry import Texts
from regrow.errors import InputError

#: Texts worked on at a time.
_CHUNK = 512


def corrupt(texts: Texts, name: str, severity: int, *, seed: int = 0, index: Index | None = None) -> Texts:
    """Corrupt texts.

    Every byte has two numbers of its own, drawn from the stream of (seed, corruption, severity, number of the text) in
    the order of the bytes: so a text is corrupted alike in any batch and in a row of any length.

    Args:
        texts: UTF-8 in rows, zeros after the end, uint8 (N, L); see ``regrow.data.texts``.
        name: which corruption; see ``names``.
        severity: 1 to 5.
        seed: seed of the draws.
        index: number of each text in its set; None = 0, 1, 2, ...

    Returns:
        uint8 (N, L); what became longer than L is cut.

    Raises:
        InputError: texts, severity, seed or index that cannot be used.
        UnknownNameError: no such corruption.

    Example:
        >>> from regrow.data.texts import decode, encode
        >>> decode(corrupt(encode(["all is well that ends well"], 40), "ocr", 3)[0])
        'all is well tbaf ends vvelI'
    """
    record, level = registry.get(name), check_severity(severity)
    if not isinstance(texts, np.ndarray) or texts.dtype != np.uint8 or texts.ndim != 2:
        raise InputError(
            f"texts must be a uint8 array (N, L), got {getattr(texts, 'dtype', type(texts).__name__)} of shape "
            f"{getattr(texts, 'shape', '?')}.",
            "regrow.data.texts.encode makes one.",
        )
    numbers, start_of = check_index(index, len(texts)), check_seed(seed)
    out = np.empty_like(texts)
    for start in range(0, len(texts), _CHUNK):
        part = slice(start, start + _CHUNK)
        stream = CounterStream(start_of, record.name, level, numbers[part])
        draws = stream.uniform((texts.shape[1], 2))
        out[part] = record.apply(texts[part], draws, record.rates[level - 1])
    return out
