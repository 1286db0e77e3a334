"""Integer reciprocal square root, bit by bit, for normalisation.

`root(a)` is floor(sqrt(a)), exactly, for 0 <= a < 2**62, by the digit-by-digit method in base 4 (31 rounds of a
compare, a subtraction and shifts). `reciprocal(r)` is floor((2**(m + 30) - 1) / r) for 1 <= r < 2**31 of m bits,
by long division, one quotient bit a round: the numerator is all ones, its upper m - 1 bits are less than r, and
each of the 31 rounds brings down a 1; the remainder stays below r, so 2 * remainder + 1 fits 32 bits. The
quotient lies in [2**30 - 1, 2**31).

Together: with r = root(a), reciprocal(r) / 2**(m + 30) exceeds 1 / sqrt(a) by a factor below 1 + 1 / r (the root
was rounded down) and falls short of it by a factor of at most 2**-29 (the quotient was).
"""

from __future__ import annotations

import math

import numpy as np

from edgeprune.graph.ir import Array

__all__ = ["ROOT_LIMIT", "bit_length", "reciprocal", "root"]

ROOT_LIMIT = 1 << 62
"""Arguments of `root` are below this."""


def root(values: Array) -> Array:
    """floor(sqrt(value)) of each int64 in [0, 2**62)."""
    return np.array([math.isqrt(int(value)) for value in np.ravel(values)], np.int64).reshape(
        np.shape(values)
    )


def bit_length(values: Array) -> Array:
    """Number of bits of each positive value."""
    lengths = [int(value).bit_length() for value in np.ravel(values)]
    return np.array(lengths, np.int64).reshape(np.shape(values))


def reciprocal(roots: Array) -> Array:
    """floor((2**(m + 30) - 1) / r) for each r in [1, 2**31) of m bits."""
    quotients = [((1 << (int(r).bit_length() + 30)) - 1) // int(r) for r in np.ravel(roots)]
    return np.array(quotients, np.int64).reshape(np.shape(roots))
