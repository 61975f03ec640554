"""Corruptions of texts: slips of typing, letters out of order, errors of optical character recognition.

    corrupt(texts, "keyboard", severity=3)     corrupted copy of bytes (N, L), see ``regrow.data.texts``
    names(), get(name), families()             what there is
    NOTE                                       what must be said beside numbers that come from them

A corruption is one :class:`~regrow.corruptions.text.registry.TextCorruption` in a file of this folder: ``typing``,
``order`` and ``scan``, each a family. They work on the bytes themselves and strike ASCII characters alone, so no
tokenizer is needed and no character of several bytes is ever torn apart.
"""

from __future__ import annotations

from regrow.corruptions.text.cells import corrupt
from regrow.corruptions.text.registry import NOTE, TextCorruption, families, get, names

__all__ = ["NOTE", "TextCorruption", "corrupt", "families", "get", "names"]
