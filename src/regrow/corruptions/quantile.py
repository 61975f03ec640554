"""Normal numbers from uniform ones: the inverse normal distribution function as piecewise polynomials.

The lower half of the distribution is cut at powers of two, and every octave into 32 pieces of equal width, on each
of which a polynomial of degree 6 follows the function to some 1e-15. It takes additions and multiplications alone,
in one order, so that array code and compiled code give the same bits on every machine.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from regrow.corruptions import kernel
from regrow.corruptions.pixels import Floats

_DEGREE = 6
_PIECES = 5  # 2**5 pieces an octave
_SHIFT = 52 - _PIECES  # bits of a double's mantissa within a piece
_LOWEST = 54  # uniform numbers are at least 2**-54
_FIRST = (1023 - _LOWEST) << _PIECES


@functools.cache
def table() -> Floats:
    """Coefficients, (pieces, 8): the constant first, the last column unused; read-only."""
    from scipy.special import ndtri

    octave, piece = np.divmod(np.arange((_LOWEST - 1 << _PIECES) + 1), 1 << _PIECES)
    low = np.ldexp(1.0 + piece / (1 << _PIECES), octave - _LOWEST)
    width = np.ldexp(1.0, octave - _LOWEST - _PIECES)
    nodes = np.cos((np.arange(_DEGREE + 1) + 0.5) * np.pi / (_DEGREE + 1)) / 2  # Chebyshev's, in -1/2..1/2
    values = ndtri(low[:, None] + width[:, None] * (nodes + 0.5))
    found = np.zeros((len(low), 8))
    found[:, : _DEGREE + 1] = np.linalg.solve(np.vander(nodes, increasing=True), values.T).T
    found.flags.writeable = False
    return found


def normal(uniform: Floats) -> Floats:
    """Standard normal numbers, same shape.

    Args:
        uniform: numbers in [2**-54, 1).

    Example:
        >>> normal(np.array([0.5, 0.025])).round(6).tolist()
        [0.0, -1.959964]
    """
    flat = np.ascontiguousarray(uniform).ravel()
    out = np.empty(flat.size)
    if (lib := kernel.library()) is not None:
        lib.normal(flat, out, table())
    else:
        for start in range(0, flat.size, _BLOCK):
            _block(flat[start : start + _BLOCK], out[start : start + _BLOCK])
    return out.reshape(uniform.shape)


_BLOCK = 8192  # numbers worked on at a time, in a processor's nearest cache


def _block(uniform: Floats, out: Floats) -> None:
    tail = np.minimum(1.0 - uniform, uniform)
    bits: npt.NDArray[np.int64] = tail.view(np.int64)
    at = (bits >> _SHIFT) - _FIRST
    place = (bits & ((1 << _SHIFT) - 1)).astype(np.float64)
    place *= 2.0**-_SHIFT
    place -= 0.5
    columns, coefficient = _columns(), tail
    columns[_DEGREE].take(at, out=out, mode="clip")
    for k in range(_DEGREE - 1, -1, -1):
        out *= place
        columns[k].take(at, out=coefficient, mode="clip")
        out += coefficient
    np.copysign(out, np.subtract(uniform, 0.5, out=coefficient), out=out)


@functools.cache
def _columns() -> Floats:
    return np.ascontiguousarray(table().T)
