"""Streams of weights of eight output channels, of which two share a halfword: 256*w + v.

Its product with a widened input x adds to 256*W + V. Once V is known as well, 256*W is the difference. V is carried
with 2**23 added, which leaves it within [1, 2**24) if it is below 2**23, so that bits 24 up hold a number of their
own: the right shift less one, of which the low byte of 256*W holds the other channel's.
"""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array
from edgeprune.kernels._dsp import Scaling, pad_to_words

__all__ = ["CHANNELS", "crossed_stream", "plain_stream"]

CHANNELS = 8
"""Of a group."""


def plain_stream(w: Array, b: Array, zero_x: int, scaling: Scaling) -> Array:
    """Per eight channels of weights [out, K]: initial sums, weights quad by quad, multipliers: uint32.

    A quad is a word of each pair of channels for its inputs 0 and 2, then of each for 1 and 3. A rest of channels comes
    with those before it, so that the last eight are whole.
    """
    padded = pad_to_words(w).astype(np.int64)
    both, low = _initial_sums(padded, b, zero_x, scaling)
    return _stream(both, low, _words(padded).transpose(0, 2, 3, 1), scaling)


def crossed_stream(w: Array, b: Array, zero_x: int, scaling: Scaling) -> Array:
    """As `plain_stream`, each pair of channels with its two words of a quad side by side.

    V starts without what sums of (v0 + x1) * (v1 + x0) + (v2 + x3) * (v3 + x2) hold of weights alone.
    """
    padded = pad_to_words(w).astype(np.int64)
    both, low = _initial_sums(padded, b, zero_x, scaling)
    v = padded[_channels(len(padded))][:, 1::2]
    alone = (v[..., 0::2] * v[..., 1::2]).sum(axis=2)
    return _stream(both, low - alone, _words(padded).transpose(0, 2, 1, 3), scaling)


def _channels(out: int) -> Array:
    """Output channels [groups, 8]."""
    starts = np.array([*range(0, out - CHANNELS, CHANNELS), out - CHANNELS])
    return starts[:, None] + np.arange(CHANNELS)


def _words(padded: Array) -> Array:
    """Weights [out, K], K a multiple of 4, as words: int64 [groups, pairs, quads, 2]."""
    grouped = padded[_channels(len(padded))]
    halfwords = (256 * grouped[:, 0::2] + grouped[:, 1::2]) & 0xFFFF
    quads = halfwords.reshape(*halfwords.shape[:2], -1, 2, 2)
    words: Array = quads[..., 0, :] | (quads[..., 1, :] << 16)
    return words


def _initial_sums(padded: Array, b: Array, zero_x: int, scaling: Scaling) -> tuple[Array, Array]:
    """What 256*W + V and V start from: int64 [groups, pairs] each."""
    channels = _channels(len(padded))
    sums = b.astype(np.int64) - zero_x * padded.sum(axis=1)
    shifts = -scaling.shifts.astype(np.int64) - 1
    low = (sums + (1 << 23) + (shifts << 24))[channels][:, 1::2]
    return (256 * sums + shifts)[channels][:, 0::2] + low, low


def _stream(both: Array, low: Array, words: Array, scaling: Scaling) -> Array:
    groups = len(words)
    multipliers = scaling.multipliers.astype(np.int64)[_channels(len(scaling.multipliers))]
    parts = [np.stack([both, low], axis=2).reshape(groups, -1), words.reshape(groups, -1), multipliers]
    stream: Array = (np.concatenate(parts, axis=1) & 0xFFFFFFFF).astype(np.uint32).ravel()
    return stream
