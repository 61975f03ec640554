"""Texts as arrays: their UTF-8 bytes in rows of one length, zeros after the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

#: The byte that follows the end of a text; none holds it.
END = 0


def encode(texts: Sequence[str], length: int) -> npt.NDArray[np.uint8]:
    """Texts as bytes.

    Args:
        texts: any; a null character becomes a space.
        length: bytes of each; longer texts are cut before the character that does not fit.

    Returns:
        uint8 (N, length).

    Example:
        >>> encode(["né"], 5).tolist(), encode(["né"], 2).tolist()
        ([[110, 195, 169, 0, 0]], [[110, 0]])
    """
    rows = np.full((len(texts), length), END, np.uint8)
    for row, text in zip(rows, texts, strict=True):
        content = text.replace("\0", " ").encode("utf-8", "replace")[:length]
        content = content.decode("utf-8", "ignore").encode()  # without a last character that was cut through
        row[: len(content)] = np.frombuffer(content, np.uint8)
    return rows


def decode(row: npt.NDArray[np.uint8]) -> str:
    """The text of some bytes; what is no UTF-8, such as a character that was cut through, is left out.

    Example:
        >>> decode(encode(["né"], 5)[0])
        'né'
    """
    return row.tobytes().partition(bytes([END]))[0].decode("utf-8", "ignore")
