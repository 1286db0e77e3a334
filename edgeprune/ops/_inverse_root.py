"""Integer reciprocal square root by Newton's method, for normalisation.

For 0 < a < 2**62: z is the number of times a can be multiplied by 4 and stay below 2**62, and u = a 4**z >> 31, in
[2**29, 2**31), stands for v = u / 2**31 in [1/4, 1). y stands for 1 / sqrt(v) in units of 2**-29: it starts at
2.1328 - 1.2187 v, within 8.6 % (the straight line of least relative error), and three rounds of

    y <- y (3 - v y**2) / 2

square the relative error each time (times 3 / 2). Products are rounded down, to 2**-29: over all u, y / 2**29 is
within 5.9e-8 of 1 / sqrt(u / 2**31), relatively, and y <= 2**30. Every factor is below 2**32, so a product fits
an unsigned 64-bit word.
"""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array

__all__ = ["LIMIT", "inverse_root"]

LIMIT = 1 << 62
"""Arguments are below this."""

_SEED = 1145023540
_SEED_SLOPE = 654299165
_ROUNDS = 3


def inverse_root(values: Array) -> tuple[Array, Array]:
    """(y, z) of each int64 value in [1, 2**62): 1 / sqrt(value) is about y * 2**(z - 60)."""
    a, z = values.astype(np.int64), np.zeros(values.shape, np.int64)
    for _ in range(30):
        small = a < LIMIT >> 2
        a, z = np.where(small, a << 2, a), z + small
    u = a >> 31
    y = _SEED - ((u * _SEED_SLOPE) >> 31)
    for _ in range(_ROUNDS):
        square = (((y * y) >> 29) * u) >> 31
        y = (y * ((3 << 29) - square)) >> 30
    return y, z
